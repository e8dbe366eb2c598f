"""The one exception tree. It lives in the lowest package so that every layer can raise from it.

SwarmError                      exit code 1; the message is one line that says what to do
├── UsageError                  exit code 2; what the user typed cannot be right
│   ├── ContextTooLong          prompt and new tokens exceed the model's context
│   └── ClusterInvalid          a description of servers, model or load that no cluster can have
├── ModelError
│   ├── ModelNotFound           neither a local directory nor a reachable Hub id
│   ├── NotADecoder             a model without a causal decoder
│   └── ModelUnsupported        a decoder whose blocks cannot be split or cached here
├── IdentityError               the key file cannot be read, written or understood
├── NetworkError
│   ├── DaemonError             the libp2p daemon did not start, or died
│   │   └── PortTaken           the listening port belongs to somebody else
│   ├── PeerUnreachable         a peer does not answer at the addresses known for it
│   ├── ClockSkew               this machine's clock differs too much from its peers'
│   ├── PeerSilent              a peer is connected but does not answer in time
│   └── StreamClosed            the other side went away, in the middle or between frames
├── ProtocolError               a frame or record that breaks the schema or a bound
├── CapacityError
│   ├── CacheFull               a node has no room for this session's cache now
│   ├── MemoryTooSmall          the memory given does not hold what was asked for
│   └── Overloaded              jobs arrive faster than all chains together can serve them
└── RoutingError
    ├── BlocksNotCovered        no node serves some blocks
    ├── WrongModel              a peer serves another model than the one asked for
    └── ChainBroken             a hop of a running session died, stalled or refused
"""

from __future__ import annotations

from collections.abc import Iterator


class SwarmError(Exception):
    """Root of everything this project raises on purpose."""

    exit_code = 1


class UsageError(SwarmError):
    exit_code = 2


class ContextTooLong(UsageError):
    pass


class ClusterInvalid(UsageError):
    pass


class ModelError(SwarmError):
    pass


class ModelNotFound(ModelError):
    pass


class NotADecoder(ModelError):
    pass


class ModelUnsupported(ModelError):
    pass


class IdentityError(SwarmError):
    pass


class NetworkError(SwarmError):
    pass


class DaemonError(NetworkError):
    pass


class PortTaken(DaemonError):
    pass


class PeerUnreachable(NetworkError):
    pass


class ClockSkew(NetworkError):
    pass


class PeerSilent(NetworkError):
    pass


class StreamClosed(NetworkError):
    pass


class ProtocolError(SwarmError):
    pass


class CapacityError(SwarmError):
    pass


class CacheFull(CapacityError):
    """``free_tokens`` are the block-tokens that are free, None if unknown."""

    def __init__(self, message: str, free_tokens: int | None = None) -> None:
        super().__init__(message)
        self.free_tokens = free_tokens


class MemoryTooSmall(CapacityError):
    pass


class Overloaded(CapacityError):
    pass


class RoutingError(SwarmError):
    pass


class BlocksNotCovered(RoutingError):
    pass


class WrongModel(RoutingError):
    pass


class ChainBroken(RoutingError):
    """``peer_id`` is the hop at fault, None if unknown; ``reason`` is what it or the network said."""

    def __init__(self, message: str, peer_id: str | None = None, reason: SwarmError | None = None) -> None:
        super().__init__(message)
        self.peer_id = peer_id
        self.reason = reason


def sole_error(error: BaseException) -> BaseException:
    """The error that matters in a tree of exception groups: a SwarmError if there is one, else the first leaf."""
    found = list(leaves(error))
    return next((leaf for leaf in found if isinstance(leaf, SwarmError)), found[0])


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a tree of exception groups, ``error`` itself if it is no group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
