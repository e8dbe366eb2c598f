"""The swarm behind a URL: OpenAI's and Anthropic's HTTP APIs, a web page, and metrics."""

from __future__ import annotations

__all__: list[str] = []
