"""Blocks of the Llama family in the few operations that they need.

For a few tokens a model's own forward costs much besides: in Python, and in small tensors that come and go. The modules
are those that transformers has made, and self_check.py asks whether both forms compute the same.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as functional

from swarm_node.compute.attention import Asked, attend

LEAN_MODELS = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Model types whose blocks are all of this kind: a norm and attention, a norm and a gated layer."""

Turns = tuple[torch.Tensor, torch.Tensor]
"""Cosine and signed sine of each token's position, [tokens, 1, head width]: see turns()."""


def turns(cosine: torch.Tensor, sine: torch.Tensor) -> Turns:
    """Of what a rotary module returns, each [1, tokens, head width]."""
    half = sine.shape[-1] // 2
    signed = torch.cat((-sine[..., :half], sine[..., half:]), dim=-1)
    return cosine.transpose(0, 1), signed.transpose(0, 1)


class LeanBlock:
    """One block, by the weights of the module that transformers made of it. Runs inside attending() only."""

    def __init__(self, block: Any) -> None:
        """Raises AttributeError if it is of another kind."""
        attention, mlp = block.self_attn, block.mlp
        self._index: int = attention.layer_idx
        self._head_width: int = attention.head_dim
        self._scaling: float = attention.scaling
        self._norm = _Norm(block.input_layernorm)
        # Past what torch does round a module's forward for hooks that nobody has set.
        self._query, self._key, self._value, self._output, self._gate, self._up, self._down = (
            linear.forward
            for linear in (
                attention.q_proj, attention.k_proj, attention.v_proj, attention.o_proj,
                mlp.gate_proj, mlp.up_proj, mlp.down_proj,
            )
        )  # fmt: skip
        self._activation = mlp.act_fn
        self._query_norm = _Norm(attention.q_norm) if hasattr(attention, "q_norm") else None
        self._key_norm = _Norm(attention.k_norm) if hasattr(attention, "k_norm") else None
        self._second_norm = _Norm(block.post_attention_layernorm)

    def __call__(self, hidden: torch.Tensor, turns: Turns) -> torch.Tensor:
        """[tokens, hidden size] to the same."""
        normed = self._norm(hidden)
        query = self._heads(self._query, normed)
        key = self._heads(self._key, normed)
        value = self._heads(self._value, normed)
        if self._query_norm is not None and self._key_norm is not None:
            query, key = self._query_norm(query), self._key_norm(key)
        turned = _turned(torch.cat((query, key), dim=1), turns).transpose(0, 1)
        heads = query.shape[1]
        asked = Asked(turned[:heads], turned[heads:], value.transpose(0, 1), self._scaling, None, None)
        seen = attend(self._index, asked).reshape(len(hidden), -1)
        hidden = self._output(seen).add_(hidden)
        normed = self._second_norm(hidden)
        return self._down(self._activation(self._gate(normed)).mul_(self._up(normed))).add_(hidden)

    def _heads(self, linear: Any, normed: torch.Tensor) -> torch.Tensor:
        """[tokens, heads, head width]"""
        states: torch.Tensor = linear(normed)
        return states.view(len(normed), -1, self._head_width)


class _Norm:
    """Root mean square over the last dimension."""

    def __init__(self, module: Any) -> None:
        self._weight: torch.Tensor = module.weight
        self._width = self._weight.numel()
        self._epsilon: float = module.variance_epsilon
        self._twice = torch.cat((self._weight, self._weight)) if self._weight.device.type == "cpu" else None
        self._signs = self._weight.new_tensor([[1.0], [-1.0]])

    def __call__(self, states: torch.Tensor) -> torch.Tensor:
        if self._twice is None:
            return functional.rms_norm(states, (self._width,), self._weight, self._epsilon)
        # On a CPU torch has one kernel for a layer norm and half a dozen for this: beside its negative the mean is 0.
        doubled = (states.unsqueeze(-2) * self._signs).flatten(-2)
        normed = functional.layer_norm(doubled, (2 * self._width,), self._twice, None, self._epsilon)
        return normed[..., : self._width]


def _turned(heads: torch.Tensor, turns: Turns) -> torch.Tensor:
    """Rotary embedding of [tokens, heads, head width]."""
    cosine, sine = turns
    return torch.addcmul(heads * cosine, heads.roll(heads.shape[-1] // 2, -1), sine)
