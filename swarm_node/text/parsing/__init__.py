"""An answer's parts, told apart while it is written."""

from __future__ import annotations

from swarm_node.text.parsing.choice import AnswerParser, answer_parser

__all__ = ["AnswerParser", "answer_parser"]
