"""What the owner of a node sees in a terminal: why there is work or none, and lines to copy."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import termios
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import swarm_node
from cli.node_panel import live_panel, panel, to_copy
from cli.node_work import reach_of_node, work_of
from routing import NodeState, NodeView, Span
from swarm_node.engine import Tally
from swarm_node.node import Standing
from swarm_node.node.counts import SessionCounts
from tests.routing.nodes import node, swarm

ADDRESS = "/ip4/203.0.113.7/tcp/31337/p2p/12D3KooWFAeNYeXKe7ghqYVkBUB6JUzj1xDr78feuSeaUgHVkCQa"
LOCAL = ADDRESS.replace("203.0.113.7", "127.0.0.1")
PUBLIC = ADDRESS.replace("203.0.113.7", "8.8.4.4")
HOME = ADDRESS.replace("203.0.113.7", "192.168.1.7")


def standing(*others: NodeView, state: NodeState = NodeState.ONLINE, address: str = PUBLIC, **view: Any) -> Standing:
    """Of a node with blocks 0:4 of 8, and room for 10 sessions."""
    room = {"cache_tokens": 10 * 2048 * 4, "free_tokens": 10 * 2048 * 4}
    own = node("me", 0, 4, state=state, memory_bytes=6 * 2**30, **{**room, **view})
    return Standing(
        state, "some/model", 8, 2048, (address,), own, SessionCounts(), Tally(), 0, 0, swarm(own, *others)
    )  # fmt: skip


def shown(of: Standing, width: int = 70, rows: int = 14) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=rows)
    console.print(panel(of, rows))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


THE_REST = node("other", 4, 8)
RIVAL = node("rival", 0, 4)


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (standing(), "no work can come: nobody serves blocks 4:8; a node with them must join"),
        (standing(THE_REST), "no work yet: nobody has asked; pass on the line Use:"),
        (standing(THE_REST, RIVAL), "no work now: 1 other node with the same blocks, and clients take the faster way"),
        (standing(THE_REST, address=LOCAL), "no work: only this machine can reach it; --host 0.0.0.0 lets others in"),
        (standing(THE_REST, running=1), "serves 1 session"),
        (standing(THE_REST, running=9, waiting=2), "full: 2 sessions in line for its cache; more --memory"),
        (standing(THE_REST, target=Span(2, 6)), "moves to blocks 2:6 and serves 0:4 meanwhile"),
        (replace(standing(THE_REST), counts=SessionCounts(served=3)), "no work now; it serves whoever asks"),
        (standing(THE_REST, state=NodeState.LOADING), "loads its blocks"),
        (standing(THE_REST, state=NodeState.DRAINING, running=1), "waits for 1 session to end, then leaves"),
    ],
)
def test_the_owner_reads_why_there_is_work_or_none(of: Standing, said: str) -> None:
    assert work_of(of).startswith(said)
    assert said.split(";")[0] in " ".join(" ".join(shown(of)).split())


@pytest.mark.parametrize(("address", "who"), [(LOCAL, "this machine"), (HOME, "router"), (PUBLIC, "internet")])
def test_the_owner_reads_who_can_reach_the_node(address: str, who: str) -> None:
    assert who in reach_of_node(standing(THE_REST, address=address))


def test_all_fits_a_small_terminal_and_one_is_not_many() -> None:
    of = replace(standing(RIVAL, running=1, decode_seconds=0.002), counts=SessionCounts(served=12, failovers=1))
    lines = shown(of)
    assert len(lines) <= 14 - 6  # two lines to copy, each three rows high at this width
    assert all(len(line) <= 70 for line in lines)
    text = "\n".join(lines)
    assert "1 other node;" in text and "1 nodes" not in text
    assert "1 running, 0 waiting, 12 served, 1 failover" in text
    assert "10 of 10 places free" in text
    assert "nobody serves blocks 4:8" in text


def test_a_node_that_has_not_joined_shows_what_it_does() -> None:
    of = Standing(NodeState.JOINING, "?", 0, 2048, (), None, SessionCounts(), Tally(), 0, 0, None)
    assert "looks for the swarm" in "\n".join(shown(of))


def test_lines_to_copy_are_whole_and_told_once() -> None:
    class FakeNode:
        standing = standing(THE_REST)

    file = io.StringIO()
    with live_panel(Console(file=file, width=70, height=14, force_terminal=True, color_system=None)) as update:
        at_first = file.getvalue()
        for _ in range(3):
            update(FakeNode())  # type: ignore[arg-type]
    assert "starting" in at_first
    lines = to_copy(FakeNode.standing)
    assert lines[0] == f"Join: swarm node --model some/model --initial-peers {PUBLIC}"
    for line in lines:
        assert file.getvalue().count(line + "\n") == 1


def test_ctrl_c_shows_no_traceback_while_the_command_is_being_imported() -> None:
    code = """
import sys
class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, CtrlC())
import cli.main
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=10)
    assert ended.returncode == 130
    assert ended.stderr == b""


@pytest.mark.slow
def test_a_node_in_a_small_terminal_says_something_at_once_and_prints_lines_to_copy(tmp_path: Path) -> None:
    terminal, its_end = pty.openpty()
    termios.tcsetwinsize(its_end, (14, 70))
    model = Path(swarm_node.__file__).parent / "demo_model"
    command = [sys.executable, "-m", "cli.main", "node", "--model", str(model), "--new-swarm", "--host", "127.0.0.1"]
    command += ["--identity", str(tmp_path / "key"), "--threads", "1", "--dtype", "float32"]
    with subprocess.Popen(command, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True) as process:
        os.close(its_end)
        said = b""
        try:
            while b"no work" not in said.rpartition(b"Use:")[2]:
                said += os.read(terminal, 65536)
        finally:
            process.terminate()
        with suppress(OSError):  # Linux says so when the other end has closed
            while more := os.read(terminal, 65536):
                said += more
    os.close(terminal)
    assert process.returncode == 0
    assert said.index(b"starting") < said.index(b"Use:")
    (use,) = re.findall(rb"^Use: .*$", said.replace(b"\r\n", b"\n").replace(b"\x1b[2K", b"\n"), re.MULTILINE)
    assert re.search(rb"--initial-peers /ip4/127\.0\.0\.1/tcp/\d+/p2p/\w{52}$", use)
