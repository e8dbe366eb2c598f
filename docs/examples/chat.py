"""A conversation, a line of standard input a turn: python docs/examples/chat.py MODEL ADDRESS

All turns share one cache in the swarm, so that each sends only what is new. A model that was trained for conversations
wants its tokenizer's apply_chat_template around each line.
"""

import sys

import torch
from transformers import AutoTokenizer, TextStreamer

from swarm_node import AutoSwarmModelForCausalLM

name, address = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(name)
with AutoSwarmModelForCausalLM.from_pretrained(name, initial_peers=[address]) as model:
    said = tokenizer("", return_tensors="pt").input_ids.long()
    cache = model.new_cache(max_tokens=400)
    for line in sys.stdin:
        new = tokenizer(line, return_tensors="pt", add_special_tokens=False).input_ids
        said = model.generate(
            torch.cat([said, new], dim=1),
            past_key_values=cache,
            max_new_tokens=24,
            streamer=TextStreamer(tokenizer, skip_prompt=True, skip_special_tokens=True),
        )
