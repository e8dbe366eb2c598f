"""How each kind of model writes a call, for those that must make one."""

from __future__ import annotations

from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from routing.errors import UsageError
from swarm_node.text.parsing.choice import (
    DEEPSEEK,
    GLM,
    HERMES,
    LLAMA,
    MISTRAL,
    QWEN_CODER,
    THINKING,
    is_harmony,
    way_of,
)
from swarm_node.text.prompt import template_source


@dataclass(frozen=True, slots=True)
class CallForm:
    """The text around a call; NAME stands for the function's, KEY for a parameter's."""

    begin: str
    end: str = ""
    between: str | None = None
    """Between two calls. None: there is one call."""
    first: str = ""
    last: str = ""
    parameter: tuple[str, str] | None = None
    """Around the value of each; None: the arguments are one JSON object."""


_HERMES = CallForm('<tool_call>\n{"name": "NAME", "arguments": ', "}\n</tool_call>", "\n")
_QWEN_CODER = CallForm(
    "<tool_call>\n<function=NAME>\n",
    "</function>\n</tool_call>",
    "\n",
    parameter=("<parameter=KEY>\n", "\n</parameter>\n"),
)
_GLM = CallForm(
    "<tool_call>NAME\n",
    "</tool_call>",
    "\n",
    parameter=("<arg_key>KEY</arg_key>\n<arg_value>", "</arg_value>\n"),
)
_LLAMA = CallForm('{"name": "NAME", "parameters": ', "}")
_MISTRAL = CallForm('{"name": "NAME", "arguments": ', "}", ", ", first="[TOOL_CALLS][", last="]")
_MISTRAL_ARGS = CallForm("[TOOL_CALLS]NAME[ARGS]", "", "")
_DEEPSEEK = CallForm(
    "<｜tool▁call▁begin｜>NAME<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "",
    first="<｜tool▁calls▁begin｜>",
    last="<｜tool▁calls▁end｜>",
)
_DEEPSEEK_FENCED = CallForm(
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>NAME\n```json\n",
    "\n```<｜tool▁call▁end｜>",
    "\n",
    first="<｜tool▁calls▁begin｜>",
    last="<｜tool▁calls▁end｜>",
)
_HARMONY = CallForm("<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>")


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """What stands before what a model must write."""

    thought: tuple[str, str] | None = None
    """Around what it may think first."""
    thinking: bool = False
    """Whether the prompt has begun the thought already."""
    content: str = ""
    """Before content."""


def call_form(tokenizer: PreTrainedTokenizerBase, model_type: str) -> CallForm:
    """Raises UsageError if the model is not known to call functions."""
    if is_harmony(tokenizer, model_type):
        return _HARMONY
    source = template_source(tokenizer)
    way = way_of(tokenizer, ())
    if way is MISTRAL:
        return _MISTRAL_ARGS if "[ARGS]" in source else _MISTRAL
    if way is DEEPSEEK:
        return _DEEPSEEK_FENCED if "```json" in source else _DEEPSEEK
    known = {id(HERMES): _HERMES, id(QWEN_CODER): _QWEN_CODER, id(GLM): _GLM, id(LLAMA): _LLAMA}
    if way is None:
        raise UsageError("this model's chat template shows no way to call functions; leave tool_choice at auto")
    return known[id(way)]


def answer_form(tokenizer: PreTrainedTokenizerBase, model_type: str, prompt_text: str) -> AnswerForm:
    """By what ``prompt_text`` has begun."""
    if is_harmony(tokenizer, model_type):
        thought = ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant")
        return AnswerForm(thought, content="<|channel|>final<|message|>")
    try:
        source = template_source(tokenizer)
    except UsageError:
        return AnswerForm()
    thought_marks = next((pair for pair in THINKING if pair[1] in source), None)
    if thought_marks is None or prompt_text.rstrip().endswith(thought_marks[1]):
        return AnswerForm()
    return AnswerForm(thought_marks, thinking=prompt_text.rstrip().endswith(thought_marks[0]))
