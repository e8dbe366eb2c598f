"""What a client must know of a model to find it in a swarm, read from its files without torch and transformers."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from routing import Card
from swarm_node.model.directory import CONFIG, LocalFiles
from swarm_node.model.fingerprint import fingerprint
from swarm_node.model.naming import public_name
from swarm_node.model.settings import HUB_READERS, OUTLINE_BYTES
from swarm_node.model.shards import read_shard, shard_files

_TOLD_BY_TRANSFORMERS = {"auto_map", "quantization_config", "text_config", "indexer_types", "index_topk", "hc_mult"}
"""Of configs whose numbers are not all that there is to say of blocks."""


def read_outline(name_or_path: str) -> Card | None:
    """What ModelSource.card would be; None of a model that is not here, or that takes transformers to know.

    Whether it can be served at all is for ModelSource to say. Raises what that raises for missing or broken weights.
    Blocks for the disk: call it in a thread.
    """
    directory = Path(name_or_path).expanduser()
    if not directory.is_dir():
        return None
    files = LocalFiles(directory)
    values = _plain_config(files)
    if values is None:
        return None
    with ThreadPoolExecutor(HUB_READERS) as readers:
        shards = tuple(readers.map(lambda file: read_shard(files, file), shard_files(files)))
    return Card(
        name=public_name(name_or_path, False),
        revision=None,
        fingerprint=fingerprint(files, values, shards),
        blocks=values["num_hidden_layers"],
        hidden_size=values["hidden_size"],
        context_length=values["max_position_embeddings"],
        architecture=values["model_type"],
        dtype=values.get("dtype") or values.get("torch_dtype") or "float32",
        size_bytes=sum(shard.size for shard in shards),
    )


def _plain_config(files: LocalFiles) -> dict[str, Any] | None:
    if files.sizes.get(CONFIG, OUTLINE_BYTES) >= OUTLINE_BYTES:
        return None
    try:
        values = json.loads(files.path(CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(values, dict) or values.keys() & _TOLD_BY_TRANSFORMERS:
        return None
    texts = (values.get("model_type"), values.get("dtype") or values.get("torch_dtype") or "float32")
    if not all(isinstance(text, str) for text in texts):
        return None
    kinds = values.get("architectures")
    if not isinstance(kinds, list) or not all(isinstance(kind, str) and kind.endswith("ForCausalLM") for kind in kinds):
        return None
    numbers = [values.get(name) for name in ("num_hidden_layers", "hidden_size", "max_position_embeddings")]
    return values if kinds and all(type(number) is int and number > 0 for number in numbers) else None
