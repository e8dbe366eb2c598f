"""Tries model types: ``python scripts/model_table [TYPES] [--page docs/models.md]``; without types all that there are.

Each is made tiny with random weights, cut in three, and compared with transformers; see trial.py. A trial has a process
of its own, so that one that hangs or dies costs only its own row.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

FOLDER = Path(__file__).resolve().parent
sys.path[:1] = [str(FOLDER.parent), str(FOLDER.parents[1])]

import typer  # noqa: E402 - Python has put this folder first, whose modules are in a package

from model_table.kinds import every_kind  # noqa: E402
from model_table.page import page_of  # noqa: E402
from model_table.runner import run_trials  # noqa: E402


def main(
    kinds: Annotated[list[str] | None, typer.Argument(metavar="TYPES")] = None,
    page: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
    out: Annotated[Path, typer.Option(help="Write the results here.")] = Path("build/model_table"),
    seconds: Annotated[int, typer.Option(min=1, help="For one trial.")] = 120,
) -> None:
    """Try model types and tell of each whether its text is transformers'."""
    trials = run_trials(kinds or every_kind(), out, seconds)
    wrong = [trial.kind for trial in trials if trial.wrong]
    print(f"{sum(trial.exact for trial in trials)} of {len(trials)} exact, wrong: {', '.join(wrong) or 'none'}")
    if page is not None:
        page.write_text(page_of(trials))
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    typer.run(main)
