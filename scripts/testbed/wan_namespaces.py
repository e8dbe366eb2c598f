"""Network namespaces with a TUN device each: made, found and removed by name. Linux and root only.

Imports the standard library only, for the forwarder to start at once.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NETWORK = ipaddress.IPv4Network("10.77.0.0/16")
"""The same in every test bed: namespaces know nothing of each other."""
DEVICE = "wan0"
MTU = 9000
"""Octets. Six times those of the internet, as the forwarder's work goes with the packets. TCP starts at the usual speed
all the same (the first window is set in octets); what remains different is that a loss takes out a larger piece."""

_FOLDER = Path("/run/netns")
_TUN = Path("/dev/net/tun")
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21}
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_IP_SECONDS = 60.0
_KILL_SECONDS = 5.0
_LONGEST_QUEUE = 5000
"""Packets that wait in a device while the forwarder is not running."""
_FIRST_WINDOW = 14_600
"""Octets that TCP sends before the first answer: ten full packets of the internet."""
_CONGESTION_CONTROL = "cubic"
"""Of TCP: what most machines use, whatever this one does. It says what a loss costs."""


class NamespaceError(Exception):
    """This machine or user cannot have such a network; the message is one line for people."""


def missing() -> str | None:
    """What this machine or user lacks for namespaces, as a line for people; None if nothing is known to be missing."""
    if os.geteuid() != 0:
        return "the test bed needs root: it makes network namespaces and TUN devices; run it with sudo"
    if shutil.which("ip") is None:
        return "the test bed needs the program ip: install iproute2"
    if not _TUN.exists():
        return f"the test bed needs {_TUN}: load the module tun, or give the container this device"
    match = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    held = int(match[1], 16) if match else 0
    if lacking := [name for name, bit in _CAPABILITIES.items() if not held >> bit & 1]:
        return f"the test bed needs root with {' and '.join(lacking)}: give the container these capabilities"
    return None


def name(prefix: str, forwarder: int, host: int) -> str:
    """``forwarder`` is the id of the process that serves the namespace."""
    return f"{prefix}-{forwarder}-{host}"


def address(host: int) -> str:
    return str(NETWORK[host + 1])


def existing(prefix: str, forwarder: int | None = None) -> list[str]:
    """Names of the namespaces of this prefix and forwarder, of all forwarders that are gone for None."""
    found = []
    for path in _FOLDER.glob(f"{prefix}-*"):
        match = re.fullmatch(rf"{prefix}-(\d+)-\d+", path.name)
        if match and (not _serves(int(match[1])) if forwarder is None else int(match[1]) == forwarder):
            found.append(path.name)
    return found


def create(names: Sequence[str]) -> list[int]:
    """Namespaces with addresses, loopback and TUN devices; returns the descriptors to read and write packets.

    Raises NamespaceError. The caller owns the descriptors and removes the namespaces, also those made before an error.
    A device goes with its descriptor.
    """
    _ip("-batch", "-", script="".join(f"netns add {name}\n" for name in names))
    descriptors = []
    for host, namespace in enumerate(names):
        with inside(namespace):
            descriptors.append(_open_tun())
            _configure(address(host))
    return descriptors


def remove(names: Sequence[str]) -> None:
    """Kill what still runs in these namespaces, and unname them. Raises NamespaceError if one is there afterwards."""
    _kill_inside(names)
    _ip("-force", "-batch", "-", script="".join(f"netns delete {name}\n" for name in names), check=False)
    if left := [name for name in names if (_FOLDER / name).exists()]:
        raise NamespaceError(f"network namespaces of the test bed cannot be removed: {', '.join(left)}")


def _serves(process: int) -> bool:
    """Whether this process is a forwarder: its id may have come to another program."""
    try:
        return b"wan_forwarder" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def _configure(own: str) -> None:
    # TCP's first window counts packets. With large ones it would be many times the usual, and short transfers too fast.
    tcp = f"initcwnd {max(2, round(_FIRST_WINDOW / (MTU - 40)))} congctl {_CONGESTION_CONTROL}"
    _ip(
        "-batch",
        "-",
        script=f"""link set lo up
        link set {DEVICE} addrgenmode none
        link set {DEVICE} mtu {MTU} txqueuelen {_LONGEST_QUEUE} up
        address add {own}/{NETWORK.prefixlen} dev {DEVICE}
        route replace {NETWORK} dev {DEVICE} proto kernel scope link src {own} {tcp}
        """,
    )


def _ip(*arguments: str, script: str, check: bool = True) -> None:
    result = subprocess.run(
        ["ip", *arguments], input=script, capture_output=True, text=True, timeout=_IP_SECONDS, check=False
    )
    if check and result.returncode:
        reason = (
            result.stderr.strip().splitlines()[0] if result.stderr.strip() else f"ip ended with {result.returncode}"
        )
        raise NamespaceError(f"the test bed cannot make its network namespaces: {reason}")


def _open_tun() -> int:
    """In the namespace in which this thread is."""
    try:
        descriptor = os.open(_TUN, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), _IFF_TUN | _IFF_NO_PI))
    except OSError as error:
        raise NamespaceError(f"the test bed cannot make a TUN device: {error.strerror}") from error
    return descriptor


@contextmanager
def inside(namespace: str) -> Iterator[None]:
    """This thread and the programs that it starts are in the namespace meanwhile."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        enter(namespace)
        yield
    finally:
        _enter(home)
        os.close(home)


def enter(namespace: str) -> None:
    """Take this thread and the programs that it starts there, for good. Raises NamespaceError."""
    descriptor = os.open(_FOLDER / namespace, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(descriptor)
    finally:
        os.close(descriptor)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise NamespaceError(f"the test bed cannot enter a network namespace: {os.strerror(code)}")


def _kill_inside(names: Sequence[str]) -> None:
    """Nothing is left over that a namespace would live on for, unless it does not die in time."""
    spaces = {(_FOLDER / name).stat().st_ino for name in names if (_FOLDER / name).exists()}
    deadline = time.monotonic() + _KILL_SECONDS
    # More than once, as one may be about to fork.
    while (found := _processes(spaces)) and time.monotonic() < deadline:
        for process in found:
            try:
                os.kill(process, signal.SIGKILL)
            except OSError as error:
                if error.errno != errno.ESRCH:
                    raise
        time.sleep(0.01)


def _processes(spaces: set[int]) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if os.stat(path / "ns" / "net").st_ino in spaces:
                found.append(int(path.name))
        except OSError:
            continue  # it ended
    return found
