"""Between words and tokens: prompts from messages, text from tokens, and what an answer consists of."""

from __future__ import annotations

from swarm_node.text.deltas import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun
from swarm_node.text.ends import end_tokens
from swarm_node.text.pieces import TextPieces
from swarm_node.text.prompt import chat_prompt
from swarm_node.text.stops import Stops

__all__ = [
    "Content",
    "Delta",
    "Reasoning",
    "Stops",
    "TextPieces",
    "ToolCallArguments",
    "ToolCallBegun",
    "chat_prompt",
    "end_tokens",
]
