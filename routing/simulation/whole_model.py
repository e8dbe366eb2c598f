"""JFFC only: every server that can hold the whole model is a chain of its own."""

from __future__ import annotations

from collections.abc import Sequence

from routing.errors import MemoryTooSmall
from routing.plan.cluster import Chain, Link, ModelShape, Server, cache_slots, check_servers
from routing.span import Span


def whole_model_chains(servers: Sequence[Server], model: ModelShape) -> tuple[Chain, ...]:
    """One chain of one link for each server with memory for all blocks and a job's cache, fastest first.

    Its capacity is ⌊M̃_j/L⌋. Raises MemoryTooSmall if no server is that large.
    """
    check_servers(servers, model)
    span = Span(0, model.blocks)
    chains = [
        Chain((Link(index, span),), server.job_seconds(model.blocks), capacity)
        for index, server in enumerate(servers)
        if (capacity := cache_slots(server, model, model.blocks) // model.blocks) > 0
    ]
    if not chains:
        most = max(server.memory_bytes for server in servers)
        needed = model.blocks * (model.block_bytes + model.cache_bytes)
        raise MemoryTooSmall(
            f"no server holds the whole model: it takes {needed / 1e9:.6g} GB with one job's cache "
            f"and the largest gives {most / 1e9:.6g} GB; choose a policy that splits the model"
        )
    return tuple(sorted(chains, key=lambda chain: chain.service_seconds))
