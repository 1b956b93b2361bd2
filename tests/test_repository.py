"""What a newcomer gets: a wheel with its face, files without traces of a machine, notebooks without outputs."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import buildwidget

ROOT = Path(__file__).resolve().parent.parent
NOT_OURS = {
    *(".git", ".venv", ".pytest_cache", ".ruff_cache", ".hypothesis", ".logs", "__pycache__", "node_modules"),
    *("buildwidget-demo", "dist", "test-results", ".ipynb_checkpoints", "__screenshots__"),
}


def repository_files() -> list[Path]:
    """What git tracks or would track; without git, what lies there and is not built."""
    if (ROOT / ".git").exists() and shutil.which("git"):
        command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        paths = [ROOT / name for name in listed.split("\0") if name]
    else:
        static = ROOT / "buildwidget" / "static"
        paths = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [name for name in folders if name not in NOT_OURS and Path(folder, name) != static]
            paths += [Path(folder, name) for name in names]
    return sorted(path for path in paths if path.is_file())


FILES = repository_files()


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def texts() -> list[tuple[str, str]]:
    found = []
    for path in FILES:
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found.append((name_of(path), data.decode("utf-8", "replace")))
    return found


# ------------------------------------------------------------------ packages


def copy_tree(target: Path) -> Path:
    """The repository as a build sees it: files of git, and the built front end."""
    for path in [*FILES, *(ROOT / "buildwidget" / "static").glob("*")]:
        place = target / path.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, place)
    return target


def build(tree: Path, kind: str) -> subprocess.CompletedProcess[str]:
    """Build without node on the PATH: it must do with what is there."""
    return subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(tree / "dist")],
        cwd=tree,
        env={**os.environ, "PATH": str(tree / "nothing"), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = copy_tree(tmp_path_factory.mktemp("sdist") / "tree")
    done = build(tree, "sdist")
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\nIs the front end current? `make setup` builds it."
    return next((tree / "dist").glob("*.tar.gz"))


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = lambda member, _: member  # our own archive; the first Pythons 3.11 have no filters
        archive.extractall(target)
    return next(target.iterdir())


@pytest.fixture(scope="module")
def wheel(unpacked: Path) -> Path:
    """The wheel as an installer makes it from the sdist, on a machine without node."""
    done = build(unpacked, "wheel")
    assert done.returncode == 0, done.stdout + done.stderr
    return next((unpacked / "dist").glob("*.whl"))


def test_sdist_has_sources_and_built_files(unpacked: Path) -> None:
    for name in ["js/src", "js/package-lock.json", "buildwidget/static/widget.js", "tests", "LICENSE", "README.md"]:
        assert (unpacked / name).exists(), name
    assert not list(unpacked.rglob("node_modules"))


def test_wheel_is_complete(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        assert archive.getinfo("buildwidget/static/widget.js").file_size > 1000
        metadata = archive.read(f"buildwidget-{buildwidget.__version__}.dist-info/METADATA").decode()
        empty = [entry.filename for entry in archive.infolist() if not entry.is_dir() and not entry.file_size]
    assert empty == [], "some tools that carry files about lose the empty ones"
    assert "buildwidget/py.typed" in names
    assert f"buildwidget-{buildwidget.__version__}.dist-info/licenses/LICENSE" in names
    assert f"buildwidget-{buildwidget.__version__}.dist-info/entry_points.txt" in names
    sources = {name_of(path) for path in FILES if name_of(path).startswith("buildwidget/")}
    assert sources <= names
    foreign = {name for name in names if not name.startswith(("buildwidget/", "buildwidget-"))}
    assert foreign == set()
    assert f"Version: {buildwidget.__version__}" in metadata
    assert "License-Expression: MIT" in metadata


def test_wheel_works_where_it_is_unpacked(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import buildwidget, pathlib; from buildwidget.widget import BuildWidget; "
        "print(pathlib.Path(buildwidget.__file__).parent); print(len(str(BuildWidget._esm)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    place, size = done.stdout.split()
    assert Path(place) == tmp_path / "site" / "buildwidget"
    assert int(size) > 1000


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_no_package_without_a_face(unpacked: Path, tmp_path: Path, kind: str) -> None:
    tree = tmp_path / "tree"
    ignore = shutil.ignore_patterns("tests", "static", "dist", "docs")
    shutil.copytree(unpacked, tree, ignore=ignore)
    done = build(tree, kind)
    assert done.returncode != 0
    assert "npm is not on the PATH" in done.stderr
    shutil.rmtree(tree / "js")
    done = build(tree, kind)
    assert done.returncode != 0
    assert "static/widget.js is missing" in done.stderr
    assert not list(tree.glob("dist/*"))


def test_a_changed_source_or_asset_is_not_current(unpacked: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(unpacked, tree, ignore=shutil.ignore_patterns("tests", "dist", "docs"))
    command = [sys.executable, "hatch_build.py"]
    environment = {**os.environ, "PATH": str(tree / "nothing")}

    def current() -> bool:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
        return done.returncode == 0

    assert current()
    for name in ["js/src/new.ts", "buildwidget/static/widget.js", "js/package-lock.json"]:
        path = tree / name
        before = path.read_bytes() if path.exists() else None
        path.write_bytes((before or b"") + b"\n")
        assert not current(), name
        if before is None:
            path.unlink()
        else:
            path.write_bytes(before)
    assert current()


# ------------------------------------------------------------------ files


def test_no_trace_of_a_machine() -> None:
    machine = re.compile(r"(?<![\w.~>}-])/(?:work|root|home/\w+|Users/\w+|tmp/\w)[\w./-]*")
    found = [
        f"{name}: {match.group()}"
        for name, text in texts()
        if not name.startswith("tests/fixtures/")
        for match in machine.finditer(text)
    ]
    assert found == []


def test_no_name_of_a_registry() -> None:
    # In pieces, so that this file does not name them itself.
    hosts = [
        ".".join(parts)
        for parts in [("registry", "npmjs"), ("pypi", "org"), ("pythonhosted", "org"), ("deb", "debian")]
    ]
    found = [f"{name}: {host}" for name, text in texts() for host in hosts if host in text]
    assert found == []


def test_lock_files_hold_versions_and_no_addresses() -> None:
    for name in ["requirements.lock", "requirements-dev.lock"]:
        lines = (ROOT / name).read_text().splitlines()
        odd = [
            line
            for line in lines
            if line and not line.startswith("#") and not re.fullmatch(r"[\w.-]+==[\w.!+-]+", line)
        ]
        assert odd == [], name
    packages = json.loads((ROOT / "js" / "package-lock.json").read_text())["packages"]
    assert packages
    assert [name for name, package in packages.items() if "://" in str(package.get("resolved", ""))] == []


def test_npm_lock_is_complete() -> None:
    """Else `npm ci` refuses it; `make lock` completes it."""
    spec = importlib.util.spec_from_file_location("npm_lock", ROOT / "scripts" / "npm_lock.py")
    assert spec is not None
    assert spec.loader is not None
    npm_lock = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(npm_lock)
    assert npm_lock.system_of("@biomejs/cli-linux-arm64-musl") == {"cpu": ["arm64"], "libc": ["musl"], "os": ["linux"]}
    assert npm_lock.system_of("@rollup/rollup-win32-x64-msvc") == {"cpu": ["x64"], "os": ["win32"]}
    lock = json.loads((ROOT / "js" / "package-lock.json").read_text())
    assert npm_lock.missing(lock) == {}
    wanted = json.loads((ROOT / "js" / "package.json").read_text())
    assert lock["packages"][""]["devDependencies"] == wanted["devDependencies"]


def test_the_lock_is_of_these_requirements() -> None:
    """Every direct requirement is pinned, within its range, and the demo's pins are the tests' pins."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    def pins(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text().splitlines()
        return {
            canonicalize_name(line.split("==")[0]): line.split("==")[1]
            for line in lines
            if "==" in line and line[0] != "#"
        }

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, groups = settings["project"], settings["dependency-groups"]
    runtime = [
        *project["dependencies"],
        *project["optional-dependencies"]["lab"],
        *settings["build-system"]["requires"],
    ]
    dev = [entry for group in groups.values() for entry in group if isinstance(entry, str)]
    for lock, wanted in [("requirements.lock", runtime), ("requirements-dev.lock", [*runtime, *dev])]:
        pinned = pins(lock)
        for requirement in map(Requirement, wanted):
            version = pinned.get(canonicalize_name(requirement.name))
            assert version is not None, f"{lock}: no {requirement.name}. Run `make lock`."
            assert version in requirement.specifier, f"{lock}: {requirement} but {version}. Run `make lock`."
    assert pins("requirements.lock").items() <= pins("requirements-dev.lock").items()


def notebooks() -> list[Path]:
    return [path for path in FILES if path.suffix == ".ipynb" and not name_of(path).startswith("tests/fixtures/")]


def test_notebooks_have_no_outputs() -> None:
    assert notebooks()
    for path in notebooks():
        notebook = json.loads(path.read_text())
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                assert cell["outputs"] == [], name_of(path)
                assert cell["execution_count"] is None, name_of(path)
        assert "widgets" not in notebook["metadata"], name_of(path)


def test_one_version() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert settings["tool"]["hatch"]["version"]["path"] == "buildwidget/_version.py"
    assert re.search(
        rf"^## \[?{re.escape(buildwidget.__version__)}\]?", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_every_target_of_make_is_explained() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    targets = re.findall(r"^([a-z]+):.*## ", makefile, re.MULTILINE)
    assert sorted(targets) == sorted(phony.group(1).split())
    if shutil.which("make"):
        shown = subprocess.run(["make", "-s"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert all(f"  {target} " in shown for target in targets)


def test_scripts_can_be_run() -> None:
    for path in [ROOT / ".ci" / "run", *sorted((ROOT / "scripts").glob("*.sh"))]:
        shell = "bash" if path.name == "run" else "sh"
        done = subprocess.run([shell, "-n", str(path)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_text_files_end_their_lines_with_lf() -> None:
    assert [name for name, text in texts() if "\r\n" in text and not name.startswith("tests/fixtures/")] == []
