"""What the blocks of a model cost, found from its config alone: for plans, which need no weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from swarm_node.footprint import Footprint, probe
from swarm_node.model_config import context_length, read_config, refuse_quantised
from swarm_node.model_files import open_files


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
    _, config = read_config(name_or_path, files)
    refuse_quantised(name_or_path, config)
    shapes = probe(config)
    wanted = config.dtype if dtype_name == "auto" else getattr(torch, dtype_name)
    return ModelCosts(
        blocks=len(shapes.parameters),
        footprint=shapes.footprint(wanted if isinstance(wanted, torch.dtype) else torch.float32),
        block_parameters=max(shapes.parameters),
        context_length=context_length(config),
    )
