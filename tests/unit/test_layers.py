"""The house keeps its shape: who may import whom, and what may cost time at start-up."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "reconciler"
MODULES = sorted(PACKAGE.rglob("*.py"))

# What each room may import of the others, and why it may import no more.
MAY_IMPORT = {
    "core": (set(), "core decides; it knows nothing of how the world is reached"),
    "adapters": (
        {"core"},
        "an adapter speaks to one outside system; what two share goes to adapters.base",
    ),
    "engine": ({"core"}, "the engine knows adapters by the protocols of core.ports alone"),
    "demo": ({"core"}, "the demo's hub is a world of its own, and shares no code with its client"),
    "cli": (
        {"core", "engine", "adapters", "demo"},
        "the command line is the one place that joins the rooms",
    ),
}
# What core may use of the standard library is what neither asks the clock nor touches the world.
FORBIDDEN_IN_CORE = {
    "asyncio", "fcntl", "glob", "http", "io", "os", "random", "shutil", "socket",
    "sqlite3", "subprocess", "tempfile", "threading", "time", "urllib.request",
}  # fmt: skip
# Heavy packages, and the one place each may be imported at a module's top (None: nowhere).
HEAVY = {
    "docker": None,
    "httpx": "reconciler/adapters/base/http.py",
    "prometheus_client": "reconciler/adapters/web/metrics.py",
    "rich": None,
    "ruamel": None,
    "waitress": "reconciler/adapters/web/server.py",
    "watchfiles": None,
    "tenacity": "reconciler/adapters/hub/patience.py",
}


@cache
def parsed(path: Path) -> ast.Module:
    """Read a module."""
    return ast.parse(path.read_text())


@cache
def imports(path: Path, *, at_top: bool = False) -> set[str]:
    """Give the full names a module imports; `at_top` leaves out what functions and types import."""
    tree = parsed(path)
    nodes = _top_nodes(tree.body) if at_top else ast.walk(tree)
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def _top_nodes(body: list[ast.stmt]) -> list[ast.AST]:
    """Give the statements that run when the module is imported, `if TYPE_CHECKING` left out."""
    return [node for node in body if isinstance(node, ast.Import | ast.ImportFrom)]


def room(name: str) -> str:
    """Give the room of a module of ours, empty for one that belongs to none."""
    parts = name.split(".")
    return parts[1] if parts[0] == "reconciler" and len(parts) > 1 else ""


@pytest.mark.parametrize("name", sorted(MAY_IMPORT))
def test_rooms_import_only_what_they_may(name: str) -> None:
    """Imports between rooms run one way; each rule says why."""
    allowed, why = MAY_IMPORT[name]
    for path in MODULES:
        if not path.is_relative_to(PACKAGE / name):
            continue
        rooms = {room(found) for found in imports(path)} - {"", "errors", "__version__"}
        assert rooms <= allowed | {name}, f"{path.relative_to(ROOT)}: {why}"


def test_adapters_do_not_know_each_other() -> None:
    """An adapter imports its own folder and `adapters.base`, so that each can be replaced alone."""
    for path in (PACKAGE / "adapters").rglob("*.py"):
        own = path.relative_to(PACKAGE / "adapters").parts[0]
        others = {
            found.split(".")[2]
            for found in imports(path)
            if found.startswith("reconciler.adapters.")
        }
        assert others <= {own, "base"}, path.relative_to(ROOT)


def test_core_is_pure() -> None:
    """No module of core reaches for the world, the clock or chance, not even lazily."""
    for path in (PACKAGE / "core").rglob("*.py"):
        assert not imports(path) & FORBIDDEN_IN_CORE, path.relative_to(ROOT)
        calls = {
            getattr(node.func, "id", getattr(node.func, "attr", ""))
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Call)
        }
        assert not calls & {"open", "print", "input", "now", "today"}, path.relative_to(ROOT)


def test_heavy_packages_wait_until_they_are_needed() -> None:
    """What takes long to import is imported inside the function that needs it; httpx in one module
    of the whole project, so that the client behind it can be changed there.
    """
    for path in MODULES:
        where = str(path.relative_to(ROOT))
        tops = {found.split(".")[0] for found in imports(path, at_top=True)}
        everywhere = {found.split(".")[0] for found in imports(path)}
        for package, home in HEAVY.items():
            assert package not in tops or where == home, f"{where} imports {package} at its top"
        assert "httpx" not in everywhere or where == HEAVY["httpx"], where


def test_dry_run_imports_nothing_heavy() -> None:
    """The modules of a dry run can be imported without a web client, an engine's or a bar's."""
    code = (
        "import sys, reconciler.cli.verbs.reconcile;"
        "heavy = {'httpx', 'docker', 'rich', 'watchfiles', 'ruamel', 'tenacity', 'waitress',"
        "'prometheus_client'};"
        "print(*heavy & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (result.stdout, result.stderr) == ("\n", "")


def test_modules_stay_small() -> None:
    """A module of more than 400 lines is two rooms."""
    long = {
        str(path): count for path in MODULES if (count := len(path.read_text().split("\n"))) > 400
    }
    assert not long


def test_every_test_says_its_promise() -> None:
    """Each test has a docstring, and each test file as well."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"
