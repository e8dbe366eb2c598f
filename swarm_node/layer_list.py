"""The list of blocks inside any decoder-only transformers model."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from routing.errors import ModelUnsupported


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
        for module in (model.get_decoder(), *model.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.ModuleList) and len(child) == count:
                    return cls(module, name)
        raise ModelUnsupported(f"model type {model.config.model_type} has no list of blocks; choose another model")

    def _modules(self) -> Any:
        return getattr(self.owner, self.name)

    def __len__(self) -> int:
        return len(self._modules())

    def __getitem__(self, index: int) -> Any:
        return self._modules()[index]

    def __setitem__(self, index: int, block: nn.Module) -> None:
        self._modules()[index] = block

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules())


def accepted(forward: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Those of ``arguments`` that ``forward`` takes by name; old architectures take no positions, for example."""
    names = inspect.signature(forward).parameters
    return {name: value for name, value in arguments.items() if name in names}
