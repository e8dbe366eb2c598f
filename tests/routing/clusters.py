"""Clusters for tests: the paper's worked example, and random ones."""

from __future__ import annotations

from hypothesis import strategies as st

from routing.plan.cluster import Chain, ModelShape, Server
from routing.span import Span

EPSILON = 0.01
EXAMPLE_MODEL = ModelShape(blocks=3, block_bytes=1, cache_bytes=0.1)
EXAMPLE_SERVERS = [
    Server(str(number), 3 if number == 2 else 2, 2 if number == 2 else 1, number * EPSILON) for number in range(1, 6)
]
"""arXiv 2604.14993, section 2.3: server 2 holds two blocks, the others one."""


def chain(seconds: float, capacity: int = 1) -> Chain:
    """A chain where only its time and its room matter."""
    return Chain((), seconds, capacity)


@st.composite
def clusters(draw: st.DrawFn, most_servers: int = 8, most_blocks: int = 6) -> tuple[list[Server], ModelShape]:
    """A few servers whose times are all different, so that no two chains take equally long."""
    model = ModelShape(
        draw(st.integers(1, most_blocks)), block_bytes=draw(st.floats(0.5, 2)), cache_bytes=draw(st.floats(0.1, 1))
    )
    seconds = st.floats(0.001, 10, allow_subnormal=False)
    servers = [
        Server(f"s{index}", draw(st.floats(0.5, 12)), draw(seconds), draw(seconds))
        for index in range(draw(st.integers(1, most_servers)))
    ]
    return servers, model


@st.composite
def placed_clusters(draw: st.DrawFn) -> tuple[list[Server], ModelShape, list[Span | None]]:
    """A cluster and any placement whose weights fit, sensible or not."""
    servers, model = draw(clusters())
    spans: list[Span | None] = []
    for server in servers:
        most = min(int(server.memory_bytes / model.block_bytes), model.blocks)
        count = draw(st.integers(0, most))
        start = draw(st.integers(0, model.blocks - count))
        spans.append(Span(start, start + count) if count else None)
    return servers, model, spans
