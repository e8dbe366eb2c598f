"""The command before any subcommand runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.command import swarm


@pytest.mark.parametrize("arguments", [("-h",), ("--help",), ("generate", "-h")])
def test_h_is_help(capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    outcome = swarm(capfd, *arguments)
    assert outcome.code == 0
    assert "Usage:" in outcome.out


def test_the_version_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = swarm(capfd, "--version")
    assert outcome.code == 0
    assert outcome.out.startswith("swarm-node ")


def test_nothing_is_answered_with_help(capfd: pytest.CaptureFixture[str]) -> None:
    assert "Commands:" in swarm(capfd).error


@pytest.mark.parametrize("arguments", [("nonsense",), ("status", "--nonsense"), ("plan",)])
def test_what_is_typed_wrong_is_told_in_one_line(capfd: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    outcome = swarm(capfd, *arguments)
    assert outcome.code == 2
    assert "--help" in outcome.complaint


def test_ctrl_c_while_python_still_reads_files_leaves_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    ended = subprocess.run(
        [sys.executable, "-m", "cli.main", "--help"], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
    )  # fmt: skip
    assert ended.stderr == ""
    assert ended.returncode == 130


def test_help_costs_no_heavy_import() -> None:
    code = (
        "import sys\nfrom cli.main import app\ntry:\n    app(args=['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'hivemind', 'prompt_toolkit', 'rich', 'starlette'} & set(sys.modules)\n"
        "print('heavy:', *sorted(heavy))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.endswith("heavy:\n")
