"""Between words and tokens: prompts from a chat's messages, and from an answer's tokens the parts that it consists of."""

from __future__ import annotations

from swarm_node.text.deltas import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun

__all__ = ["Content", "Delta", "Reasoning", "ToolCallArguments", "ToolCallBegun"]
