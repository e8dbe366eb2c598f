"""What others may hear of where a model lies: a Hub id as it is, of a directory only its last name."""

from __future__ import annotations

import re
from pathlib import Path

from swarm_node.model.settings import NAME_CHARACTERS


def public_name(name_or_path: str, on_hub: bool) -> str:
    """As cards have it: letters, digits and ``_ . + -``, and in a Hub id one slash. The owner's folders stay his."""
    if on_hub:
        return name_or_path
    last = Path(name_or_path).expanduser().resolve().name
    plain = re.sub(r"[^\w.+-]", "-", last)[:NAME_CHARACTERS].lstrip(".+-")
    return plain or "model"
