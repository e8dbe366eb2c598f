"""Text through a swarm: python docs/examples/generate.py MODEL ADDRESS"""

import sys

from transformers import AutoTokenizer

from swarm_node import AutoSwarmModelForCausalLM

name, address = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(name)
inputs = tokenizer("The list type", return_tensors="pt")
with AutoSwarmModelForCausalLM.from_pretrained(name, initial_peers=[address]) as model:
    output = model.generate(**inputs, max_new_tokens=40)
    print(tokenizer.decode(output[0], skip_special_tokens=True))
