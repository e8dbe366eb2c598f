"""The ``swarm`` command and its subcommands."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from cli.chat import chat
from cli.demo import demo
from cli.doctor import doctor
from cli.generate import generate
from cli.node import node
from cli.plan import plan
from cli.simulate import simulate
from cli.status import status

app = typer.Typer(
    name="swarm",
    help="Run a language model on a swarm of machines: each node serves some of its blocks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (node, generate, chat, status, plan, simulate, demo, doctor):
    app.command()(command)


def main() -> None:
    """Entry point of the ``swarm`` script."""
    app(args=spread_peers(sys.argv[1:]))


def spread_peers(arguments: Sequence[str]) -> list[str]:
    """Let ``--initial-peers`` take several addresses in a row: every further one names a /p2p/ id."""
    spread: list[str] = []
    for argument in arguments:
        follows_peer = spread[-2:-1] == ["--initial-peers"]
        if follows_peer and argument.startswith("/") and "/p2p/" in argument:
            spread.append("--initial-peers")
        spread.append(argument)
    return spread


if __name__ == "__main__":
    main()
