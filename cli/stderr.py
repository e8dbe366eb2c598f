"""What reaches a person on standard error, so that the answer stays clean: errors, warnings, and what is waited for."""

from __future__ import annotations

import errno
import io
import logging
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from routing.errors import SwarmError, sole_error

if TYPE_CHECKING:
    from rich.console import Console

log = logging.getLogger(__name__)

NOISY = ("asyncio", "urllib3", "filelock", "huggingface_hub", "httpx", "httpcore")
"""Loggers whose warnings are enough, with --debug too."""

_OUTPUT_ENDS = (errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Of a file without a name: standard output takes no more. Whatever goes to the network has errors of our own."""


@contextmanager
def reported(debug: bool, log_json: bool = False) -> Iterator[None]:
    """Run one command in here: it logs warnings only, or everything with ``debug``.

    With ``log_json`` each line is a JSON object, the error's too, and there are more of what a server does.

    An error becomes one line and an exit code, a SwarmError its class's; a traceback is shown with ``debug`` only.
    """
    _configure_logging(debug, log_json)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal of few characters shows the others by number
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BaseException as error:
        cause = sole_error(error)
        if isinstance(cause, OSError) and cause.errno in _OUTPUT_ENDS and cause.filename is None:
            _drop_output()
            if cause.errno == errno.EPIPE:
                raise typer.Exit(128 + signal.SIGPIPE) from None  # whoever read has seen enough, as head has
            fail(f"the output cannot be written: {cause.strerror}; make room, or send it elsewhere", 1)
        if log_json and isinstance(cause, Exception) and not isinstance(cause, typer.Exit):
            log.exception("%s", cause, exc_info=cause if debug or not isinstance(cause, SwarmError) else None)
            raise typer.Exit(cause.exit_code if isinstance(cause, SwarmError) else 1) from None
        if debug and isinstance(cause, Exception) and not isinstance(cause, typer.Exit):
            traceback.print_exception(error)
        if isinstance(cause, SwarmError):
            fail(str(cause), cause.exit_code)
        if isinstance(cause, KeyboardInterrupt):
            raise typer.Exit(130) from None
        if isinstance(cause, Exception) and not isinstance(cause, typer.Exit):
            fail(f"unexpected {type(cause).__name__}: {cause}; please report it, with what --debug shows", 1)
        raise


def fail(message: str, exit_code: int) -> NoReturn:
    """End the command with one line on standard error."""
    complain(message)
    raise typer.Exit(exit_code) from None


def complain(error: object) -> None:
    """Show an error in one line, which does not end the command."""
    print("error: " + " ".join(str(error).split()), file=sys.stderr)


def tell(line: str) -> None:
    """Show in one line what the client is waiting for, or which node it leaves."""
    _console().print(line, style="dim")


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show ``what`` beside a moving sign while the body runs; nothing where nobody watches."""
    console = _console()
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def _configure_logging(debug: bool, log_json: bool) -> None:
    if log_json:
        from cli.json_log import log_as_json

        log_as_json(debug)
    else:
        logging.basicConfig(
            level=logging.DEBUG if debug else logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _drop_output() -> None:
    """Python writes what is left at its end: let nothing come of it."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())


def _console() -> Console:
    from rich.console import Console  # 2 MiB that a node does without

    return Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
