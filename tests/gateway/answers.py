"""Answers as a turn gives them, made by hand or drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hypothesis import strategies as st

from swarm_node.gateway.turn import Counted, Ended, Event, Routed, Usage, Wrote
from swarm_node.text import Content, Delta, Reasoning, ToolCallArguments, ToolCallBegun

USAGE = Usage(prompt=11, completion=7, cached=8, reasoning=3)


def answer(*deltas: Delta, end: Ended | None = None) -> list[Event]:
    """All events of one."""
    return [
        Routed(0, [("12D3", 0, 2)]),
        *(Wrote(0, delta) for delta in deltas),
        end or Ended(0, "stop"),
        Counted(USAGE),
    ]


WEATHER = (
    Reasoning("They want "),
    Reasoning("the weather."),
    Content("I look "),
    Content("it up."),
    ToolCallBegun(0, "call_1", "weather"),
    ToolCallArguments(0, '{"city": '),
    ToolCallArguments(0, '"Łódź"}'),
    ToolCallBegun(1, "call_2", "time"),
    ToolCallArguments(1, "{}"),
)
"""A thought, a sentence, and two calls."""

texts = st.text(st.characters(codec="utf-8"))
json_objects = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5) | st.none(), max_size=3)


@st.composite
def parts(draw: st.DrawFn) -> list[Delta]:
    """Any order of thoughts, text and calls, cut anywhere."""
    deltas: list[Delta] = []
    calls = 0
    for kind in draw(st.lists(st.sampled_from(["content", "reasoning", "call"]), max_size=8)):
        if kind == "call":
            deltas.append(ToolCallBegun(calls, f"call_{calls}", draw(st.sampled_from(["weather", "time"]))))
            deltas += [ToolCallArguments(calls, piece) for piece in pieces(draw, json.dumps(draw(json_objects)))]
            calls += 1
        else:
            made = Content if kind == "content" else Reasoning
            deltas += [made(text) for text in draw(st.lists(texts, max_size=3))]
    return deltas


def pieces(draw: st.DrawFn, text: str) -> Sequence[str]:
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=3)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


endings = st.sampled_from([Ended(0, "stop"), Ended(0, "stop", stop="END"), Ended(0, "length"), Ended(0, "tool_calls")])


def written(deltas: Sequence[Delta], kind: type[Content] | type[Reasoning]) -> str:
    """All text of a kind."""
    return "".join(delta.text for delta in deltas if isinstance(delta, kind))


def called(deltas: Sequence[Delta]) -> list[tuple[str, object]]:
    """Names and arguments of all calls."""
    text: dict[int, str] = {}
    names: dict[int, str] = {}
    for delta in deltas:
        if isinstance(delta, ToolCallBegun):
            names[delta.index] = delta.name
        elif isinstance(delta, ToolCallArguments):
            text[delta.index] = text.get(delta.index, "") + delta.text
    return [(name, json.loads(text[index])) for index, name in names.items()]
