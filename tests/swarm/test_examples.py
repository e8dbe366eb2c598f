"""The examples of the documentation do what they say."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from io import StringIO
from pathlib import Path

import pytest

import swarm_node
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.swarm.runs import OPTIONS, thirds

ROOT = Path(swarm_node.__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
MODEL = str(files("swarm_node") / "demo_model")
BLOCKS = 6
SECONDS = 60.0
"""For a node to end."""

Run = Callable[..., str]
"""Runs an example with these arguments and, as ``given``, this standard input; returns what it prints."""


@pytest.fixture(scope="module")
def demo(warm_node: Program) -> Iterator[LocalSwarm]:
    with LocalSwarm(MODEL, OPTIONS, warm_node) as swarm:
        swarm.start(thirds(BLOCKS))
        yield swarm


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one as a program of its own would, in this process, which has imported what takes long."""

    def run(name: str, *arguments: str, given: str = "") -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.setattr(sys, "stdin", StringIO(given))
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_every_example_has_its_test_here() -> None:
    tested = {"generate.py", "chat.py", "own_node.py", "test_failover.py"}
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == tested


def test_generate_continues_its_prompt(demo: LocalSwarm, run: Run) -> None:
    text = run("generate.py", MODEL, demo.address)
    assert text.startswith("The list type") and len(text.split()) > 10


def test_chat_answers_each_line(demo: LocalSwarm, run: Run) -> None:
    text = run("chat.py", MODEL, demo.address, given="The list type\nis raised when\n")
    assert len(text.splitlines()) >= 2 and len(text.split()) > 10


@pytest.mark.slow
def test_a_node_of_ones_own_joins_serves_and_leaves(demo: LocalSwarm, tmp_path: Path) -> None:
    words = [sys.executable, str(EXAMPLES / "own_node.py"), MODEL, demo.address]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        assert process.stdout is not None
        states = []
        for line in process.stdout:
            states.append(line.strip())
            if states[-1] == "ONLINE" and states.count("ONLINE") == 1:
                process.send_signal(signal.SIGINT)
        assert process.wait(SECONDS) == 0
    assert states[-1] == "OFFLINE"


def test_a_swarm_in_one_process_runs_as_a_test() -> None:
    example = runpy.run_path(str(EXAMPLES / "test_failover.py"))
    example["test_a_session_goes_on_when_its_node_dies"]()
