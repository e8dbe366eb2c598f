"""Tiny models with random weights, of any type: the config's own fields, made small by their names."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from transformers import CONFIG_MAPPING, PreTrainedConfig

from model_table.kinds import class_of
from model_table.sizes import OWN, SIZES, TEXT_ONLY, TOWER

SMALLEST_SPREAD = 0.1
"""Weights drawn with less make blocks that hardly change what goes through them."""


def tiny_model(kind: str, seed: int = 0) -> Any:
    """A model of model type ``kind`` in float32. Raises whatever its config or its code raise for what they dislike."""
    torch.manual_seed(seed)
    model = class_of(kind)._from_config(tiny_config(kind), dtype=torch.float32).eval()
    random = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:  # norms and biases start as constants, which hides whether they were loaded
                weight.add_(torch.randn(weight.shape, generator=random) * 0.1)
            elif weight.std() < SMALLEST_SPREAD:
                weight.copy_(torch.randn(weight.shape, generator=random) * 2 * SMALLEST_SPREAD)
        embeddings = model.get_input_embeddings()
        # Embeddings that outweigh the blocks make every model with tied weights repeat its last token.
        embeddings.weight.mul_(0.1)
    model.generation_config.eos_token_id = None
    return model


def tiny_config(kind: str) -> PreTrainedConfig:
    return _tiny(CONFIG_MAPPING[kind], text=True)


def _tiny(made: Any, *, text: bool, given: PreTrainedConfig | None = None) -> PreTrainedConfig:
    """A config of class ``made``; ``given`` is one of usual size, if it is a part of another."""
    names = {field.name for field in dataclasses.fields(made)}
    usual = given if given is not None else _usual(made)
    values = {name: value for name, value in SIZES.items() if name in names}
    if not text:
        values = {name: value for name, value in (values | {k: v for k, v in TOWER.items() if k in names}).items()
                  if name not in TEXT_ONLY}  # fmt: skip
    if "kv_lora_rank" in names and "num_key_value_heads" in names:
        values["num_key_value_heads"] = values["num_attention_heads"]
    if text:
        values |= _sections(usual)
    for part in made.sub_configs or {}:
        inner = getattr(usual, part, None)
        if isinstance(inner, PreTrainedConfig):
            of_text = text and part in ("text_config", "decoder", "language_config", "llm_config")
            values[part] = _tiny(type(inner), text=of_text, given=inner).to_dict()
    if text:
        values |= OWN.get(made.model_type, {})
    try:
        return made(**values)
    except Exception:  # noqa: BLE001 - configs refuse in their own ways; some want tokens for what None means elsewhere
        tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
        return made(**{**values, **{name: token for name, token in tokens.items() if name in values}})


def _usual(made: Any) -> PreTrainedConfig | None:
    try:
        return made()
    except Exception:  # noqa: BLE001 - as above; then it has no parts to look for
        return None


def _sections(usual: PreTrainedConfig | None) -> dict[str, Any]:
    """Rotary sections for three directions that add up to half of a head."""
    rope = getattr(usual, "rope_parameters", None)
    if not isinstance(rope, dict) or "mrope_section" not in rope:
        return {}
    half = int(SIZES["head_dim"] * float(rope.get("partial_rotary_factor", 1.0))) // 2
    quarter = half // 4
    return {"rope_parameters": {**rope, "mrope_section": [half - 2 * quarter, quarter, quarter]}}
