"""The swarm behind a URL: OpenAI's and Anthropic's HTTP APIs, a web page, and metrics."""

from __future__ import annotations

from swarm_node.gateway.app import application
from swarm_node.gateway.discovered import open_discovered
from swarm_node.gateway.gateway import Gateway
from swarm_node.gateway.keys import Keys, plain_keys, read_keys
from swarm_node.gateway.listener import LOOPBACK_HOSTS, is_loopback, listen, serve, url_of
from swarm_node.gateway.served import Models, OpenModels, Served

__all__ = [
    "LOOPBACK_HOSTS", "Gateway", "Keys", "Models", "OpenModels", "Served", "application", "is_loopback", "listen",
    "open_discovered", "plain_keys", "read_keys", "serve", "url_of",
]  # fmt: skip
