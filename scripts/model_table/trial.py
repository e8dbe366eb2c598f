"""One model type, tried: does a chain of three spans write what transformers writes?"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from model_table.tiny import tiny_model
from routing.errors import ModelError
from swarm_node.testing import LocalChain, Talk, prompt

PROMPTS = (1, 7, 40)
CHUNK = 16
NEW_TOKENS = 10
GUESSES = 4
CACHE_IS_WRONG = ("minimax",)
"""Types whose own cache writes other tokens than the same model without one; that is the yardstick then."""


class Trial(BaseModel):
    """What came of it."""

    kind: str
    exact: bool = False
    wrong: bool = False
    """It writes something, and not what transformers does."""
    refused: bool = False
    """By us, in one line."""
    path: str = ""
    blocks: int = 0
    token_bytes: float = 0
    """In float32, of a tiny block."""
    keeps_states: bool = False
    said: str = ""
    """Why it is not exact."""


def tried(kind: str) -> Trial:
    """Try ``kind`` in this process. Raises nothing: what goes wrong is told."""
    torch.set_grad_enabled(False)
    trial = Trial(kind=kind)
    try:
        model = tiny_model(kind)
        expected = [_written(model, prompt(tokens)) for tokens in PROMPTS]
    except Exception as error:  # noqa: BLE001 - of any type of model; it tells of transformers, not of us
        trial.said = f"no tiny model: {_line(error)}"
        return trial
    with tempfile.TemporaryDirectory() as directory:
        try:
            model.save_pretrained(directory)
            chain = LocalChain(Path(directory))
        except ModelError as error:
            trial.refused, trial.said = True, _line(error)
            return trial
        except Exception as error:  # noqa: BLE001 - as above, but a defect of ours
            trial.wrong, trial.said = True, f"does not load: {_line(error)}"
            return trial
    trial.path = "/".join(sorted({str(span.path) for span in chain.spans}))
    shapes = chain.spans[0].shapes
    trial.blocks, trial.keeps_states = shapes.blocks, shapes.keeps_states
    try:
        trial.said = _differences(chain, model, expected)
    except Exception as error:  # noqa: BLE001 - as above
        trial.said = f"does not run: {_line(error)}"
    trial.exact, trial.wrong = not trial.said, bool(trial.said)
    return trial


def _differences(chain: LocalChain, model: Any, expected: Sequence[list[int]]) -> str:
    """What parts from transformers' text; empty if nothing does."""
    talks = [chain.open(prompt(tokens)) for tokens in PROMPTS]
    chain.generate(talks, NEW_TOKENS, CHUNK)
    parted = [str(tokens) for tokens, talk, right in zip(PROMPTS, talks, expected, strict=True) if talk.tokens != right]
    if parted:
        return f"other tokens after prompts of {', '.join(parted)}"
    return "" if _taken_back(chain, model) else "other tokens after guesses"


def _taken_back(chain: LocalChain, model: Any) -> bool:
    """Whether guesses, of which some are right, leave no trace beside another session."""
    right, others = _written(model, prompt(20)), _written(model, prompt(9))
    talk, beside = chain.open(prompt(20)), chain.open(prompt(9))
    chain.generate([talk, beside], 2, CHUNK)
    for good in (2, 0):
        known = len(talk.tokens)
        talk.tokens += [*right[known : known + good], *range(5, 5 + GUESSES)]
        _feed(chain, talk, beside)
        del talk.tokens[known + good :]
        talk.roll_back(known + good - 1)
        chain.generate([talk, beside], 1, CHUNK)
    return talk.tokens == right[: len(talk.tokens)] and beside.tokens == others[: len(beside.tokens)]


def _feed(chain: LocalChain, talk: Talk, beside: Talk) -> None:
    logits = chain.feed([(talk, len(talk.tokens) - talk.seen), (beside, 1)])
    beside.tokens.append(int(logits[1].argmax()))


def _written(model: Any, tokens: list[int]) -> list[int]:
    """``tokens`` and what transformers writes after them."""
    if model.config.model_type in CACHE_IS_WRONG:
        for _token in range(NEW_TOKENS):
            logits = model(input_ids=torch.tensor([tokens]), use_cache=False).logits
            tokens = [*tokens, int(logits[0, -1].argmax())]
        return tokens
    ids = torch.tensor([tokens])
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        num_beams=1,
        pad_token_id=0,
        eos_token_id=None,
    )
    written: list[int] = made[0].tolist()
    return written


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
