"""Everything transformers' generate can do, through a swarm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import set_seed

from routing.errors import ContextTooLong, UsageError
from swarm_node import AutoSwarmModelForCausalLM, SwarmModel
from swarm_node.local_swarm import LocalSwarm
from tests.models import CONTEXT
from tests.swarm.runs import prompt_of, yardstick


def both(model: SwarmModel, path: Path, inputs: torch.Tensor, **options: Any) -> tuple[list[Any], list[Any]]:
    """The same call on the swarm and on plain transformers, with the same random numbers."""
    results = []
    for target in (model, yardstick(path)):
        set_seed(7)
        mask = options.pop("attention_mask", None)
        arguments = {"max_new_tokens": 20, "pad_token_id": 0, **options}
        arguments["attention_mask"] = torch.ones_like(inputs) if mask is None else mask
        results.append(target.generate(inputs, **arguments).tolist())
        if mask is not None:
            options["attention_mask"] = mask
    return results[0], results[1]


def test_the_own_part_of_a_model_may_be_on_any_device(swarm: LocalSwarm, path: Path, device: str) -> None:
    inputs = torch.tensor([prompt_of(9), prompt_of(9)[::-1]])
    with AutoSwarmModelForCausalLM.from_pretrained(
        str(path), initial_peers=[swarm.address], dtype="float32", device=device
    ) as model:
        one, two = (
            model.generate(rows.to(device), max_new_tokens=20, do_sample=False) for rows in (inputs[:1], inputs)
        )
    plain = yardstick(path).generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=20, do_sample=False)
    assert one.tolist() == plain[:1].tolist() and two.tolist() == plain.tolist()


def test_sampling_draws_the_same_tokens(model: SwarmModel, path: Path) -> None:
    swarm, plain = both(model, path, torch.tensor([prompt_of(9)]), do_sample=True, temperature=0.8, top_p=0.9)
    assert swarm == plain


def test_beam_search_finds_the_same_text(model: SwarmModel, path: Path) -> None:
    swarm, plain = both(model, path, torch.tensor([prompt_of(9)]), num_beams=4, do_sample=False)
    assert swarm == plain


def test_a_padded_batch_gives_each_row_its_own_text(model: SwarmModel, path: Path) -> None:
    rows = [prompt_of(3), prompt_of(11), prompt_of(7)]
    width = max(map(len, rows))
    inputs = torch.tensor([[0] * (width - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    swarm, plain = both(model, path, inputs, attention_mask=mask, do_sample=False)
    assert swarm == plain


def test_prompt_lookup_rolls_rejected_tokens_back(model: SwarmModel, path: Path) -> None:
    repeating = prompt_of(6) * 4
    swarm, plain = both(model, path, torch.tensor([repeating]), do_sample=False, prompt_lookup_num_tokens=4)
    assert swarm == plain


def test_a_second_turn_goes_on_where_the_first_ended(model: SwarmModel, path: Path) -> None:
    cache = model.new_cache(200)
    first = torch.tensor([prompt_of(12)])
    answer = model.generate(
        first, attention_mask=torch.ones_like(first), max_new_tokens=10, do_sample=False, pad_token_id=0,
        past_key_values=cache,
    )  # fmt: skip
    second = torch.cat([answer, torch.tensor([prompt_of(5)])], dim=1)
    output = model.generate(
        second, attention_mask=torch.ones_like(second), max_new_tokens=10, do_sample=False, pad_token_id=0,
        past_key_values=cache,
    )  # fmt: skip
    cache.close()
    plain = yardstick(path).generate(
        second, attention_mask=torch.ones_like(second), max_new_tokens=10, do_sample=False, pad_token_id=0
    )
    assert output.tolist() == plain.tolist()


def test_a_plain_forward_call_gives_the_logits_of_every_token(model: SwarmModel, path: Path) -> None:
    inputs = torch.tensor([prompt_of(9)])
    with torch.inference_mode():
        swarm, plain = model(inputs).logits, yardstick(path)(inputs).logits
    torch.testing.assert_close(swarm, plain, rtol=1e-4, atol=1e-4)


def test_a_batch_padded_on_the_right_gives_the_logits_of_its_tokens(model: SwarmModel, path: Path) -> None:
    inputs = torch.tensor([prompt_of(9), [*prompt_of(4), 0, 0, 0, 0, 0]])
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    with torch.inference_mode():
        swarm = model(inputs, attention_mask=mask).logits
        plain = yardstick(path)(inputs, attention_mask=mask).logits
        last = model(inputs, attention_mask=mask, logits_to_keep=1).logits
    torch.testing.assert_close(swarm[0], plain[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(swarm[1, :4], plain[1, :4], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(last[0, -1], plain[0, -1], rtol=1e-4, atol=1e-4)


def test_more_tokens_than_the_context_are_refused(model: SwarmModel) -> None:
    inputs = torch.tensor([prompt_of(9)])
    with pytest.raises(ContextTooLong, match=str(CONTEXT)):
        model.generate(inputs, attention_mask=torch.ones_like(inputs), max_new_tokens=CONTEXT, pad_token_id=0)


@pytest.mark.parametrize("wanted", ["output_hidden_states", "output_attentions"])
def test_what_blocks_hold_inside_is_refused_and_not_empty(model: SwarmModel, wanted: str) -> None:
    inputs = torch.tensor([prompt_of(5)])
    with pytest.raises(UsageError, match=wanted):
        model(inputs, **{wanted: True})
    with pytest.raises(UsageError, match=wanted):
        model.generate(inputs, max_new_tokens=2, return_dict_in_generate=True, pad_token_id=0, **{wanted: True})


def test_a_model_without_its_blocks_is_not_saved(model: SwarmModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in the swarm"):
        model.save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
