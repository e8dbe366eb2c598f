"""A copy of a warm process is what a fresh process would be, and ends with whoever started it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from process_counters import children, is_running
from routing.errors import SwarmError
from swarm_node.program import FreshProgram, LoggedProcess, Program
from swarm_node.warm_process import WarmProcess

TELLER = "tests.swarm_node.teller"
SECONDS = 20.0
"""For anything to happen."""

OWNER = f"""
import sys, time
from pathlib import Path
from swarm_node.program import LoggedProcess
from swarm_node.warm_process import WarmProcess
with WarmProcess(["{TELLER}"]) as warm:
    copy = LoggedProcess(warm.program("{TELLER}"), ["sleep"], Path(sys.argv[1]))
    print(copy.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def warm() -> Iterator[WarmProcess]:
    with WarmProcess([TELLER]) as warm:
        yield warm


@pytest.fixture
def teller(warm: WarmProcess) -> Program:
    return warm.program(TELLER)


def told(process: LoggedProcess) -> dict[str, Any]:
    """What it says of itself."""
    until = time.monotonic() + SECONDS
    while not process.output.endswith("\n") and time.monotonic() < until:
        time.sleep(0.01)
    answer: dict[str, Any] = json.loads(process.output)
    return answer


def until_ended(pids: set[int]) -> None:
    until = time.monotonic() + 2
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(map(is_running, pids))


def test_a_copy_finds_what_a_fresh_process_would_find(
    teller: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh_teller = FreshProgram((sys.executable, "-m", TELLER))
    environment = {**os.environ, "PYTHONPATH": os.getcwd(), "MOOD": "fresh"}
    monkeypatch.chdir(tmp_path)
    found = []
    for name, program in (("fresh", fresh_teller), ("copy", teller)):
        process = LoggedProcess(program, ["exit", "0"], tmp_path / name, environment)
        assert process.process.wait(SECONDS) == 0, process.last_words
        found.append(told(process)["found"])
    fresh, copy = found
    assert copy == fresh
    assert copy["environment"] == environment
    assert copy["directory"] == str(tmp_path)
    assert copy["open"] == [0, 1, 2]
    assert copy["leads its session"]


def test_a_copy_has_the_environment_of_its_owner_when_it_starts(
    teller: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOOD", "changed")
    process = LoggedProcess(teller, [], tmp_path / "copy")
    assert told(process)["found"]["environment"] == dict(os.environ)
    process.process.wait(SECONDS)


def test_what_is_copied_has_one_thread_and_computed_nothing(warm: WarmProcess, teller: Program, tmp_path: Path) -> None:
    LoggedProcess(teller, [], tmp_path / "copy").process.wait(SECONDS)
    (pid,) = {pid for pid in children({os.getpid()}) if TELLER in Path(f"/proc/{pid}/cmdline").read_text()}
    assert len(os.listdir(f"/proc/{pid}/task")) == 1


def test_two_copies_draw_other_random_numbers(teller: Program, tmp_path: Path) -> None:
    copies = [LoggedProcess(teller, [], tmp_path / name) for name in ("one", "other")]
    assert told(copies[0])["drawn"] != told(copies[1])["drawn"]
    assert [copy.process.wait(SECONDS) for copy in copies] == [0, 0]


def test_how_a_copy_ended_is_told(teller: Program, tmp_path: Path) -> None:
    exits = LoggedProcess(teller, ["exit", "3"], tmp_path / "exits")
    fails = LoggedProcess(teller, ["fail"], tmp_path / "fails")
    killed, stopped = (LoggedProcess(teller, ["sleep"], tmp_path / name) for name in ("killed", "stopped"))
    assert told(killed)["pid"] == killed.process.pid and killed.process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        killed.process.wait(0.01)
    killed.kill()
    told(stopped)
    stopped.stop()

    assert exits.process.wait(SECONDS) == exits.process.poll() == 3
    assert fails.process.wait(SECONDS) == 1
    assert fails.last_words == "RuntimeError: as I was told"
    assert killed.process.poll() == -signal.SIGKILL
    assert stopped.process.poll() == -signal.SIGTERM
    stopped.process.send_signal(signal.SIGTERM)  # to one that has ended: nothing happens


def test_whoever_kills_the_owner_has_killed_the_copies(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", OWNER, str(tmp_path / "copy")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        copy = int(owner.stdout.readline())
        started = {copy, *children({owner.pid})}
        assert len(started) == 2 and all(map(is_running, started))
        owner.kill()
    until_ended(started)


def test_copies_end_with_the_process_that_they_were_copied_from(tmp_path: Path) -> None:
    with WarmProcess([TELLER]) as warm:
        copy = LoggedProcess(warm.program(TELLER), ["sleep"], tmp_path / "copy")
        assert copy.process.poll() is None
    until_ended({copy.process.pid})
    assert copy.process.wait(SECONDS) == -signal.SIGKILL


def test_an_order_that_is_interrupted_is_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    with WarmProcess([TELLER]) as warm:
        before = LoggedProcess(warm.program(TELLER), ["sleep"], tmp_path / "before")
        monkeypatch.setattr(socket, "send_fds", interrupted)
        with pytest.raises(KeyboardInterrupt):
            LoggedProcess(warm.program(TELLER), ["sleep"], tmp_path / "interrupted")
        monkeypatch.undo()
        with pytest.raises(SwarmError, match="has ended"):  # no answer to another order is taken for its own
            LoggedProcess(warm.program(TELLER), ["sleep"], tmp_path / "after")
        assert before.process.wait(SECONDS) == -signal.SIGKILL


def test_a_module_that_cannot_be_imported_is_told(tmp_path: Path) -> None:
    with WarmProcess(["tests.nowhere"]) as warm, pytest.raises(SwarmError, match=r"No module named 'tests\.nowhere'"):
        LoggedProcess(warm.program("tests.nowhere"), [], tmp_path / "copy")
