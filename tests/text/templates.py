"""Chat templates, short ones, that write as known models do."""

from __future__ import annotations

import copy

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from tests.text.vocabularies import byte_level

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HERMES = CHATML + "{# <tool_call> <think> </think> #}"
QWEN_CODER = CHATML + "{# <tool_call> <function=name> #}"
GLM = CHATML + "{# <tool_call> <arg_key> </think> #}"
MISTRAL = CHATML + "{# [TOOL_CALLS] [THINK] [/THINK] #}"
DEEPSEEK = CHATML + "{# <｜tool▁call▁begin｜> </think> #}"
LLAMA = CHATML + "{# <|python_tag|> #}"
KIMI = CHATML + "{# <|tool_call_begin|> #}"
PHI = CHATML + "{# <|tool_call|> #}"
HARMONY = CHATML + "{# <|channel|>analysis #}"
RESPONSE = {
    "start_anchor": "<|im_start|>assistant\n",
    "fields": {
        "thinking": {"open": "<think>", "close": "</think>"},
        "tool_calls": {
            "open": "<tool_call>",
            "close": "</tool_call>",
            "content": "json",
            "repeats": True,
            "transform": {
                "type": "function",
                "function": {"name": "{content.name}", "arguments": "{content.arguments}"},
            },
        },
        "content": {"close": "<|im_end|>"},
    },
}
CONTROL = [
    "<|channel|>",
    "<|message|>",
    "<|start|>",
    "<|end|>",
    "<|call|>",
    "<|return|>",
    "<|constrain|>",
    "<|python_tag|>",
    "<|tool_call|>",
    "<|/tool_call|>",
    "<|tool_call_begin|>",
    "<|tool_call_argument_begin|>",
    "<|tool_call_end|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
]


def tokenizer_with(template: str | None, response_template: object = None) -> PreTrainedTokenizerFast:
    """A tokenizer of its own, with every control token that a template here may speak of."""
    tokenizer = copy.deepcopy(byte_level())
    tokenizer.add_special_tokens({"extra_special_tokens": [AddedToken(name, special=True) for name in CONTROL]})
    tokenizer.chat_template = template
    tokenizer.response_template = response_template
    return tokenizer
