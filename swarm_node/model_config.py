"""The config of a model: its architecture, without its weights."""

from __future__ import annotations

import json
from typing import Any

from transformers import AutoConfig, PreTrainedConfig

from routing.errors import ModelNotFound, ModelUnsupported
from swarm_node.model_files import CONFIG, ModelFiles
from swarm_node.quiet import quiet


def read_config(name: str, files: ModelFiles) -> tuple[dict[str, Any], PreTrainedConfig]:
    """The file's own values, and what transformers makes of them; ``name`` is for messages.

    Raises ModelNotFound if there is none, ModelUnsupported if it is of a kind that cannot be served here.
    """
    if CONFIG not in files.sizes:
        raise ModelNotFound(f"{name} has no config.json; give the directory of a transformers model")
    path = files.path(CONFIG)
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"{path} is not readable JSON; download the model again") from error
    try:
        with quiet():
            config = AutoConfig.from_pretrained(str(files.directory), trust_remote_code=False)
    except Exception as error:
        # Config classes validate in many ways; all of them mean that transformers does not know this model.
        kind = values.get("model_type") if isinstance(values, dict) else None
        raise ModelUnsupported(f"transformers here cannot read the config of {name} (model type {kind}); "
                               "update transformers or choose another model") from error  # fmt: skip
    return values, config


def refuse_quantised(name: str, config: PreTrainedConfig) -> None:
    """Raises ModelUnsupported for weights that are not plain floating point numbers."""
    if getattr(config, "quantization_config", None) is not None:
        raise ModelUnsupported(f"{name} is quantised; choose a float32, bfloat16 or float16 checkpoint")


def context_length(config: PreTrainedConfig) -> int | None:
    """Most tokens the model can attend to; None if its config does not say."""
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return int(length) if length else None
