"""Our own form of gated delta-rule mixers, beside the model's."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from transformers.models.qwen3_5 import modeling_qwen3_5

from routing import Span
from swarm_node.compute import BlockSpan, Row, load_span
from swarm_node.model import ModelSource
from tests.models import make_model


@pytest.fixture(scope="module")
def span(tmp_path_factory: pytest.TempPathFactory) -> BlockSpan:
    source = ModelSource.open(str(make_model("qwen3_5_text", tmp_path_factory.mktemp("delta"))))
    return load_span(source, Span(0, source.blocks), dtype=torch.float32)


def run(span: BlockSpan, lengths: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """What sessions whose tokens come in steps of ``lengths`` make of random hidden states, together step by step."""
    caches = [span.new_cache(32) for _ in lengths]
    given = [torch.randn(32, span.hidden_size, generator=torch.Generator().manual_seed(n)) for n in range(len(lengths))]
    outputs: list[list[torch.Tensor]] = [[] for _ in lengths]
    for step in zip(*lengths, strict=True):
        rows = [Row(cache, tokens) for cache, tokens in zip(caches, step, strict=True)]
        parts = [hidden[cache.length : cache.length + tokens] for hidden, cache, tokens in
                 zip(given, caches, step, strict=True)]  # fmt: skip
        for output, part in zip(outputs, span.step(rows, torch.cat(parts)).split(list(step)), strict=True):
            output.append(part)
    return [torch.cat(parts) for parts in outputs]


def test_single_tokens_come_to_what_a_whole_prompt_does(span: BlockSpan) -> None:
    whole = run(span, [[12], [12]])
    alone = run(span, [[4, *[1] * 8]])
    beside = run(span, [[4, *[1] * 8], [3, *[1] * 8]])
    torch.testing.assert_close(alone[0], whole[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(beside[0], whole[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(beside[1], whole[1][:11], rtol=1e-4, atol=1e-4)


def test_they_do_not_go_through_the_model_s_own_code(span: BlockSpan, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("transformers' own form ran")

    cache = span.new_cache(8)
    hidden = torch.zeros(1, span.hidden_size)
    span.step([Row(cache, 1)], hidden)
    monkeypatch.setattr(modeling_qwen3_5, "torch_recurrent_gated_delta_rule", fail)
    span.step([Row(cache, 1)], hidden)
