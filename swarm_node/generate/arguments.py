"""What callers are used to give transformers, and what a swarm takes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from routing.errors import UsageError

_TOKEN = "huggingface_hub finds it by itself: run hf auth login, or set HF_TOKEN"
_QUANTISED = "each node decides how it keeps its blocks (swarm node --quant)"
_INSTEAD = {
    "attn_implementation": "nodes compute attention, in their own way",
    "cache_dir": "set HF_HOME to the directory instead",
    "device_map": 'give device="cuda" for the part of the model that is here; nodes have devices of their own',
    "load_in_4bit": _QUANTISED,
    "load_in_8bit": _QUANTISED,
    "local_files_only": "set HF_HUB_OFFLINE=1 instead",
    "quantization_config": _QUANTISED,
    "token": _TOKEN,
    "trust_remote_code": "code that comes with a model is never run here",
    "use_auth_token": _TOKEN,
}


def peer_addresses(given: Sequence[str] | str) -> list[str]:
    """``initial_peers`` as a list: a text holds addresses with commas or spaces between. Raises UsageError if none."""
    addresses = given.replace(",", " ").split() if isinstance(given, str) else list(given)
    if not addresses or not all(isinstance(address, str) for address in addresses):
        raise UsageError('initial_peers needs the address of a node, as it prints it: "/ip4/…/p2p/…"')
    return addresses


def refuse_foreign(given: Mapping[str, Any]) -> None:
    """Raises UsageError for what transformers' from_pretrained takes and this one does not, TypeError for the rest."""
    for name, value in given.items():
        if name not in _INSTEAD:
            raise TypeError(f"from_pretrained() got an unexpected keyword argument '{name}'")
        if value is not None and value is not False:
            raise UsageError(f"from_pretrained takes no {name} here: {_INSTEAD[name]}")
