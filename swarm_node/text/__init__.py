"""Between words and tokens: prompts from a chat's messages, text from an answer's tokens, and what an answer consists of."""

from __future__ import annotations

from swarm_node.text.deltas import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun

__all__ = ["Content", "Delta", "Reasoning", "ToolCallArguments", "ToolCallBegun"]
