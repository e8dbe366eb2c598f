"""Which model types of transformers go on with a text, and the classes of their models."""

from __future__ import annotations

from typing import Any

import transformers
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES,
)

CAUSAL = frozenset(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
"""Types with a class for text alone."""
WRAPPING = frozenset({*MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES, *MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES})
"""Types of models that also see or hear."""


def every_kind() -> list[str]:
    return sorted(CAUSAL | WRAPPING)


def class_of(kind: str) -> Any:
    """The class that transformers itself would make of a checkpoint of this type."""
    named = (
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.get(kind)
        or MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES.get(kind)
        or MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    )
    if kind in ("fuyu", "git"):  # of two mappings the other one's name is the right one
        named = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[kind]
    return getattr(transformers, named if isinstance(named, str) else named[0])
