"""Several configs as one: what they are together, where it stands, and which file is ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from reconciler.adapters.base.files import write_atomically
from reconciler.adapters.llamaswap.config_file import ConfigFile
from reconciler.adapters.llamaswap.config_folder import ConfigFolder
from reconciler.cli.config_home import find_api_key, open_config
from reconciler.cli.settings import Settings
from reconciler.core.config_sources import Merged, read_sources
from reconciler.core.manifest import Serve
from reconciler.core.observed import RuntimeState, RuntimeStatus
from reconciler.core.plan import Plan
from reconciler.core.siblings import Siblings
from reconciler.core.yamltext.config import read_config
from reconciler.errors import ConfigUnreadable, Refused, UsageError
from tests.support.llama_swap_loader import load_sources
from tests.support.llama_swap_merge import files_of, merge
from tests.support.llama_swap_values import ConfigRefused
from tests.support.searching import trying
from tests.support.worlds import World, desired, model, planned

# Keys of every kind that is merged in a manner of its own, and few enough to meet.
NAMES = st.sampled_from(("a", "b"))
SCALARS = st.sampled_from((None, True, 1, 0, "x", "y"))
LISTS = st.lists(SCALARS.filter(lambda value: value is not None), max_size=3)
VALUES = st.recursive(
    SCALARS | LISTS, lambda inner: st.dictionaries(NAMES, inner, max_size=2), max_leaves=4
)
NAMED = st.none() | st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=1), max_size=2)
GROUPS = st.fixed_dictionaries({}, optional={"groups": NAMED})
ROUTING = st.fixed_dictionaries(
    {}, optional={"router": st.fixed_dictionaries({"settings": GROUPS})}
)
ROOTS = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("models", "groups", "peers", "selectors"), NAMED),
        **dict.fromkeys(("hooks", "logLevel", "apiKeys", "macros"), VALUES),
        "routing": ROUTING,
    },
)


Texts = Mapping[str, str]


def merged(own: str, *, before: Texts | None = None, after: Texts | None = None) -> Merged:
    """Merge texts; ours is at `own.yaml`."""
    siblings = Siblings(
        before={path: text.encode() for path, text in (before or {}).items()},
        after={path: text.encode() for path, text in (after or {}).items()},
    )
    return read_sources("own.yaml", siblings).merged(read_config(own.encode(), "own.yaml"))


def places(value: Any, at: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Give every place in a value."""
    below = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    inner = [place for key, item in below for place in places(item, (*at, str(key)))]
    return [at, *inner] if at else inner


def follow(value: Any, place: tuple[str, ...]) -> Any:
    """Follow a place."""
    for key in place:
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


@trying(100)
@given(st.lists(ROOTS, min_size=1, max_size=3), st.integers(0, 2))
def test_files_are_merged_as_llama_swap_does(roots: list[dict[str, Any]], ours: int) -> None:
    """The values are those of the stand-in, which refuses exactly what clashes here; and whatever
    stands in the result is found again in the file that it comes from.
    """
    ours = min(ours, len(roots) - 1)
    texts = [json.dumps(root) for root in roots]
    found = merged(
        texts[ours],
        before={f"{number}.yaml": text for number, text in enumerate(texts[:ours])},
        after={f"{number}.yaml": text for number, text in enumerate(texts[ours + 1 :], 5)},
    )
    try:
        expected = merge((str(number), root) for number, root in enumerate(roots))
    except ConfigRefused:
        assert found.clashes
        assert {problem.rule for problem in found.problems} == {"sources"}
        return
    assert found.clashes == ()
    assert found.data == expected
    for place in places(expected):
        value = follow(expected, place)
        located = found.locate(place)
        if not isinstance(value, dict | list | None):
            assert follow(found.source(located.path).data, located.place) == value


def test_one_file_alone_is_itself() -> None:
    """Without others nothing is merged, and every place is its own."""
    found = merged("models:\n  a: {cmd: x}\nhooks: {on_startup: {preload: [a, b]}}\n")
    place = ("hooks", "on_startup", "preload", "1")
    located = found.locate(place)
    assert (located.path, located.place, located.is_ours) == ("own.yaml", place, True)
    assert found.others(place) == ()


def test_positions_are_those_of_each_file() -> None:
    """Lists are joined; an item is found at its own position in its own file."""
    text = "hooks: {on_startup: {preload: [%s]}}\n"
    found = merged(text % "c", before={"1": text % "a, b"}, after={"9": text % "d"})
    told = [
        found.locate(("hooks", "on_startup", "preload", str(position))) for position in range(4)
    ]
    assert [(item.path, item.place[-1]) for item in told] == [
        *(("1", "0"), ("1", "1"), ("own.yaml", "0"), ("9", "0"))
    ]


def test_place_that_is_nowhere_leads_to_what_is_around_it() -> None:
    """A line can be told even of what is missing; ours is preferred."""
    found = merged("models: {a: {}}\n", before={"1": "models: {b: {}}\n"})
    assert found.locate(("models", "b", "ttl")).path == "1"
    assert found.locate(("models", "z")).path == "own.yaml"
    assert found.others(("models", "z")) == ()


def test_entries_of_all_are_seen_and_ours_win() -> None:
    """What is decided on disk and gate knows every entry; of a name that clashes it is ours."""
    found = merged("models: {a: {ttl: 1}}\n", before={"1": "models: {a: {ttl: 2}, b: {}, c: {}}\n"})
    view = found.view(besides={"c"})
    assert view.models.keys() == {"a", "b"}
    assert view.models["a"].fields["ttl"].value == 1
    assert found.own_view().models.keys() == {"a"}
    assert found.own_view().data["models"].keys() == {"a", "b", "c"}  # type: ignore[union-attr]


def test_models_without_a_value_beside_ours_is_refused() -> None:
    """llama-swap wants a mapping in each file that names them, once there are two."""
    assert merged("", after={"9": "models:\n"}).clashes == ()
    assert merged("models: {a: {}}\n", after={"9": "models:\n"}).clashes == (("models",),)
    assert merged("models: {a: {}}\n", after={"9": "# nothing\n"}).clashes == ()


def test_sibling_that_is_no_config_is_an_error() -> None:
    """What it refers to is not known."""
    with pytest.raises(ConfigUnreadable, match=r"9:1:1: the config is no mapping"):
        merged("", after={"9": "- a\n"})


def plan_with(world: World, siblings: Siblings, *models: str, **more: Any) -> Plan:
    """Plan for a host whose config is merged with others."""
    observed = replace(world.observed(), siblings=siblings, **more)
    wanted = desired(*(model(name) for name in models))
    return planned(wanted, observed, world.ledger, allow_prune=True)


def test_newest_build_judges_a_folder_where_none_is_known() -> None:
    """One that reads a folder is no old one, whatever stood there was fit for."""
    old_only = Siblings(after={"9": b"profiles: {p: [mine]}\n"})
    world = World(config=b"")
    assert plan_with(world, Siblings(), "a").refusals == ()
    assert "llama-swap from" not in "".join(plan_with(world, old_only, "a").warnings)
    assert "profiles" in "".join(plan_with(world, old_only, "a").warnings)


@pytest.mark.parametrize(("version", "refused"), [(173, True), (229, True), (230, False)])
def test_build_that_reads_no_folder_gets_no_file(version: int, refused: bool) -> None:
    """It would never see our models; a build that is known to read one, or not known, does."""
    plan = plan_with(World(config=b""), Siblings(), "a", version=version)
    assert ["reads no folder" in item.message for item in plan.refusals] == [True] * refused


def test_other_files_are_part_of_what_a_plan_was_decided_on() -> None:
    """A saved plan does not hold any more once one of them changes, comes or goes."""
    world = World(config=b"")
    seen = [
        plan_with(world, siblings, "a").fingerprint
        for siblings in (
            Siblings(),
            Siblings(before={"1": b""}),
            Siblings(after={"1": b""}),
            Siblings(after={"1": b"hooks: {}\n"}),
        )
    ]
    assert len(set(seen)) == 4


# What others may write into their files of the names that we bring, take away and rename.
PIECES = (
    "hooks: {on_startup: {preload: [a, mine]}}\n",
    "groups: {g: {members: [a]}}\n",
    "groups: {g: {members: [mine, b]}, h: {members: [a2]}}\n",
    "selectors: {s: {targets: [a, mine]}}\n",
    "selectors: {a2: {targets: [mine]}}\n",
    "profiles: {p: {pins: {x: a}}}\n",
    "matrix: {vars: {v: a}, sets: {one: v}}\n",
    "routing: {router: {settings: {groups: {k: {members: [b]}}}}}\n",
    "routing: {scheduler: {settings: {fifo: {priority: {a: 1}}}}}\n",
    "macros: {run: 'llama-server --port ${PORT}'}\n",
    "models: {a: {cmd: 'x ${PORT}'}}\n",
    "models: {other: {cmd: 'x ${PORT}', aliases: [a2]}}\n",
    "models:\n",
    "logLevel: info\n",
)
MINE = "models: {mine: {cmd: 'x ${PORT}'}}\n"
SERVED = st.builds(
    Serve,
    group=st.sampled_from((None, None, "g", "new")),
    fields=st.sampled_from(({}, {"aliases": ["a2"]}, {"aliases": ["b2"]})),
)
WANTED = st.dictionaries(st.sampled_from(("a", "b", "c")), SERVED, max_size=3)


def loads(own: bytes, siblings: Siblings) -> bool:
    """Whether llama-swap takes all files together."""
    texts = [*siblings.before.items(), ("own.yaml", own), *siblings.after.items()]
    with contextlib.suppress(ConfigRefused):
        load_sources(texts, behave="2026", environ={})
        return True
    return False


@trying(30)
@given(st.lists(WANTED, min_size=1, max_size=3), st.data())
def test_nothing_we_write_keeps_the_files_from_being_loaded(
    wishes: list[dict[str, Serve]], data: st.DataObject
) -> None:
    """Whatever others write into their files between our runs: what loaded before a plan that is
    not refused loads after it too; without our models ours is as empty as it was.
    """
    world = World(config=b"")
    for wish in [*wishes, {}]:
        pieces = st.lists(st.sampled_from(PIECES), max_size=2, unique=True)
        texts = {f"{number}": text for number, text in enumerate(data.draw(pieces))}
        siblings = Siblings(
            before={"mine": MINE.encode()},
            after={key: text.encode() for key, text in texts.items()},
        )
        wanted = desired(*(model(name, serve=serve) for name, serve in wish.items()))
        observed = replace(world.observed(), siblings=siblings)
        plan = planned(wanted, observed, world.ledger, allow_prune=True)
        if plan.refusals:
            continue
        before = loads(world.config, siblings)
        world = world.applied(plan)
        event(f"loaded before: {before}")
        assert not before or loads(world.config, siblings)
        assert wish or world.config == b""


@pytest.mark.parametrize(
    ("own", "named", "before", "after"),
    [
        ("d/reconciler.yaml", None, ["d/.a.yaml", "d/b.yml"], ["d/z.yaml"]),
        ("d/reconciler.yaml", "main.yaml", ["main.yaml", "d/.a.yaml", "d/b.yml"], ["d/z.yaml"]),
        ("d/b.yml", None, ["d/.a.yaml"], ["d/z.yaml"]),
        ("main.yaml", None, [], ["d/.a.yaml", "d/b.yml", "d/z.yaml"]),
        ("other.yaml", "main.yaml", [], ["main.yaml", "d/.a.yaml", "d/b.yml", "d/z.yaml"]),
    ],
)
def test_order_is_that_of_the_names(
    tmp_path: Path, own: str, named: str | None, before: list[str], after: list[str]
) -> None:
    """The config that is named comes first, then the folder's by name, dotfiles too; what ends
    otherwise, and what lies deeper, is no config.
    """
    (tmp_path / "d" / "deep.yaml").mkdir(parents=True)
    for name in ("main.yaml", "d/z.yaml", "d/b.yml", "d/.a.yaml", "d/x.yaml.bak", "d/notes.txt"):
        (tmp_path / name).write_text(name)
    folder = ConfigFolder(
        tmp_path / "d", own=tmp_path / own, named=tmp_path / named if named else None
    )
    siblings = folder.read()
    assert siblings is not None
    assert list(siblings.before) == [str(tmp_path / name) for name in before]
    assert list(siblings.after) == [str(tmp_path / name) for name in after]
    assert siblings.texts[str(tmp_path / "d/z.yaml")] == b"d/z.yaml"


def test_without_a_folder_there_are_no_others(tmp_path: Path) -> None:
    """Then nothing beside the config is read."""
    assert ConfigFolder(None, own=tmp_path / "config.yaml").read() is None


def test_linked_config_is_known_by_where_it_leads(tmp_path: Path) -> None:
    """Ours, named by way of a link, is not read as one of the others; a dead link is an error."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "reconciler.yaml").write_text("")
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    folder = ConfigFolder(tmp_path / "linked", own=tmp_path / "real" / "reconciler.yaml")
    assert folder.read() == Siblings()
    (tmp_path / "real" / "dead.yaml").symlink_to("nowhere")
    with pytest.raises(Refused, match=r"dead\.yaml"):
        folder.read()


def test_nothing_else_of_ours_ends_as_a_config_does(tmp_path: Path) -> None:
    """llama-swap would merge the text that is being written, and a backup, with the rest."""
    own = tmp_path / "reconciler.yaml"
    own.write_text("# old\n")
    names: list[Path] = []
    write_atomically(own, b"", check=lambda: names.extend(files_of(None, tmp_path)))
    assert names == [own]
    assert len(list(tmp_path.iterdir())) == 1


def settings_of(**values: Any) -> Settings:
    """Give settings that nobody gave but these."""
    return Settings(environment={}, **values)


def started(**values: Any) -> RuntimeState:
    """Give a container as it was started."""
    return RuntimeState(kind="docker", status=RuntimeStatus.RUNNING, name="swap", **values)


def test_home_is_chosen_by_setting_and_else_by_the_container(tmp_path: Path) -> None:
    """A config that is named is the one; else a folder gets a file of ours; else the container's
    own config is taken.
    """
    main, folder, other = tmp_path / "main.yaml", tmp_path / "d", tmp_path / "e"
    folder.mkdir()
    other.mkdir()
    main.write_text("")

    def home(state: RuntimeState, **values: Any) -> tuple[str, str | None]:
        config, around = open_config(settings_of(**values), state)
        assert config is not None
        assert around is not None
        seen = around.folder.name if around.folder else None
        return str(config.path.relative_to(tmp_path)), seen

    alone = started(config_path=str(main))
    both = started(config_path=str(main), config_dir=str(folder))
    assert home(alone) == ("main.yaml", None)
    assert home(both) == ("d/reconciler.yaml", "d")
    assert home(both, config=main) == ("main.yaml", "d")
    assert home(both, config_dir=other) == ("e/reconciler.yaml", "e")
    assert home(alone, config_dir=folder) == ("d/reconciler.yaml", "d")
    assert home(alone, config=main, config_dir=folder) == ("main.yaml", "d")
    _, around = open_config(settings_of(), both)
    assert around is not None
    assert around.read() == Siblings(before={str(main): b""})
    with pytest.raises(UsageError, match="folder of llama-swap's configs is not there"):
        open_config(settings_of(config_dir=tmp_path / "nowhere"), alone)
    with pytest.raises(UsageError, match="does not say where its config lies"):
        open_config(settings_of(), started())


def test_first_written_out_key_of_any_file_is_used(tmp_path: Path) -> None:
    """llama-swap takes the keys of all files; one that a variable holds is not known to us."""
    (tmp_path / "a.yaml").write_text("apiKeys: ['${env.KEY}', theirs]\n")
    own = tmp_path / "reconciler.yaml"
    config = ConfigFile(own, in_place=False, max_backups=0)
    folder = ConfigFolder(tmp_path, own=own)
    assert find_api_key(settings_of(), config, folder) == "theirs"
    own.write_text("apiKeys: [ours]\n")
    assert find_api_key(settings_of(), config, folder) == "theirs"
    assert find_api_key(settings_of(), config, ConfigFolder(None, own=own)) == "ours"
    assert find_api_key(settings_of(llama_swap_api_key="told"), config, folder) == "told"
    (tmp_path / "b.yaml").write_text("models: [\n")
    assert find_api_key(settings_of(), config, folder) is None
    assert find_api_key(settings_of(), None, None) is None
