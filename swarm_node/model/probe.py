"""What the blocks of a model look like, found by building it without memory and looking at what it does."""

from __future__ import annotations

import copy
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache

from routing.errors import ModelError, ModelUnsupported, NotADecoder
from swarm_node.model.architecture import cache_class, class_of, no_decoder, pruned
from swarm_node.model.footprint import BlockShapes, even_starts
from swarm_node.model.linear_layers import linear_layers, weight_of
from swarm_node.model.quiet import quiet
from swarm_node.model.surgery import LayerList, accepted, keep_text
from swarm_node.model.without_memory import is_put_off, with_all_shapes

log = logging.getLogger(__name__)

PROBE_TOKENS = 7
"""As many as no tensor has heads, so that those which tell something of each token are known by it."""

REASON_CHARS = 120
"""Of what transformers says, in a refusal."""

_ATTENTION_TYPES = {"full_attention", "sliding_attention", "chunked_attention", "indexed_attention"}
_RECURRENT_TYPES = {"linear_attention", "conv", "hybrid", "hybrid_sliding"}
"""Of blocks that remember a session in states of one size, beside keys and values or instead of them."""
_FORGETFUL_TYPES = {"moe", "mlp"}
"""Of blocks that remember nothing."""
_READING_ELSEWHERE = ("encoder_attn", "crossattention", "cross_attn")
"""Parts of blocks of an encoder-decoder's decoder, and of those that look at pictures."""


def probe(config: PreTrainedConfig) -> BlockShapes:
    """Build the model of ``config`` on the meta device, run some tokens through it and note the shapes.

    Raises NotADecoder if it is no causal decoder, ModelUnsupported if its blocks cannot be split or cached here.
    """
    _refuse_by_config(config)
    kind = config.model_type
    try:
        shapes = with_all_shapes(lambda: _probe(config))
    except ModelError:
        raise
    except Exception as error:
        # Any architecture may come this way, so what it raises when its blocks are run from outside is anybody's guess.
        if getattr(config, "is_decoder", None) is False:
            raise NotADecoder(no_decoder(kind)) from error
        said = " ".join(str(error).split())[:REASON_CHARS] or type(error).__name__
        raise ModelUnsupported(_refused(kind, f"its blocks cannot be run one by one ({said})")) from error
    if not any(shapes.remembers) and getattr(config, "is_decoder", None) is False:
        raise NotADecoder(no_decoder(kind))
    kinds = zip(shapes.remembers, _block_types(config, len(shapes.remembers)), strict=True)
    if not any(shapes.remembers) or any(not remembers and named not in _FORGETFUL_TYPES for remembers, named in kinds):
        raise ModelUnsupported(_refused(kind, "transformers keeps nothing of a session for some of its blocks"))
    return shapes


class _RecordingCache(Cache):
    """Stands in for a cache and notes how many numbers each block would store."""

    is_compileable = False
    is_sliding = ()
    is_linear = ()
    is_dummy = ()

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.token_elements: Counter[int] = Counter()
        self.state_elements: Counter[int] = Counter()
        self.exact_state_elements: Counter[int] = Counter()

    def knows(self, block: int) -> bool:
        """Whether that block has stored anything."""
        return any(block in noted for noted in (self.token_elements, self.state_elements, self.exact_state_elements))

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        return query_length, 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.token_elements[layer_idx] += sum(part.shape[1] * part.shape[3] for part in (key_states, value_states))
        return key_states, value_states

    def update_indexer(self, indexer_key_states: torch.Tensor, layer_idx: int) -> torch.Tensor:
        self.token_elements[layer_idx] += indexer_key_states.shape[-1]
        return indexer_key_states

    def has_previous_state(self, layer_idx: int | None = None, state_idx: int | None = None) -> bool:
        return False

    def is_recording_past(self, layer_idx: int) -> bool:
        return False

    def get_conv_state(self, layer_idx: int, state_idx: int = 0) -> None:
        return None

    def get_recurrent_state(self, layer_idx: int, state_idx: int = 0) -> None:
        return None

    def update_conv_state(
        self, conv_states: torch.Tensor, layer_idx: int, state_idx: int = 0, conv_kernel_size: int | None = None,
        **_: Any,
    ) -> torch.Tensor:  # fmt: skip
        width = conv_kernel_size or conv_states.shape[-1]
        self._note(layer_idx, math.prod(conv_states.shape[:-1]) * width, conv_states.dtype)
        return functional.pad(conv_states, (max(0, width - conv_states.shape[-1]), 0))

    def update_recurrent_state(
        self, recurrent_states: torch.Tensor, layer_idx: int, state_idx: int = 0, **_: Any
    ) -> torch.Tensor:
        self._note(layer_idx, recurrent_states.numel(), recurrent_states.dtype)
        return recurrent_states

    def get_linear_cache(self, layer_idx: int) -> None:
        return None

    def set_linear_cache(self, layer_idx: int, linear_cache: torch.Tensor) -> None:
        self._note(layer_idx, linear_cache.numel(), linear_cache.dtype)

    def _note(self, block: int, elements: int, dtype: torch.dtype) -> None:
        noted = self.exact_state_elements if dtype is torch.float32 else self.state_elements
        noted[block] += elements


class _Recorder:
    """Replaces a block's forward: notes the shapes, and lets a block fail once its attention has left them."""

    def __init__(self, kind: str, cache: _RecordingCache) -> None:
        self._kind = kind
        self.width = 0
        self.streams = 1
        self.output_length = 0
        self._cache = cache

    def wrap(self, index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            hidden = args[0] if args else kwargs["hidden_states"]
            self.width, self.streams = math.prod(hidden.shape[2:]), math.prod(hidden.shape[2:-1])
            if hidden.shape[:2] != (1, PROBE_TOKENS):
                raise ModelUnsupported(_refused(self._kind, "its blocks hand on more than hidden states"))
            if any(_is_by_token(value, hidden) for value in (*args[1:], *kwargs.values())):
                raise ModelUnsupported(_refused(self._kind, "its blocks hand on more than hidden states"))
            try:
                output = forward(*args, **kwargs)
            except RuntimeError as error:
                if not self._cache.knows(index) or is_put_off(error):
                    raise
                # Routing to experts depends on data, which there is none of here; all shapes are known by now.
                log.debug("block %d fails without data, after its attention", index, exc_info=True)
                return hidden
            self.output_length = len(output) if isinstance(output, tuple) else 0
            return output

        return recorded


def _probe(config: PreTrainedConfig) -> BlockShapes:
    cache = cache_class(config, _RecordingCache)()
    recorder = _Recorder(config.model_type, cache)
    beside: list[str] = []
    with quiet(), torch.device("meta"), torch.no_grad():
        # bfloat16 is the one type whose grouped matrix products exist on the meta device.
        kind = pruned(class_of(config), lambda made: beside.extend(keep_text(made)))
        model = kind._from_config(_with_plain_rope(config), attn_implementation="eager", dtype=torch.bfloat16)
        model.eval()
        layers = LayerList.find(model)
        if any(hasattr(block, name) for block in layers for name in _READING_ELSEWHERE):
            reason = "its blocks also read what another part of the model has encoded"
            raise ModelUnsupported(_refused(config.model_type, reason))
        for index, block in enumerate(layers):
            block.forward = recorder.wrap(index, block.forward)
        hidden = torch.zeros(1, PROBE_TOKENS, model.get_input_embeddings().weight.shape[1], dtype=torch.bfloat16)
        positions = torch.arange(PROBE_TOKENS)[None]
        forward = layers.owner.forward
        optional = accepted(forward, position_ids=positions, past_key_values=cache, cache_params=cache)
        forward(inputs_embeds=hidden, use_cache=True, **optional)
    return BlockShapes(
        list_name=layers.name,
        beside=tuple(sorted(set(beside))),
        hidden_size=recorder.width,
        streams=recorder.streams,
        output_length=recorder.output_length,
        starts=even_starts(_legal_cuts(config, len(layers)), len(layers)),
        parameters=tuple(sum(weight.numel() for weight in block.parameters()) for block in layers),
        linear_parameters=tuple(sum(weight_of(layer).numel() for layer in linear_layers(block)) for block in layers),
        linear_outputs=tuple(sum(len(weight_of(layer)) for layer in linear_layers(block)) for block in layers),
        token_elements=tuple(cache.token_elements[index] for index in range(len(layers))),
        state_elements=tuple(cache.state_elements[index] for index in range(len(layers))),
        exact_state_elements=tuple(cache.exact_state_elements[index] for index in range(len(layers))),
    )


def _with_plain_rope(config: PreTrainedConfig) -> PreTrainedConfig:
    """A copy whose rotary frequencies do not depend on data; no shape depends on them."""
    plain = copy.deepcopy(config)
    parameters = getattr(plain.get_text_config(), "rope_parameters", None) or {}
    for variant in (parameters, *parameters.values()):
        if isinstance(variant, dict) and variant.get("rope_type") in ("dynamic", "longrope"):
            variant["rope_type"] = "default"
    return plain


def _refuse_by_config(config: PreTrainedConfig) -> None:
    class_of(config)
    kind, text = config.model_type, config.get_text_config()
    unknown = set(getattr(text, "layer_types", None) or ()) - _ATTENTION_TYPES - _RECURRENT_TYPES - _FORGETFUL_TYPES
    if unknown:
        raise ModelUnsupported(_refused(kind, f"it has blocks of the kind {', '.join(sorted(unknown))}"))
    if shared := getattr(text, "num_kv_shared_layers", None):
        raise ModelUnsupported(_refused(kind, f"its last {shared} blocks use keys and values of blocks before them"))


def _legal_cuts(config: PreTrainedConfig, layers: int) -> list[int]:
    """The layers before which the model may be cut, 0 among them: not those that use the choice of one before."""
    text: Any = config.get_text_config()
    indexers: Sequence[str] = getattr(text, "indexer_types", None) or ()
    return [layer for layer in range(layers) if not layer or indexers[layer : layer + 1] != ["shared"]]


def _block_types(config: PreTrainedConfig, blocks: int) -> Sequence[str]:
    """What kind of block each is; empty where the config does not tell."""
    text: Any = config.get_text_config()
    types: Sequence[str] = getattr(text, "layer_types", None) or ()
    return types or [""] * blocks


def _is_by_token(value: Any, hidden: torch.Tensor) -> bool:
    """Whether an argument of a block beside the hidden state tells something of each token."""
    return (
        isinstance(value, torch.Tensor)
        and value is not hidden
        and value.is_floating_point()
        and value.ndim >= 3
        and value.shape[:2] == hidden.shape[:2]
    )


def _refused(kind: str, reason: str) -> str:
    return f"model type {kind} is not supported: {reason}; choose another model"
