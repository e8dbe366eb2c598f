"""A log for programs: every line is one JSON object, whatever happens."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

import swarm_node
from cli.json_log import JsonLines
from swarm_node.program import Program


def written(message: str, *arguments: object, **more: object) -> dict[str, object]:
    """What becomes of a record."""
    record = logging.LogRecord("swarm_node.node", logging.WARNING, "file", 1, message, arguments, None)
    record.__dict__.update(more)
    (line,) = JsonLines().format(record).splitlines()
    told: dict[str, object] = json.loads(line)
    return told


def test_a_line_tells_when_who_and_what() -> None:
    told = written("a peer said %r", "two\nlines", fields={"event": "notice"})
    assert (told["level"], told["logger"], told["event"]) == ("warning", "swarm_node.node", "notice")
    assert told["message"] == "a peer said 'two\\nlines'"
    assert str(told["time"]).endswith("+00:00")


def test_a_library_that_renames_levels_changes_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(logging._levelToName, logging.WARNING, "WARN")
    assert written("careful")["level"] == "warning"


def test_a_traceback_stays_on_the_line() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        told = written("it failed", exc_info=(type(error), error, error.__traceback__))
    assert "ValueError: no" in str(told["traceback"])


def test_an_error_is_a_line_of_the_log_too(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cli.main", "node", "--log-json", "--new-swarm", "--model", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert ended.returncode == 1
    assert lines[-1]["level"] == "error" and "config.json" in lines[-1]["message"]


def test_a_nodes_life_is_told_in_fields(tmp_path: Path, warm_node: Program) -> None:
    model = str(Path(swarm_node.__file__).parent / "demo_model")
    arguments = ["--model", model, "--new-swarm", "--host", "127.0.0.1", "--identity", str(tmp_path / "key")]
    arguments += ["--threads", "1", "--blocks", "0:2", "--log-json"]
    with (tmp_path / "out").open("w") as out, (tmp_path / "log").open("w") as log:
        process = warm_node.start(arguments, out.fileno(), log.fileno())
        try:
            states: list[str] = []
            while "online" not in states:
                assert process.poll() is None
                complete = (tmp_path / "log").read_text().rpartition("\n")[0].splitlines()
                events = [json.loads(line) for line in complete]
                states = [event["state"] for event in events if event.get("event") == "state"]
        finally:
            process.send_signal(15)
            process.wait(20)
    assert states[:4] == ["joining", "loading", "measuring", "online"]
    assert events[-1]["blocks"] == "0:2" and events[-1]["addresses"][0].startswith("/ip4/127.0.0.1/tcp/")
    assert (tmp_path / "out").read_text() == ""
