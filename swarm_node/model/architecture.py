"""Which class of transformers writes text with a config, and how it is made without what somebody else has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from transformers import Cache, PreTrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
)

from routing.errors import NotADecoder
from swarm_node.model.surgery import hosted_blocks_only

C = TypeVar("C", bound=Cache)

_MAPPINGS = (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    # Models that also see or hear, of whose classes only the way of text is made.
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    MODEL_FOR_MULTIMODAL_LM_MAPPING,
)


_UNSUITED = {
    "paligemma": "reads a prompt in both directions, and blocks here see only what came before",
    "moshi": "is a part of a speech model, whose window transformers forgets while it reads a prompt",
}
"""What else would be taken for a decoder: it runs, and writes other tokens than transformers does."""


def class_of(config: PreTrainedConfig) -> Any:
    """Raises NotADecoder if there is none that goes on with a text."""
    if reason := _UNSUITED.get(config.model_type):
        raise NotADecoder(f"model type {config.model_type} {reason}; choose another model")
    if not getattr(config, "is_encoder_decoder", False):
        for mapping in _MAPPINGS:
            if type(config) in mapping and not _is_of_text_alone(mapping[type(config)], config):
                return mapping[type(config)]
    raise NotADecoder(no_decoder(config.model_type))


def _is_of_text_alone(kind: Any, config: PreTrainedConfig) -> bool:
    """Whether that class is made from a part of the config only; there is another for all of it then."""
    text = config.get_text_config()
    return text is not config and kind.config_class is type(text)


def cache_class(config: PreTrainedConfig, kind: type[C]) -> type[C]:
    """``kind``, or one that is also of the class which the code of ``config``'s blocks asks for."""
    if config.get_text_config().model_type != "minimax":
        return kind
    from transformers.models.minimax.modeling_minimax import MiniMaxCache

    return type(kind.__name__, (kind, MiniMaxCache), {})


def pruned(original: Any, prune: Callable[[Any], None]) -> Any:
    """The class ``original``, of whose models ``prune`` takes out parts while they are made."""

    def make(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        original.__init__(self, config, *args, **kwargs)
        prune(self)

    def initialise(self: Any, *args: Any, **kwargs: Any) -> None:
        with hosted_blocks_only(self):
            original._initialize_missing_keys(self, *args, **kwargs)

    # A class of the same name in the same module: transformers looks both up to learn what the class can do.
    own = {"__init__": make, "_initialize_missing_keys": initialise, "__module__": original.__module__}
    return type(original.__name__, (original,), own)


def no_decoder(kind: str) -> str:
    """One line about a model type that does not go on with a text."""
    return f"model type {kind} is not a causal decoder; choose a model that generates text, such as a llama or a gpt2"
