"""An image with a shell, for programs that say what a test wants."""

from __future__ import annotations

import functools
import hashlib
import io
import subprocess
import tarfile
from pathlib import Path

_PROGRAMS = ("/bin/sh", "/bin/sleep")


@functools.cache
def shell_image() -> str:
    """An image with the machine's own ``sh`` and ``sleep``, and nothing else; its name. It stays for the next run."""
    linked = subprocess.run(["ldd", *_PROGRAMS], check=True, capture_output=True, text=True, timeout=30).stdout
    words = (word for line in linked.splitlines() for word in line.split())
    files = sorted({*_PROGRAMS, *(word for word in words if word.startswith("/") and not word.endswith(":"))})
    stamps = [(file, Path(file).stat().st_mtime_ns) for file in files]
    name = f"orchestry-test-shell:{hashlib.sha256(repr(stamps).encode()).hexdigest()[:12]}"
    known = subprocess.run(["docker", "image", "inspect", name], capture_output=True, timeout=60, check=False)
    if known.returncode != 0:
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w", dereference=True) as tar:
            for file in files:
                tar.add(file)
        command = ["docker", "import", "--change", "ENV PATH=/bin", "-", name]
        subprocess.run(command, input=archive.getvalue(), check=True, capture_output=True, timeout=120)
    return name
