"""A node in a program of your own: python docs/examples/own_node.py MODEL ADDRESS

It chooses its blocks by itself, and leaves when the program gets Ctrl-C. Its private key stays in own_node.key here.
"""

import signal
import sys
from pathlib import Path

import trio

from swarm_node.compute import StoredModel
from swarm_node.node import Node, NodeOptions

name, address = sys.argv[1:]


async def main() -> None:
    options = NodeOptions(Path("own_node.key"), initial_peers=[address], memory_bytes=2**30)
    states = []

    def report(node: Node) -> None:  # called at every change, not of its state only
        if node.state not in states:
            states.append(node.state)
            print(node.state.name, flush=True)

    node = Node(options, lambda: StoredModel.open(name), report)
    with trio.open_signal_receiver(signal.SIGINT) as interrupts:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(node.run)
            async for _ in interrupts:
                node.drain()
                break


trio.run(main)
