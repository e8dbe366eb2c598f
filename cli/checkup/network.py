"""The machine's place in the network: the libp2p daemon, the port, the addresses, the way to other nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import trio

from cli.checkup.finding import Finding, Verdict
from dht import Identity, Reach, furthest_reach, open_peer
from routing.errors import ClockSkew, DaemonError, PeerUnreachable, PortTaken, UsageError

_CONNECT_SECONDS = 3.0
"""To one's own port: it is near."""


async def network(host: str, port: int, initial_peers: Sequence[str]) -> list[Finding]:
    """Be a peer for a moment, under a key that nobody keeps. Raises UsageError for malformed addresses."""
    alone = await _alone(host, port)
    if not initial_peers or any(finding.verdict is Verdict.WRONG for finding in alone):
        return alone
    return [*alone, await _joined(host, port, initial_peers)]


async def _alone(host: str, port: int) -> list[Finding]:
    with TemporaryDirectory() as folder:
        identity = Identity.create(Path(folder) / "key")
        try:
            async with open_peer(identity, host=host, port=port) as peer:
                addresses = peer.addresses
                listens = [await _listens(addresses)] if addresses else []
        except PortTaken as error:
            return [Finding("port", Verdict.WRONG, str(error), f"swarm node --port {port + 1} …")]
        except DaemonError as error:
            mend = "pip install --force-reinstall --no-deps hivemind"
            return [Finding("daemon", Verdict.WRONG, str(error), mend)]
    return [Finding("daemon", Verdict.OK, "libp2p's daemon starts"), *listens, reachability(addresses, port)]


async def _listens(addresses: Sequence[str]) -> Finding:
    """Whether anything answers at one of one's own addresses."""
    _, kind, host, transport, port, *_ = addresses[0].split("/")
    try:
        with trio.fail_after(_CONNECT_SECONDS):
            await (await trio.open_tcp_stream(host, int(port))).aclose()
    except (OSError, trio.TooSlowError, ValueError) as error:
        said = f"nothing answers at {kind} {host} {transport} {port} ({error or 'too slow'}), not even from here"
        return Finding("port", Verdict.WRONG, said, f"sudo ufw allow {port}/tcp    (or your firewall's command)")
    return Finding("port", Verdict.OK, f"answers at {host} {transport} {port}, from here")


def reachability(addresses: Sequence[str], port: int) -> Finding:
    """Who can call ``addresses``; ``port``: the one asked for, 0 if any."""
    told = " ".join(addresses)
    chosen = f"--port {port or 31337}"
    match furthest_reach(addresses):
        case Reach.INTERNET:
            said = f"a node here tells others {told}"
            mend = "" if port else f"swarm node {chosen} …    (and let that port in at the firewall)"
            return Finding("addresses", Verdict.OK if port else Verdict.NOTE, said, mend)
        case Reach.MACHINE:
            said = f"only programs on this machine can reach {told}"
            return Finding("addresses", Verdict.NOTE, said, "swarm node --host 0.0.0.0 …")
        case None:
            said = "this machine has no address that others could call"
            return Finding("addresses", Verdict.WRONG, said, "ip address    (it shows which interfaces are up)")
    said = f"only your own network can reach {told}"
    mend = f"swarm node {chosen} …    (and have the router forward TCP port {port or 31337} to this machine)"
    return Finding("addresses", Verdict.NOTE, said, mend)


async def _joined(host: str, port: int, initial_peers: Sequence[str]) -> Finding:
    with TemporaryDirectory() as folder:
        identity = Identity.create(Path(folder) / "key")
        try:
            async with open_peer(identity, host=host, port=port, initial_peers=initial_peers):
                return Finding("peers", Verdict.OK, "a node of the swarm answers, and its clock agrees")
        except ClockSkew as error:
            return Finding("clock", Verdict.WRONG, str(error), "sudo timedatectl set-ntp true")
        except (PeerUnreachable, UsageError) as error:
            mend = "swarm status --initial-peers ADDRESS …    (ask a node's owner for its present address)"
            return Finding("peers", Verdict.WRONG, str(error), mend)
