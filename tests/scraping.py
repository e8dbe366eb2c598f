"""What a node or a gateway tells Prometheus, read by a test."""

from __future__ import annotations

import socket
import urllib.request

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def families(port: int) -> list[Metric]:
    """What the page at this port has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return list(text_string_to_metric_families(answer.read().decode()))


def scrape(port: int) -> dict[str, float]:
    """Each sample by its name and its labels, as Prometheus writes them."""
    samples = [sample for family in families(port) for sample in family.samples]
    return {sample.name + "".join(f"|{value}" for value in sample.labels.values()): sample.value for sample in samples}
