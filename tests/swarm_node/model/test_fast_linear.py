"""Faster linear layers compute what plain ones do, whatever the number format and the number of rows."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from swarm_node.model import fast_linear
from swarm_node.model.fast_linear import MklLinear, OneDnnLinear, PackedLinear, WidenedLinear, faster, make_fast

ROWS = (1, 3, 8, 70)


def random_input(rows: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.randn(1, rows, 48, generator=torch.Generator().manual_seed(rows)).to(dtype)


def made(kind: str, dtype: torch.dtype) -> nn.Module:
    torch.manual_seed(0)
    layer = {
        "with a bias": lambda: nn.Linear(48, 600),
        "without": lambda: nn.Linear(48, 600, bias=False),
        "of GPT-2": lambda: Conv1D(600, 48),
    }[kind]()
    return layer.to(dtype).requires_grad_(False)


@pytest.mark.parametrize("kind", ["with a bias", "without", "of GPT-2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
def test_outputs_are_those_of_the_plain_layer(kind: str, dtype: torch.dtype) -> None:
    plain = made(kind, dtype)
    fast = faster(copy.deepcopy(plain))
    assert isinstance(fast, PackedLinear | WidenedLinear)
    for rows in ROWS:
        expected = plain(random_input(rows, dtype))
        output = fast(random_input(rows, dtype))
        assert output.dtype is dtype
        torch.testing.assert_close(output, expected, rtol=2e-2 if dtype is not torch.float32 else 1e-5, atol=1e-2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_is_rounded_once_at_the_end(dtype: torch.dtype) -> None:
    plain = made("with a bias", dtype)
    fast = faster(copy.deepcopy(plain))
    rows = random_input(70, dtype)
    exact = (rows.double() @ plain.weight.double().t() + plain.bias.double()).to(dtype)
    assert ((fast(rows) - exact).abs() <= torch.finfo(dtype).eps * exact.abs().clamp_min(1) * 4).all()


def test_a_model_that_asks_for_the_weight_gets_it() -> None:
    plain = made("without", torch.float32)
    assert torch.equal(faster(copy.deepcopy(plain)).weight, plain.weight)


@pytest.mark.parametrize("packed_kind", [OneDnnLinear, MklLinear])
@pytest.mark.parametrize("rows", [1, 2, 8, 64, 65, 700])
def test_both_libraries_multiply_any_number_of_rows(packed_kind: type[PackedLinear], rows: int) -> None:
    plain = made("with a bias", torch.float32)
    packed = packed_kind(plain.weight, plain.bias)
    torch.testing.assert_close(packed(random_input(rows, torch.float32)), plain(random_input(rows, torch.float32)))
    assert torch.equal(packed.weight, plain.weight)


def test_rows_that_do_not_lie_side_by_side_are_multiplied_too() -> None:
    plain = made("without", torch.float32)
    rows = torch.randn(5, 96)[:, ::2]
    for packed_kind in (OneDnnLinear, MklLinear):
        torch.testing.assert_close(packed_kind(plain.weight, None)(rows), plain(rows))


@pytest.mark.parametrize("faster_kind", [OneDnnLinear, MklLinear])
def test_the_library_that_is_faster_here_is_taken(
    faster_kind: type[PackedLinear], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast_linear, "_seconds", lambda layers, rows: float(not isinstance(layers[0], faster_kind)))
    assert fast_linear._float32_kind.__wrapped__() is faster_kind


def test_a_library_that_multiplies_wrongly_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_linear, "_seconds", lambda layers, rows: float(isinstance(layers[0], OneDnnLinear)))
    monkeypatch.setattr(MklLinear, "forward", lambda self, rows: rows @ self.weight.t() + 1)
    assert fast_linear._float32_kind.__wrapped__() is OneDnnLinear


def test_layers_deep_inside_are_exchanged_and_special_ones_left_alone() -> None:
    class Special(nn.Linear):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return -super().forward(rows)

    module = nn.Sequential(nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), Special(4, 4))
    make_fast(module)
    assert isinstance(module[0][0], PackedLinear)
    assert isinstance(module[0][1], nn.LayerNorm)
    assert type(module[1]) is Special


def test_a_processor_without_the_packed_form_keeps_the_plain_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    plain = made("without", torch.float32)
    assert faster(plain) is plain
