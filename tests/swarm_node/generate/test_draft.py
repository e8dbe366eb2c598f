"""A draft model guesses as it would write, and forgets what did not come true."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from routing.errors import UsageError
from swarm_node.generate.draft import Draft, load_draft
from swarm_node.generate.settings import DRAFT_TIMES_LEAST
from swarm_node.generate.speculation import Speculation
from swarm_node.model.source import ModelSource
from swarm_node.settings import DECODE_TOKENS_MAX
from tests.models import CONTEXT, VOCABULARY, make_model

PROMPT = torch.randint(VOCABULARY, (1, 12), generator=torch.Generator().manual_seed(3))
MOST = DECODE_TOKENS_MAX - 1


@pytest.fixture(scope="module", params=["llama", "mistral"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The second sees 8 tokens only, and keeps no more."""
    return make_model(request.param, tmp_path_factory.mktemp("draft"))


@pytest.fixture(scope="module")
def small(path: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def continued(model: Any, text: torch.Tensor, count: int) -> list[int]:
    """What plain transformers writes."""
    output = model.generate(
        text, attention_mask=torch.ones_like(text), max_new_tokens=count, do_sample=False, pad_token_id=0
    )
    return output[0, text.shape[1] :].tolist()


def test_it_guesses_what_it_would_write(small: Any) -> None:
    assert Draft(small).guess(PROMPT, 8) == continued(small, PROMPT, 8)


@pytest.mark.parametrize("right", range(6))
def test_what_did_not_come_true_is_forgotten(small: Any, right: int) -> None:
    draft = Draft(small)
    guessed = draft.guess(PROMPT, 5)
    other = (guessed[right] + 1) % VOCABULARY if right < 5 else 7
    text = torch.cat([PROMPT, torch.tensor([[*guessed[:right], other]])], dim=1)
    assert draft.guess(text, 6) == continued(small, text, 6)


def test_steps_without_a_guess_in_between_are_read_too(small: Any) -> None:
    draft = Draft(small)
    draft.guess(PROMPT, 3)
    text = torch.cat([PROMPT, torch.tensor([[5, 6, 7, 8, 9, 10]])], dim=1)
    assert draft.guess(text, 3) == continued(small, text, 3)


def test_it_knows_what_a_token_takes_once_it_has_written_some_after_the_prompt(small: Any) -> None:
    draft = Draft(small)
    draft.guess(PROMPT, DRAFT_TIMES_LEAST)  # the first of them reads the prompt
    assert draft.token_seconds is None
    draft.guess(torch.cat([PROMPT, torch.tensor([[5]])], dim=1), 2)
    assert draft.token_seconds is not None


def test_one_slow_token_does_not_decide(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.0, 9.0, 9.0, 9.01, 10.0, 10.02])  # of the first, which reads the prompt, only the beginning
    monkeypatch.setattr("swarm_node.generate.draft.perf_counter", lambda: next(clock))
    draft = Draft(small)
    draft.guess(PROMPT, 4)
    assert draft.token_seconds == pytest.approx(0.02)


def test_one_guess_a_step_that_always_comes_true_tells_what_a_token_takes(small: Any) -> None:
    draft = Draft(small)
    come = continued(small, PROMPT, 2 * DRAFT_TIMES_LEAST)
    draft.guess(PROMPT, 1)  # that was the prompt
    for count in range(2, 2 * DRAFT_TIMES_LEAST + 1, 2):
        assert draft.token_seconds is None
        draft.guess(torch.cat([PROMPT, torch.tensor([come[:count]])], dim=1), 1)
    assert draft.token_seconds is not None


def test_it_guesses_no_further_than_its_own_context(small: Any) -> None:
    assert Draft(small).room(CONTEXT - 3) == 3
    assert Draft(small).room(CONTEXT + 3) == 0


def test_a_model_of_other_tokens_is_refused_in_one_line(path: Path) -> None:
    with pytest.raises(UsageError, match="does not use the tokens of"):
        load_draft(str(files("swarm_node") / "demo_model"), ModelSource.open(str(path)))


def test_a_model_of_the_same_tokens_is_loaded_whole(path: Path, small: Any) -> None:
    draft = Draft(load_draft(str(path), ModelSource.open(str(path))))
    assert draft.guess(PROMPT, 5) == continued(small, PROMPT, 5)


def timed(step: float) -> Speculation:
    speculation = Speculation(0.001)
    speculation.stepped(0, step)
    return speculation


def test_many_are_drafted_over_a_slow_network_and_fewer_by_a_slow_draft() -> None:
    fast, slow = timed(0.2).drafts(0, 0, MOST, 0.002), timed(0.2).drafts(0, 0, MOST, 0.05)
    assert 0 < slow < fast <= MOST


def test_nothing_is_drafted_where_a_draft_takes_as_long_as_a_step() -> None:
    assert timed(0.01).drafts(0, 0, MOST, 0.01) == 0


def test_one_is_tried_to_learn_what_it_takes_and_none_before_a_step_was_timed() -> None:
    assert timed(0.2).drafts(0, 0, MOST, None) == 1
    assert Speculation(0.0).drafts(0, 0, MOST, None) == 0


def test_what_the_text_repeats_costs_nothing_and_is_preferred() -> None:
    assert timed(0.2).drafts(8, MOST, MOST, 0.01) == 0


def test_drafts_that_never_come_true_end() -> None:
    speculation = timed(0.2)
    for _ in range(30):
        speculation.drafted([1], [2])
    assert speculation.drafts(0, 0, MOST, 0.002) == 0
