"""Gated delta-rule mixers (Qwen3.5), in our own form where each session has one token: a third of the operations.

Everything else goes through the model's own code, against which this is tried when blocks are loaded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional

from swarm_node.compute.hybrid import HybridCache

_PARTS = ("in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "conv1d", "A_log", "dt_bias", "norm", "out_proj")
_NORM_EPSILON = 1e-6
"""With which queries and keys are brought to length 1."""


def take_lean_mixers(model: Any) -> None:
    """Run the mixers of ``model`` by our own form wherever it fits. The weights must not change any more."""
    for module in model.modules():
        if all(hasattr(module, part) for part in _PARTS) and getattr(module, "activation", None) == "silu":
            module.forward = _LeanMixer(module, module.forward)


class _LeanMixer:
    """In place of a mixer's forward."""

    def __init__(self, mixer: Any, plain: Callable[..., Any]) -> None:
        self._mixer = mixer
        self._plain = plain
        self._rate = -mixer.A_log.float().exp()
        self._shift = mixer.dt_bias.float()
        self._taps = mixer.conv1d.weight.squeeze(1)

    def __call__(self, hidden_states: torch.Tensor, cache_params: Any = None, *args: Any, **kwargs: Any) -> Any:
        """[rows, tokens, width] to the same."""
        if hidden_states.shape[1] == 1 and isinstance(cache_params, HybridCache):
            states = cache_params.look(self._mixer.layer_idx)
            if states is not None:
                return self._step(hidden_states[:, 0], *states, cache_params)[:, None]
        return self._plain(hidden_states, cache_params, *args, **kwargs)

    def _step(
        self, hidden: torch.Tensor, conv: torch.Tensor, recurrent: torch.Tensor, cache: HybridCache
    ) -> torch.Tensor:
        """``hidden`` [rows, width], ``conv`` [rows, channels, taps], ``recurrent`` [rows, value heads, key, value]."""
        mixer, rows = self._mixer, hidden.shape[0]
        conv = torch.cat([conv[..., 1:], mixer.in_proj_qkv(hidden)[..., None]], dim=-1)
        mixed = (conv * self._taps).sum(-1)
        if mixer.conv1d.bias is not None:
            mixed = mixed + mixer.conv1d.bias
        heads, width = recurrent.shape[1], mixer.head_k_dim
        keys = mixer.key_dim // width
        pair = functional.silu(mixed[:, : 2 * mixer.key_dim]).float().view(rows, 2, keys, width)
        pair = pair * torch.rsqrt(pair.square().sum(-1, keepdim=True) + _NORM_EPSILON)
        pair = pair.transpose(1, 2).repeat_interleave(heads // keys, dim=1)  # [rows, heads, query and key, width]
        value = functional.silu(mixed[:, 2 * mixer.key_dim :]).float().view(rows, heads, -1)

        decay = torch.exp(self._rate * functional.softplus(mixer.in_proj_a(hidden).float() + self._shift))[..., None]
        query_seen, key_seen = (pair @ recurrent).unbind(2)
        query, key = pair.unbind(2)
        delta = (value - decay * key_seen) * mixer.in_proj_b(hidden).sigmoid().float()[..., None]
        output = (decay * query_seen + (query * key).sum(-1, keepdim=True) * delta) * width**-0.5
        recurrent = torch.addcmul(recurrent * decay[..., None], key[..., None], delta[:, :, None])
        cache.put(mixer.layer_idx, conv, recurrent)

        gate = functional.silu(mixer.in_proj_z(hidden).float()).view(rows, heads, -1)
        normed = functional.rms_norm(
            output.to(hidden.dtype).float(), output.shape[-1:], eps=mixer.norm.variance_epsilon
        )
        gated = (mixer.norm.weight * normed.to(hidden.dtype)) * gate
        projected: torch.Tensor = mixer.out_proj(gated.to(hidden.dtype).view(rows, -1))
        return projected
