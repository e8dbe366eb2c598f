"""A server of Petals: ``python -m petals_side.petals_server MODEL DTYPE START:END [INITIAL_PEER]``, in its environment.

It is Petals's own command with its defaults, but for what a private swarm on one machine needs. Its speed is given
rather than measured (which would take a minute and contact servers of the internet), and it does not ask for news of
Petals. Prints ``ONLINE at ADDRESS`` when it can compute.
"""

from __future__ import annotations

import sys
from typing import Any

from petals_side.client import open_answers
from petals_side.petals_setup import DHT_PREFIX, prepare


def main(model: str, dtype: str, blocks: str, *peers: str) -> None:
    answers = open_answers()
    prepare()
    from petals.cli import run_server  # type: ignore[import-not-found]
    from petals.server.server import ModuleContainer  # type: ignore[import-not-found]

    create = ModuleContainer.create

    def create_and_tell(**options: Any) -> Any:
        container = create(**options)
        print("ONLINE at", options["dht"].get_visible_maddrs()[0], file=answers)
        return container

    ModuleContainer.create = create_and_tell
    run_server.validate_version = lambda: None
    sys.argv = ["run_server", model, "--block_indices", blocks, "--dht_prefix", DHT_PREFIX, "--torch_dtype", dtype]
    sys.argv += ["--throughput", "1", "--device", "cpu", "--host_maddrs", "/ip4/127.0.0.1/tcp/0", "--no_auto_relay"]
    sys.argv += ["--initial_peers", *peers] if peers else ["--new_swarm"]
    run_server.main()


if __name__ == "__main__":
    main(*sys.argv[1:])
