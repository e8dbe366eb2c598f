"""What a deferred import is to those who import it, and what a lean process can do all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from transformers import MistralConfig

from cli.imports import deferred_import
from swarm_node.model.probe import probe


@pytest.fixture
def never_imported(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of the standard library, as if nothing had imported it yet."""
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    return "colorsys"


def test_a_function_loads_its_module_when_it_is_called(never_imported: str) -> None:
    with deferred_import(never_imported):
        from colorsys import rgb_to_hsv
    assert never_imported not in sys.modules

    assert rgb_to_hsv(1.0, 0.0, 0.0) == (0.0, 1.0, 1.0)
    assert never_imported in sys.modules


def test_what_others_import_later_is_the_module_itself(never_imported: str) -> None:
    with deferred_import(never_imported):
        import colorsys as deferred
    import colorsys

    assert colorsys is not deferred
    assert colorsys.__spec__ is not None


def test_a_module_that_is_loaded_already_stays(never_imported: str) -> None:
    import colorsys

    with deferred_import(never_imported):
        import colorsys as imported

    assert imported is colorsys


@pytest.mark.slow
def test_a_lean_process_learns_the_shapes_of_a_model_as_any_other_does() -> None:
    """Masks of a Mistral need what torch knows in Python of tensors without memory, which is put off there."""
    code = """
import sys
from cli.imports import lean_imports
with lean_imports():
    import torch
    from transformers import MistralConfig
    from swarm_node.model.probe import probe
assert "torch._meta_registrations" not in sys.modules
sizes = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, vocab_size=64)
print(probe(MistralConfig(**sizes, intermediate_size=64)))
print(torch.rand(2, generator=torch.Generator().manual_seed(1)).tolist())
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2}
    shapes = probe(MistralConfig(**sizes, vocab_size=64, intermediate_size=64))
    drawn = torch.rand(2, generator=torch.Generator().manual_seed(1)).tolist()
    assert ended.stdout.splitlines() == [str(shapes), str(drawn)]
