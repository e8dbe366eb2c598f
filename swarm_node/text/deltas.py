"""The parts of an answer, as they are told apart while it is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Content:
    """Text for who asked. Never half a character, never a control token."""

    text: str


@dataclass(frozen=True, slots=True)
class Reasoning:
    """Text that the model wrote for itself."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallBegun:
    """The model calls a function."""

    index: int
    """The first call of an answer is 0."""
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolCallArguments:
    """A piece of the call's arguments, as JSON text."""

    index: int
    text: str


Delta = Content | Reasoning | ToolCallBegun | ToolCallArguments
