"""What must be set before Petals is imported, so that it starts with today's torch and stays on this machine."""

from __future__ import annotations

import tempfile

import torch.amp.grad_scaler
import torch.cuda.amp.grad_scaler

DHT_PREFIX = "bench"
"""Names the model in Petals's DHT, where a directory has no name of its own."""


def prepare() -> None:
    # hivemind's optimizer, which Petals never calls, asks for two names where torch had them until 2.2.
    old, new = torch.cuda.amp.grad_scaler, torch.amp.grad_scaler
    for name in ("OptState", "_refresh_per_optimizer_state"):
        setattr(old, name, getattr(new, name))
    # Its daemons would ask the router of this network to open ports for them.
    from hivemind.p2p import P2P

    P2P.create.__kwdefaults__["nat_port_map"] = False
    # It leaves its sockets behind, and would do so in /tmp.
    P2P._UNIX_SOCKET_PREFIX = f"/unix{tempfile.gettempdir()}/hivemind-"
