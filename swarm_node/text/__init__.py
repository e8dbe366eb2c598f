"""Between words and tokens: prompts from messages, text from tokens, and what an answer consists of."""

from __future__ import annotations

from swarm_node.text.deltas import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun
from swarm_node.text.encoding import encoded
from swarm_node.text.ends import end_tokens
from swarm_node.text.grammar import Grammar, GrammarProcessor, grammar_of
from swarm_node.text.parsing import AnswerParser, answer_parser
from swarm_node.text.pieces import TextPieces
from swarm_node.text.prompt import chat_prompt
from swarm_node.text.stops import Stops

__all__ = [
    "AnswerParser",
    "Content",
    "Delta",
    "Grammar",
    "GrammarProcessor",
    "Reasoning",
    "Stops",
    "TextPieces",
    "ToolCallArguments",
    "ToolCallBegun",
    "answer_parser",
    "chat_prompt",
    "encoded",
    "end_tokens",
    "grammar_of",
]
