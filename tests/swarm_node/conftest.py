"""Blocks that the tests of the engine share."""

from __future__ import annotations

import pytest
import torch

from routing import Span
from swarm_node.compute.loading import load_span
from swarm_node.compute.span import BlockSpan
from swarm_node.model.source import ModelSource
from tests.models import make_model
from tests.swarm_node.watched import ALL, Start, Watched


@pytest.fixture(scope="module")
def blocks(tmp_path_factory: pytest.TempPathFactory) -> BlockSpan:
    torch.set_num_threads(1)
    source = ModelSource.open(str(make_model("llama", tmp_path_factory.mktemp("models") / "llama")))
    return load_span(source, ALL, dtype=torch.float32)


@pytest.fixture
def watched(blocks: BlockSpan) -> Watched:
    return Watched(blocks)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Blocks for a node of that name."""
    torch.set_num_threads(1)
    source = ModelSource.open(str(make_model("llama", tmp_path_factory.mktemp("llama"))))
    loaded: dict[tuple[str, Span], BlockSpan] = {}

    def start(name: str, span: Span) -> Watched:
        if (name, span) not in loaded:
            loaded[name, span] = load_span(source, span, dtype=torch.float32)
        return Watched(loaded[name, span])

    return start
