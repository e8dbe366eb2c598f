"""Where a chat's messages come from: a terminal with editing, history and whole pastes, or plain lines of a pipe."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cli.prompt import LONGEST_PROMPT_BYTES

if TYPE_CHECKING:
    from prompt_toolkit.history import History
    from prompt_toolkit.input import Input
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.output import Output


class Lines(Protocol):
    """What a conversation needs of whoever talks."""

    interactive: bool
    """Whether somebody sits there who can be asked, and can try again."""

    def ask(self) -> str | None:
        """The next message, not empty; None at the end. Bytes that are no UTF-8 are kept apart, as Python does."""

    def agrees(self, question: str) -> bool:
        """Whether to go on, by a yes or no."""


class PipedLines:
    """A message a line, to the end of standard input. Nobody can be asked, so everything is agreed to."""

    interactive = False

    def __init__(self) -> None:
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="surrogateescape")  # whoever asks tells what is no UTF-8

    def ask(self) -> str | None:
        while sys.stdin is not None:
            line = sys.stdin.readline(LONGEST_PROMPT_BYTES)
            if not line:
                break
            if line.strip():
                return line.strip()
        return None

    def agrees(self, question: str) -> bool:
        return True


class TerminalLines:
    """Messages typed or pasted in a terminal; Enter sends one, Alt-Enter begins a new line in it.

    Owned by the chat. ``close`` drops what was typed and not read, so that no shell takes it for commands.
    """

    interactive = True

    def __init__(self, history: History, source: Input | None = None, target: Output | None = None) -> None:
        """``source`` and ``target``: the terminal's, unless others are given."""
        from prompt_toolkit import PromptSession
        from prompt_toolkit.output import create_output

        if target is None and not sys.stdout.isatty():
            target = create_output(sys.stderr)
        self._session: PromptSession[str] = PromptSession(
            multiline=True,
            key_bindings=_bindings(),
            history=history,
            prompt_continuation="… ",
            input=source,
            output=target,
        )

    def ask(self) -> str | None:
        """Ctrl-C empties the line; in an empty one it ends the chat, as Ctrl-D does."""
        while True:
            try:
                message = self._session.prompt("> ").strip()
            except KeyboardInterrupt:
                if not self._session.default_buffer.text:
                    return None
                continue
            except EOFError:
                return None
            if message:
                return message

    def agrees(self, question: str) -> bool:
        try:
            answer = input(f"{question} [Y/n] ")
        except (EOFError, KeyboardInterrupt):
            return False
        return answer.strip().lower() in ("", "y", "yes")

    def close(self) -> None:
        import termios

        if sys.stdin.isatty():
            termios.tcflush(sys.stdin, termios.TCIFLUSH)


@contextmanager
def chat_lines() -> Iterator[Lines]:
    """The terminal's where standard input is one, else the lines of what it is."""
    if sys.stdin is None or not sys.stdin.isatty():
        yield PipedLines()
        return
    lines = TerminalLines(kept_history())
    try:
        yield lines
    finally:
        lines.close()


def kept_history() -> History:
    """What was asked in earlier chats, in a file that only its user can read; of this chat only where none can be."""
    from platformdirs import user_state_path
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    path = user_state_path("swarm-node") / "chat_history"
    try:
        _make_private(path)
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def _make_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _bindings() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings
    from prompt_toolkit.keys import Keys

    bindings = KeyBindings()

    def enter(event: KeyPressEvent) -> None:
        # Keys that came together with Enter are a paste, in a terminal that does not say so.
        if any(press.key not in (Keys.CPRResponse, Keys.Ignore) for press in event.key_processor.input_queue):
            event.current_buffer.insert_text("\n")
        else:
            event.current_buffer.validate_and_handle()

    for key in (Keys.ControlM, Keys.ControlJ):
        bindings.add(key)(enter)

    @bindings.add(Keys.Escape, Keys.ControlM)
    @bindings.add(Keys.Escape, Keys.ControlJ)
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return bindings
