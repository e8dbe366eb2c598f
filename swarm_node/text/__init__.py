"""Between words and tokens: prompts from the messages of a chat, and the parts of an answer from its tokens."""

from __future__ import annotations

from swarm_node.text.deltas import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun

__all__ = ["Content", "Delta", "Reasoning", "ToolCallArguments", "ToolCallBegun"]
