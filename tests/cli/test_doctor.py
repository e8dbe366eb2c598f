"""Whether a machine can be a node, and the command that mends it where it cannot."""

from __future__ import annotations

import json
import resource
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.checkup import machine
from cli.checkup.finding import Verdict
from cli.checkup.network import reachability
from cli.doctor import lines

GIB = 2**30
ID = "12D3KooWFAeNYeXKe7ghqYVkBUB6JUzj1xDr78feuSeaUgHVkCQa"


def test_a_clock_that_nothing_keeps_right_is_noted_with_the_command_that_does() -> None:
    assert machine.clock(0).verdict is Verdict.OK
    assert "timedatectl" in machine.clock(0x40).mend
    assert machine.clock(None).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("soft", "verdict"),
    [(256, Verdict.WRONG), (1024, Verdict.NOTE), (65536, Verdict.OK), (resource.RLIM_INFINITY, Verdict.OK)],
)
def test_few_open_files_are_told_with_ulimit(soft: int, verdict: Verdict) -> None:
    finding = machine.open_files(soft)
    assert finding.verdict is verdict
    assert ("ulimit -n" in finding.mend) == (verdict is not Verdict.OK)


def test_a_full_disk_is_wrong(tmp_path: Path) -> None:
    assert machine.disk(tmp_path, 100 * GIB).verdict is Verdict.OK
    full = machine.disk(tmp_path, GIB)
    assert full.verdict is Verdict.WRONG and "HF_HOME" in full.mend
    assert machine.free_bytes(tmp_path / "not" / "there") > 0


def test_a_folder_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    assert machine.writable("models", tmp_path / "new", "mend it").verdict is Verdict.OK
    assert list(tmp_path.iterdir()) == []
    file = tmp_path / "file"
    file.touch()
    assert machine.writable("models", file / "below", "mend it").mend == "mend it"


def control_group(tmp_path: Path, limits: dict[str, tuple[str, str]]) -> int | None:
    """The room that groups leave, each by its folder with its limit and what it uses; we are in /a/b."""
    own = tmp_path / "own"
    own.write_text("0::/a/b\n")
    for folder, (most, used) in limits.items():
        (tmp_path / "sys" / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / folder / "memory.max").write_text(most + "\n")
        (tmp_path / "sys" / folder / "memory.current").write_text(used + "\n")
    return machine.group_room(tmp_path / "sys", own)


def test_the_tightest_control_group_counts(tmp_path: Path) -> None:
    limits = {"a/b": ("max", "5"), "a": (str(2 * GIB), str(GIB)), ".": (str(9 * GIB), "0")}
    assert control_group(tmp_path, limits) == GIB


def test_no_control_group_with_a_limit_is_no_limit(tmp_path: Path) -> None:
    assert control_group(tmp_path, {"a/b": ("max", "5")}) is None


def test_a_control_group_that_a_node_would_outgrow_is_wrong() -> None:
    assert machine.memory(16 * GIB, None).verdict is Verdict.OK
    assert machine.memory(16 * GIB, 9 * GIB).verdict is Verdict.OK
    tight = machine.memory(16 * GIB, 600 * 2**20)
    assert tight.verdict is Verdict.WRONG
    assert "--memory 300MiB" in tight.mend


def test_a_gpu_that_pytorch_cannot_use_is_wrong() -> None:
    assert machine.without_gpu(False, None, "2.13", 4).verdict is Verdict.OK
    assert "pip install" in machine.without_gpu(True, None, "2.13", 4).mend
    assert "nvidia-smi" in machine.without_gpu(True, "12.8", "2.13", 4).mend


@pytest.mark.parametrize(
    ("host", "port", "verdict", "mend"),
    [
        ("127.0.0.1", 0, Verdict.NOTE, "--host 0.0.0.0"),
        ("192.168.1.7", 4001, Verdict.NOTE, "forward TCP port 4001"),
        ("8.8.4.4", 0, Verdict.NOTE, "--port 31337"),
        ("8.8.4.4", 4001, Verdict.OK, ""),
    ],
)
def test_who_can_reach_the_addresses_is_told(host: str, port: int, verdict: Verdict, mend: str) -> None:
    finding = reachability([f"/ip4/{host}/tcp/4001/p2p/{ID}"], port)
    assert finding.verdict is verdict
    assert mend in finding.mend


def test_people_read_what_is_wrong_and_below_it_what_mends_it() -> None:
    assert lines([machine.open_files(256)])[1].strip().startswith("→ ulimit")


def test_a_machine_with_too_few_open_files_and_a_taken_port_is_told_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "cli.main", "doctor", "--json", "--host", "127.0.0.1", "--port", str(port)]
        limited = ["prlimit", "--nofile=512:512", *command]
        ended = subprocess.run(limited, capture_output=True, text=True, timeout=120)
    told = json.loads(ended.stdout)
    verdicts = {finding["check"]: finding["verdict"] for finding in told["findings"]}
    assert ended.returncode == 1 and told["well"] is False
    assert verdicts["open files"] == verdicts["port"] == "wrong"
    assert verdicts["identity"] == verdicts["models"] == "ok"


def test_a_machine_on_which_the_daemon_starts_is_told_its_addresses() -> None:
    command = [sys.executable, "-m", "cli.main", "doctor", "--json", "--host", "127.0.0.1"]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, timeout=120).stdout)
    by_check = {finding["check"]: finding for finding in told["findings"]}
    assert by_check["daemon"]["verdict"] == by_check["port"]["verdict"] == "ok"
    assert "/ip4/127.0.0.1/tcp/" in by_check["addresses"]["said"]
