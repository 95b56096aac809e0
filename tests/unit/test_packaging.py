"""What is installed is what is here: a wheel holds every file of the package, templates and migrations included."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

_TOP = Path(__file__).parents[2]


def test_a_wheel_holds_every_file_of_the_package(tmp_path: Path) -> None:
    build = "from setuptools.build_meta import build_wheel; import sys; build_wheel(sys.argv[1])"
    tree = _copy_of_what_git_knows(tmp_path / "tree")
    subprocess.run([sys.executable, "-c", build, str(tmp_path)], cwd=tree, check=True, capture_output=True, timeout=120)
    wheel = zipfile.ZipFile(next(tmp_path.glob("*.whl")))
    packed = {name for name in wheel.namelist() if name.startswith("reconciler/")}
    assert packed == {str(path.relative_to(tree)) for path in (tree / "reconciler").rglob("*") if path.is_file()}


def _copy_of_what_git_knows(tree: Path) -> Path:
    """Building leaves traces, and none may stay in the project."""
    command = ["git", "-c", f"safe.directory={_TOP}", "ls-files", "-z", "reconciler", "setup.cfg", "pyproject.toml"]
    listed = subprocess.run(command, cwd=_TOP, check=True, capture_output=True, text=True, timeout=30)
    for name in [*filter(None, listed.stdout.split("\0")), "README.md", "LICENSE"]:
        if (_TOP / name).exists():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes((_TOP / name).read_bytes())
    return tree
