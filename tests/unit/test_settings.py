"""Settings: where a value comes from, which one wins, and what a wrong one is told."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from reconciler.cli.settings import Settings, load_how_shown, load_settings, setting_names
from reconciler.core.observed import PathMapping
from reconciler.errors import UsageError
from tests.support.unfit import UNFIT, put_unfit

# One value for each setting that differs from its default, as a variable has it.
GIVEN = {
    "manifest": "elsewhere",
    "models_dir": "/srv/models",
    "state_dir": "/srv/state",
    "config": "/srv/config.yaml",
    "config_dir": "/srv/configs",
    "runtime": "none",
    "container": "other",
    "docker_host": "tcp://10.0.0.1:2375",
    "reload_command": "systemctl reload llama-swap",
    "restart_command": "systemctl restart llama-swap",
    "health_command": "systemctl is-active llama-swap",
    "log_command": "journalctl --unit llama-swap",
    "command_timeout": "30",
    "path_map": "/srv=/models",
    "llama_swap_url": "http://127.0.0.1:8080",
    "llama_swap_api_key": "key",
    "llama_server": "/opt/llama-server",
    "hf_endpoint": "https://mirror.example",
    "adopt": "off",
    "adopt_from": "/mnt/old,/mnt/older",
    "offline": "yes",
    "locked": "1",
    "yes": "on",
    "allow_prune": "TRUE",
    "json": "true",
    "detailed_exitcode": "1",
    "lock_timeout": "1.5",
    "health_timeout": "5",
    "reload": "signal",
    "disk_reserve": "2GB",
    "download_window": "01:00-07:00",
    "drain": "90s",
    "drain_then": "wait",
    "restart_window": "03:00-05:00",
    "probe": "on",
    "warm": "on",
    "limit_rate": "20M",
    "hash_jobs": "3",
    "metadata_ttl": "1h",
    "max_backups": "7",
    "trash_ttl": "1d",
    "generations": "5",
    "resync": "60",
    "debounce": "1",
    "poll": "on",
    "git_pull": "5m",
    "git_verify": "on",
    "git_lock_branch": "locks",
    "listen": "127.0.0.1:9292",
    "notify_command": "/opt/tell --now",
    "notify_url": "https://tell.example/hook",
    "notify_on": "failed,rolled back",
    "sync_mode": "full",
    "force_full_sync": "on",
    "incremental_window_hours": "12",
    "full_sync_threshold_hours": "24",
    "max_key_length": "60",
    "verbose": "1",
    "quiet": "1",
    "log_format": "json",
    "no_color": "1",
}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a folder without a `.env`."""
    monkeypatch.chdir(tmp_path)


def test_every_setting_can_be_given_by_its_variable() -> None:
    """`RECONCILER_<NAME>` gives each setting, and nothing else changes."""
    assert set(GIVEN) == set(setting_names())
    defaults = Settings(environment={})
    for name, text in GIVEN.items():
        settings = load_settings(Namespace(), {f"RECONCILER_{name.upper()}": text})
        changed = {
            key for key in setting_names() if getattr(settings, key) != getattr(defaults, key)
        }
        assert changed == {name}


def test_options_win_over_environment_over_dotenv_over_defaults() -> None:
    """The nearest place that says anything decides, for each setting by itself."""
    Path(".env").write_text("RECONCILER_CONTAINER=file\nRECONCILER_MANIFEST=file\n")
    environment = {"RECONCILER_CONTAINER": "variable", "RECONCILER_MODELS_DIR": "/variable"}
    options = Namespace(container="option")
    everywhere = load_settings(options, environment)
    assert everywhere.container == "option"
    assert load_settings(Namespace(), environment).container == "variable"
    assert load_settings(Namespace(), {}).container == "file"
    Path(".env").unlink()
    assert load_settings(Namespace(), {}).container == "llama-swap"
    assert (everywhere.manifest, everywhere.models_dir) == (Path("file"), Path("/variable"))


@pytest.mark.parametrize(
    ("older", "name"),
    [
        ("LLAMA_SWAP_MODELS_DIR", "models_dir"),
        ("LLAMA_SWAP_CONFIG", "config"),
        ("LLAMA_SWAP_CONTAINER", "container"),
        ("LLAMA_SWAP_MAX_BACKUPS", "max_backups"),
        ("LLAMA_SWAP_MAX_KEY_LENGTH", "max_key_length"),
        ("SYNC_MODE", "sync_mode"),
        ("FORCE_FULL_SYNC", "force_full_sync"),
        ("INCREMENTAL_WINDOW_HOURS", "incremental_window_hours"),
        ("FULL_SYNC_THRESHOLD_HOURS", "full_sync_threshold_hours"),
        ("HF_ENDPOINT", "hf_endpoint"),
        ("HF_HUB_OFFLINE", "offline"),
    ],
)
def test_older_names_work_and_ours_win(older: str, name: str) -> None:
    """The names that people have in their environment already are heard, after our own."""
    old, new = {
        "max_backups": ("1", "2"),
        "max_key_length": ("40", "50"),
        "sync_mode": ("full", "incremental"),
        "full_sync_threshold_hours": ("1.5", "2.5"),
        "incremental_window_hours": ("1.5", "2.5"),
        "force_full_sync": ("1", "0"),
        "offline": ("1", "0"),
    }.get(name, ("/old", "/new"))
    ours = f"RECONCILER_{name.upper()}"
    assert str(getattr(load_settings(Namespace(), {older: old}), name)) in (old, "True")
    both = load_settings(Namespace(), {older: old, ours: new})
    assert str(getattr(both, name)) in (new, "False")


@pytest.mark.parametrize(
    ("given", "bytes_per_second"),
    [
        ("20M", 20_000_000),
        ("5MiB", 5 * 2**20),
        ("2.5 MB/s", 2_500_000),
        ("100000", 100_000),
        ("off", None),
        ("0", None),
    ],
)
def test_rates_are_bytes_per_second(given: str, bytes_per_second: int | None) -> None:
    """Units of 1000 and of 1024 are told apart, and there are two words for no limit."""
    settings = load_settings(Namespace(limit_rate=given), {"RECONCILER_LIMIT_RATE": "7M"})
    assert settings.limit_rate == bytes_per_second


@pytest.mark.parametrize(
    ("given", "seconds"), [("24h", 86400), ("45m", 2700), ("90", 90), ("1.5d", 129600), ("0", 0)]
)
def test_lengths_of_time_have_units(given: str, seconds: float) -> None:
    """Seconds need no unit; minutes, hours and days have one."""
    settings = load_settings(Namespace(), {"RECONCILER_METADATA_TTL": given})
    assert settings.metadata_ttl == seconds


def test_empty_variable_counts_as_not_set() -> None:
    """A variable set to nothing, as compose files do, leaves the default."""
    environment = {f"RECONCILER_{name.upper()}": "" for name in setting_names()}
    settings = load_settings(Namespace(), environment)
    assert settings == Settings(environment=environment)


@pytest.mark.parametrize("name", ["manifest", "models_dir", "config", "container"])
def test_empty_option_is_refused(name: str) -> None:
    """An option whose shell variable was empty is a mistake, never the working folder."""
    with pytest.raises(UsageError, match="is empty") as caught:
        load_settings(Namespace(**{name: ""}), {})
    assert f"--{name.replace('_', '-')}" in caught.value.message


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("RUNTIME", "podman"),
        ("SYNC_MODE", "sometimes"),
        ("FULL_SYNC_THRESHOLD_HOURS", "nan"),
        ("MAX_KEY_LENGTH", "8"),
        ("LOG_FORMAT", "xml"),
        ("OFFLINE", "maybe"),
        ("LOCK_TIMEOUT", "-1"),
        ("LOCK_TIMEOUT", "soon"),
        ("HEALTH_TIMEOUT", "inf"),
        ("HEALTH_TIMEOUT", "nan"),
        ("MAX_BACKUPS", "3.5"),
        ("LIMIT_RATE", "fast"),
        ("LIMIT_RATE", "20Mbit"),
        ("LIMIT_RATE", "99k"),
        ("HASH_JOBS", "0"),
        ("HASH_JOBS", "65"),
        ("HASH_JOBS", "many"),
        ("METADATA_TTL", "a day"),
        ("METADATA_TTL", "-1h"),
        ("DISK_RESERVE", "much"),
        ("DOWNLOAD_WINDOW", "at night"),
        ("DISK_RESERVE", "-1GB"),
        ("MAX_BACKUPS", "-1"),
        ("PATH_MAP", "/only-one"),
        ("PATH_MAP", "relative=/models"),
        ("MODELS_DIR", "~no-such-user-here/models"),
    ],
)
def test_wrong_value_is_told_with_its_place(name: str, text: str) -> None:
    """A value that is not of its setting's kind is refused, naming the variable and the value."""
    with pytest.raises(UsageError) as caught:
        load_settings(Namespace(), {f"RECONCILER_{name}": text})
    assert caught.value.message.startswith(f"RECONCILER_{name}: ")
    assert text in caught.value.message
    assert caught.value.hint


def test_path_maps_are_repeated_or_joined() -> None:
    """`--path-map` may be repeated, its variable holds several; a host path may hold `=`."""
    both = (PathMapping(host="/a", container="/x"), PathMapping(host="/b=c", container="/y"))
    assert load_settings(Namespace(path_map=["/a=/x", "/b=c=/y"]), {}).path_map == both
    variable = {"RECONCILER_PATH_MAP": "/a=/x, /b=c=/y"}
    assert load_settings(Namespace(), variable).path_map == both


@pytest.mark.parametrize(("value", "wanted"), [("1", True), ("0", True), ("", False)])
def test_no_color_counts_whatever_its_value(value: str, wanted: bool) -> None:
    """`NO_COLOR` is heard when it is present and not empty, as its convention says."""
    assert load_settings(Namespace(), {"NO_COLOR": value}).no_color is wanted
    assert load_how_shown(Namespace(), {"NO_COLOR": value}).no_color is wanted


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"GOOD=1\nthis is no setting\n", ".env:2: this is not NAME=VALUE"),
        (b"\xff\xfe=1\n", ".env: cannot be read: it is not UTF-8"),
    ],
)
def test_broken_dotenv_is_told(content: bytes, told: str) -> None:
    """A `.env` that cannot be read whole is an error: half of the settings would be a surprise."""
    Path(".env").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_settings(Namespace(), {})
    assert (caught.value.message, bool(caught.value.hint)) == (told, True)


@pytest.mark.parametrize("kind", UNFIT)
def test_dotenv_that_never_ends_is_told(kind: str) -> None:
    """What is no file, or no such file, is not read, whatever a checkout holds under that name."""
    words = put_unfit(kind, Path(".env"))
    with pytest.raises(UsageError, match=f".env: cannot be read: {words}"):
        load_settings(Namespace(), {})


def test_folder_named_dotenv_is_no_settings_file() -> None:
    """Some keep a virtual environment under that name."""
    Path(".env").mkdir()
    assert load_settings(Namespace(), {}) == Settings(environment={})


def test_adapters_see_dotenv_too() -> None:
    """The hub's token and the Docker engine may be named in `.env`; the environment wins."""
    Path(".env").write_text("HF_TOKEN=file\nDOCKER_HOST=unix:///file.sock\n")
    environment = load_settings(Namespace(), {"HF_TOKEN": "variable"}).environment
    assert dict(environment) == {"HF_TOKEN": "variable", "DOCKER_HOST": "unix:///file.sock"}


def test_how_errors_are_shown_is_known_before_all_else() -> None:
    """However wrong the settings are, the ones on how to say so are found, and never raise."""
    environment = {"RECONCILER_JSON": "1", "RECONCILER_RUNTIME": "x", "RECONCILER_QUIET": "x"}
    shown = load_how_shown(Namespace(log_format="json"), environment)
    assert (shown.json, shown.log_format, shown.quiet) == (True, "json", False)
    Path(".env").write_bytes(b"\xff")
    assert load_how_shown(Namespace(), environment).json is True
