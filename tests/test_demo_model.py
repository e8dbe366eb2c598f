"""The model that ships with the project: it loads with plain transformers, fits in a repository, and writes English."""

import re
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from pydoc_data.topics import topics

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPT = "The list type"
LARGEST_BYTES = 6_000_000
NEW_TOKENS = 60
KNOWN_SHARE = 0.8  # of the words must be ones that Python's own language reference uses
FEWEST_DIFFERENT_WORDS = 12  # a model that repeats one word is not legible


@pytest.fixture(scope="module")
def model_directory() -> Iterator[Path]:
    with as_file(files("swarm_node") / "demo_model") as directory:
        yield directory


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def written_words(directory: Path, **sampling: object) -> list[str]:
    """The words that the model adds to PROMPT, without the last one, which the token limit may have cut."""
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    inputs = tokenizer(PROMPT, return_tensors="pt")
    torch.manual_seed(0)
    output = model.generate(**inputs, max_new_tokens=NEW_TOKENS, **sampling)
    text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return re.findall(r"[a-z]+", text.lower())[:-1]


def test_it_writes_words_of_pythons_reference(model_directory: Path) -> None:
    known = {word for text in topics.values() for word in re.findall(r"[a-z]+", text.lower())}
    words = written_words(model_directory, do_sample=True, temperature=0.7)
    assert len(set(words)) >= FEWEST_DIFFERENT_WORDS, words
    assert sum(word in known for word in words) > KNOWN_SHARE * len(words), words


def test_it_is_small_enough_for_the_repository(model_directory: Path) -> None:
    assert sum(path.stat().st_size for path in model_directory.iterdir()) < LARGEST_BYTES


def test_its_blocks_split_over_three_nodes_and_more(model_directory: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(model_directory)
    assert len(model.model.layers) >= 6


def test_its_prompt_begins_with_one_start_token_and_reads_back(model_directory: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(model_directory)
    tokens = tokenizer(PROMPT)["input_ids"]
    assert tokens[0] == tokenizer.bos_token_id
    assert tokens.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(tokens, skip_special_tokens=True) == PROMPT
