"""The documented way to an nginx of one's own, and the service it runs under, fit together."""

from __future__ import annotations

import tomllib
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_documented_directory_of_an_external_nginx_is_one_the_service_may_write_into() -> None:
    section = (ROOT / "docs/operations.md").read_text().partition("## Your own nginx in front")[2]
    settings = tomllib.loads(section.partition("```toml\n")[2].partition("```")[0])
    unit = ConfigParser(strict=False, interpolation=None)
    unit.read(ROOT / "deploy/orchestry.service")
    assert Path(settings["edge_directory"]).is_relative_to(f"/var/lib/{unit['Service']['StateDirectory']}")
    assert f"include {settings['edge_directory']}/current/*.conf;" in section
