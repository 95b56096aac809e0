"""A real Prometheus that watches itself, on a port and in a directory of its own."""

from __future__ import annotations

import contextlib
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.support.tcp import unused_port
from tests.support.waiting import eventually

_CONFIG = """
global: {{scrape_interval: 200ms}}
scrape_configs:
  - job_name: itself
    static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""


@contextlib.contextmanager
def prometheus(directory: Path) -> Iterator[str]:
    """Its URL, once it has scraped itself."""
    port = unused_port()
    (directory / "prometheus.yml").write_text(_CONFIG.format(port=port))
    command = ["prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/data"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            eventually(lambda: _scraped_itself(url), within_seconds=60, every_seconds=0.1)
            yield url
        finally:
            process.kill()


def _scraped_itself(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query?query=up", timeout=20) as answer:
            return b'"1"]' in answer.read()
    except OSError:
        return False
