"""What is installed is what is here: a wheel holds every file of the package, templates and migrations included."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

_TOP = Path(__file__).parents[2]
_NAMED_BY_THE_METADATA = ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def test_a_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    build = "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])"
    tree = _copy_of_the_project(tmp_path / "tree")
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=tree, check=True, capture_output=True, timeout=120)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if name.startswith("reconciler/")}
    assert packed == {str(path.relative_to(tree)) for path in (tree / "reconciler").rglob("*") if path.is_file()}


def _copy_of_the_project(tree: Path) -> Path:
    """Building leaves traces, and none may stay in the project. Git need not know it: it may be an exported tree."""
    shutil.copytree(_TOP / "reconciler", tree / "reconciler", ignore=shutil.ignore_patterns("__pycache__"))
    for name in _NAMED_BY_THE_METADATA:
        shutil.copy(_TOP / name, tree)
    return tree
