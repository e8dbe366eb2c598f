"""What one block of a model costs, found by building the model without memory and looking at what it does."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForCausalLM, PreTrainedConfig
from transformers.cache_utils import Cache
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from routing.errors import ModelError, ModelUnsupported, NotADecoder
from swarm_node.model.linear_layers import linear_layers, weight_of
from swarm_node.model.quant import Quant, linear_bytes
from swarm_node.model.quiet import quiet
from swarm_node.model.surgery import LayerList, accepted
from swarm_node.model.without_memory import is_put_off, with_all_shapes

log = logging.getLogger(__name__)

_ATTENTION_TYPES = {"full_attention", "sliding_attention", "chunked_attention"}


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that one block takes; the largest block counts where blocks differ."""

    block_bytes: int
    """Weights of one block."""
    token_bytes: int
    """Keys and values of one token in one block."""


@dataclass(frozen=True, slots=True)
class BlockShapes:
    """What the blocks of a model look like, whatever their weights."""

    list_name: str
    """Attribute that holds the blocks: ``layers``, ``h``, ``blocks``."""
    hidden_size: int
    """Width of the hidden state between blocks."""
    output_length: int
    """0 if a block returns a bare tensor, else the length of the tuple it returns."""
    parameters: tuple[int, ...]
    """Parameters of each block."""
    linear_parameters: tuple[int, ...]
    """Those of them that are weights of linear layers, which may be kept in fewer bits."""
    linear_outputs: tuple[int, ...]
    """Outputs of each block's linear layers, each of which then has a scale."""
    token_elements: tuple[int, ...]
    """Numbers that each block caches per token."""

    def footprint(self, dtype: torch.dtype, quant: Quant = Quant.NONE) -> Footprint:
        return Footprint(max(self._block_bytes(dtype, quant)), max(self.token_elements) * dtype.itemsize)

    def _block_bytes(self, dtype: torch.dtype, quant: Quant) -> list[int]:
        return [
            (count - linear) * dtype.itemsize + linear_bytes(quant, linear, outputs, dtype)
            for count, linear, outputs in zip(self.parameters, self.linear_parameters, self.linear_outputs, strict=True)
        ]


def probe(config: PreTrainedConfig) -> BlockShapes:
    """Build the model of ``config`` on the meta device, run two tokens through it and note the shapes.

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
            raise NotADecoder(_no_decoder(kind)) from error
        raise ModelUnsupported(f"model type {kind} cannot be split into blocks here; choose another model") from error
    if not shapes.token_elements and getattr(config, "is_decoder", None) is False:
        raise NotADecoder(_no_decoder(kind))
    if len(shapes.token_elements) != len(shapes.parameters):
        raise ModelUnsupported(_shared_state(kind))
    return shapes


class _RecordingCache(Cache):
    """Stands in for a cache and notes how many numbers each block would store per token."""

    is_compileable = False
    is_sliding = ()
    is_linear = ()
    is_dummy = ()

    def __init__(self) -> None:
        self.layers: list[Any] = []
        self.elements: dict[int, int] = {}

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        return query_length, 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.elements[layer_idx] = sum(part.shape[1] * part.shape[3] for part in (key_states, value_states))
        return key_states, value_states


class _Recorder:
    """Replaces a block's forward: notes the shapes, and lets a block fail once its attention has left them."""

    def __init__(self, cache: _RecordingCache) -> None:
        self.width = 0
        self.output_length = 0
        self._cache = cache

    def wrap(self, index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            hidden = args[0] if args else kwargs["hidden_states"]
            self.width = int(hidden.shape[-1])
            try:
                output = forward(*args, **kwargs)
            except RuntimeError as error:
                if index not in self._cache.elements or is_put_off(error):
                    raise
                # Routing to experts depends on data, which there is none of here; all shapes are known by now.
                log.debug("block %d fails without data, after its attention", index, exc_info=True)
                return hidden
            self.output_length = len(output) if isinstance(output, tuple) else 0
            return output

        return recorded


def _probe(config: PreTrainedConfig) -> BlockShapes:
    cache = _RecordingCache()
    recorder = _Recorder(cache)
    with quiet(), torch.device("meta"), torch.no_grad():
        # bfloat16 is the one type whose grouped matrix products exist on the meta device.
        model = AutoModelForCausalLM.from_config(
            _with_plain_rope(config), attn_implementation="eager", dtype=torch.bfloat16, trust_remote_code=False
        )
        model.eval()
        layers = LayerList.find(model)
        for index, block in enumerate(layers):
            block.forward = recorder.wrap(index, block.forward)
        hidden = torch.zeros(1, 2, model.get_input_embeddings().weight.shape[1], dtype=torch.bfloat16)
        positions = torch.arange(2)[None]
        forward = layers.owner.forward
        optional = accepted(forward, position_ids=positions)
        forward(inputs_embeds=hidden, past_key_values=cache, use_cache=True, **optional)
    return BlockShapes(
        list_name=layers.name,
        hidden_size=recorder.width,
        output_length=recorder.output_length,
        parameters=tuple(sum(weight.numel() for weight in block.parameters()) for block in layers),
        linear_parameters=tuple(sum(weight_of(layer).numel() for layer in linear_layers(block)) for block in layers),
        linear_outputs=tuple(sum(len(weight_of(layer)) for layer in linear_layers(block)) for block in layers),
        token_elements=tuple(cache.elements[index] for index in sorted(cache.elements)),
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
    kind = config.model_type
    if type(config) not in MODEL_FOR_CAUSAL_LM_MAPPING or getattr(config, "is_encoder_decoder", False):
        raise NotADecoder(_no_decoder(kind))
    text = config.get_text_config()
    types = set(getattr(text, "layer_types", None) or ())
    stateful = getattr(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)], "_is_stateful", False)
    if stateful or not types <= _ATTENTION_TYPES or getattr(text, "num_kv_shared_layers", 0):
        raise ModelUnsupported(_shared_state(kind))


def _no_decoder(kind: str) -> str:
    return f"model type {kind} is not a causal decoder; choose a model that generates text, such as a llama or a gpt2"


def _shared_state(kind: str) -> str:
    return (
        f"model type {kind} is not supported: some of its blocks keep no keys and values of their own "
        "(recurrent, convolutional or shared state); choose a model of attention blocks only"
    )
