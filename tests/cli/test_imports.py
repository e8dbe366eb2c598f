"""What a deferred import is to those who import it."""

from __future__ import annotations

import sys

import pytest

from cli.imports import deferred_import


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
