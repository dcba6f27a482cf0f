"""One watch, and everything that may happen to its files: each editor's way to save, git, and
whatever else people and programs do to them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from reconciler.core.watching import Reason
from tests.support.hub import running_hub
from tests.support.sandbox import Sandbox
from tests.support.waiting import wait_for
from tests.support.watching import Log, logged, serves

MODELS = ("chat", "code", "small")
CHAT_FILE = Path("acme/chat-GGUF/chat-Q4_K_M.gguf")
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{
        f"GIT_{who}_{what}": f"{who}@example.org"
        for who in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
}


@dataclass
class Watched:
    """A watched host, whose manifest differs between two saves by a number alone."""

    host: Sandbox
    log: Log
    numbers: Iterator[int] = field(default_factory=lambda: count(1001))

    @property
    def file(self) -> Path:
        """The manifest."""
        return self.host.manifest

    def text(self, number: int, *, models: tuple[str, ...] = MODELS) -> str:
        """Give a manifest that serves `number`."""
        entries = "".join(
            f"  {name}:\n    source: acme/{name}-GGUF:Q4_K_M\n    serve: {{ttl: {number}}}\n"
            for name in models
        )
        return f"version: 1\npolicy: {{discover: report}}\nmodels:\n{entries}"

    def serves(self, number: int) -> None:
        """Wait until all models are served with this number, and the pass is over."""
        config = self.host.config
        wait_for(lambda: config.read_text().count(f"ttl: {number}\n") == len(MODELS), f"{number}")
        wait_for(self.log.is_at_rest, "the pass's end")

    def git(self, *words: str, where: Path | None = None) -> None:
        """Run git in the manifest's folder."""
        folder = where or self.file.parent
        subprocess.run(
            ["git", "-C", str(folder), *words],
            check=True,
            env=os.environ | GIT,
            capture_output=True,
        )

    def commit(self, number: int) -> None:
        """Save, and commit what was saved."""
        self.file.write_text(self.text(number))
        self.git("add", "home.yaml")
        self.git("commit", "-m", f"{number}")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A watch in a git repository that has applied its manifest; all tests save to it in turn. It
    looks by itself only every hour.
    """
    with running_hub() as hub:
        host = Sandbox(home=tmp_path_factory.mktemp("saves") / "host", hub=hub)
        host.settings["RECONCILER_RESYNC"] = "3600"
        for seed, name in enumerate(MODELS):
            host.add_repo(f"acme/{name}-GGUF", seed=seed)
        with logged(host) as log:
            watched = Watched(host=host, log=log)
            watched.git("init", "-b", "main")
            (host.manifest.parent / ".gitignore").write_text("*\n!home.yaml\n")
            watched.commit(1000)
            watched.serves(1000)
            yield watched


def by_vim(file: Path, text: str) -> None:
    """With a backup by renaming, and the file that tests whether the folder can be written."""
    probe, backup = file.with_name("4913"), file.with_name("home.yaml~")
    probe.touch()
    probe.unlink()
    file.rename(backup)
    in_place(file, text)
    backup.unlink()


def by_vim_in_place(file: Path, text: str) -> None:
    """With backupcopy=yes: the backup is a copy, and the file itself is written anew."""
    swap, backup = file.with_name(".home.yaml.swp"), file.with_name("home.yaml~")
    swap.write_bytes(b"b0VIM")
    shutil.copy2(file, backup)
    in_place(file, text)
    backup.unlink()
    swap.unlink()


def in_place(file: Path, text: str) -> None:
    """As nano and VS Code do: cut to nothing, and written in pieces."""
    with file.open("wb", buffering=0) as opened:
        for start in range(0, len(text), 40):
            opened.write(text[start : start + 40].encode())
        os.fsync(opened.fileno())


def by_emacs(file: Path, text: str) -> None:
    """With its lock, which is a link to nowhere, its copy of what is not saved, and its backup."""
    lock, unsaved = file.with_name(".#home.yaml"), file.with_name("#home.yaml#")
    backup = file.with_name("home.yaml~")
    lock.symlink_to("me@host.1234:1700000000")
    unsaved.write_text(text)
    file.rename(backup)
    file.write_text(text)
    unsaved.unlink()
    lock.unlink()
    backup.unlink()


def by_jetbrains(file: Path, text: str) -> None:
    """The "safe write": a temporary file takes its place, and the old one goes last."""
    new, old = file.with_name("home.yaml___jb_tmp___"), file.with_name("home.yaml___jb_old___")
    new.write_text(text)
    file.rename(old)
    new.rename(file)
    old.unlink()


def by_sed(file: Path, text: str) -> None:
    """`sed -i` writes a file of its own and renames it."""
    number = re.findall(r"ttl: (\d+)", text)[0]
    subprocess.run(["sed", "-i", f"s/ttl: [0-9]*/ttl: {number}/", str(file)], check=True)


def by_copying(file: Path, text: str) -> None:
    """`cp`, `scp` and `rsync --inplace` write the file itself; here with the times of the other."""
    other = file.parent.parent / "other.yaml"
    other.write_text(text)
    os.utime(other, (1_700_000_000, 1_700_000_000))
    shutil.copy2(other, file)


def by_folder(file: Path, text: str) -> None:
    """`mv` of a whole folder over the one that is watched."""
    folder = file.parent
    new, old = folder.with_name("new"), folder.with_name("old")
    shutil.copytree(folder, new)
    (new / file.name).write_text(text)
    folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old)


def by_new_folder(file: Path, text: str) -> None:
    """The folder is removed, and made again, as by a fresh checkout."""
    kept = file.parent.with_name("kept")
    shutil.copytree(file.parent, kept)
    shutil.rmtree(file.parent)
    shutil.copytree(kept, file.parent)
    file.write_text(text)
    shutil.rmtree(kept)


def by_link(file: Path, text: str) -> None:
    """It becomes a link to a file elsewhere, and that is edited then."""
    real = file.parent.with_name("real.yaml")
    shutil.copy2(file, real)
    file.unlink()
    file.symlink_to(real)
    in_place(real, text)


@pytest.mark.parametrize(
    "save",
    [
        by_vim,
        by_vim_in_place,
        in_place,
        by_emacs,
        by_jetbrains,
        by_sed,
        by_copying,
        by_folder,
        by_new_folder,
        by_link,
    ],
)
def test_every_way_to_save_is_followed(watched: Watched, save: Callable[[Path, str], None]) -> None:
    """However a program saves the manifest, the host follows, and so it does after the next save in
    place: the watch is on the file that is there now.
    """
    first, second = next(watched.numbers), next(watched.numbers)
    save(watched.file, watched.text(first))
    watched.serves(first)
    in_place(watched.file, watched.text(second))
    watched.serves(second)
    assert set(watched.file.parent.iterdir()) == {
        watched.file.with_name(name)
        for name in (".git", ".gitignore", "home.yaml", "home.yaml.lock")
    }


def test_config_map_is_followed(watched: Watched) -> None:
    """A file that is a link through `..data`, which is swapped by one rename: each version counts,
    and a link that leads elsewhere is followed there.
    """
    folder, file = watched.file.parent, watched.file
    data, before = folder / "..data", file.read_text()

    def publish(number: int) -> None:
        version = folder / f"..version_{number}"
        version.mkdir()
        (version / file.name).write_text(watched.text(number))
        (folder / "..tmp").symlink_to(version.name)
        (folder / "..tmp").replace(data)

    numbers = [next(watched.numbers) for _ in range(3)]
    publish(numbers[0])
    (folder / "link").symlink_to("..data/home.yaml")
    (folder / "link").replace(file)
    for number in numbers:
        if number != numbers[0]:
            publish(number)
            shutil.rmtree(folder / f"..version_{number - 1}")
        watched.serves(number)
    file.unlink()
    file.write_text(before)
    data.unlink()
    shutil.rmtree(folder / f"..version_{numbers[-1]}")


def test_git_is_followed(watched: Watched, tmp_path: Path) -> None:
    """A checkout of another branch, and back; a stash, and its return; and a pull that brings
    another's commit: the host follows the working tree.
    """
    main, other, edited, pulled = (next(watched.numbers) for _ in range(4))
    watched.commit(main)
    watched.git("checkout", "-b", "other")
    watched.commit(other)
    watched.serves(other)
    watched.git("checkout", "main")
    watched.serves(main)
    watched.file.write_text(watched.text(edited))
    watched.serves(edited)
    watched.git("stash")
    watched.serves(main)
    watched.git("stash", "pop")
    watched.serves(edited)
    watched.git("checkout", "home.yaml")

    origin = tmp_path / "origin"
    watched.git("clone", "--bare", str(watched.file.parent), str(origin))
    watched.git("clone", str(origin), str(tmp_path / "theirs"))
    (tmp_path / "theirs" / "home.yaml").write_text(watched.text(pulled))
    watched.git("commit", "-am", "theirs", where=tmp_path / "theirs")
    watched.git("push", where=tmp_path / "theirs")
    watched.git("pull", "--ff-only", str(origin), "main")
    watched.serves(pulled)


def test_config_edited_by_hand_is_set_right_at_once(watched: Watched) -> None:
    """A field of ours that somebody changes in llama-swap's config is ours again without waiting
    for the next look; what is not ours is left as it is.
    """
    number = next(watched.numbers)
    in_place(watched.file, watched.text(number))
    watched.serves(number)
    for edited in ("edited again", "edited once more"):
        text = watched.host.config.read_text()
        theirs = re.sub("# edited .*", f"# {edited}", text)
        in_place(watched.host.config, theirs.replace(f"ttl: {number}", "ttl: 7"))
        watched.serves(number)
        assert f"# {edited}" in watched.host.config.read_text()
    assert watched.log.reasons()[-2:] == [Reason.CONFIG] * 2


def test_model_that_is_deleted_is_brought_again(watched: Watched) -> None:
    """A file of ours that somebody deletes is fetched again without waiting for the next look."""
    file, number = watched.host.models / CHAT_FILE, next(watched.numbers)
    in_place(watched.file, watched.text(number))
    watched.serves(number)
    data = file.read_bytes()
    for _ in range(2):
        passes = len(watched.log.reasons())
        file.unlink()
        wait_for(partial(has_passes, watched, passes + 1), "a pass")
        wait_for(watched.log.is_at_rest, "its end")
        assert file.read_bytes() == data
    assert watched.log.reasons()[-2:] == [Reason.MODELS] * 2


def test_foreign_model_is_looked_at(watched: Watched) -> None:
    """A file that somebody puts into the models folder, in a folder of its own, is met by a pass,
    and the next one there too; what is hidden there is none of our business.
    """
    folder = watched.host.models / "theirs"
    folder.mkdir()
    data = (watched.host.models / CHAT_FILE).read_bytes()
    for name in ("one.gguf", "two.gguf"):
        number = len(watched.log.reasons()) + 1
        (folder / name).write_bytes(data)
        wait_for(partial(has_passes, watched, number), "a pass")
        assert watched.log.reasons()[-1] == Reason.MODELS
        assert (folder / name).read_bytes() == data


def has_passes(watched: Watched, number: int) -> bool:
    """Whether it has run so many passes."""
    return len(watched.log.reasons()) >= number


def warns(watched: Watched, words: str) -> bool:
    """Whether it has warned of this."""
    return any(words in line for line in watched.log.warnings())


def test_nothing_new_runs_nothing(watched: Watched) -> None:
    """The same text saved again, in place and by a rename, other files beside it, and all that a
    pass writes itself (config, lock, models, trash) start no pass.
    """
    number, before = next(watched.numbers), len(watched.log.reasons())
    text = watched.text(number)
    in_place(watched.file, text.replace("small-GGUF:Q4_K_M", "small-GGUF:Q8_0"))
    watched.serves(number)
    same = watched.file.read_text()
    in_place(watched.file, same)
    watched.file.with_name(".home.yaml.new").write_text(same)
    watched.file.with_name(".home.yaml.new").replace(watched.file)
    watched.file.with_name("notes.txt").write_text("a")
    watched.file.with_name("notes.txt").unlink()
    watched.host.config.touch()
    with pytest.raises(pytest.fail.Exception):
        wait_for(partial(has_passes, watched, before + 2), "a pass in vain", seconds=1.2)
    assert "small-Q8_0.gguf" in watched.host.config.read_text()
    assert len(watched.log.reasons()) == before + 1


def test_manifest_half_written_removes_nothing(watched: Watched) -> None:
    """Cut short where it still parses, with fewer models, it meets the guard against removals; as
    an empty file, it is wrong. Nothing is changed by either, and the whole one is applied.
    """
    number = next(watched.numbers)
    files = watched.host.model_files().keys()
    config = watched.host.config.read_text()
    for words, text in {
        "this would remove 2 of 3": watched.text(number, models=MODELS[:1]),
        "last good state": "",
    }.items():
        in_place(watched.file, text)
        wait_for(partial(warns, watched, words), words)
        assert watched.host.config.read_text() == config
        assert watched.host.model_files().keys() == files
    in_place(watched.file, watched.text(number))
    watched.serves(number)


def test_model_that_is_added_wakes_nothing_else(tmp_path: Path) -> None:
    """A new entry gets what its file says once that is here, and this is no edit by somebody."""
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        models = {name: f"  {name}: {{source: 'acme/{name}-GGUF:Q4_K_M'}}\n" for name in MODELS[:2]}
        for seed, name in enumerate(models):
            host.add_repo(f"acme/{name}-GGUF", seed=seed)
        host.write_manifest(models["chat"])
        with logged(host) as log:
            serves(host, "chat-Q4_K_M.gguf")
            wait_for(log.is_at_rest, "the end of the first pass")
            host.write_manifest("".join(models.values()))
            serves(host, "code-Q4_K_M.gguf")
            wait_for(log.is_at_rest, "the end of the second pass")
            host.write_manifest("".join(models.values()).replace("'}", "', serve: {ttl: 5}}"))
            serves(host, "ttl: 5")
    assert host.config.read_text().count("capabilities:") == 2
    assert log.reasons() == [Reason.START, Reason.MANIFEST, Reason.MANIFEST]


def test_saves_are_seen_without_events(tmp_path: Path) -> None:
    """With RECONCILER_POLL=on the system is asked for no events, and a save is followed all the
    same, in a folder that is made anew as well.
    """
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        host.settings["RECONCILER_POLL"] = "on"
        assert not _watch_two_saves(host).warnings()


def test_system_without_watches_left_is_told_of_once(tmp_path: Path) -> None:
    """Where the system's limit of watches is met, that is said once, with what to do about it, and
    saves are followed by looking.
    """
    limited = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    script = 'echo 2 > /proc/sys/user/max_inotify_watches && exec "$@"'
    if subprocess.run(
        [*limited, script, "sh", "true"], check=False, capture_output=True
    ).returncode:
        pytest.skip("this system does not let us lower the limit")
    with running_hub() as hub:
        host = Sandbox(home=tmp_path / "host", hub=hub)
        log = _watch_two_saves(host, within=[*limited, script, "sh"])
    told = [line for line in log.lines if "not every folder can be watched" in line["message"]]
    assert len(told) == 1
    assert "max_user_watches" in told[0]["hint"]


def _watch_two_saves(host: Sandbox, *, within: Sequence[str] = ()) -> Log:
    """Watch one model, saved again in place and in a new folder; gives the log."""
    host.add_repo("acme/chat-GGUF")
    chat = "  chat:\n    source: acme/chat-GGUF:Q4_K_M\n    serve: {{ttl: {}}}\n"
    host.write_manifest(chat.format(1))
    with logged(host, within=within) as log:
        serves(host, "ttl: 1\n")
        host.write_manifest(chat.format(2))
        serves(host, "ttl: 2\n")
        by_new_folder(host.manifest, host.manifest.read_text().replace("ttl: 2", "ttl: 3"))
        serves(host, "ttl: 3\n")
    return log
