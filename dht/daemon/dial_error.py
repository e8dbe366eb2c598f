"""Why a peer could not be reached, out of the many lines that the daemon says about it."""

from __future__ import annotations

_REASONS = (
    ("peer id mismatch", "another peer answers there: the address is out of date"),
    ("dial to self", "that is this peer itself"),
    ("protocols not supported", "it does not serve this"),
    ("protocol not supported", "it does not serve this"),
    # libp2p leaves an address alone for 5 s and more after it failed there.
    ("dial backoff", "no answer when it was tried some seconds ago"),
    ("connection refused", "connection refused: nothing listens there"),
    ("no such host", "the host name is not known"),
    ("network is unreachable", "no network leads there"),
    ("no route to host", "no network leads there"),
    ("resource limit exceeded", "it has too many streams or connections"),
    ("stream reset", "it refused the stream"),
    # What accepts and then says nothing, a stopped node for example, is no other protocol.
    ("protocol: context deadline exceeded", "it accepts connections but says nothing: it hangs, or is no node"),
    ("failed to negotiate", "what answers there speaks another protocol"),
    ("no addresses", "no address of it is known"),
    ("no good addresses", "no address of it can be dialled"),
    ("routing: not found", "no address of it is known"),
    ("failed to find any peer in table", "no address of it is known"),
    ("deadline exceeded", "no answer in time"),
    ("i/o timeout", "no answer in time"),
    ("context canceled", "no answer in time"),
)


def dial_error(message: str) -> str:
    """The reason in a few words for a person; the last line of ``message`` if it is none of the known ones."""
    lowered = message.lower()
    for sign, reason in _REASONS:
        if sign in lowered:
            return reason
    lines = message.strip().splitlines()
    return lines[-1].strip()[:200] if lines else "no reason given"
