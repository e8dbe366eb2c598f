"""Names for the beginnings of a sequence: two sequences of which a key is the same begin with the same tokens.

The n-th key of a sequence names its first n * PREFIX_TOKENS tokens. It hashes the hidden states of the last chunk of
them, as the client sends them to the first hop, together with the key before it, and so says all that came before.
Keys travel and are kept one after the other in one string of bytes.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from swarm_node.wire.dtypes import tensor_bytes
from swarm_node.wire.messages import WireDtype
from swarm_node.wire.settings import PREFIX_KEY_BYTES, PREFIX_KEYS_MAX, PREFIX_TOKENS

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a session begins with, as far as its keys tell, and who may know that somebody has sent it before."""

    owner: str = ""
    """Peer id of the client; empty where the node's operator lets all clients share."""
    keys: bytes = b""

    @property
    def tokens(self) -> int:
        """Tokens that the keys name."""
        return tokens_of(self.keys)

    def first(self, tokens: int) -> Beginning:
        """The beginning within its first ``tokens`` tokens."""
        return Beginning(self.owner, keys_within(self.keys, tokens))

    def common(self, other: Beginning) -> int:
        """How many tokens at the beginning are the same and one owner's."""
        return common_tokens(self.keys, other.keys) if self.owner == other.owner else 0


def more_keys(keys: bytes, states: torch.Tensor, wire: WireDtype | None = None, owner: str = "") -> bytes:
    """``keys`` and those that follow for ``states`` [length, hidden], of which they name the beginnings so far.

    States that travel in another number format, ``wire``, have other keys: what the hops keep of them is not the same.
    So have those of another ``owner``, where one client asks for several people: none finds what another has sent.
    """
    made, last = [keys], keys[-PREFIX_KEY_BYTES:] or f"{wire or ''}{owner}".encode()
    known = len(keys) // PREFIX_KEY_BYTES
    for number in range(known, min(len(states) // PREFIX_TOKENS, PREFIX_KEYS_MAX)):
        key = blake2b(last, digest_size=PREFIX_KEY_BYTES)
        key.update(tensor_bytes(states[number * PREFIX_TOKENS : (number + 1) * PREFIX_TOKENS]))
        last = key.digest()
        made.append(last)
    return b"".join(made)


def tokens_of(keys: bytes) -> int:
    """How many tokens ``keys`` name."""
    return len(keys) // PREFIX_KEY_BYTES * PREFIX_TOKENS


def keys_within(keys: bytes, tokens: int) -> bytes:
    """Those of ``keys`` that name the first ``tokens`` tokens or fewer."""
    return keys[: tokens // PREFIX_TOKENS * PREFIX_KEY_BYTES]


def common_tokens(one: bytes, other: bytes) -> int:
    """How many tokens two sequences have in common at the beginning, as their keys tell."""

    def differ(number: int) -> bool:
        key = slice(number * PREFIX_KEY_BYTES, (number + 1) * PREFIX_KEY_BYTES)
        return one[key] != other[key]

    # Once they differ, they differ to the end.
    return PREFIX_TOKENS * bisect_left(range(min(len(one), len(other)) // PREFIX_KEY_BYTES), True, key=differ)
