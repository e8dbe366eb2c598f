"""A server of a simulated swarm asks others whether they are there: whom, and when, as swarm_node/node/roll_call.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from churn.member import Member
from routing.node.roll_call import whom_to_ask
from routing.span import Span
from swarm_node.node.settings import ASK_AGAIN_SECONDS, ASK_SECONDS, ASKED_PEERS


def ask(
    seen: Sequence[Member],
    claims: Sequence[Span | None],
    blocks: int,
    fading_before: float,
    is_silent: Callable[[Member], bool],
) -> tuple[frozenset[int], float]:
    """Which of ``seen`` the last of them knows to be gone, by index, and the seconds that it took to find out.

    ``claims`` are the blocks in their records, which are overdue if they fade before ``fading_before``. ``is_silent``
    tells of those who do not answer, but did before: for them the server waits as long as nodes wait.
    """
    *others, member = seen
    gone = {place for place, other in enumerate(others) if member.gone.get(other) == other.expires}
    left = [None if place in gone else claim for place, claim in enumerate(claims)]

    def silent(asked: Sequence[int]) -> list[int]:
        return [place for place in asked[:ASKED_PEERS] if is_silent(seen[place])]

    first = silent(whom_to_ask(left, blocks, {i for i, other in enumerate(others) if other.expires < fading_before}))
    seconds = 0.0
    if first:
        everybody = whom_to_ask(left[:-1], blocks, range(len(others)))
        rest = [place for place in everybody if place not in first]
        gone.update(silent([*first, *rest]))
        seconds = ASK_SECONDS + ASK_AGAIN_SECONDS
    member.gone = {seen[place]: seen[place].expires for place in gone}
    return frozenset(gone), seconds
