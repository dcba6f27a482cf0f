"""Where a file goes below the models folder: told by its origin alone."""

from __future__ import annotations

import posixpath
import re
from typing import Final, assert_never
from urllib.parse import urlsplit

from reconciler.core.names import RelPath
from reconciler.core.reading.source_text import url_path
from reconciler.core.source import HubOrigin, LocalOrigin, Origin, UrlOrigin

# No organisation on the hub begins with an underscore, so these never meet a repository.
URL_FOLDER: Final = "_url"
LOCAL_FOLDER: Final = "_local"
_NOT_IN_HOST: Final = re.compile(r"[^a-z0-9.-]")


def destination(origin: Origin, models_dir: str | None) -> RelPath:
    """Give the path below the models folder where the bytes of `origin` go.

    A file that already lies in `models_dir` (an absolute path; None: not known) stays where it is.
    Paths are compared as they are written: symbolic links are not looked at.

    Raises:
        InvalidName: it would lie in our own folder.
    """
    match origin:
        case HubOrigin(repo=repo, path=path):
            return RelPath(f"{repo}/{path}")
        case UrlOrigin(url=url):
            host = _NOT_IN_HOST.sub("_", urlsplit(url).netloc.lower())
            return RelPath(f"{URL_FOLDER}/{host}/{url_path(url)}")
        case LocalOrigin(path=path):
            return _local_destination(path, models_dir)
        case _:
            assert_never(origin)


def _local_destination(path: str, models_dir: str | None) -> RelPath:
    path = posixpath.normpath(path)
    if models_dir is not None:
        folder = posixpath.normpath(models_dir).rstrip("/") + "/"
        if path.startswith(folder):
            return RelPath(path.removeprefix(folder))
    return RelPath(f"{LOCAL_FOLDER}/{posixpath.basename(path)}")
