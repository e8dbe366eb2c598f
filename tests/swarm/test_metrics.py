"""What Prometheus reads at a node, and what the dashboard shows of it."""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import swarm_node
from routing import Span
from routing.errors import SwarmError
from swarm_node import AutoSwarmModelForCausalLM
from swarm_node.gateway.metrics import Metrics
from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from tests.scraping import families, free_port, scrape
from tests.swarm.runs import OPTIONS, generated, prompt_of


@pytest.fixture(scope="module")
def watched(path: Path, warm_node: Program) -> Iterator[tuple[LocalSwarm, int]]:
    """A node of all blocks, and the port of its metrics."""
    port = free_port()
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start([Span(0, 4)], ("--metrics-port", str(port)))
        yield swarm, port


def test_metrics_count_what_a_client_has_the_node_do(watched: tuple[LocalSwarm, int], path: Path) -> None:
    swarm, port = watched
    before = scrape(port)
    assert before["swarm_node_state|online"] == 1
    assert before["swarm_node_blocks"] == 4
    assert before["swarm_node_free_places"] == before["swarm_node_places"] > 0
    with AutoSwarmModelForCausalLM.from_pretrained(
        str(path), initial_peers=[swarm.address], dtype="float32", speculate=False
    ) as model:
        generated(model, prompt_of(40), 8)
        generated(model, prompt_of(30), 4)
    after = scrape(port)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["swarm_node_tokens_total|prefill"] == 70
    assert grown["swarm_node_tokens_total|decode"] == 7 + 3  # the last one is not sent
    assert grown["swarm_node_steps_total|prefill"] == 2
    assert grown["swarm_node_batch_seconds_count|decode"] == 10
    assert grown["swarm_node_batch_seconds_sum|decode"] > 0
    assert grown["swarm_node_batch_steps_count"] == 12
    assert after["process_resident_memory_bytes"] > 0


def test_a_scrape_finds_nothing_beside_the_metrics(watched: tuple[LocalSwarm, int]) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"http://127.0.0.1:{watched[1]}/", timeout=5)


def test_a_node_says_at_once_that_its_metrics_port_is_taken(path: Path, warm_node: Program) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        port = other.getsockname()[1]
        with pytest.raises(SwarmError, match=rf"port {port} is used by another program.*--metrics-port"):
            swarm.start([Span(0, 4)], ("--metrics-port", str(port)))


NAMES = re.compile(r"\b(?:swarm_node|swarm_gateway|process)_[a-z_]+")
DOCS = Path(swarm_node.__file__).parent.parent / "docs"


def names_there(port: int) -> set[str]:
    """All samples and families that a node and a gateway can have."""
    gateway = Metrics().registry
    there: set[str] = set()
    for family in [*families(port), *gateway.collect()]:
        there |= {family.name, *(sample.name for sample in family.samples)}
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}.get(family.type, [])
        there |= {family.name + suffix for suffix in suffixes}
    return there


def test_the_dashboard_asks_for_metrics_that_there_are(watched: tuple[LocalSwarm, int]) -> None:
    dashboard = json.loads((DOCS / "operating" / "grafana.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    asked = {name for text in expressions for name in NAMES.findall(re.sub(r"\{[^}]*\}|by \([^)]*\)", "", text))}
    assert len(asked) > 20
    assert asked - names_there(watched[1]) == set()


def test_the_page_on_operating_tells_of_every_metric_of_a_node(watched: tuple[LocalSwarm, int]) -> None:
    told = {name for name in NAMES.findall((DOCS / "operating.md").read_text()) if name.startswith("swarm_node_")}
    assert told - {"swarm_node_"} - names_there(watched[1]) == set()
    own = {family.name for family in families(watched[1]) if family.name.startswith("swarm_node_")}
    assert {name for name in own if name not in told and name + "_total" not in told} == set()
