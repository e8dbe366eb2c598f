"""The process that is the network: it reads packets from the devices of all hosts and writes them when they are due.

Started by `testbed.wan` as ``python -m testbed.wan_forwarder``. Standard input: a line of Settings as JSON, then one
command a line. Standard output: one line of JSON for each, with ``error`` if it failed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

from testbed import wan_namespaces as namespaces
from testbed.wan_links import Links

BURST = 64
"""Packets read from one device before the others and due packets have their turn."""
PRIORITY = -20
"""As busy hosts on the same machine must not slow the network down."""
STDIN = 0
NETWORK_START = namespaces.NETWORK.network_address.packed[:2]


@dataclass(frozen=True, slots=True)
class Settings:
    owner: int
    """Id of the process that wants this network; it ends when that one does."""
    prefix: str
    delays: list[list[float]]
    """Seconds, one way from row to column."""
    rate_bits: float
    loss: float


class Forwarder:
    """Packets from device to device. Ends by SystemExit: when the owner is gone or by SIGTERM."""

    def __init__(self, links: Links, devices: list[int], owner: int) -> None:
        """``owner`` is a descriptor of its process."""
        self._links = links
        self._devices = devices
        self._hosts = {device: host for host, device in enumerate(devices)}
        self._owner = owner
        self._poll = select.epoll()
        for descriptor in (*devices, owner, STDIN):
            self._poll.register(descriptor, select.EPOLLIN)

    def run(self) -> NoReturn:
        while True:
            wait = self._links.deliver(time.monotonic, self._write)
            # epoll itself waits for whole milliseconds only.
            select.select([self._poll], [], [], wait)
            for descriptor, _ in self._poll.poll(0):
                if descriptor in self._hosts:
                    self._read(descriptor)
                elif descriptor == self._owner:
                    sys.exit("the owner of the test bed is gone")
                else:
                    self._answer()

    def _read(self, device: int) -> None:
        source, accept, clock = self._hosts[device], self._links.accept, time.monotonic
        for _ in range(BURST):
            try:
                packet = os.read(device, namespaces.MTU)
            except BlockingIOError:
                return
            if packet[0] >> 4 == 4 and packet[16:18] == NETWORK_START:
                accept(source, (packet[18] << 8 | packet[19]) - 1, packet, clock())

    def _write(self, host: int, packet: bytes) -> bool:
        try:
            os.write(self._devices[host], packet)
        except OSError:  # a device that is down or out of memory drops packets, as real ones do
            return False
        return True

    def _answer(self) -> None:
        line = sys.stdin.buffer.readline()
        if not line:
            sys.exit("the owner of the test bed closed it")
        _reply(self._obey(json.loads(line)))

    def _obey(self, command: dict[str, Any]) -> dict[str, Any]:
        match command:
            case {"link": [source, destination], "delay": seconds}:
                self._links[source, destination].delay = seconds
            case {"cut": host}:
                self._links.cut(host)
            case {"heal": host}:
                self._links.heal(host)
            case {"traffic": _}:
                return asdict(self._links.traffic())
            case _:
                return {"error": f"unknown command {command}"}
        return {}


def _reply(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


def _hurry() -> None:
    try:
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    except PermissionError:
        print("the network of the test bed runs at normal priority: busy hosts may delay packets", file=sys.stderr)


def main() -> None:
    settings = Settings(**json.loads(sys.stdin.buffer.readline()))
    # A descriptor rather than a signal upon the parent's death: that would come when the thread ends that started this
    # process, and leaves no time to clean up.
    owner = os.pidfd_open(settings.owner)
    if os.getppid() != settings.owner:  # it died, and its id may be another's
        return
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit())
    try:
        namespaces.remove(namespaces.existing(settings.prefix))
        names = [namespaces.name(settings.prefix, os.getpid(), host) for host in range(len(settings.delays))]
        devices = namespaces.create(names)
        forwarder = Forwarder(Links(settings.delays, settings.rate_bits, settings.loss), devices, owner)
        _hurry()
        _reply({})
        forwarder.run()
    except namespaces.NamespaceError as error:
        _reply({"error": str(error)})
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        namespaces.remove(namespaces.existing(settings.prefix, os.getpid()))


if __name__ == "__main__":
    main()
