"""What Prometheus learns about the gateway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """One gateway's numbers; every label's values are few, whatever clients send."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "swarm_gateway_requests", "Requests answered, by path and HTTP status.", ("path", "status"),
            registry=self.registry,
        )  # fmt: skip
        self.tokens = Counter(
            "swarm_gateway_tokens", "Tokens: prompt, cached (of the prompt), completion.", ("model", "kind"),
            registry=self.registry,
        )  # fmt: skip
        self.first_token = Histogram(
            "swarm_gateway_first_token_seconds", "From a request to its first token.", ("model",),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.next_token = Histogram(
            "swarm_gateway_next_token_seconds", "From one token of an answer to the next.", ("model",),
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self.running = Gauge(
            "swarm_gateway_running", "Choices that are being written.", ("model",), registry=self.registry
        )
        self.waiting = Gauge(
            "swarm_gateway_waiting", "Choices without a token so far: in line, or in their prompt.", ("model",),
            registry=self.registry,
        )  # fmt: skip
        self.refusals = Counter(
            "swarm_gateway_refusals", "Requests refused for a limit or a full swarm.", ("code",),
            registry=self.registry,
        )  # fmt: skip
        self.failovers = Counter(
            "swarm_gateway_failovers", "Choices that went on along another chain.", ("model",), registry=self.registry
        )

    def exposition(self) -> bytes:
        """The page that Prometheus reads."""
        return generate_latest(self.registry)
