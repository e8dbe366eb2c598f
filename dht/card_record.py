"""What a node publishes of its model: a card as it travels, every field of it bounded."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from dht.packed import PackedRecord
from routing.catalogue import Card

NAME_PATTERN = r"\A(?:\w[\w.-]*/)?\w[\w.+-]*\z"
"""Letters and digits of any script and ``_ . + -``, with at most one slash: what no terminal obeys, no shell reads
as more than a word, no command takes for an option, and nobody for a path outside the present directory."""


class CardRecord(PackedRecord):
    """One node's word on its model. Whose it is follows from where it was published.

    Nothing here is true because it is well formed; what a liar gains is told at routing.models_there().
    """

    VERSION: ClassVar[int] = 1

    name: Annotated[str, StringConstraints(pattern=NAME_PATTERN, max_length=120)]
    revision: Annotated[str, StringConstraints(pattern=r"\A(?:[0-9a-f]{40})?\z")]
    """Empty: the model is not from the Hub."""
    fingerprint: Annotated[str, StringConstraints(pattern=r"\A[0-9a-z-]{1,64}\z")]
    blocks: Annotated[int, Field(ge=1, le=2**12)]
    hidden_size: Annotated[int, Field(ge=1, le=2**20)]
    context_length: Annotated[int, Field(ge=0, le=2**40)]
    """0: the model does not say."""
    architecture: Annotated[str, StringConstraints(pattern=r"\A[A-Za-z0-9_.-]{1,48}\z")]
    dtype: Annotated[str, StringConstraints(pattern=r"\A[a-z0-9_]{1,16}\z")]
    size_bytes: Annotated[int, Field(ge=0, le=2**50)]

    @classmethod
    def from_card(cls, card: Card) -> CardRecord:
        """Raises ProtocolError if it breaks a bound."""
        return cls.checked(
            {
                "version": cls.VERSION,
                "name": card.name,
                "revision": card.revision or "",
                "fingerprint": card.fingerprint,
                "blocks": card.blocks,
                "hidden_size": card.hidden_size,
                "context_length": card.context_length or 0,
                "architecture": card.architecture,
                "dtype": card.dtype,
                "size_bytes": card.size_bytes,
            }
        )

    def to_card(self) -> Card:
        """What it says."""
        return Card(
            name=self.name,
            revision=self.revision or None,
            fingerprint=self.fingerprint,
            blocks=self.blocks,
            hidden_size=self.hidden_size,
            context_length=self.context_length or None,
            architecture=self.architecture,
            dtype=self.dtype,
            size_bytes=self.size_bytes,
        )
