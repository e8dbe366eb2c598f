"""The files for whoever operates a node or a gateway: services and a container, as far as they can be tried here."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.test_docs import ROOT, commands

OPERATING = ROOT / "docs" / "operating"
UNITS = sorted(OPERATING.glob("*.service"))

each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


@each_unit
def test_a_service_starts_a_command_with_options_that_there_are(unit: Path) -> None:
    (started,) = re.findall(r"^ExecStart=%h/swarm-node/\.venv/bin/swarm (\w+) (.*)$", unit.read_text(), re.MULTILINE)
    command, rest = started
    assert set(re.findall(r"--[a-z-]+", rest)) <= commands()[command]


@each_unit
@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_finds_nothing_wrong_with_a_service(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "swarm-node" / ".venv" / "bin" / "swarm"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    environment = {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    command = ["systemd-analyze", "verify", "--user", "--man=no", str(unit)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_container_is_given_all_that_the_project_is_installed_from() -> None:
    lines = (OPERATING / "Containerfile").read_text().splitlines()
    copied = {path for line in lines if line.startswith("COPY ") for path in line.split()[1:-1]}
    assert all((ROOT / path).exists() for path in copied)
    assert {"pyproject.toml", "constraints.txt", "README.md", "LICENSE"} <= copied
    assert {"routing", "dht", "swarm_node", "cli"} <= copied
