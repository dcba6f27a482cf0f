"""Which files of a repository belong together, and which of them a name stands for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

from reconciler.core.names import InvalidName, RelPath, RepoId
from reconciler.core.ports.hub import RemoteFile
from reconciler.core.reading.source_text import SHARD
from reconciler.errors import FileMissing, NoMatch

# Words in a file's name that say it is no model of its own, as llama.cpp sorts them out.
_NOT_A_MODEL: Final = ("mmproj", "imatrix", "mtp-", "eagle3-", "dflash-", "dspark-")
# Pieces cut by hand before llama.cpp had shards: they must be joined before anything reads them.
_OLD_PIECE: Final = re.compile(
    r"(?P<stem>.+?)(\.gguf[.-](part|split)[^/]*|-split-[a-z]{1,2}\.gguf)", re.IGNORECASE
)
_LOOKS_LIKE_QUANT: Final = re.compile(
    r"(UD-)?(I?Q\d\w*|TQ\d\w*|BF16|FP?16|FP?32|\w*FP4\w*)", re.ASCII | re.IGNORECASE
)
_BITS: Final = re.compile(r"\d+")
_UNKNOWN_DISTANCE: Final = 1000
# More names than this help nobody find theirs.
_SHOWN: Final = 24

FileSet = tuple[RemoteFile, ...]


def match_quant(files: Sequence[RemoteFile], quant: str, repo: RepoId) -> FileSet:
    """Give the one set of model files that has `quant`, whatever its case; shards in order.

    A set has it when it is the last part of the file's name (`UD-` belongs to it), or the name of
    a folder the files lie in.

    Raises:
        NoMatch: no set has it, or several have, or a shard is missing, or a file has no sha256.
    """
    sets = _model_sets(files)
    wanted = quant.lower()
    matching = [found for found in sets if wanted in _tags(found[0].path)]
    if len(matching) == 1:
        return _checked(matching[0], repo)
    if matching:
        raise NoMatch(
            f"{repo} has {len(matching)} file sets that fit {quant}: "
            + _listed(found[0].path for found in matching),
            hint=f"Name the one you mean: source: hf://{repo}/{matching[0][0].path}",
        )
    pieces = [file.path for file in files if _has_old_pieces(file.path, wanted)]
    if pieces:
        raise NoMatch(
            f"{repo} keeps {quant} in pieces that must be joined by hand: {_listed(pieces)}",
            hint="Join them on this machine and name the result by file://, "
            "or choose another repository.",
        )
    quants = list_quants(files)
    if not quants:
        raise NoMatch(
            f"{repo} has no GGUF model; it has: {_listed(file.path for file in files)}",
            hint="Name a repository that holds GGUF files, "
            f"or a file by hf://{repo}/path/file.gguf",
        )
    raise NoMatch(
        f"{repo} has no {quant}; it has: {_listed(quants)}",
        hint=f"Name one of these: source: {repo}:{_nearest(quant, quants)}",
    )


def match_path(files: Sequence[RemoteFile], path: str, repo: RepoId) -> FileSet:
    """Give the file at `path`, or the whole set, in order, where `path` is one of its shards.

    Raises:
        FileMissing: there is no such file.
        NoMatch: a shard of its set is missing, or a file has no sha256.
    """
    if _OLD_PIECE.fullmatch(path):
        raise NoMatch(
            f"{path} in {repo} is a piece that must be joined with others by hand",
            hint="Join them on this machine and name the result by file://",
        )
    for found in _sets(files):
        if any(file.path == path for file in found):
            return _checked(found, repo)
    alike = get_close_matches(path, [file.path for file in files], n=3) or sorted(
        file.path for file in files if file.path.lower().endswith(".gguf")
    )
    raise FileMissing(
        f"{repo} has no file {path}",
        hint=f"It has: {_listed(alike)}" if alike else "It holds no GGUF file.",
    )


def match_mmproj(
    files: Sequence[RemoteFile], model_files: Sequence[RemoteFile], choice: str, repo: RepoId
) -> FileSet:
    """Give the projector that `choice` (`none`, `auto` or a path) means for `model_files`.

    `auto` takes the one that shares the deepest folder with the model (one that lies in that very
    folder before one in a folder beside the model's), then the one nearest in bits, then the first
    by name; it gives nothing where the repository has none.

    Raises what `match_path` raises.
    """
    if choice == "none":
        return ()
    if choice != "auto":
        return match_path(files, choice, repo)
    model = model_files[0].path
    candidates = [found for found in _sets(files) if _is_mmproj(found[0].path)]
    if not candidates:
        return ()

    def rank(found: FileSet) -> tuple[int, int, int, str]:
        path = found[0].path
        shared = _shared_folders(path, model)
        return -shared, path.count("/") - shared, _distance_bits(path, model), path

    return _checked(min(candidates, key=rank), repo)


def list_mmproj(files: Sequence[RemoteFile]) -> tuple[RelPath, ...]:
    """Give the paths of every projector among `files`, sorted."""
    return tuple(sorted(file.path for file in files if _is_mmproj(file.path)))


def list_quants(files: Sequence[RemoteFile]) -> tuple[str, ...]:
    """Give what can stand after the colon for these files, sorted, each once."""
    return tuple(sorted({_quant_of(found[0].path) for found in _model_sets(files)}))


def quant_in_name(path: RelPath) -> str:
    """Give the quant that a file's name, else a folder of it, speaks of; empty without one."""
    found = _quant_of(path)
    return found if _LOOKS_LIKE_QUANT.fullmatch(found) else ""


def list_model_sets(files: Iterable[RemoteFile]) -> tuple[FileSet, ...]:
    """Give every set of model files, shards in order, whether it is whole or not."""
    return tuple(_model_sets(files))


def name_without_quant(path: RelPath) -> str:
    """Give, in lower case, a file's name without its quant: alike for all quants of one model."""
    shard = SHARD.fullmatch(path)
    stem = shard["prefix"].rpartition("/")[2] if shard else path.name[: -len(".gguf")]
    last = _last_part(path)
    if _LOOKS_LIKE_QUANT.fullmatch(last):
        stem = stem.removesuffix(last).rstrip("-.")
    return stem.lower()


def shard_paths(path: str) -> tuple[str, ...]:
    """Give the paths of all shards of the set that `path` is one of; `path` alone if it is none.

    Raises:
        InvalidName: the name says a piece that cannot be, such as 3 of 2.
    """
    shard = SHARD.fullmatch(path)
    if shard is None:
        return (path,)
    count = int(shard["count"])
    if not 1 <= int(shard["number"]) <= count:
        raise InvalidName(f"{path!r} is no piece of a split model: it is numbered beyond its end")
    ending = path[shard.end("count") :]
    return tuple(
        f"{shard['prefix']}-{number:05d}-of-{shard['count']}{ending}"
        for number in range(1, count + 1)
    )


def _model_sets(files: Iterable[RemoteFile]) -> list[FileSet]:
    return [
        found
        for found in _sets(files)
        if found[0].path.lower().endswith(".gguf")
        and not any(word in found[0].path.name.lower() for word in _NOT_A_MODEL)
        and not _OLD_PIECE.fullmatch(found[0].path)
    ]


def _sets(files: Iterable[RemoteFile]) -> list[FileSet]:
    """Group shards; every other file is a set of its own. Sorted by path, shards by number."""
    groups: dict[tuple[str, ...], list[RemoteFile]] = defaultdict(list)
    for file in sorted(files, key=lambda file: file.path):
        shard = SHARD.fullmatch(file.path)
        key = (shard["prefix"], shard["count"]) if shard else (file.path,)
        groups[key].append(file)
    return [tuple(group) for group in groups.values()]


def _checked(found: FileSet, repo: RepoId) -> FileSet:
    """Give `found` back if it is whole and can be verified."""
    present = {file.path for file in found}
    try:
        expected = shard_paths(found[0].path)
    except InvalidName as error:
        raise NoMatch(f"{repo}: {error}", hint="Choose another file set.") from error
    missing = [path for path in expected if path not in present]
    if missing or len(present) != len(expected):
        raise NoMatch(
            f"{repo}: the set of {found[0].path} is not whole; missing: {_listed(missing)}",
            hint="Wait until the upload is complete, or choose another file set.",
        )
    for file in found:
        if file.sha256 is None:
            raise NoMatch(
                f"{repo}: the hub gives no sha256 for {file.path} (it is kept in git itself), "
                "so its bytes could not be verified",
                hint="Choose a file that the hub keeps in large-file storage, "
                "or name a copy on this machine by file://",
            )
    return found


def _has_old_pieces(path: RelPath, quant: str) -> bool:
    piece = _OLD_PIECE.fullmatch(path)
    return piece is not None and quant in _tags(RelPath(piece["stem"] + ".gguf"))


def _tags(path: RelPath) -> set[str]:
    """Give, in lower case, the last part of the name and the name of every folder."""
    return {_last_part(path).lower(), *path.lower().split("/")[:-1]}


def _quant_of(path: RelPath) -> str:
    """Give the tag that most looks like a quant: the name's last part, else the nearest folder."""
    last = _last_part(path)
    for tag in (last, *reversed(path.split("/")[:-1])):
        if _LOOKS_LIKE_QUANT.fullmatch(tag):
            return tag
    return last


def _last_part(path: RelPath) -> str:
    shard = SHARD.fullmatch(path)
    stem = shard["prefix"].rpartition("/")[2] if shard else path.name[: -len(".gguf")]
    parts = re.split(r"[-.]", stem)
    if len(parts) > 1 and parts[-2].lower() == "ud":
        return "-".join(parts[-2:])
    return parts[-1]


def _is_mmproj(path: RelPath) -> bool:
    name = path.name.lower()
    return "mmproj" in name and name.endswith(".gguf")


def _shared_folders(one: RelPath, other: RelPath) -> int:
    count = 0
    for mine, theirs in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if mine != theirs:
            break
        count += 1
    return count


def _distance_bits(one: RelPath, other: RelPath) -> int:
    """Say how far two quants are apart; one whose name speaks of no width is farthest."""
    mine, theirs = _bits(one), _bits(other)
    return _UNKNOWN_DISTANCE if mine is None or theirs is None else abs(mine - theirs)


def _bits(path: RelPath) -> int | None:
    """Give the bits that a quant's name speaks of: 4 for `Q4_K_M`, 16 for `BF16`."""
    quant = _quant_of(path)
    number = _BITS.search(quant) if _LOOKS_LIKE_QUANT.fullmatch(quant) else None
    return int(number[0]) if number else None


def _nearest(quant: str, quants: Sequence[str]) -> str:
    folded = {name.lower(): name for name in quants}
    alike = get_close_matches(quant.lower(), list(folded), n=1, cutoff=0.0)
    return folded[alike[0]]


def _listed(names: Iterable[str]) -> str:
    every = list(names)
    if not every:
        return "nothing"
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return ", ".join(every[:_SHOWN]) + more
