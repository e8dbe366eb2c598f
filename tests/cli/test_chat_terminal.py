"""A conversation typed in a terminal."""

from __future__ import annotations

import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import pytest

from routing import Span
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.cli.terminal import ASKS, Terminal, open_terminal
from tests.swarm.runs import OPTIONS

pytestmark = pytest.mark.slow

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the chat keeps its history."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory, warm_node: Program) -> Iterator[str]:
    """What starts a chat with a swarm."""
    path = tmp_path_factory.mktemp("model") / "model"
    shutil.copytree(str(files("swarm_node") / "demo_model"), path)
    (path / "chat_template.jinja").write_text(TEMPLATE)
    with LocalSwarm(str(path), OPTIONS, warm_node) as local:
        local.start([Span(0, 3), Span(3, 6)])
        yield (
            f"{sys.executable} -m cli.main chat --model {path} --initial-peers {local.address} --max-new-tokens 24 "
            "--temperature 0 --threads 1"
        )


@contextmanager
def started(command: str, state: Path) -> Iterator[Terminal]:
    """A chat that a shell in a terminal has just begun."""
    environment = {"XDG_STATE_HOME": str(state), "PS1": "$ ", "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
    with open_terminal(["sh", "-i"], environment) as terminal:
        terminal.until("$ ")
        terminal.type(f"{command}; echo ended with $?\n")
        terminal.until("/help tells what can be typed.")
        terminal.until(ASKS)
        yield terminal


@pytest.fixture(scope="module")
def running(command: str, state: Path) -> Iterator[Terminal]:
    with started(command, state) as terminal:
        yield terminal
        terminal.type("\x04")
        terminal.until("ended with 0")


@pytest.fixture
def chat(running: Terminal) -> Terminal:
    """A chat in which nothing was said."""
    running.type("/forget\r")
    running.until("Forgotten.")
    running.until(ASKS)
    return running


def test_a_paste_with_an_empty_line_is_one_message_and_nothing_of_it_runs_in_the_shell(
    chat: Terminal, state: Path, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    chat.paste(f"one\n\ntouch {marker}\nexit\n")
    chat.type("\r")
    chat.until("exit")
    chat.until(ASKS)
    assert f"+one\n+\n+touch {marker}\n+exit\n" in (state / "swarm-node" / "chat_history").read_text()
    assert not marker.exists()


def test_lines_pasted_into_a_terminal_that_does_not_mark_pastes_are_one_message_too(
    chat: Terminal, state: Path
) -> None:
    chat.type("first of two\rsecond of two\r")
    chat.until("second of two")
    chat.until(ASKS)
    assert "+first of two\n+second of two\n" in (state / "swarm-node" / "chat_history").read_text()


def test_a_paste_of_20000_characters_arrives_whole(chat: Terminal, state: Path) -> None:
    text = " ".join(f"word{index:05}" for index in range(2000))
    assert len(text) == 19_999
    chat.paste(text)
    chat.type("\r")
    chat.until("exceeds the model's context of 512; shorten it")
    chat.until(ASKS)
    assert f"+{text}\n" in (state / "swarm-node" / "chat_history").read_text()


def test_ctrl_c_ends_an_answer_and_not_the_chat(command: str, state: Path) -> None:
    with started(f"{command} --max-new-tokens 400", state) as chat:
        chat.type("def\r")
        chat.until("The result")  # the answer has begun
        chat.type("\x03")
        chat.until("Stopped.")
        chat.until(ASKS)
        chat.type("\x03")
        chat.until("ended with 0")


def test_what_was_asked_comes_back_in_the_next_chat_and_nobody_else_can_read_it(
    chat: Terminal, command: str, state: Path
) -> None:
    chat.type("what is remembered\r")
    chat.until(ASKS)
    with started(command, state) as later:
        later.type("\x1b[A")
        later.until("what is remembered")
    assert stat.S_IMODE((state / "swarm-node" / "chat_history").stat().st_mode) == 0o600


def test_exit_ends_the_chat(command: str, state: Path) -> None:
    with started(command, state) as chat:
        chat.type("exit\r")
        chat.until("ended with 0")


def test_a_conversation_that_is_full_offers_to_forget_its_oldest_turns(chat: Terminal) -> None:
    for _ in range(2):
        chat.paste("list of numbers " * 60)
        chat.type("\r")
        chat.until(ASKS)
    chat.paste("dict of names " * 60)
    chat.type("\r")
    chat.until("Forget")
    chat.until("[Y/n] ")
    chat.type("y\n")
    answered = chat.until(ASKS)
    assert "error" not in answered


def test_an_unknown_command_and_help_do_not_reach_the_model(chat: Terminal) -> None:
    chat.type("/nonsense\r")
    chat.until("error: there is no /nonsense")
    chat.until(ASKS)
    chat.type("/help\r")
    chat.until("/forget")
    chat.until(ASKS)
