"""The order of the rooms: a room imports only from rooms below it, and keeps to what it may know."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "buildwidget"

# From the ground up. Rooms in one row are neighbours: they do not import each other.
FLOORS = [
    ["errors", "model"],
    ["words", "ordered"],
    ["progress", "events", "failures"],
    ["state"],
    ["bridge", "reading", "summary"],
    ["systems", "publish"],
    ["file_warnings", "activity"],
    ["merge"],
    ["watching"],
    ["watcher"],
    ["log", "terminal"],
    ["session"],
    ["terminal_view", "interrupt", "pty_run"],
    ["frames", "history", "demo", "client"],
    ["feeds"],
    ["compat"],
    ["widget", "server"],
    ["cli"],
    ["__main__"],
]
# The package's own helpers, which every room may use.
COMMON = {"_extras", "_lazy", "_version"}
FLOOR = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}

# Names that a lower room hands on from a higher one, imported only when somebody asks for them.
LAZY_UPWARDS = {
    ("buildwidget.watcher", "compat"),  # create_file_watcher_with_websocket: an original name with an original home
}

# Imported here and nowhere else, not even inside a function: they are slow, or belong to one host.
ONLY_IN = {
    "pandas": {"frames", "history"},
    "numpy": {"frames", "history"},
    "pyarrow": {"history"},
    "duckdb": {"history"},
    "altair": {"history"},
    "matplotlib": {"history"},
    "tqdm": {"history"},
    "watchfiles": {"watching"},
    "markdown_it": {"reading"},
    "anywidget": {"widget"},
    "ipywidgets": {"widget"},
    "traitlets": {"widget"},
    "IPython": {"widget"},
    "typer": {"cli"},
    "rich": {"cli", "demo", "terminal_view"},
    "starlette": {"server"},
    "uvicorn": {"server"},
    "uvloop": {"server"},
    "prometheus_client": {"server"},
    "fastapi": {"server"},
    "websockets": {"client", "server"},
}

# The pure core is given times, ids and bytes; it looks nothing up itself.
PURE = {
    "errors",
    "model",
    "words",
    "ordered",
    "progress",
    "events",
    "failures",
    "state",
    "summary",
    "file_warnings",
    "activity",
    "merge",
    "systems",
    "publish",
    "terminal",
}
IMPURE = {
    *("anyio", "asyncio", "glob", "io", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil", "signal"),
    *("sniffio", "socket", "subprocess", "sys", "tempfile", "threading", "time", "uuid"),
}


class Import(NamedTuple):
    module: str  # which module imports
    line: int
    target: str  # absolute, e.g. 'buildwidget.model' or 'pandas'
    lazy: bool  # inside a function
    typing: bool  # under `if TYPE_CHECKING`

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: imports {self.target}"


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def imports_of(module: str, path: Path, source: str | None = None) -> list[Import]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    found: list[Import] = []

    def visit(node: ast.AST, *, lazy: bool, typing: bool) -> None:
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            # `from . import model` names a module; `from .model import X` a thing inside one
            private = [alias.name for alias in node.names if is_private(alias.name)]
            targets = [f"{base}.{alias.name}" for alias in node.names] if base == "buildwidget" else [base]
            targets += [f"{base}.{name}" for name in private if base.startswith("buildwidget.")]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module") and node.args:
            if isinstance(node.args[0], ast.Constant):
                name = str(node.args[0].value)
                targets = [f"{package}{name}" if name.startswith(".") else name]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_exports":
            homes = node.args[1]
            names = [str(ast.literal_eval(home)) for home in homes.values] if isinstance(homes, ast.Dict) else []
            targets = [importlib.util.resolve_name(f".{name}", module) for name in names]
            found.extend(Import(module, node.lineno, target, lazy=True, typing=typing) for target in targets)
            targets = []
        elif isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for child in node.body:
                visit(child, lazy=lazy, typing=True)
            for child in node.orelse:
                visit(child, lazy=lazy, typing=typing)
            return
        found.extend(Import(module, getattr(node, "lineno", 0), target, lazy, typing) for target in targets)
        inside = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, lazy=inside, typing=typing)

    visit(ast.parse(path.read_text(encoding="utf-8") if source is None else source), lazy=False, typing=False)
    return found


def room_of(module: str) -> str:
    """'systems' of 'buildwidget.systems.record'; '' of the package itself."""
    room = module.split(".")[1] if "." in module else ""
    return "" if room in COMMON else room


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def private_part(target: str) -> str | None:
    """'_core' of 'buildwidget.client._core.Core'; None if every part is public."""
    return next((part for part in target.split(".")[1:] if is_private(part)), None)


def faults(imports: list[Import]) -> list[str]:
    found: list[str] = []
    for one in imports:
        room, top = room_of(one.module), one.target.partition(".")[0]
        if not room:
            continue  # the package's own __init__ is the door: it names rooms lazily, and test_import watches it
        if top == "buildwidget":
            other = room_of(one.target)
            if other in {"", "__version__"} or other == room:
                continue
            if other not in FLOOR:
                found.append(f"{one}, which is no room")
            elif private_part(one.target):
                found.append(f"{one}: {private_part(one.target)} is private to {other}")
            elif FLOOR[other] >= FLOOR[room] and not (one.lazy and (one.module, other) in LAZY_UPWARDS):
                found.append(f"{one}: {other} is not below {room}")
        elif one.typing:
            continue
        elif top in ONLY_IN and room not in ONLY_IN[top]:
            found.append(f"{one}: only {sorted(ONLY_IN[top])} may")
        elif room in PURE and top in IMPURE:
            found.append(f"{one}: {room} is pure, without files, clocks, threads or chance")
    return found


def test_every_module_is_in_a_room() -> None:
    homeless = {module for module, _ in modules() if room_of(module) and room_of(module) not in FLOOR}
    assert not homeless, "add them to FLOORS, in their place"


def test_every_room_exists() -> None:
    assert set(FLOOR) - {room_of(module) for module, _ in modules()} == set()


@pytest.mark.parametrize(("module", "path"), modules(), ids=[module for module, _ in modules()])
def test_imports_go_downwards(module: str, path: Path) -> None:
    assert faults(imports_of(module, path)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("buildwidget.model", "from .state import BuildState"),
        ("buildwidget.model", "from . import state"),
        ("buildwidget.model", "import buildwidget.state"),
        (
            "buildwidget.model",
            "from __future__ import annotations\nif TYPE_CHECKING:\n    from .session import BuildSession",
        ),
        ("buildwidget.events", "def f():\n    from .progress import item_stats"),
        ("buildwidget.state", "import os.path"),
        ("buildwidget.merge", "def f():\n    import time"),
        ("buildwidget.session", "def f():\n    import pandas as pd"),
        ("buildwidget.session", "import_module('.widget', 'buildwidget')"),
        ("buildwidget.frames", "from .demo import run"),
        ("buildwidget.systems.record", "from ..merge import merge"),
        ("buildwidget.systems.record", "from .. import merge"),
        ("buildwidget.watcher", "from .compat import f"),
        ("buildwidget.session", "__getattr__, __dir__ = lazy_exports(__name__, {'f': '.compat'})"),
        ("buildwidget.feeds", "from .client._core import Core"),
        ("buildwidget.feeds", "def f():\n    import buildwidget.client._core"),
        ("buildwidget.server.hub", "from ..log import _Row"),
    ],
)
def test_the_check_sees_a_wrong_import(module: str, source: str) -> None:
    assert faults(imports_of(module, Path("x.py"), source)) != []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("buildwidget.state", "from . import events as ev\nfrom .model import State"),
        ("buildwidget.systems.record", "from ..model import State\nfrom .other import thing"),
        ("buildwidget.widget.widget", "if TYPE_CHECKING:\n    import pandas as pd"),
        ("buildwidget.watcher", "__getattr__, __dir__ = lazy_exports(__name__, {'f': '.compat'})"),
        ("buildwidget.cli", "from . import __version__"),
        ("buildwidget.cli", "from ._version import __version__"),
        ("buildwidget.client.sync", "from ._core import Core"),
    ],
)
def test_the_check_lets_a_right_import_be(module: str, source: str) -> None:
    assert faults(imports_of(module, Path("x.py"), source)) == []
