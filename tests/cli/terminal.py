"""A terminal with a command in it, as a person sees it."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]|\r")
PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
PASTES_ARE_TOLD = "\x1b[?2004h"
"""Sent by a program that begins to read a line."""
ASKS = "<asks>"
"""What a Terminal shows in its place."""


class Terminal:
    """Types into a pseudo-terminal and reads what it shows. Owned by ``open_terminal``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._shown = ""

    def type(self, text: str) -> None:
        """As fast as the terminal takes it, reading meanwhile what it shows."""
        data = text.encode()
        while data:
            readable, writable, _ = select.select([self._descriptor], [self._descriptor], [], 30)
            assert readable or writable, "the terminal takes no more"
            if readable:
                self._read()
            if writable:
                data = data[os.write(self._descriptor, data[:512]) :]

    def paste(self, text: str) -> None:
        """As terminals paste: all at once, and they say so."""
        self.type(PASTE_BEGINS + text.replace("\n", "\r") + PASTE_ENDS)

    def until(self, text: str, seconds: float = 60.0) -> str:
        """What was shown up to the end of the next ``text``, without colours; it is not looked at again."""
        end = time.monotonic() + seconds
        while (at := self.plain.find(text)) < 0:
            readable, _, _ = select.select([self._descriptor], [], [], max(0.0, end - time.monotonic()))
            assert readable and self._read(), f"{text!r} was not shown, but {self.plain!r}"
        shown = self.plain[: at + len(text)]
        self._shown = self.plain[at + len(text) :]
        return shown

    @property
    def plain(self) -> str:
        return _ESCAPES.sub("", self._shown.replace(PASTES_ARE_TOLD, ASKS))

    def _read(self) -> bool:
        try:
            data = os.read(self._descriptor, 65536)
        except OSError:  # the last process in it has ended
            return False
        self._shown += data.decode(errors="replace")
        return bool(data)


@contextmanager
def open_terminal(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[Terminal]:
    """``command`` in a terminal of its own, which it can interrupt by Ctrl-C; killed at the end."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *command], stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, **environment}, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(ours)
    finally:
        os.close(ours)  # everything in it is hung up
        process.kill()
        process.wait(10)
