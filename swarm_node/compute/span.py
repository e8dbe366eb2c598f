"""A run of consecutive blocks with weights, and one step of many sessions through them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from itertools import chain
from typing import Any

import torch

from routing.errors import ProtocolError
from routing.span import Span
from swarm_node.compute.attention import FLATTENED, RowAttention, attending, block_reaches
from swarm_node.compute.cache import Row, SequenceCache
from swarm_node.compute.gpu.graphs import DecodeGraphs
from swarm_node.compute.hybrid import HybridCache
from swarm_node.compute.lean import LEAN_MODELS, LeanBlock, turns
from swarm_node.compute.rectangle import RectangleCache
from swarm_node.compute.states import SessionStates
from swarm_node.model import (
    BlockShapes,
    LayerList,
    Skip,
    VariableRope,
    as_block_output,
    cache_class,
    hidden_argument,
    quiet,
)

log = logging.getLogger(__name__)


class CachePath(StrEnum):
    """How the rows of a step run together."""

    LEAN = "lean"
    """All rows in one sequence, through our own form of each block: the fast way, for the models that have it."""
    FLATTENED = "flattened"
    """All rows in one sequence, through the model's own blocks and our own attention function."""
    RECTANGLE = "rectangle"
    """Rows of equal length side by side, left-padded, through the model's own attention: the way that always works."""


@dataclass(slots=True)
class _Visit:
    """One forward through the blocks of ``span``."""

    span: Span
    hidden: torch.Tensor
    output: torch.Tensor | None = None


class BlockSpan:
    """The blocks of ``span`` of one model, ready to run.

    It runs the model's own forward, puts the hidden state in before the first block and takes it out after the
    last, so that masks and positions stay the model's business. Owned by whoever loaded it; holds the weights and
    ends when it is dropped. Not for two threads at once; caches belong to the sessions, not to the span.
    """

    def __init__(self, model: Any, span: Span, shapes: BlockShapes, dtype: torch.dtype) -> None:
        self.span = span
        self.hidden_size = shapes.hidden_size
        self.shapes = shapes
        self._model = model
        self._own_attention: str = model.config.get_text_config()._attn_implementation
        self._layers = LayerList.find(model)
        self._accepts = frozenset(inspect.signature(self._layers.owner.forward).parameters)
        self.reaches = block_reaches(model.config)
        self._ropes = [VariableRope(model)]
        """Of this model, and of those that blocks were taken over from."""
        self._visit: _Visit | None = None
        self._plain: dict[int, Callable[..., Any]] = {}
        """Each hosted block's own forward."""
        self._lean: dict[int, LeanBlock] = {}
        """Each hosted block on the lean path."""
        for index in shapes.layers(span).blocks():
            self._host(index, self._layers[index].forward)
        first: Any = self._layers[shapes.layers(span).start]
        self.dtype = dtype
        self.device: torch.device = next(chain(first.parameters(), first.buffers())).device
        self.path = CachePath.RECTANGLE
        """How steps run; take() changes it."""
        self.token_by_token = False
        """Whether blocks that keep states go on from them only so: transformers' code of some looks at no state in a
        step of several tokens."""
        self._attends = any(shapes.token_elements)
        self._hybrid_cache = cache_class(model.config, HybridCache)
        self._graphs = None
        if self.device.type == "cuda" and not self._ropes[0].varies:
            self._graphs = DecodeGraphs(self.reaches, shapes.token_elements, dtype, self.device)

    def take(self, path: CachePath) -> bool:
        """Run steps by ``path`` from now on. False if the model has no such way; then nothing has changed."""
        if self.shapes.keeps_states and path is not CachePath.RECTANGLE:
            return False
        config: Any = self._layers.owner.config
        lean: dict[int, LeanBlock] = {}
        if path is CachePath.LEAN:
            if config.model_type not in LEAN_MODELS:
                return False
            try:
                lean = {index: LeanBlock(self._layers[index]) for index in self.shapes.layers(self.span).blocks()}
            except AttributeError:  # a transformers that names their parts otherwise
                log.warning("blocks of %s are not what they were; they run slower", config.model_type, exc_info=True)
                return False
        wanted = self._own_attention if path is CachePath.RECTANGLE else FLATTENED
        with quiet():
            self._model.set_attn_implementation(wanted)
        if config._attn_implementation != wanted:
            return False
        self._lean = lean
        self.path = path
        self._forget_graphs()
        return True

    def keep(self, span: Span) -> None:
        """Drop the weights of all blocks but those of ``span``, which must be hosted here."""
        if not self.span.covers(span):
            raise ValueError(f"blocks {span} are not among the hosted {self.span}")
        kept = self.shapes.layers(span)
        for index in self.shapes.layers(self.span).blocks():
            if index not in kept:
                del self._plain[index]
                self._lean.pop(index, None)
                # The forward we gave it holds the block that holds it: a ring that would keep its weights for a while.
                for module in self._layers[index].modules():
                    vars(module).pop("forward", None)
                self._layers[index] = Skip(self.shapes.output_length, self._layers[index])
        self._forget_graphs()
        self.span = span

    def extend(self, other: BlockSpan) -> None:
        """Take over the blocks of ``other``, which come right before or after those hosted here; it is used up."""
        if other.span.end != self.span.start and other.span.start != self.span.end:
            raise ValueError(f"blocks {other.span} do not continue {self.span}")
        if not other.take(self.path):
            raise ValueError(f"blocks {other.span} cannot run by the {self.path} path")
        for index in self.shapes.layers(other.span).blocks():
            self._layers[index] = other._layers[index]
            self._host(index, other._plain[index])
        self._lean |= other._lean
        self._ropes += other._ropes
        self._forget_graphs()
        self.span = Span(min(self.span.start, other.span.start), max(self.span.end, other.span.end))

    def new_cache(self, max_tokens: int) -> SequenceCache:
        """An empty cache for one session; it takes memory as it fills."""
        if self.shapes.keeps_states:
            return SequenceCache(max_tokens, reusable=False, states=SessionStates())
        rope = self._ropes[0]
        alike = rope.group(max_tokens) == rope.group(1)
        return SequenceCache(max_tokens, reusable=alike and not self.shapes.grouped)

    def session_tokens(self, max_tokens: int, span: Span) -> int:
        """Block-tokens that a session of at most ``max_tokens`` tokens takes in the blocks of ``span``."""
        return self.shapes.session_tokens(max_tokens, span, self.dtype)

    @torch.inference_mode()
    def step(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span | None = None) -> torch.Tensor:
        """Run the tokens of all rows through the blocks of ``span`` (by default, all hosted ones).

        ``hidden`` is [tokens of all rows, hidden size], row after row, and so is what comes back, in the dtype and on
        the device of the span. The caches of the rows grow by their tokens; if this raises, none has grown.
        Raises ProtocolError if ``span`` is not hosted here.
        """
        span = self.span if span is None else span
        if not self.span.covers(span):
            raise ProtocolError(f"blocks {span} are not among the hosted {self.span}")
        if hidden.shape != (sum(row.tokens for row in rows), self.hidden_size):
            raise ProtocolError(f"hidden states of shape {tuple(hidden.shape)} do not fit the rows of this step")
        if len({id(row.cache) for row in rows}) != len(rows):
            raise ValueError("a session may have one row in a step")
        hidden = hidden.to(device=self.device, dtype=self.dtype)
        span = self.shapes.layers(span)  # and so in all that follows
        groups = self._groups(rows, span)
        # Kernels in Triton, and recordings, go to the thread's current GPU, wherever their tensors are.
        with torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext():
            if self.shapes.keeps_states:
                return self._run_hybrid(groups, rows, hidden, span)
            if len(groups) == 1:
                output = self._run(rows, hidden, span)
            else:
                output = self._run_apart(groups, rows, hidden, span)
        for row in rows:
            row.cache.advance(row.tokens)
        return output

    def _groups(self, rows: Sequence[Row], span: Span) -> list[list[int]]:
        """Indices of rows that may run in one forward."""
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, row in enumerate(rows):
            length = row.cache.replayed + row.tokens if self.path is CachePath.RECTANGLE else 0
            key = (length, self._replayed(row, span), *self._ropes[0].group(row.reach))
            groups.setdefault(key, []).append(index)
        return list(groups.values())

    def _replayed(self, row: Row, span: Span) -> bool:
        """Whether it belongs to the rows whose step is a recorded one."""
        return self.path is not CachePath.RECTANGLE and self._graphs is not None and self._graphs.fit(row, span)

    def _forget_graphs(self) -> None:
        if self._graphs is not None:
            self._graphs.clear()

    def _run_apart(
        self, groups: list[list[int]], rows: Sequence[Row], hidden: torch.Tensor, span: Span
    ) -> torch.Tensor:
        parts = list(hidden.split([row.tokens for row in rows]))
        for group in groups:
            members = [rows[index] for index in group]
            output = self._run(members, torch.cat([parts[index] for index in group]), span)
            for index, part in zip(group, output.split([row.tokens for row in members]), strict=True):
                parts[index] = part
        return torch.cat(parts)

    def _run(self, rows: Sequence[Row], hidden: torch.Tensor, span: Span) -> torch.Tensor:
        """One forward over rows of one group."""
        if self._graphs is not None and self._replayed(rows[0], span):
            output = self._graphs.run(self._flat, rows, hidden, span)
            if output is not None:
                return output
        for rope in self._ropes:
            rope.aim(max(row.reach for row in rows))
        if self.path is not CachePath.RECTANGLE:
            starts = [torch.arange(row.cache.length, row.end, device=self.device) for row in rows]
            with attending(RowAttention([(row.cache, row.tokens) for row in rows], self.reaches)):
                return self._flat(span, hidden[None], torch.cat(starts)[None])[0]
        cache = RectangleCache([row.cache for row in rows], rows[0].tokens)
        return self._rectangle(cache, hidden.view(len(rows), rows[0].tokens, -1), span).reshape(hidden.shape)

    def _run_hybrid(
        self, groups: list[list[int]], rows: Sequence[Row], hidden: torch.Tensor, span: Span
    ) -> torch.Tensor:
        """A step of blocks that keep states: what a row has to run again goes ahead of its tokens, and is not given.

        No row keeps anything before all are through.
        """
        parts = list(hidden.split([row.tokens for row in rows]))
        ran = []
        for group in groups:
            caches = [rows[index].cache for index in group]
            fed = torch.stack([_after_replay(rows[index].cache, parts[index]) for index in group])
            for rope in self._ropes:
                rope.aim(max(rows[index].reach for index in group))
            cache, output = self._through(caches, fed, span)
            ran.append((cache, fed))
            for index, part in zip(group, output, strict=True):
                parts[index] = part[-rows[index].tokens :]
        for cache, fed in ran:
            cache.keep(fed)
        return torch.cat(parts)

    def _through(
        self, caches: Sequence[SequenceCache], hidden: torch.Tensor, span: Span
    ) -> tuple[HybridCache, torch.Tensor]:
        """``hidden``, [rows, tokens, width], through blocks that keep states."""
        if not self.token_by_token or not any(cache.written for cache in caches):
            cache = self._hybrid_cache(caches, hidden.shape[1])
            return cache, self._rectangle(cache, hidden, span)
        first, *others = hidden.split(1, dim=1)
        cache = self._hybrid_cache(caches, 1)
        outputs = [self._rectangle(cache, first, span)]
        for token in others:
            cache.go_on(1)
            outputs.append(self._rectangle(cache, token, span))
        return cache, torch.cat(outputs, dim=1)

    def _rectangle(self, cache: RectangleCache, hidden: torch.Tensor, span: Span) -> torch.Tensor:
        """One forward of ``hidden``, [rows, tokens, width]."""
        return self._forward(
            span,
            hidden,
            position_ids=cache.positions(self.device),
            attention_mask=cache.mask(self.device) if self._attends else None,
            past_key_values=cache,
            cache_params=cache,
            use_cache=True,
        )

    def _flat(self, span: Span, hidden: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """[1, tokens, hidden size] at ``positions`` [1, tokens], by the lean or the flattened path."""
        if self.path is CachePath.LEAN:
            owner: Any = self._layers.owner
            rotary = turns(*owner.rotary_emb(hidden, positions))
            states = hidden[0]
            for index in span.blocks():
                states = self._lean[index](states, rotary)
            return states[None]
        return self._forward(span, hidden, position_ids=positions, use_cache=False)

    def _forward(self, span: Span, hidden: torch.Tensor, **arguments: Any) -> torch.Tensor:
        streams = self.shapes.streams
        self._visit = visit = _Visit(span, hidden if streams == 1 else hidden.unflatten(-1, (streams, -1)))
        # What comes before the blocks may change its input in place (CTRL scales it), so it gets one of its own.
        before = torch.zeros_like(hidden[..., : hidden.shape[-1] // streams])
        try:
            self._layers.owner(
                inputs_embeds=before, **{name: value for name, value in arguments.items() if name in self._accepts}
            )
        finally:
            self._visit = None
        if visit.output is None:
            raise RuntimeError(f"block {span.end - 1} was not run by its model")
        return visit.output if streams == 1 else visit.output.flatten(-2)

    def _host(self, index: int, forward: Callable[..., Any]) -> None:
        self._plain[index] = forward
        self._layers[index].forward = self._gated(index, forward)

    def _gated(self, index: int, forward: Callable[..., Any]) -> Callable[..., Any]:
        """``forward`` of block ``index``, passed by if the visit is not to it. Hidden states go in and out here."""

        def gated(*args: Any, **kwargs: Any) -> Any:
            visit = self._visit
            if visit is None or index not in visit.span:
                return as_block_output(hidden_argument(args, kwargs), self.shapes.output_length)
            if index == visit.span.start:
                if args:
                    args = (visit.hidden, *args[1:])
                else:
                    kwargs["hidden_states"] = visit.hidden
            output = forward(*args, **kwargs)
            if index == visit.span.end - 1:
                visit.output = output[0] if isinstance(output, tuple) else output
            return output

        return gated


def _after_replay(cache: SequenceCache, hidden: torch.Tensor) -> torch.Tensor:
    """``hidden`` behind what the session has to run again."""
    replay = None if cache.states is None else cache.states.replay
    return hidden if replay is None else torch.cat([replay, hidden])
