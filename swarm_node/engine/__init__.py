"""Whose step runs when: one thread that runs all sessions' steps in batches, and the cache they share.

It knows no network: ``node`` hands it steps and sends on what comes of them."""

from __future__ import annotations

from swarm_node.engine.engine import Engine, open_engine
from swarm_node.engine.reservation import HostedStep, Reservation
from swarm_node.engine.speed import ComputeSpeed, known_speed, measure, remember_speed, speed_file
from swarm_node.engine.tally import Spread, Tally, WorkDone

__all__ = [
    "ComputeSpeed",
    "Engine",
    "HostedStep",
    "Reservation",
    "Spread",
    "Tally",
    "WorkDone",
    "known_speed",
    "measure",
    "open_engine",
    "remember_speed",
    "speed_file",
]
