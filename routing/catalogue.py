"""Which models a swarm has, judged from what its nodes say: pure, as everything here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from routing.snapshot import NodeView, Snapshot
from routing.span import Span, replicas

FINGERPRINT_PREFIX = 6
"""Fewest digits of a fingerprint that name a model: fewer would be a name that somebody might have meant."""


@dataclass(frozen=True, slots=True)
class Card:
    """A model as a node describes it.

    Only the fingerprint is bound to weights: nodes and clients compute it from the files, and a session is refused
    where it differs. The rest is the node's word.
    """

    name: str
    """The Hub id, or of a directory its last component."""
    revision: str | None
    """The Hub's commit; None for a model that its node has from a directory."""
    fingerprint: str
    blocks: int
    hidden_size: int
    context_length: int | None
    """Most tokens the model can attend to; None if its config does not say."""
    architecture: str
    """Transformers' model type, for example ``qwen3``."""
    dtype: str
    """Of the weights as they are stored."""
    size_bytes: int
    """Of the weight files."""


@dataclass(frozen=True, slots=True)
class PresentModel:
    """One model of a swarm: what is said of it, and who serves it."""

    card: Card
    """What most of its nodes say."""
    others: tuple[Card, ...]
    """What fewer say, those of more nodes first: of a directory the name differs from node to node."""
    snapshot: Snapshot

    @property
    def cards(self) -> tuple[Card, ...]:
        """All, the most believable first."""
        return (self.card, *self.others)

    @property
    def missing(self) -> list[Span]:
        """The maximal ranges of blocks that no online node hosts."""
        return self.snapshot.missing(self.card.blocks)

    @property
    def covered(self) -> bool:
        """Whether every block is served."""
        return not self.missing


def models_there(cards: Mapping[str, Card], snapshots: Mapping[str, Snapshot]) -> tuple[PresentModel, ...]:
    """Join ``cards`` by their publisher's peer id and ``snapshots`` by fingerprint; models that can be used come first.

    A card counts only beside its publisher's record in that model's snapshot, and one vote for each peer id. Where
    cards of one fingerprint differ, that of most nodes wins; among as many, that whose nodes serve most of its blocks.

    What a liar gains: with as many identities as he likes, each of which must also announce itself as a node, he can
    list models that are not there, and give a model a wrong name, size or number of blocks for people to see. He cannot
    have anybody compute with other weights: whoever opens a model by its card compares the fingerprint of the files
    with the card's, and nodes compare it again. So a lie costs its reader a refusal in one line and, at most, the
    download of a config and a tokenizer that are thrown away.
    """
    present = []
    for fingerprint, snapshot in snapshots.items():
        nodes = {node.peer_id: node for node in snapshot.nodes}
        votes = {peer_id: card for peer_id, card in cards.items() if card.fingerprint == fingerprint}
        ranked = _ranked({peer_id: card for peer_id, card in votes.items() if peer_id in nodes}, snapshot)
        if ranked:
            present.append(PresentModel(ranked[0], tuple(ranked[1:]), snapshot))
    return tuple(sorted(present, key=_usefulness))


def matching(models: Sequence[PresentModel], wanted: str) -> list[PresentModel]:
    """Those that ``wanted`` names: by a name that any node gives it, else by the beginning of its fingerprint."""
    named = [model for model in models if any(card.name == wanted for card in model.cards)]
    if named or len(wanted) < FINGERPRINT_PREFIX:
        return named
    return [model for model in models if model.card.fingerprint.startswith(wanted)]


def free_slots(node: NodeView, session_tokens: int) -> int:
    """Sessions of so many tokens that would fit on all of the node's blocks now."""
    return node.free_tokens // node.session_tokens(session_tokens, len(node.span))


def free_places(snapshot: Snapshot, blocks: int, session_tokens: int) -> int:
    """Sessions of so many tokens that would fit now: as many as the block with the least room takes."""
    room = [0] * blocks
    for node in snapshot.online():
        slots = free_slots(node, session_tokens)
        for block in node.span.within(blocks):
            room[block] += slots
    return min(room, default=0)


def longest_line(snapshot: Snapshot) -> int:
    """Sessions in the longest waiting line: one that waits stands at every node that might serve it."""
    return max((node.waiting for node in snapshot.nodes), default=0)


def _ranked(votes: Mapping[str, Card], snapshot: Snapshot) -> list[Card]:
    """The cards that ``votes`` hold by peer id, the most believable first."""
    count = Counter(votes.values())

    def doubt(card: Card) -> tuple[int, float, bool, str, str]:
        spans = [node.span for node in snapshot.online() if votes.get(node.peer_id) == card]
        served = sum(map(bool, replicas(spans, card.blocks))) / card.blocks
        return -count[card], -served, card.revision is None, card.name, str(card)

    return sorted(count, key=doubt)


def _usefulness(model: PresentModel) -> tuple[bool, int, str, str]:
    return not model.covered, -len(model.snapshot.nodes), model.card.name, model.card.fingerprint
