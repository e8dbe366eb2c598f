"""Fixtures of the gateway's tests: a tiny model that chats, three nodes that serve it, and ``swarm serve``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import openai
import pytest
import torch
from playwright.sync_api import Browser, sync_playwright
from transformers import AutoModelForCausalLM, AutoTokenizer

from swarm_node.local_swarm import LocalSwarm
from swarm_node.program import Program
from swarm_node.warm_process import WarmProcess
from tests.gateway.browser import ARGUMENTS, chromium
from tests.gateway.serving import GatewayProcess
from tests.swarm.runs import OPTIONS, thirds

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo model with a chat template. It writes greedily unless asked for something else."""
    path = tmp_path_factory.mktemp("models") / "chatty"
    shutil.copytree(str(files("swarm_node") / "demo_model"), path)
    (path / "chat_template.jinja").write_text(TEMPLATE)
    return path


@pytest.fixture(scope="session")
def plain_files() -> Path:
    """The same model as it is, without a chat template."""
    return Path(str(files("swarm_node") / "demo_model"))


@pytest.fixture(scope="session")
def plain_model(chat_model: Path) -> Any:
    """The yardstick: the whole model here."""
    return AutoModelForCausalLM.from_pretrained(chat_model, dtype=torch.float32).eval()


@pytest.fixture(scope="session")
def tokenizer(chat_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(chat_model)


@pytest.fixture(scope="session")
def warm_gateway(own_cache: Path) -> Iterator[Program]:
    """``swarm serve`` as copies of a process that has imported everything."""
    with WarmProcess(("cli.main", "swarm_node.gateway")) as warm:
        yield warm.program("cli.main", "serve")


@pytest.fixture(scope="module")
def nodes(chat_model: Path, warm_node: Program) -> Iterator[LocalSwarm]:
    """Three nodes, each with a third of the blocks."""
    with LocalSwarm(str(chat_model), OPTIONS, warm_node) as local:
        local.start(thirds(6))
        yield local


@pytest.fixture(scope="module")
def gateway(
    chat_model: Path, nodes: LocalSwarm, warm_gateway: Program, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """In front of them."""
    process = GatewayProcess(warm_gateway, chat_model, nodes.address, tmp_path_factory.mktemp("gateway") / "serve")
    try:
        process.await_ready()
        yield process
    finally:
        process.stop()


@pytest.fixture(scope="module")
def client(gateway: GatewayProcess) -> Iterator[openai.OpenAI]:
    """OpenAI's own package."""
    with openai.OpenAI(base_url=gateway.url, api_key="none needed", max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium of this machine, without a window."""
    path = chromium()
    if path is None:
        pytest.skip("there is no Chromium or Chrome on PATH; install one, Debian's package chromium for example")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()
