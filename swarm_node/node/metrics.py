"""What Prometheus learns about a node: read from it at each scrape, so that a token's way costs nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
)
from prometheus_client.registry import Collector

from routing import NodeState, Span
from swarm_node.engine import Spread, WorkDone
from swarm_node.node.view import Standing

PREFIX = "swarm_node_"


def registry_of(standing: Callable[[], Standing]) -> CollectorRegistry:
    """A registry of its own for the node whose ``standing`` is asked, and for its process."""
    registry = CollectorRegistry()
    registry.register(NodeCollector(standing))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    return registry


class NodeCollector(Collector):
    """Reads one node whenever Prometheus asks; on the node's trio thread."""

    def __init__(self, standing: Callable[[], Standing]) -> None:
        self._standing = standing

    def collect(self) -> Iterator[Metric]:
        """All that there is to say of the node now."""
        standing = self._standing()
        yield from _about(standing)
        yield from _sessions(standing)
        yield from _room(standing)
        yield from _work({"decode": standing.tally.decode, "prefill": standing.tally.prefill})
        yield _histogram("batch_steps", "Steps that ran together.", [([], standing.tally.rows)])
        yield from _swarm(standing)


def _about(standing: Standing) -> Iterator[Metric]:
    view = standing.view
    states = {state.value: state is standing.state for state in NodeState}
    yield StateSetMetricFamily(PREFIX + "state", "Where it stands in its life.", value=states)
    about = {"model": standing.model}
    if view is not None:
        about |= {"peer": view.peer_id, "dtype": view.dtype, "version": view.version}
    yield InfoMetricFamily(PREFIX + "about", "What it serves, and who it is.", value=about)
    span = view.span if view is not None else Span(0, 1)
    yield _gauge("first_block", "First block that it serves.", span.start if view else 0)
    yield _gauge("blocks", "Blocks that it serves.", len(span) if view else 0)
    yield _gauge("memory_bytes", "Memory that its owner gives.", view.memory_bytes if view else 0)
    yield _gauge(
        "decode_seconds_per_block", "Measured: a decode step in one block.", view.decode_seconds if view else 0
    )
    yield _gauge(
        "prefill_seconds_per_block", "Measured: a prompt token in one block.", view.prefill_seconds if view else 0
    )


def _sessions(standing: Standing) -> Iterator[Metric]:
    view, counts = standing.view, standing.counts
    yield _gauge("sessions_running", "Sessions that hold cache.", view.running if view else 0)
    yield _gauge("sessions_waiting", "Sessions that wait in line for cache.", view.waiting if view else 0)
    yield _counter("sessions", "Sessions that had cache here and have ended.", counts.served)
    yield _counter("failovers", "Sessions that lost the next node on their chain.", counts.failovers)
    refusals = CounterMetricFamily(
        PREFIX + "refusals", "Streams that ended in an error before a session began.", labels=["reason"]
    )
    for reason, count in sorted(counts.refused.items()):
        refusals.add_metric([reason], count)
    yield refusals


def _room(standing: Standing) -> Iterator[Metric]:
    """Cache is counted in block-tokens: keys and values of one token in one block."""
    view = standing.view
    free_places, places = standing.places
    yield _gauge("free_places", "Sessions of usual length for which there is room on all of its blocks.", free_places)
    yield _gauge("places", "The same in an empty cache.", places)
    yield _gauge("cache_block_tokens", "Cache in all, in block-tokens.", view.cache_tokens if view else 0)
    yield _gauge("cache_free_block_tokens", "Cache that no session holds.", view.free_tokens if view else 0)
    yield _gauge("cache_kept_block_tokens", "Free cache that keeps prompts.", standing.kept_tokens)
    yield _gauge("queue_steps", "Steps that wait or run.", standing.queued_steps)
    yield _gauge("backlog_block_tokens", "Work that has come and is to be done.", view.backlog_tokens if view else 0)


def _work(kinds: dict[str, WorkDone]) -> Iterator[Metric]:
    steps = CounterMetricFamily(PREFIX + "steps", "Steps that are through.", labels=["kind"])
    failed = CounterMetricFamily(PREFIX + "failed_steps", "Steps on which the blocks failed.", labels=["kind"])
    tokens = CounterMetricFamily(PREFIX + "tokens", "Tokens that went through its blocks.", labels=["kind"])
    for kind, done in kinds.items():
        steps.add_metric([kind], done.steps)
        failed.add_metric([kind], done.failed)
        tokens.add_metric([kind], done.tokens)
    yield from (steps, failed, tokens)
    spreads = [([kind], done.seconds) for kind, done in kinds.items()]
    yield _histogram("batch_seconds", "Time of batches: decodes alone, or with a part of a prompt.", spreads, ["kind"])


def _swarm(standing: Standing) -> Iterator[Metric]:
    missing = standing.missing
    yield _gauge("other_nodes", "Other nodes of its model that it sees.", len(standing.others))
    yield _gauge("missing_blocks", "Blocks of its model that nobody serves.", sum(len(span) for span in missing))


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(PREFIX + name, about, value=value)


def _histogram(
    name: str, about: str, spreads: list[tuple[list[str], Spread]], labels: list[str] | None = None
) -> Metric:
    family = HistogramMetricFamily(PREFIX + name, about, labels=labels or [])
    for values, spread in spreads:
        bounds = [*map(str, spread.bounds), "+Inf"]
        family.add_metric(values, list(zip(bounds, accumulate(spread.counts), strict=True)), spread.sum)
    return family
