"""Weights in fewer bits: what they cost and what they change."""

from __future__ import annotations

import copy
import math
from importlib.resources import as_file, files
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from routing.span import Span
from swarm_node.compute.cache import Row
from swarm_node.compute.loading import load_span
from swarm_node.compute.quantised import Int8Linear, quantise
from swarm_node.model.quant import Quant
from swarm_node.model.source import ModelSource
from tests.models import make_model

TEXT = """Return the list of names in the current local scope. The list type implements the sequence protocol, and
supports slicing with negative indices. A generator is a function that returns an iterator. If the object is not found,
an exception is raised. Files opened in text mode are decoded with the encoding of the locale unless another is given.
"""


def quantised_layer(layer: nn.Module, quant: Quant, device: str = "cpu") -> nn.Module:
    holder = nn.Sequential(copy.deepcopy(layer))
    quantise(holder, quant, device)
    return holder.to(device)[0]


@pytest.mark.parametrize("layer", [nn.Linear(64, 40), nn.Linear(64, 40, bias=False), Conv1D(40, 64)])
@pytest.mark.parametrize("rows", [1, 8, 30, 100])
@pytest.mark.parametrize(("quant", "off"), [(Quant.INT8, 0.01), (Quant.NF4, 0.15)])
def test_outputs_are_near_those_of_the_plain_layer(
    layer: nn.Module, rows: int, quant: Quant, off: float, device: str
) -> None:
    layer.requires_grad_(False)
    random = torch.randn(1, rows, 64, generator=torch.Generator().manual_seed(0))
    expected = layer(random)
    output = quantised_layer(layer, quant, device)(random.to(device)).cpu()
    assert 0 < (output - expected).norm() < off * expected.norm()


@pytest.mark.parametrize("quant", [Quant.INT8, Quant.NF4])
def test_a_model_that_multiplies_by_the_weight_itself_finds_a_plain_one(quant: Quant) -> None:
    layer = nn.Linear(64, 40, bias=False).requires_grad_(False)
    random = torch.randn(3, 64, generator=torch.Generator().manual_seed(0))
    packed = quantised_layer(layer, quant)
    torch.testing.assert_close(random @ packed.weight.T, packed(random))


def test_few_rows_and_many_are_computed_alike(device: str) -> None:
    layer = Int8Linear(nn.Linear(64, 600).requires_grad_(False)).to(device)
    random = torch.randn(100, 64, generator=torch.Generator().manual_seed(0)).to(device)
    torch.testing.assert_close(torch.cat([layer(row[None]) for row in random]), layer(random))


def test_an_output_without_weights_stays_zero() -> None:
    layer = nn.Linear(8, 2, bias=False).requires_grad_(False)
    layer.weight[0] = 0
    assert Int8Linear(layer)(torch.ones(1, 8))[0, 0] == 0


@pytest.mark.parametrize(("quant", "off"), [(Quant.INT8, 0.01), (Quant.NF4, 0.05)])
def test_the_demo_model_is_nearly_as_good_a_judge_of_text_as_before(quant: Quant, off: float) -> None:
    with as_file(files("swarm_node") / "demo_model") as directory:
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).requires_grad_(False)
        ids = AutoTokenizer.from_pretrained(directory)(TEXT, return_tensors="pt")["input_ids"]

    def perplexity() -> float:
        return math.exp(model(ids, labels=ids).loss.float().item())

    before = perplexity()
    quantise(model.model.layers, quant)
    assert 0 < abs(perplexity() / before - 1) < off


@pytest.mark.parametrize(("quant", "share"), [(Quant.INT8, 0.7), (Quant.NF4, 0.45)])
def test_blocks_in_fewer_bits_are_counted_as_such(tmp_path: Path, quant: Quant, share: float) -> None:
    source = ModelSource.open(str(make_model("llama", tmp_path)))
    plain, small = source.footprint(torch.bfloat16), source.footprint(torch.bfloat16, quant)
    blocks = load_span(source, Span(0, 1), dtype=torch.bfloat16, quant=quant)
    block = blocks._layers[0]
    held = sum(tensor.nbytes for tensor in (*block.parameters(), *block.buffers()))
    assert held == small.block_bytes < share * plain.block_bytes
    assert small.token_bytes == plain.token_bytes


def test_blocks_in_fewer_bits_come_near_the_plain_ones(tmp_path: Path) -> None:
    source = ModelSource.open(str(make_model("llama", tmp_path)))
    hidden = torch.randn(5, source.hidden_size, generator=torch.Generator().manual_seed(0))
    outputs = []
    for quant in Quant:
        blocks = load_span(source, Span(0, 1), dtype=torch.float32, quant=quant)
        outputs.append(blocks.step([Row(blocks.new_cache(5), 5)], hidden))
    plain, *others = outputs
    off = [((other - plain).norm() / plain.norm()).item() for other in others]
    assert 0 < off[0] < 0.1
    assert off[0] < off[1] < 0.7
