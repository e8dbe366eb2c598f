"""How an error reaches a person: one line, an exit code, and a traceback only when asked for."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from routing.errors import SwarmError
from swarm_node.tasks import sole_error


@contextmanager
def reported(debug: bool) -> Iterator[None]:
    """Turn an error in the body into one line on standard error and an exit code: a SwarmError has its class's."""
    try:
        yield
    except BaseException as error:
        cause = sole_error(error)
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
    """Say ``message`` in one line and exit."""
    print("error: " + " ".join(message.split()), file=sys.stderr)
    raise typer.Exit(exit_code) from None
