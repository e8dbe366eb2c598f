"""Taking a model apart: where its blocks are, and what stands in for the parts of it that somebody else hosts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from routing.errors import ModelUnsupported
from routing.span import Span


@dataclass(frozen=True, slots=True)
class LayerList:
    """Where a model keeps its blocks: attribute ``name`` of module ``owner``, whose forward runs them in turn."""

    owner: nn.Module
    name: str

    @classmethod
    def find(cls, model: Any) -> LayerList:
        """Raises ModelUnsupported if no module list is as long as the config says."""
        count = model.config.get_text_config().num_hidden_layers
        # The decoder's own lookup comes first, but it names the wrong module for some (llama4), so look everywhere.
        try:
            first = [model.get_decoder()]
        except AttributeError:  # it looks into a part that was dropped
            first = []
        for module in (*first, *model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.ModuleList) and len(child) == count:
                    return cls(module, name)
        raise ModelUnsupported(f"model type {model.config.model_type} has no list of blocks; choose another model")

    @property
    def blocks(self) -> Any:
        """The list itself."""
        return getattr(self.owner, self.name)

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> Any:
        return self.blocks[index]

    def __setitem__(self, index: int, block: nn.Module) -> None:
        self.blocks[index] = block

    def __iter__(self) -> Iterator[Any]:
        return iter(self.blocks)


class StandIn(nn.Module):
    """In the place of a block. Models ask a block of what kind it is before they call it, so it has what tells."""

    def __init__(self, output_length: int, block: nn.Module) -> None:
        super().__init__()
        for name, value in {**vars(type(block)), **vars(block)}.items():
            if not name.startswith("_") and isinstance(value, (str, int)):
                setattr(self, name, value)
        self.output_length = output_length


class Skip(StandIn):
    """A block hosted elsewhere: hands the hidden state on. It keeps the others' indices as they are in the model."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return as_block_output(hidden_argument(args, kwargs), self.output_length)


class RemoteBlocks(StandIn):
    """Stands for the whole stack of blocks in a client's model.

    Whoever drives the model sets ``forward_blocks``, which maps hidden states [batch, tokens, hidden], of all streams,
    to what comes out of the last block, of the same shape. It is called in whatever threads run the model.
    """

    def __init__(self, output_length: int, block: nn.Module) -> None:
        super().__init__(output_length, block)
        self.forward_blocks: Callable[[torch.Tensor], torch.Tensor] | None = None

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        if self.forward_blocks is None:
            raise RuntimeError("set forward_blocks before running a model without blocks")
        hidden = hidden_argument(args, kwargs)
        return as_block_output(self.forward_blocks(hidden.flatten(2)).view(hidden.shape), self.output_length)


class Neutral(nn.Module):
    """An embedding, norm or projection that the client runs: zero where its result is added, else the identity.

    Or a part that nobody runs.
    """

    weight: torch.Tensor

    def __init__(self, replaced: nn.Module) -> None:
        super().__init__()
        self.adds = isinstance(replaced, nn.Embedding)
        # Some models look up where and of what type that of theirs is.
        self.register_buffer("weight", torch.empty(0, dtype=next(replaced.parameters()).dtype), persistent=False)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """Of its weights."""
        return self.weight.dtype

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        value: torch.Tensor = args[0] if args else next(one for one in kwargs.values() if one is not None)
        return torch.zeros((), device=value.device) if self.adds else value


def hidden_argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """The hidden state among the arguments of a block's forward."""
    hidden: torch.Tensor = args[0] if args else kwargs["hidden_states"]
    return hidden


def as_block_output(hidden: torch.Tensor, length: int) -> Any:
    """``hidden`` as this architecture's blocks return it: bare for length 0, else first in a tuple of that length."""
    return (hidden, *[None] * (length - 1)) if length else hidden


def keep_text(model: Any) -> tuple[str, ...]:
    """Drop what is neither in the text model nor on the way to it nor the head: what sees and hears.

    Returns the names of what was dropped. To be called while the model is being made, before it has weights.
    """
    owner = LayerList.find(model).owner
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    way = _way_to(owner, model)
    dropped = []
    for module in way:
        if module is owner:
            continue
        for name, child in list(module.named_children()):
            own = (
                "head" in name
                or any(child is one for one in way)
                or any(part is end for part in child.modules() for end in ends)
            )
            if not own and next(child.parameters(), None) is not None:
                setattr(module, name, Neutral(child))
                dropped.append(name)
    return tuple(dropped)


def keep_span(model: Any, span: Span, output_length: int) -> None:
    """Drop everything but the blocks of ``span``. To be called while the model is being made, before it has weights."""
    keep_text(model)
    layers = LayerList.find(model)
    for index in range(len(layers)):
        if index not in span:
            layers[index] = Skip(output_length, layers[index])
    way = _way_to(layers.owner, model)
    for module in way:
        for name, child in list(module.named_children()):
            has_weights = next(child.parameters(), None) is not None
            if has_weights and child is not layers.blocks and not any(child is one for one in way):
                setattr(module, name, Neutral(child))
    # Tied weights are ends of the model; with both ends gone, transformers would look for them in vain.
    model.all_tied_weights_keys = {}
    model._tied_weights_keys = {}


def _way_to(owner: nn.Module, model: nn.Module) -> list[nn.Module]:
    """``model``, ``owner`` and what is between them."""
    return [module for module in model.modules() if any(part is owner for part in module.modules())]


def keep_ends(model: Any, output_length: int) -> None:
    """Drop every block; a RemoteBlocks takes the place of the first."""
    keep_text(model)
    layers = LayerList.find(model)
    for index in range(len(layers)):
        layers[index] = (Skip if index else RemoteBlocks)(output_length, layers[index])


@contextmanager
def hosted_blocks_only(model: Any) -> Iterator[None]:
    """Inside, the model's list has no blocks but those that are here: some code (falcon_h1's) looks into all of it."""
    layers = LayerList.find(model)
    every = layers.blocks
    hosted = nn.ModuleList(block for block in every if not isinstance(block, StandIn))
    setattr(layers.owner, layers.name, hosted)
    try:
        yield
    finally:
        setattr(layers.owner, layers.name, every)


def accepted(forward: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Those of ``arguments`` that ``forward`` takes by name; old architectures take no positions, for example."""
    names = inspect.signature(forward).parameters
    return {name: value for name, value in arguments.items() if name in names}
