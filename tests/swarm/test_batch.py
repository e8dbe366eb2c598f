"""Many texts at once: each reads as transformers would write it alone, and none holds up or shows itself to another."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import trio
from transformers import AutoModelForCausalLM, LogitsProcessor, PreTrainedModel, set_seed

from routing.errors import ContextTooLong, SwarmError, UsageError
from swarm_node.generate import Answer, Batch, Request, Token, open_batch
from swarm_node.local_swarm import LocalSwarm
from swarm_node.model import ModelSource
from swarm_node.program import Program
from tests.models import CONTEXT
from tests.swarm.runs import OPTIONS, prompt_of, thirds

SAMPLED = {"do_sample": True, "temperature": 1.3, "top_k": 20, "top_p": 0.95}


@pytest.fixture(scope="module")
def whole(path: Path) -> PreTrainedModel:
    """The yardstick: the whole model here."""
    return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def alone(whole: PreTrainedModel, request: Request) -> list[int]:
    """What transformers writes."""
    if request.seed is not None:
        set_seed(request.seed)
    prompt = torch.tensor([list(request.prompt)])
    output = whole.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_new_tokens=request.max_new_tokens,
        logits_processor=list(request.processors),
        pad_token_id=0,
        **request.options,
    )
    ids: list[int] = output[0, len(request.prompt) :].tolist()
    return ids


def with_batch(path: Path, swarm: LocalSwarm, main: Callable[[Batch], Awaitable[None]], **options: Any) -> None:
    """Run ``main`` with a batch of that swarm."""

    async def run() -> None:
        with trio.fail_after(60):
            opening = {"dtype": "float32", "timeout": 10.0, "notice": lambda _: None, **options}
            async with open_batch(ModelSource.open(str(path)), [swarm.address], **opening) as batch:
                await main(batch)

    trio.run(run)


async def tokens_of(batch: Batch, request: Request) -> list[Token]:
    async with batch.answer(request) as answer:
        return [token async for token in answer]


async def ids_of(batch: Batch, request: Request) -> list[int]:
    return [token.id for token in await tokens_of(batch, request)]


async def all_ids(batch: Batch, requests: list[Request]) -> list[list[int]]:
    answers: list[list[int]] = [[] for _ in requests]

    async def run(index: int, request: Request) -> None:
        answers[index] = await ids_of(batch, request)

    async with trio.open_nursery() as nursery:
        for index, request in enumerate(requests):
            nursery.start_soon(run, index, request)
    return answers


@asynccontextmanager
async def begun(batch: Batch, request: Request) -> AsyncIterator[Answer]:
    """An answer whose first token has come."""
    async with batch.answer(request) as answer:
        await anext(answer)
        yield answer


def mixed_requests() -> list[Request]:
    """Of different lengths, greedy and drawn, with processors that remember and some that do not."""
    return [
        Request(prompt=prompt_of(3), max_new_tokens=40),
        Request(prompt=prompt_of(50), max_new_tokens=9),
        Request(prompt=prompt_of(7), max_new_tokens=30, options=SAMPLED, seed=5),
        Request(prompt=prompt_of(7), max_new_tokens=30, options=SAMPLED, seed=6),
        Request(prompt=prompt_of(3) * 8, max_new_tokens=40),
        Request(prompt=prompt_of(200), max_new_tokens=5, options={"repetition_penalty": 1.4}),
        Request(prompt=prompt_of(2), max_new_tokens=20, options={"do_sample": True, "min_p": 0.05}, seed=0),
        Request(prompt=prompt_of(4) * 6, max_new_tokens=25, options={"no_repeat_ngram_size": 3}),
    ]


@pytest.mark.parametrize("speculate", [False, True], ids=["token by token", "guessing ahead"])
def test_texts_written_together_read_as_if_each_were_alone(
    path: Path, swarm: LocalSwarm, whole: PreTrainedModel, speculate: bool
) -> None:
    requests = mixed_requests()

    async def main(batch: Batch) -> None:
        assert await all_ids(batch, requests) == [alone(whole, request) for request in requests]

    with_batch(path, swarm, main, speculate=speculate)


def test_a_request_joins_while_others_are_being_answered(path: Path, swarm: LocalSwarm, whole: PreTrainedModel) -> None:
    long = Request(prompt=prompt_of(5), max_new_tokens=120)
    short = Request(prompt=prompt_of(9), max_new_tokens=6)

    async def main(batch: Batch) -> None:
        async with begun(batch, long) as answer:
            assert await ids_of(batch, short) == alone(whole, short)
            assert answer.ended is None, "the long one goes on"

    with_batch(path, swarm, main, speculate=False)


def test_an_end_token_comes_last_and_ends_the_text(path: Path, swarm: LocalSwarm, whole: PreTrainedModel) -> None:
    request = Request(prompt=prompt_of(3), max_new_tokens=40)
    end = alone(whole, request)[5]
    ending = Request(prompt=prompt_of(3), max_new_tokens=40, options={"eos_token_id": end})

    async def main(batch: Batch) -> None:
        async with batch.answer(ending) as answer:
            ids = [token.id async for token in answer]
            assert ids == alone(whole, ending) and ids[-1] == end and answer.ended == "stop"
        async with batch.answer(request) as answer:
            assert len([token async for token in answer]) == 40 and answer.ended == "length"

    with_batch(path, swarm, main)


def test_guesses_that_come_true_save_round_trips(path: Path, swarm: LocalSwarm) -> None:
    async def main(batch: Batch) -> None:
        async with batch.answer(Request(prompt=prompt_of(3) * 8, max_new_tokens=60)) as answer:
            ids = [token.id async for token in answer]
            assert answer.rounds < len(ids)

    with_batch(path, swarm, main)


def test_probabilities_are_the_models_own(path: Path, swarm: LocalSwarm, whole: PreTrainedModel) -> None:
    request = Request(prompt=prompt_of(6), max_new_tokens=8, options=SAMPLED, seed=1, top_logprobs=3)

    async def main(batch: Batch) -> None:
        tokens = await tokens_of(batch, request)
        text = torch.tensor([[*request.prompt, *(token.id for token in tokens)]])
        told = whole(text).logits[0].float().log_softmax(dim=-1)
        for place, token in enumerate(tokens, len(request.prompt) - 1):
            assert token.logprob == pytest.approx(told[place, token.id].item(), abs=1e-4)
            values, ids = told[place].topk(3)
            assert [one for one, _ in token.top] == ids.tolist()
            assert [value for _, value in token.top] == pytest.approx(values.tolist(), abs=1e-4)

    with_batch(path, swarm, main)


@pytest.mark.parametrize("length", [1, 5, 300], ids=["one token", "a short prompt", "one of several steps"])
def test_a_prompts_probabilities_are_told_too(
    path: Path, swarm: LocalSwarm, whole: PreTrainedModel, length: int
) -> None:
    request = Request(prompt=prompt_of(length), max_new_tokens=3, top_logprobs=0, prompt_logprobs=True)

    async def main(batch: Batch) -> None:
        async with batch.answer(request) as answer:
            ids = [token.id async for token in answer]
        assert ids == alone(whole, request)
        told = whole(torch.tensor([list(request.prompt)])).logits[0].float().log_softmax(dim=-1)
        first, *others = answer.prompt_tokens
        assert first is None and len(others) == length - 1
        for place, token in enumerate(others):
            assert token is not None and token.id == request.prompt[place + 1]
            assert token.logprob == pytest.approx(told[place, token.id].item(), abs=1e-3)

    with_batch(path, swarm, main)


class Only(LogitsProcessor):
    """Allows one token."""

    def __init__(self, token: int) -> None:
        self.token = token

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        allowed = torch.full_like(scores, -torch.inf)
        allowed[:, self.token] = 0
        return allowed


class Failing(LogitsProcessor):
    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        raise ValueError("no such word")


def test_processors_of_one_request_leave_the_others_alone(
    path: Path, swarm: LocalSwarm, whole: PreTrainedModel
) -> None:
    plain = Request(prompt=prompt_of(3), max_new_tokens=12)
    held = Request(prompt=prompt_of(3), max_new_tokens=12, processors=[Only(7)])

    async def main(batch: Batch) -> None:
        assert await all_ids(batch, [plain, held]) == [alone(whole, plain), [7] * 12]

    with_batch(path, swarm, main)


def test_a_processor_that_fails_ends_its_own_request_only(
    path: Path, swarm: LocalSwarm, whole: PreTrainedModel
) -> None:
    plain = Request(prompt=prompt_of(3), max_new_tokens=30)

    async def main(batch: Batch) -> None:
        async with begun(batch, plain):
            with pytest.raises(ValueError, match="no such word"):
                await ids_of(batch, Request(prompt=prompt_of(4), max_new_tokens=5, processors=[Failing()]))
            assert await ids_of(batch, plain) == alone(whole, plain)

    with_batch(path, swarm, main)


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        (Request(prompt=[], max_new_tokens=1), UsageError, "at least one token"),
        (Request(prompt=[1], max_new_tokens=0), UsageError, "at least one"),
        (Request(prompt=[10**9], max_new_tokens=1), UsageError, "vocabulary has"),
        (Request(prompt=[1], max_new_tokens=CONTEXT), ContextTooLong, "exceed the model's context"),
        (Request(prompt=[1], max_new_tokens=2, options={"temperature": -1.0, "do_sample": True}), UsageError, "temper"),
        (Request(prompt=[1], max_new_tokens=2, options={"no_such_option": 1}), UsageError, "no_such_option"),
        (Request(prompt=[1], max_new_tokens=2, options={"num_beams": 2}), UsageError, "no beams"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request_that_cannot_be_is_refused_in_one_line(
    path: Path, swarm: LocalSwarm, request_: Request, error: type[SwarmError], says: str
) -> None:
    async def main(batch: Batch) -> None:
        with pytest.raises(error, match=says) as raised:
            await ids_of(batch, request_)
        assert "\n" not in str(raised.value)

    with_batch(path, swarm, main)


async def all_free(batch: Batch) -> bool:
    """Whether every node says that it serves nobody."""
    snapshot = await batch.swarm()
    return all(node.running == 0 and node.free_tokens == node.cache_tokens for node in snapshot.nodes)


async def soon_free(batch: Batch) -> None:
    """Nodes announce what has changed within a second; the rest is this machine's own hurry."""
    with trio.fail_after(20):
        while not await all_free(batch):
            await trio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("prompt", [400, 3], ids=["in prefill", "in decode"])
def test_who_leaves_frees_his_places_at_every_node(path: Path, swarm: LocalSwarm, prompt: int) -> None:
    request = Request(prompt=prompt_of(prompt), max_new_tokens=100)

    async def main(batch: Batch) -> None:
        async with batch.answer(request) as answer:
            if prompt == 3:
                await anext(answer)
            else:
                await trio.sleep(0.02)
        await soon_free(batch)

    with_batch(path, swarm, main, speculate=False)


def test_who_leaves_does_not_stop_the_others(path: Path, swarm: LocalSwarm, whole: PreTrainedModel) -> None:
    stays = Request(prompt=prompt_of(5), max_new_tokens=60)

    async def main(batch: Batch) -> None:
        async with trio.open_nursery() as nursery:
            texts: list[list[int]] = []

            async def stay() -> None:
                texts.append(await ids_of(batch, stays))

            for _ in range(3):
                async with begun(batch, Request(prompt=prompt_of(4), max_new_tokens=100)):
                    nursery.start_soon(stay)
                    await trio.sleep(0.05)
        assert texts == [alone(whole, stays)] * 3

    with_batch(path, swarm, main, speculate=False)


@pytest.mark.slow
def test_texts_go_on_as_if_nothing_had_happened_when_a_node_is_killed(
    path: Path, whole: PreTrainedModel, warm_node: Program
) -> None:
    requests = [Request(prompt=prompt_of(length), max_new_tokens=80) for length in (3, 11, 40)]
    with LocalSwarm(str(path), OPTIONS, warm_node) as swarm:
        swarm.start([*thirds(4), *thirds(4)])

        async def main(batch: Batch) -> None:
            answers: dict[int, list[int]] = {}
            async with trio.open_nursery() as nursery:

                async def run(index: int, request: Request) -> None:
                    answers[index] = []
                    async with batch.answer(request) as answer:
                        async for token in answer:
                            answers[index].append(token.id)
                            if index == 0 and len(answers[0]) == 10:
                                peer_id = answer.route[1].node.peer_id
                                next(node for node in swarm.nodes if node.peer_id == peer_id).kill()

                for index, request in enumerate(requests):
                    nursery.start_soon(run, index, request)
            assert [answers[index] for index in range(3)] == [alone(whole, request) for request in requests]

        with_batch(path, swarm, main, speculate=False)


def test_a_batch_can_be_cancelled_at_any_moment(path: Path, swarm: LocalSwarm) -> None:
    async def main(batch: Batch) -> None:
        for delay in (0.0, 0.005, 0.02, 0.1):
            with trio.move_on_after(delay):
                await all_ids(batch, [Request(prompt=prompt_of(5), max_new_tokens=400) for _ in range(4)])

    began = time.perf_counter()
    with_batch(path, swarm, main)
    assert time.perf_counter() - began < 30


@pytest.mark.slow
def test_what_one_owner_has_sent_is_reused_for_him_alone(path: Path, swarm: LocalSwarm) -> None:
    async def cached(batch: Batch, owner: str) -> int:
        async with batch.answer(Request(prompt=prompt_of(200), max_new_tokens=2, owner=owner)) as answer:
            _ = [token async for token in answer]
            return answer.cached_tokens

    async def main(batch: Batch) -> None:
        ask = partial(cached, batch)
        assert [await ask("ann"), await ask("ann"), await ask("bob"), await ask("")] == [0, 192, 0, 0]

    with_batch(path, swarm, main)
