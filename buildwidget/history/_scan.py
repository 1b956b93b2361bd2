"""Where the files of a history are: projects, folders and patterns, and the files in each."""

# numpy, pandas and pyarrow leave the types of elements open.
# pyright: reportUnknownMemberType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..reading.files import BASE, FOREIGN, MAX_DEPTH, TOO_DEEP, as_text, is_inside
from ..systems import Shape, shape_of
from ..systems.record import OF_PLANS

__all__ = [
    "Root",
    "files_of",
    "folders_left_out",
    "is_plain_folder",
    "is_tabled",
    "links_inside",
    "logs_of",
    "plain_folders_of",
    "roots_of",
]


_OUTSIDE: Final = ("outside", "leads outside the project; nothing in it is read")


@dataclass(frozen=True, slots=True)
class Root:
    """One project, or one folder of loose files.

    ``below`` is the folder below ``path`` that is read, with ``/``; ``loose`` says that the files in it are told apart
    by what is in them, not by where they are.
    """

    session_id: str
    path: Path
    below: str = BASE
    loose: bool = False


def roots_of(path: Any) -> list[Root]:
    """The projects that somebody means: a project, a folder in one, one of projects or of files, a pattern, a list.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or nothing in it that is a build.
    """
    if isinstance(path, str) and glob.has_magic(path) and not os.path.isdir(path):
        found = sorted(glob.glob(os.path.expanduser(path), recursive=True))
        if not found:
            raise FileNotFoundError(f"nothing matches {path}")
        folders = [one for one in found if os.path.isdir(one)] or sorted({os.path.dirname(one) or "." for one in found})
        return _named([root for one in folders for root in _roots(Path(one))], path)
    if isinstance(path, str | os.PathLike):
        return _named(_roots(Path(path).expanduser()), path)
    if isinstance(path, Iterable):
        return _named([root for one in path for root in roots_of(one)], "the list")
    raise TypeError(f"expected the path of a project, a list of paths or a BuildWidget, got {type(path).__name__}")


def _roots(path: Path) -> list[Root]:
    path = Path(os.path.abspath(path))
    if not path.is_dir():
        raise FileNotFoundError(f"there is no folder {path}; name a project, or a folder of checkpoint files")
    if (path / BASE).is_dir():
        return [Root(as_text(path.name) or "build", path)]
    parts = path.parts
    if BASE in parts:
        at = len(parts) - 1 - parts[::-1].index(BASE)
        project = Path(*parts[:at])
        return [Root(as_text(project.name) or "build", project, "/".join(parts[at:]))]
    projects = sorted(child for child in path.iterdir() if (child / BASE).is_dir())
    if projects:
        return [Root(as_text(child.name), child) for child in projects]
    if any(path.rglob("*.json*")):
        return [Root(as_text(path.name) or "build", path, "", loose=True)]
    raise FileNotFoundError(f"there is no build in {path}: neither a folder {BASE} nor JSON files")


def _named(roots: list[Root], wanted: object) -> list[Root]:
    """The roots once each, under names that tell them apart."""
    unique = list({(root.path, root.below): root for root in roots}.values())
    if not unique:
        raise FileNotFoundError(f"there is no build in {wanted}")
    taken: set[str] = set()
    result: list[Root] = []
    for root in unique:
        name, number = root.session_id, 2
        while name in taken:
            name, number = f"{root.session_id}-{number}", number + 1
        taken.add(name)
        result.append(Root(name, root.path, root.below, root.loose))
    return result


def is_plain_folder(folder: str) -> bool:
    """Whether every ``*.json`` in it is a build checkpoint, by its place."""
    return folder == f"{BASE}/checkpoints" or (folder.startswith(BASE + "/") and folder.endswith("/checkpoints"))


def is_tabled(shape: Shape | None) -> bool:
    """Whether files of a kind are rows of the tables: not those of plans, whose past is `PlanHistory`."""
    return shape is not None and shape not in OF_PLANS


def files_of(root: Root, *, skip: Collection[str] = ()) -> list[str]:
    """The files to read, relative to the root, with ``/``, sorted. Links are among them: whoever reads them checks.

    Of the folders to ``skip`` only those in them are read.
    """
    found: list[str] = []
    for folder, names in _walk(root, skip):
        prefix = f"{folder}/" if folder else ""
        if root.loose:
            found += [prefix + name for name in names if ".json" in name and not name.startswith(".")]
        elif is_plain_folder(folder):
            found += [prefix + name for name in names if name.endswith(".json") and not name.startswith(".")]
        else:
            found += [prefix + name for name in names if is_tabled(shape_of(prefix + name))]
    found.sort()
    return found


def logs_of(root: Root) -> list[str]:
    """The log files of the build, sorted."""
    return sorted(
        f"{folder}/{name}" if folder else name
        for folder, names in _walk(root)
        for name in names
        if name.endswith(".log") and not name.startswith(".")
    )


def plain_folders_of(root: Root) -> list[str]:
    """The folders that hold build checkpoints, by their place."""
    if root.loose:
        return []
    folder = f"{BASE}/checkpoints"
    if root.below not in {BASE, folder} or not (root.path / folder).is_dir():
        return []
    real, base = os.path.realpath(root.path / folder), os.path.realpath(root.path / BASE)
    if real == os.path.join(base, "checkpoints") and is_inside(base, os.path.realpath(root.path)):
        return [folder]
    return [folder] if _leads(root, real) == "inside" else []


def _walk(
    root: Root,
    skip: Collection[str] = (),
    *,
    left_out: list[tuple[str, str, str]] | None = None,
    followed: dict[str, str] | None = None,
) -> Iterator[tuple[str, list[str]]]:
    """Each folder with the names of the files in it. A linked folder is entered as the live view does: see `_leads`."""
    entered: set[str] = set()  # where the links lead that were followed
    left_out = [] if left_out is None else left_out
    todo = [(root.below, 0)]
    if not is_inside(os.path.realpath(root.path / root.below), os.path.realpath(root.path)):
        left_out.append((root.below, *_OUTSIDE))
        todo.clear()
    while todo:
        folder, depth = todo.pop()
        names: list[str] = []
        links: list[str] = []
        try:
            with os.scandir(root.path / folder) as entries:
                for entry in entries:
                    if not _is_folder(entry):
                        names.append(entry.name)
                        continue
                    if entry.name in FOREIGN:
                        continue
                    inner = f"{folder}/{entry.name}" if folder else entry.name
                    if depth >= MAX_DEPTH:
                        left_out.append((inner, "folder_too_deep", TOO_DEEP))
                    elif entry.is_symlink():
                        links.append(inner)
                    else:
                        todo.append((inner, depth + 1))
        except OSError:
            continue
        for link in sorted(links):
            real = os.path.realpath(root.path / link)
            where = _leads(root, real)
            if where == "outside":
                left_out.append((link, *_OUTSIDE))
            elif where == "inside" and real not in entered:
                entered.add(real)
                if followed is not None:
                    followed[link] = real
                todo.append((link, depth + 1))
        yield folder, [] if folder in skip else names


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder. A link that leads nowhere, or round in a circle, is none."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _leads(root: Root, real: str) -> str:
    """Where a linked folder leads: ``outside`` the project, ``round`` to what is read anyway or above, ``inside``."""
    home, base = os.path.realpath(root.path), os.path.realpath(root.path / root.below)
    if not is_inside(real, home):
        return "outside"
    return "round" if is_inside(real, base) or is_inside(base, real) else "inside"


def folders_left_out(root: Root) -> list[tuple[str, str, str]]:
    """The folders of which nothing is read, each with the code and the text of its warning, sorted.

    They are linked folders that lead outside the project, and folders that lie too deep, as in the live view.
    """
    found: list[tuple[str, str, str]] = []
    for _ in _walk(root, plain_folders_of(root), left_out=found):
        pass
    return sorted(found)


def links_inside(root: Root) -> dict[str, str]:
    """The linked folders that are read, and where they lead: both relative to the root, with ``/``."""
    followed: dict[str, str] = {}
    for _ in _walk(root, followed=followed):
        pass
    home = os.path.realpath(root.path)
    return {link: os.path.relpath(real, home).replace(os.sep, "/") for link, real in followed.items()}
