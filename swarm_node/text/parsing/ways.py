"""The ways in which models write calls and reasoning. A model's chat template tells which is its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from routing.errors import UsageError
from swarm_node.text.parsing import calls, harmony
from swarm_node.text.parsing.tagged import Marks, Thought
from swarm_node.text.prompt import template_source


@dataclass(frozen=True, slots=True)
class CallForm:
    """The text around a call that must be made; NAME stands for the function's, KEY for a parameter's."""

    begin: str
    end: str = ""
    between: str | None = None
    """Between two calls. None: there is one call."""
    first: str = ""
    last: str = ""
    parameter: tuple[str, str] | None = None
    """Around the value of each; None: the arguments are one JSON object."""


@dataclass(frozen=True, slots=True)
class Way:
    """How calls are read and written where the chat template has all of ``told_by``."""

    told_by: tuple[str, ...]
    marks: Marks
    form: CallForm


_TAG = ("<tool_call>", "</tool_call>")
_HERMES = '{"name": "NAME", "arguments": '
_LLAMA_BARE = ('{"name"', '{"type":"function"', '[{"name"')
_LLAMA = Marks("<|python_tag|>", None, calls.read_json, bare=_LLAMA_BARE, read_bare=calls.read_known_json)
_MISTRAL = Marks("[TOOL_CALLS]", None, calls.read_mistral, inside=("[ARGS]", "[CALL_ID]"))
_DEEPSEEK_AROUND = ("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>")
_DEEPSEEK = Marks(
    "<｜tool▁call▁begin｜>",
    "<｜tool▁call▁end｜>",
    calls.read_deepseek,
    around=_DEEPSEEK_AROUND,
    inside=("<｜tool▁sep｜>",),
)
_KIMI_AROUND = ("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>")

WAYS = (
    Way(  # GLM
        ("<arg_key>",),
        Marks(*_TAG, calls.read_glm, inside=("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")),
        CallForm(
            "<tool_call>NAME\n",
            "</tool_call>",
            "\n",
            parameter=("<arg_key>KEY</arg_key>\n<arg_value>", "</arg_value>\n"),
        ),
    ),
    Way(  # Qwen3-Coder
        ("<tool_call>", "<function="),
        Marks(*_TAG, calls.read_qwen_coder),
        CallForm(
            "<tool_call>\n<function=NAME>\n",
            "</function>\n</tool_call>",
            "\n",
            parameter=("<parameter=KEY>\n", "\n</parameter>\n"),
        ),
    ),
    Way(  # Hermes, Qwen
        ("<tool_call>",),
        Marks(*_TAG, calls.read_json),
        CallForm(f"<tool_call>\n{_HERMES}", "}\n</tool_call>", "\n"),
    ),
    Way(  # DeepSeek R1, V3
        ("tool▁call▁begin", "```json"),
        _DEEPSEEK,
        CallForm(
            "<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n",
            "\n```<｜tool▁call▁end｜>",
            "\n",
            *_DEEPSEEK_AROUND,
        ),
    ),
    Way(  # DeepSeek V3.1
        ("tool▁call▁begin",),
        _DEEPSEEK,
        CallForm("<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>", "<｜tool▁call▁end｜>", "", *_DEEPSEEK_AROUND),
    ),
    Way(("[TOOL_CALLS]", "[ARGS]"), _MISTRAL, CallForm("[TOOL_CALLS]NAME[ARGS]", "", "")),
    Way(("[TOOL_CALLS]",), _MISTRAL, CallForm(_HERMES, "}", ", ", "[TOOL_CALLS][", "]")),
    Way(  # Kimi
        ("<|tool_call_begin|>",),
        Marks(
            "<|tool_call_begin|>",
            "<|tool_call_end|>",
            calls.read_kimi,
            around=_KIMI_AROUND,
            inside=("<|tool_call_argument_begin|>",),
        ),
        CallForm(
            "<|tool_call_begin|>functions.NAME:0<|tool_call_argument_begin|>",
            "<|tool_call_end|>",
            None,
            *_KIMI_AROUND,
        ),
    ),
    Way(  # Phi-4-mini, Granite
        ("<|tool_call|>",),
        Marks("<|tool_call|>", "<|/tool_call|>", calls.read_json),
        CallForm(_HERMES, "}", ", ", "<|tool_call|>[", "]<|/tool_call|>"),
    ),
    Way(  # Nemotron
        ("<TOOLCALL>",),
        Marks("<TOOLCALL>", "</TOOLCALL>", calls.read_json),
        CallForm(_HERMES, "}", ", ", "<TOOLCALL>[", "]</TOOLCALL>"),
    ),
    Way(("<|python_tag|>",), _LLAMA, CallForm('{"name": "NAME", "parameters": ', "}")),
    Way(("<|start_header_id|>",), _LLAMA, CallForm('{"name": "NAME", "parameters": ', "}")),
)
"""The first that the template tells of is the model's."""

HARMONY = CallForm("<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>")
HARMONY_CONTENT = "<|channel|>final<|message|>"
_HARMONY_THOUGHT = Thought("<|channel|>analysis<|message|>", "<|end|><|start|>assistant")
_THOUGHTS = (
    Thought("<think>", "</think>"),
    Thought("[THINK]", "[/THINK]"),
    Thought("<seed:think>", "</seed:think>"),
    Thought("◁think▷", "◁/think▷"),
)


def way_of(tokenizer: PreTrainedTokenizerBase, tools: Sequence[Mapping[str, Any]]) -> Way | None:
    """How the model writes calls; None if nothing tells, and for gpt-oss's channels."""
    source = _source(tokenizer, tools)
    return next((way for way in WAYS if all(mark in source for mark in way.told_by)), None)


def is_harmony(tokenizer: PreTrainedTokenizerBase, model_type: str) -> bool:
    """Whether the model writes messages on channels."""
    return model_type == "gpt_oss" or harmony.CHANNEL + "analysis" in _source(tokenizer, ())


def thought_of(tokenizer: PreTrainedTokenizerBase, model_type: str, prompt_text: str) -> Thought | None:
    """What the model writes around reasoning; None if it does not reason, or ``prompt_text`` says that it has."""
    if is_harmony(tokenizer, model_type):
        return _HARMONY_THOUGHT
    source, written = _source(tokenizer, ()), prompt_text.rstrip()
    for thought in _THOUGHTS:
        if thought.closes in source and not written.endswith(thought.closes):
            return Thought(thought.opens, thought.closes, begun=written.endswith(thought.opens))
    return None


def _source(tokenizer: PreTrainedTokenizerBase, tools: Sequence[Mapping[str, Any]]) -> str:
    try:
        return template_source(tokenizer, tools)
    except UsageError:
        return ""
