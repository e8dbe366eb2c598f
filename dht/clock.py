"""Whether this machine's clock and a peer's agree well enough: records live for seconds, by their publisher's clock."""

from __future__ import annotations

from dht.peer_id import short_name
from dht.settings import CLOCK_SKEW_SECONDS
from routing.errors import ClockSkew


def check_clock(peer_id: str, theirs: float, asked: float, answered: float) -> None:
    """Raise ClockSkew unless ``theirs``, told between ``asked`` and ``answered`` of ours, is near (unix seconds)."""
    if asked - CLOCK_SKEW_SECONDS <= theirs <= answered + CLOCK_SKEW_SECONDS:
        return
    ahead = (asked + answered) / 2 - theirs
    raise ClockSkew(
        f"this machine's clock is {abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'} that of peer "
        f"{short_name(peer_id)}, and at most {CLOCK_SKEW_SECONDS:g} s are allowed: set the one that is wrong, "
        "for example with timedatectl set-ntp true"
    )
