"""A cluster as people describe it in a file: a model, the machines, and what their data sheets say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.cluster.devices import DEVICES, KnownDevice, known_device
from cli.cluster.plain_yaml import read_yaml
from cli.cluster.schema import FileEntry, ModelEntry, ServerEntry, validated
from cli.options import Dtype
from cli.sizes import quoted
from routing.errors import ClusterInvalid, UsageError
from routing.plan.cluster import ModelShape, Server, check_servers
from routing.plan.hardware import BlockTime, BlockWork, Device, block_time
from swarm_node.settings import SESSION_TOKENS, session_tokens

MAX_FILE_BYTES = 16 * 2**20
"""A hundred thousand servers, each on a line of its own, take about 10 MB."""
MAX_SERVERS = 100_000
"""Ten times the largest swarm that a plan is meant for."""
_FLOPS_PER_BYTE = 1.0
"""F per byte of a block's weights: two operations per parameter and token, two bytes per parameter."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a cluster file describes."""

    model: ModelShape
    servers: tuple[Server, ...]
    """In the file's order, those with a count numbered."""
    block_times: tuple[BlockTime | None, ...]
    """For each server, how its compute_seconds follow from a job's lengths; None where the file gives them as such."""
    input_tokens: float
    output_tokens: float
    """Mean lengths of the jobs that the servers' seconds are for."""
    session_tokens: int
    """Tokens that the model's cache_bytes hold."""


def read_cluster(path: Path) -> Cluster:
    """Read and check a cluster file; docs/planning.md describes it.

    Raises ClusterInvalid, with the place in the file, for whatever is wrong there; a model given by name may also
    raise ModelError. Blocks for disk and, if a model of the Hub is named, for network.
    """
    content = _read_text(path)
    try:
        parsed = validated(FileEntry, read_yaml(content), "")
        model, flops_per_token, tokens = _model_of(parsed.model)
        timed = list(_Servers(parsed, BlockWork(flops_per_token, model.block_bytes)))
        servers = tuple(server for server, _ in timed)
        check_servers(servers, model)
    except UsageError as error:
        raise ClusterInvalid(f"{path}: {error}") from error
    times = tuple(time for _, time in timed)
    return Cluster(model, servers, times, parsed.job.input_tokens, parsed.job.output_tokens, tokens)


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ClusterInvalid(f"{path} cannot be read ({error.strerror}); give a cluster file in YAML") from error
    except ValueError as error:
        raise ClusterInvalid("a path holds no zero characters; give a cluster file in YAML") from error
    if len(content) > MAX_FILE_BYTES:
        raise ClusterInvalid(f"{path} is larger than {MAX_FILE_BYTES >> 20} MiB; describe alike servers with a count")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ClusterInvalid(f"{path} is not text in UTF-8; give a cluster file in YAML") from error


def _model_of(entry: ModelEntry) -> tuple[ModelShape, float, int]:
    """The model, F (the operations that one block takes per token) and the tokens that its cache_bytes hold."""
    raw = {"blocks": entry.blocks, "block_bytes": entry.block_bytes, "cache_bytes": entry.cache_bytes}
    named = {"name_or_path": entry.name_or_path, "dtype": entry.dtype}
    if entry.name_or_path is not None:
        _refuse("model", raw, "this follows from name_or_path; leave one of them out")
        return _named_model(entry, entry.name_or_path)
    _refuse("model", named, "this needs name_or_path; give it too, or leave this out")
    if entry.blocks is None or entry.block_bytes is None or entry.cache_bytes is None:
        missing = next(key for key, value in raw.items() if value is None)
        raise ClusterInvalid(f"model.{missing}: this is missing; give {', '.join(raw)}, or name_or_path")
    shape = ModelShape(entry.blocks, entry.block_bytes, entry.cache_bytes)
    flops_per_token = entry.flops_per_token or entry.block_bytes * _FLOPS_PER_BYTE
    return shape, flops_per_token, entry.session_tokens or SESSION_TOKENS


def _named_model(entry: ModelEntry, name_or_path: str) -> tuple[ModelShape, float, int]:
    from swarm_node.model import read_costs

    costs = read_costs(name_or_path, (entry.dtype or Dtype.auto).value)
    tokens = entry.session_tokens or session_tokens(costs.context_length)
    if costs.context_length is not None and tokens > costs.context_length:
        raise ClusterInvalid(
            f"model.session_tokens: {tokens:,} exceed the model's context of {costs.context_length:,}; give fewer"
        )
    footprint = costs.footprint
    session_bytes = footprint.token_bytes * (tokens + footprint.state_tokens)
    shape = ModelShape(costs.blocks, float(footprint.block_bytes), float(session_bytes))
    return shape, entry.flops_per_token or 2.0 * costs.block_parameters, tokens


class _Servers:
    """Iterates over the servers of a file, each as often as its count says."""

    def __init__(self, parsed: FileEntry, work: BlockWork) -> None:
        self._parsed = parsed
        self._work = work
        self._entries: dict[str, int] = {}
        """Which entry took a name."""

    def __iter__(self) -> Iterator[tuple[Server, BlockTime | None]]:
        for index, value in enumerate(self._parsed.servers):
            place = f"servers[{index}]"
            entry = validated(ServerEntry, value, place)
            if len(self._entries) + entry.count > MAX_SERVERS:
                raise ClusterInvalid(f"{place}: there are more than {MAX_SERVERS:,} servers up to here; plan for fewer")
            memory, compute, time = self._hardware(entry, place)
            for name in _numbered(entry):
                taken = self._entries.setdefault(name, index)
                if taken != index:
                    raise ClusterInvalid(f"{place}.name: servers[{taken}] is named {name} too; give each its own name")
                yield Server(name, memory, entry.comm_seconds, compute), time

    def _hardware(self, entry: ServerEntry, place: str) -> tuple[float, float, BlockTime | None]:
        """Its memory in bytes, its seconds per job and block, and what these follow from."""
        known: KnownDevice | None = None
        inline = {"tflops": entry.tflops, "bandwidth": entry.bandwidth}
        if entry.device is not None:
            known = self._device(entry.device, place)
            _refuse(place, inline, "this follows from the device; leave one of them out")
        elif entry.tflops is not None and entry.bandwidth is not None:
            known = KnownDevice(Device(entry.tflops * 1e12, entry.bandwidth), None)
        elif entry.tflops is not None or entry.bandwidth is not None:
            lacking = next(key for key, value in inline.items() if value is None)
            raise ClusterInvalid(f"{place}.{lacking}: this is missing; give both tflops and bandwidth")
        memory = entry.memory_bytes or (known.memory_bytes if known else None)
        if memory is None:
            raise ClusterInvalid(f"{place}.memory_bytes: this is missing; give it")
        return memory, *self._compute_seconds(entry, known, place)

    def _compute_seconds(
        self, entry: ServerEntry, known: KnownDevice | None, place: str
    ) -> tuple[float, BlockTime | None]:
        if known is None:
            if entry.compute_seconds is None:
                raise ClusterInvalid(f"{place}.compute_seconds: this is missing; give it, or a device")
            return entry.compute_seconds, None
        if entry.compute_seconds is not None:
            raise ClusterInvalid(f"{place}.compute_seconds: this follows from the device; leave one of them out")
        job = self._parsed.job
        time = block_time(known.device, self._work)
        return time.seconds(job.input_tokens, job.output_tokens), time

    def _device(self, name: str, place: str) -> KnownDevice:
        described = self._parsed.devices.get(name)
        if described is not None:
            return KnownDevice(Device(described.tflops * 1e12, described.bandwidth), described.memory_bytes)
        known = known_device(name)
        if known is None:
            choices = ", ".join([*map(quoted, self._parsed.devices), *DEVICES])
            raise ClusterInvalid(
                f"{place}.device: {quoted(name)} is not known; describe it under devices, or take one of {choices}"
            )
        return known


def _numbered(entry: ServerEntry) -> Iterator[str]:
    if entry.count == 1:
        yield entry.name
    else:
        yield from (f"{entry.name}-{number}" for number in range(1, entry.count + 1))


def _refuse(place: str, values: dict[str, Any], reason: str) -> None:
    """Raises ClusterInvalid, naming the first of ``values`` that is given."""
    given = next((key for key, value in values.items() if value is not None), None)
    if given is not None:
        raise ClusterInvalid(f"{place}.{given}: {reason}")
