"""How long a message of a few KiB takes there and back over TCP alone: what a network costs whoever uses it.

    python scripts/bench/processes/tcp_echo.py ADDRESS         answers on that IPv4 address until its input ends
    python scripts/bench/processes/tcp_echo.py ADDRESS TIMES   asks there so often, and prints the median in seconds

Imports the standard library only, for little else to be at work meanwhile.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

PORT = 5001
MESSAGE = bytes(3072)
PAUSE_SECONDS = 0.1
"""Between two questions: as long as a token takes, so that the network is as idle as then."""
TIMES = 30


def round_trip(asker: Sequence[str], answerer: Sequence[str], address: str) -> float:
    """Seconds between two hosts; ``asker`` and ``answerer`` are what commands there begin with."""
    command = [sys.executable, "-P", "-S", __file__, address]
    with subprocess.Popen([*answerer, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdout.readline()
        asked = subprocess.run([*asker, *command, str(TIMES)], stdout=subprocess.PIPE, check=True)
        server.stdin.close()
    return float(asked.stdout)


def answer(address: str) -> None:
    with socket.create_server((address, PORT)) as server:
        print("listening", flush=True)
        connection, _ = server.accept()
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while _receive(connection):
                connection.sendall(MESSAGE)
    sys.stdin.read()


def ask(address: str, times: int) -> None:
    seconds = []
    with socket.create_connection((address, PORT), timeout=10.0) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            time.sleep(PAUSE_SECONDS)
            started = time.perf_counter()
            connection.sendall(MESSAGE)
            _receive(connection)
            seconds.append(time.perf_counter() - started)
    print(statistics.median(seconds))


def _receive(connection: socket.socket) -> bool:
    """Whether a whole message came before the end."""
    missing = len(MESSAGE)
    while missing:
        data = connection.recv(missing)
        if not data:
            return False
        missing -= len(data)
    return True


if __name__ == "__main__":
    if len(sys.argv) == 2:
        answer(sys.argv[1])
    else:
        ask(sys.argv[1], int(sys.argv[2]))
