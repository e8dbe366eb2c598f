"""A transformers model whose blocks live in the swarm: everything generate can do, with the block stack remote."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from routing import Hop
from routing.errors import UsageError
from swarm_node.client import Bridge
from swarm_node.device import chosen_device
from swarm_node.generate.arguments import peer_addresses, refuse_foreign
from swarm_node.generate.cache import RemoteCache
from swarm_node.generate.draft import Draft, load_draft
from swarm_node.generate.head import share_head
from swarm_node.generate.hooks import Guessing
from swarm_node.generate.settings import CLIENT_TIMEOUT_SECONDS
from swarm_node.model import ModelSource, load_ends, remote_blocks
from swarm_node.wire import DtypeLike, wire_named

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Call:
    """What the block stack's stand-in needs to know of the forward call it is in."""

    cache: RemoteCache
    attention_mask: torch.Tensor | None
    keep: int


class AutoSwarmModelForCausalLM:
    """Entry point in the manner of transformers' Auto classes."""

    @staticmethod
    def from_pretrained(
        model: str,
        *,
        initial_peers: Sequence[str] | str,
        dtype: DtypeLike = None,
        torch_dtype: DtypeLike = None,
        revision: str | None = None,
        timeout: float = CLIENT_TIMEOUT_SECONDS,
        notice: Callable[[str], None] = log.warning,
        speculate: bool = True,
        draft_model: str | None = None,
        wire_dtype: DtypeLike = "auto",
        device: str = "cpu",
        **foreign: Any,
    ) -> SwarmModel:
        """Load embeddings and head of ``model`` (a directory or Hub id) and join the swarm at ``initial_peers``.

        ``initial_peers``: addresses of its nodes, in a list or in a text with commas between.
        ``dtype``: of the part of the model here, by what transformers takes: ``torch.bfloat16``, ``"bfloat16"``, or
        ``"auto"``, the one the model was saved in, as without it. ``torch_dtype`` is transformers' older name of it.
        ``timeout``: seconds to wait for missing blocks or a free place before a call fails. ``notice`` is told, one
        line at a time, of waits and of nodes that failed. ``speculate``: see Guessing. ``draft_model``, a directory or
        Hub id of a small model of the same tokens, runs here and guesses where that pays. ``wire_dtype``: in which
        hidden states travel, ``bfloat16`` and ``int8`` for slow links at some loss; ``auto`` is that of the model here.
        ``device``: where embeddings, head and draft model are computed. Other arguments of transformers are refused,
        with what to do instead.
        Close the model, or use it as a context manager. Raises ModelError, UsageError, NetworkError.
        """
        refuse_foreign(foreign)
        peers = peer_addresses(initial_peers)
        source = ModelSource.open(model, revision)
        return connect(
            source,
            peers,
            dtype=torch_dtype if dtype is None else dtype,
            timeout=timeout,
            notice=notice,
            speculate=speculate,
            draft_model=draft_model,
            wire_dtype=wire_dtype,
            device=device,
        )


def connect(
    source: ModelSource,
    initial_peers: Sequence[str],
    *,
    dtype: DtypeLike,
    timeout: float,
    notice: Callable[[str], None],
    speculate: bool = True,
    draft_model: str | None = None,
    wire_dtype: DtypeLike = "auto",
    device: str = "cpu",
    bridge: Bridge | None = None,
) -> SwarmModel:
    """Like AutoSwarmModelForCausalLM.from_pretrained, for an opened source.

    ``bridge``: one that was begun before with the same ``timeout``, ``notice`` and ``wire_dtype``; it is used if it is
    to the same model.
    """
    wire, own = wire_named(wire_dtype), source.resolve_dtype(dtype)
    device = chosen_device(device)
    draft = load_draft(draft_model, source, device) if draft_model is not None else None
    if bridge is None or bridge.card.fingerprint != source.fingerprint:
        bridge = Bridge(source, initial_peers, timeout, notice, wire)
    try:
        bridge.wait()
        ends = load_ends(source, dtype=own, device=device)
        kind = type(f"Swarm{type(ends).__name__}", (SwarmModel, type(ends)), {"forward": _remote_forward(type(ends))})
        ends.__class__ = kind
        assert isinstance(ends, SwarmModel)
        ends._join(bridge, speculate, draft)
        return ends
    except BaseException:
        bridge.close()
        raise


class SwarmModel(Guessing, PreTrainedModel):
    """The part of a causal language model that the user runs: embeddings, final norm, head, and generate.

    Made by AutoSwarmModelForCausalLM as a subclass of the model's own class too. Owns the connection to the swarm;
    ended by ``close`` or by leaving it as a context manager. Several threads may call it at once.
    """

    _is_stateful = False
    """Nodes take states back themselves, so transformers may guess here with every model."""
    _bridge: Bridge
    _parameters_of_forward: frozenset[str]

    def _join(self, bridge: Bridge, speculate: bool, draft_model: PreTrainedModel | None) -> None:
        self._bridge = bridge
        self._calls = threading.local()
        self.speculate = speculate
        self._new_draft = partial(Draft, draft_model) if draft_model is not None else None
        self._parameters_of_forward = frozenset(inspect.signature(self.forward).parameters)
        remote_blocks(self).forward_blocks = self._forward_blocks
        share_head(self)

    @property
    def bridge(self) -> Bridge:
        """The connection to the swarm. Ended by ``close``."""
        return self._bridge

    def logits(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, cache: RemoteCache, keep: int
    ) -> torch.Tensor:
        """[rows, keep, vocabulary] after ``input_ids`` [rows, tokens] and what ``cache`` holds before them.

        ``attention_mask`` [rows, held + tokens] marks padding, before or between a row's tokens, by 0.
        """
        given: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        if "position_ids" in self._parameters_of_forward:
            given["position_ids"] = self._prepare_position_ids_for_generation(
                input_ids, {"attention_mask": attention_mask}
            )
        if not bool(attention_mask.all()):
            given["attention_mask"] = attention_mask
        if "logits_to_keep" in self._parameters_of_forward:
            given["logits_to_keep"] = keep
        inputs = self.prepare_inputs_for_generation(input_ids, **given)
        logits: torch.Tensor = self(**inputs, return_dict=True).logits
        return logits[:, -keep:]

    def new_cache(self, max_tokens: int) -> RemoteCache:
        """A cache to pass as ``past_key_values``, for turns of at most ``max_tokens`` tokens in all."""
        return RemoteCache(self._bridge, max_tokens)

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """transformers' generate. The cache in the swarm is freed at the end unless it is returned or was passed in."""
        self._calls.made = []
        self._calls.rounds = 0
        try:
            output = super().generate(*args, **kwargs)
        except BaseException:
            self._close_caches(None)
            raise
        self._close_caches(getattr(output, "past_key_values", None))
        return output

    def save_pretrained(self, *args: Any, **kwargs: Any) -> None:
        """Raises UsageError: a model without its blocks would be written."""
        raise UsageError("the blocks of this model are in the swarm and cannot be saved; copy the model's own files")

    def push_to_hub(self, *args: Any, **kwargs: Any) -> str:
        """Raises UsageError, as save_pretrained does."""
        raise UsageError("the blocks of this model are in the swarm and cannot be uploaded; use the model's own files")

    def close(self) -> None:
        """Leave the swarm; every cache of this model is freed. May be called twice."""
        self._bridge.close()

    def __enter__(self) -> SwarmModel:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def route(self) -> tuple[Hop, ...]:
        """The chain that served the first row of this thread's last forward call; empty if there was none."""
        return getattr(self._calls, "route", ())

    def rounds(self) -> int:
        """How often this thread's last generate call went round the chain: once a token, or less often by guessing."""
        return getattr(self._calls, "rounds", 0)

    def _close_caches(self, kept: object) -> None:
        for cache in self._calls.made:
            if cache is not kept:
                cache.close()
        self._calls.made = []

    def _prepare_cache_for_generation(
        self,
        generation_config: Any,
        model_kwargs: dict[str, Any],
        generation_mode: Any,
        batch_size: int,
        max_cache_length: int,
    ) -> None:
        """transformers' hook: put a RemoteCache where it would put a DynamicCache."""
        given = model_kwargs.get("past_key_values")
        if given is not None:
            given._is_user_defined = True
        elif generation_config.use_cache is not False:
            cache = self.new_cache(max_cache_length)
            self._calls.made.append(cache)
            model_kwargs["past_key_values"] = cache

    def _supports_default_dynamic_cache(self) -> bool:
        return True

    def _forward_blocks(self, hidden: torch.Tensor) -> torch.Tensor:
        call: _Call = self._calls.current
        return call.cache.run(hidden, call.attention_mask, call.keep)


def _refuse_inner(model: SwarmModel, given: dict[str, Any]) -> None:
    """Raises UsageError where what blocks hold inside is asked for: () would look like an answer."""
    asked = {**given, **given.get("kwargs", {})}
    for name in ("output_hidden_states", "output_attentions"):
        wanted = asked.get(name)
        if getattr(model.config, name, False) if wanted is None else wanted:
            raise UsageError(f"{name}=True: the nodes keep these to themselves; use the model in transformers for them")


def _remote_forward(kind: type[PreTrainedModel]) -> Callable[..., Any]:
    """``kind.forward``, telling the stand-in for the block stack which cache and mask the call is about."""
    plain = kind.forward
    signature = inspect.signature(plain)
    own_name = "cache_params" if "cache_params" in signature.parameters else "past_key_values"

    @wraps(plain)
    def forward(self: SwarmModel, *args: Any, **kwargs: Any) -> Any:
        if "past_key_values" in kwargs:
            kwargs[own_name] = kwargs.pop("past_key_values")
        bound = signature.bind(self, *args, **kwargs)
        given = bound.arguments
        _refuse_inner(self, given)
        inputs = given.get("input_ids") if given.get("input_ids") is not None else given.get("inputs_embeds")
        tokens = inputs.shape[1] if inputs is not None else 0
        wanted = given.get("logits_to_keep", 0)
        keep = wanted if isinstance(wanted, int) and wanted > 0 else tokens
        cache = given.get(own_name)
        temporary = False
        if cache is None:
            cache = self.new_cache(max(tokens, 1))
            use_cache = given.get("use_cache")
            temporary = use_cache is False or (use_cache is None and not self.config.get_text_config().use_cache)
            given[own_name] = cache
        self._calls.current = _Call(cache, given.get("attention_mask"), keep)
        self._calls.rounds = self.rounds() + 1
        try:
            output = plain(*bound.args, **bound.kwargs)
            self._calls.route = cache.route()
            if own_name != "past_key_values" and isinstance(output, ModelOutput):
                output.past_key_values = getattr(output, own_name)  # as everybody who goes on from it calls it
            return output
        finally:
            self._calls.current = None
            if temporary:
                cache.close()

    if own_name != "past_key_values":
        named = inspect.Parameter("past_key_values", inspect.Parameter.KEYWORD_ONLY, default=None)
        *before, last = signature.parameters.values()
        both = [*before, named, last] if last.kind is last.VAR_KEYWORD else [*before, last, named]
        forward.__signature__ = signature.replace(parameters=both)  # type: ignore[attr-defined]
    return forward
