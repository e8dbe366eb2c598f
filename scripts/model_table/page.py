"""docs/models.md, from trials."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from model_table.kinds import CAUSAL, WRAPPING
from model_table.known_by import KNOWN_BY
from model_table.trial import Trial

_HEAD = """# Which models run

Every model type of transformers {transformers} that goes on with a text, tried by

```sh
python scripts/model_table --page docs/models.md    # about six minutes
```

A tiny model with random weights in float32, cut in three spans, writes what transformers writes: three sessions of 1, 7
and 40 tokens share batches, prompts come in chunks, and guesses are taken back. What transformers has no class for, and
what needs code that comes with a checkpoint, is not served.

{exact_causal} of {causal} types with a class for text are exact, and {exact_wrapping} of {wrapping} that also see or
hear. Of those the text is served, and what they see with is neither loaded nor fetched.
"""
_PATHS = {
    "lean": "our own form of each block",
    "flattened": "its own blocks, our attention",
    "rectangle": "its own blocks and attention",
}


def page_of(trials: Sequence[Trial]) -> str:
    """The page, in Markdown."""
    causal = [trial for trial in trials if trial.kind in CAUSAL]
    wrapping = [trial for trial in trials if trial.kind in WRAPPING - CAUSAL]
    exact = [trial for trial in trials if trial.exact]
    head = _HEAD.format(
        transformers=version("transformers"),
        exact_causal=sum(trial.exact for trial in causal),
        causal=len(causal),
        exact_wrapping=sum(trial.exact for trial in wrapping),
        wrapping=len(wrapping),
    )
    parts = [
        head,
        "## Exact\n\nHow blocks run: "
        + "; ".join(f"*{name}*: {meaning}" for name, meaning in _PATHS.items())
        + ". *States*: its blocks keep more of a session than keys and values.\n",
        _table(("type", "known by", "runs", "keeps"), [_exact_row(trial) for trial in exact]),
        "## Refused\n",
        _table(("type", "why"), [(f"`{trial.kind}`", _reason(trial)) for trial in trials if trial.refused]),
        "## Not tried\n\nNo tiny model of these could be made, or transformers itself does not write text with it:\n",
        ", ".join(f"`{trial.kind}`" for trial in trials if not trial.exact and not trial.refused and not trial.wrong)
        + ".\n",
    ]
    if wrong := [trial for trial in trials if trial.wrong]:
        parts += ["## Wrong\n", _table(("type", "what"), [(f"`{trial.kind}`", trial.said) for trial in wrong])]
    return "\n".join(parts)


def _exact_row(trial: Trial) -> tuple[str, ...]:
    return f"`{trial.kind}`", KNOWN_BY.get(trial.kind, ""), trial.path, "states" if trial.keeps_states else ""


def _reason(trial: Trial) -> str:
    """What the refusal says, without what is the same in all of them."""
    said = trial.said.split(": ", 1)[1].removeprefix(f"model type {trial.kind} ").removeprefix("is not supported: ")
    return said.split("; choose")[0].replace("|", "\\|")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines) + "\n"
