"""What the blocks of a model cost, found from its config alone: for plans, which need no weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from transformers import AutoConfig

from routing.errors import ModelNotFound, ModelUnsupported
from swarm_node.footprint import Footprint, probe
from swarm_node.model_files import CONFIG, open_files
from swarm_node.quiet import quiet


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """Of a model in one dtype."""

    blocks: int
    footprint: Footprint
    block_parameters: int
    """Of the largest block."""
    context_length: int | None
    """Most tokens the model can attend to; None if its config does not say."""


def read_costs(name_or_path: str, dtype_name: str) -> ModelCosts:
    """Read the config in a directory or on the Hub; ``auto`` is the dtype that it names.

    Raises ModelNotFound, NotADecoder or ModelUnsupported.
    """
    files = open_files(name_or_path, None)
    if CONFIG not in files.sizes:
        raise ModelNotFound(f"{name_or_path} has no config.json; give the directory of a transformers model")
    try:
        with quiet():
            config = AutoConfig.from_pretrained(str(files.directory), trust_remote_code=False)
    except Exception as error:
        # Config classes validate in many ways; all of them mean that transformers does not know this model.
        raise ModelUnsupported(f"transformers here cannot read the config of {name_or_path}; "
                               "update transformers or choose another model") from error  # fmt: skip
    if getattr(config, "quantization_config", None) is not None:
        raise ModelUnsupported(f"{name_or_path} is quantised; choose a float32, bfloat16 or float16 checkpoint")
    shapes = probe(config)
    wanted = config.dtype if dtype_name == "auto" else getattr(torch, dtype_name)
    length = getattr(config.get_text_config(), "max_position_embeddings", None)
    return ModelCosts(
        blocks=len(shapes.parameters),
        footprint=shapes.footprint(wanted if isinstance(wanted, torch.dtype) else torch.float32),
        block_parameters=max(shapes.parameters),
        context_length=int(length) if length else None,
    )
