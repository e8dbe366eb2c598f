"""The test bed: emulated GPUs take the time they should, and real node processes serve a replayed trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from emulation.blocks import EmulatedBlocks
from emulation.gpu import BLOCKS, HIDDEN_SIZE, ROW_TOKENS, SECONDS, EmulatedGpu, generated_row, prompt_rows
from routing import NodeState, NodeView, Span
from routing.errors import BlocksNotCovered
from routing.plan.cluster import ModelShape
from routing.plan.hardware import BlockTime
from routing.simulation import Job, fixed_chain_policy, simulate, whole_model_chains
from swarm_node.compute.cache import Row
from swarm_node.engine.speed import measure
from testbed.bed import Loopback, Options, WideArea, run
from testbed.clients import Reservation, Routing
from testbed.cluster import Cluster, Machine
from testbed.node_processes import Network
from testbed.petals_client import shortest_path
from testbed.policies import Placed, RingPolicy, Settings
from testbed.shared_gpus import simulate_shared
from testbed.wan import Wan
from tests.scripts.needs import NAMESPACES

BLOCK = BlockTime(per_job=0.002, per_input_token=0.00005, per_later_token=0.001)
SHAPE = ModelShape(blocks=8, block_bytes=1e9, cache_bytes=1e8)


def emulated(shared: bool) -> EmulatedBlocks:
    return EmulatedBlocks(EmulatedGpu(BLOCK, shared), Span(0, 4), HIDDEN_SIZE)


def cluster(memory_bytes: list[float], delay: float = 0.0) -> Cluster:
    """Machines with BLOCK's times; ``delay`` seconds one way between any two hosts."""
    hosts = len(memory_bytes) + 1
    delays = tuple(tuple(0.0 if a == b else delay for b in range(hosts)) for a in range(hosts))
    return Cluster(SHAPE, tuple(Machine(f"m{i}", size, BLOCK) for i, size in enumerate(memory_bytes)), delays)


def test_a_batch_reads_the_weights_once_and_computes_all_of_its_tokens() -> None:
    gpu = EmulatedGpu(BLOCK, shared=True)

    assert gpu.batch_seconds(jobs=0, tokens=1) == gpu.batch_seconds(jobs=0, tokens=20) == BLOCK.per_later_token
    assert gpu.batch_seconds(jobs=2, tokens=1000) == pytest.approx(2 * BLOCK.per_job + 1000 * BLOCK.per_input_token)


def test_a_step_takes_its_time_and_counts_the_blocks_that_each_token_passed() -> None:
    blocks = emulated(shared=True)
    prompt, cache = prompt_rows(2001), blocks.new_cache(2048)

    started = time.monotonic()
    output = blocks.step([Row(cache, len(prompt))], prompt)
    took = time.monotonic() - started

    assert took >= 4 * (BLOCK.per_job + 2001 * BLOCK.per_input_token)
    assert len(prompt) == cache.length == -(-2001 // ROW_TOKENS)
    assert (output[:, BLOCKS] == 4).all() and (output[:, SECONDS] == 0).all()


def test_gpus_that_are_not_shared_tell_what_a_lone_job_would_wait_for() -> None:
    blocks, job = emulated(shared=False), Job(0.0, 1.0, 500, 3)
    caches = [blocks.new_cache(2048) for _ in range(2)]
    prompt = prompt_rows(job.input_tokens)

    for frame in prompt.split(32):
        output = blocks.step([Row(cache, len(frame)) for cache in caches], torch.cat([frame, frame]))
    for _ in range(job.output_tokens - 1):
        output = blocks.step([Row(cache, 1) for cache in caches], torch.cat([generated_row()] * 2))

    alone = 4 * BLOCK.seconds(job.input_tokens, job.output_tokens)
    assert output[:, SECONDS].tolist() == pytest.approx([alone, alone], rel=1e-5)


def test_a_node_measures_the_speed_of_its_emulated_gpu() -> None:
    speed = measure(emulated(shared=False))

    assert speed.prefill_seconds == pytest.approx(ROW_TOKENS * BLOCK.per_input_token, rel=0.5)
    assert speed.decode_seconds == pytest.approx(BLOCK.per_later_token, rel=0.5)


def test_jobs_that_never_meet_take_as_long_on_shared_gpus_as_alone() -> None:
    machines = cluster([20e9, 20e9], delay=0.01)
    jobs = [Job(10.0 * number, 1.0, 100 + 1000 * number, 1 + 7 * number) for number in range(4)]
    policy = fixed_chain_policy("jffc", whole_model_chains(machines.servers(jobs), SHAPE))
    rng = np.random.default_rng(0)

    shared = simulate_shared(policy, jobs, machines, rng)
    alone = simulate(RingPolicy(policy, machines.ring_seconds), jobs, machines.times(), rng)

    assert shared.response == pytest.approx(alone.response, rel=1e-6)


def test_jobs_that_meet_on_a_shared_gpu_slow_each_other_down() -> None:
    machines = cluster([20e9])
    jobs = [Job(0.0, 1.0, 1024, 1) for _ in range(3)]
    policy = fixed_chain_policy("jffc", whole_model_chains(machines.servers(jobs), SHAPE))

    shared = simulate_shared(policy, jobs, machines, np.random.default_rng(0))

    prompt = SHAPE.blocks * (BLOCK.per_job + 1024 * BLOCK.per_input_token)
    assert shared.response.max() == pytest.approx(3 * prompt, rel=0.05)


def server(name: str, start: int, end: int, free_tokens: int = 10**6, decode_seconds: float = 0.001) -> NodeView:
    return NodeView(
        peer_id=name,
        addresses=(),
        state=NodeState.ONLINE,
        span=Span(start, end),
        memory_bytes=0,
        block_bytes=1,
        token_bytes=1,
        cache_tokens=10**6,
        free_tokens=free_tokens,
        prefill_seconds=0.0,
        decode_seconds=decode_seconds,
    )


def names(nodes: list[NodeView], max_tokens: int = 100) -> list[tuple[str, Span]]:
    return [(hop.node.peer_id, hop.span) for hop in shortest_path(nodes, 8, max_tokens, lambda *_: 0.01)]


def test_petals_takes_the_fastest_servers_and_uses_each_to_its_end() -> None:
    nodes = [server("a", 0, 5), server("b", 3, 8), server("slow", 0, 8, decode_seconds=0.1)]

    assert names(nodes) == [("a", Span(0, 5)), ("b", Span(5, 8))]


def test_petals_goes_ten_seconds_out_of_its_way_around_a_server_without_cache_for_all_it_hosts() -> None:
    full = server("full", 0, 8, free_tokens=799)

    assert names([full, server("other", 0, 8, decode_seconds=1.0)]) == [("other", Span(0, 8))]
    assert names([full, server("other", 0, 8, decode_seconds=2.0)]) == [("full", Span(0, 8))]


def test_petals_says_so_when_servers_leave_a_gap() -> None:
    with pytest.raises(BlocksNotCovered):
        names([server("a", 0, 4), server("b", 5, 8)])


@contextmanager
def wide_area() -> Iterator[WideArea]:
    """Three hosts for nodes and one for clients, each in its namespace."""
    with Wan(4, [[0.0] * 4] * 4, 1e9, 0.0, "bedtest") as wan:
        yield WideArea(wan)


@pytest.mark.slow
@pytest.mark.parametrize(
    "network",
    [
        lambda: nullcontext(Loopback()),
        pytest.param(wide_area, marks=NAMESPACES),
    ],
    ids=["loopback", "wide area"],
)
def test_real_nodes_on_emulated_gpus_serve_a_trace_and_every_token_passes_every_block_once(
    tmp_path: Path, network: Callable[[], AbstractContextManager[Network]], started: Callable[[], set[int]]
) -> None:
    fast = BlockTime(0.0001, 0.000001, 0.0005)
    machines = Cluster(SHAPE, tuple(Machine(f"m{i}", 20e9, fast) for i in range(3)), ((0.0,) * 4,) * 4)
    jobs = tuple(Job(0.1 * number, 1.0, 50 + 300 * number, 1 + number % 4) for number in range(12))
    spans = (Span(0, 4), Span(4, 8), Span(2, 8))
    placed = Placed(spans, (20 * 10**9,) * 3, Routing.SWARM, Reservation.SLOT, may_choose=False)
    options = Options(shared=True, self_organised=False, clients=2, load_seconds=0.01, settle_seconds=0.0)

    with network() as hosts:
        ran = run(hosts, machines, placed, Settings(jobs, None, 8.0, 0), options, tmp_path)

    assert ran.spans == spans and ran.moves == 0
    assert [outcome.failure for outcome in ran.outcomes] == [""] * len(jobs)
    assert all(outcome.complete and outcome.chains == 1 for outcome in ran.outcomes)
    for outcome, job in zip(ran.outcomes, jobs, strict=True):
        assert outcome.new_tokens == job.output_tokens
        assert outcome.arrival <= outcome.started <= outcome.first_token <= outcome.ended
        assert len(outcome.hops.split()) == 2
    assert sum(ran.cpu.values()) > 0
    assert not started()
