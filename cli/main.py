"""The ``swarm`` command and its subcommands."""

from __future__ import annotations

import sys

try:
    from collections.abc import Sequence
    from importlib.metadata import version
    from typing import Annotated, Any

    import typer
    from typer.core import TyperGroup

    from cli.chat import chat
    from cli.check import check
    from cli.demo import demo
    from cli.doctor import doctor
    from cli.generate import generate
    from cli.node import node
    from cli.plan import plan
    from cli.serve import serve
    from cli.simulate import simulate
    from cli.status import status
except KeyboardInterrupt:  # Ctrl-C while Python still reads its files is no defect to trace
    sys.exit(130)

_Mistake: Any = typer.BadParameter.__base__
"""What typer raises for whatever was typed wrong; it tells only some of its subclasses."""


class Commands(TyperGroup):
    """Says in one line what was typed wrong."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """typer's hook: run what was typed, and end the process unless ``standalone_mode`` is false."""
        try:
            outcome = super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        except _Mistake as mistake:
            if not standalone_mode:
                raise
            print(_complaint(mistake), file=sys.stderr)
            sys.exit(mistake.exit_code)
        if standalone_mode:
            sys.exit(outcome or 0)
        return outcome


def _complaint(mistake: Any) -> str:
    message: str = mistake.format_message()
    if "\n" in message or mistake.ctx is None:  # nothing was typed: the help
        return message
    dashed = message.startswith("No such option") and any(
        parameter.param_type_name == "argument" for parameter in mistake.ctx.command.params
    )
    hint = "put -- before a text that begins with a dash" if dashed else f"see {mistake.ctx.command_path} --help"
    return f"error: {message.removesuffix('.')}; {hint}"


app = typer.Typer(
    name="swarm",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (node, generate, chat, serve, status, plan, simulate, demo, doctor, check):
    app.command()(command)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"swarm-node {version('swarm-node')}")
        raise typer.Exit


@app.callback()
def about(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Run a language model on a swarm of machines: each node serves some of its blocks."""


def main() -> None:
    """Entry point of the ``swarm`` script."""
    try:
        app(args=spread_peers(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)


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
