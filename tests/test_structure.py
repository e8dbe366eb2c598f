"""How the code is laid out: rooms of swarm_node that show others one front each.

The direction of imports and their freedom from circles are contracts in pyproject.toml, which ``make lint`` checks.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import swarm_node
import swarm_node.testing

ROOT = Path(swarm_node.__file__).parent.parent
ROOMS = sorted(path.parent.name for path in (ROOT / "swarm_node").glob("*/__init__.py"))
INSIDERS = ("tests", "scripts", "swarm_node/testing")
"""They may look into rooms: they put parts of them together, and under watch."""

PUBLIC = {"generate": swarm_node.__all__, "testing": swarm_node.testing.__all__}
"""Names that users import, whoever else does."""


@dataclass(frozen=True)
class Import:
    """One name that a file imports: ``name`` from ``module``, or the module itself."""

    file: str
    module: str
    name: str | None = None

    @property
    def room(self) -> str | None:
        """Whose front or inside is imported."""
        parts = self.module.split(".")
        if parts[0] != "swarm_node":
            return None
        room = parts[1] if len(parts) > 1 else self.name
        return room if room in ROOMS else None

    @property
    def inside(self) -> bool:
        """Whether the import passes by the front."""
        return self.module.count(".") > 1

    def __str__(self) -> str:
        return f"{self.file}: {self.module}" + (f" import {self.name}" if self.name else "")


def imports_of(file: Path) -> Iterator[Import]:
    name = file.relative_to(ROOT).as_posix()
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (Import(name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None, f"{name}: imports are absolute"
            yield from (Import(name, node.module, alias.name) for alias in node.names)


@cache
def imports() -> tuple[Import, ...]:
    """Of the whole project, those in functions and those for types too."""
    folders = ("routing", "dht", "swarm_node", "cli", "scripts", "tests")
    return tuple(found for folder in folders for file in (ROOT / folder).rglob("*.py") for found in imports_of(file))


def is_insider(one: Import) -> bool:
    return any(one.file.startswith(f"{folder}/") for folder in INSIDERS)


def is_of_room(one: Import, room: str) -> bool:
    return one.file.startswith(f"swarm_node/{room}/")


def front(room: str) -> list[str]:
    names: list[str] = importlib.import_module(f"swarm_node.{room}").__all__
    return names


def test_there_are_rooms() -> None:
    assert {"wire", "model", "compute", "engine", "node", "client", "generate"} <= set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_others_import_only_what_the_room_shows(room: str) -> None:
    found = [one for one in imports() if one.room == room and not is_of_room(one, room) and not is_insider(one)]
    shown = front(room)
    wrong = [str(one) for one in found if one.inside or one.name not in (*shown, room)]
    assert not wrong, f"take them from swarm_node.{room}, whose __all__ has what others may use"


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_shows_exists_and_somebody_uses_it(room: str) -> None:
    module = importlib.import_module(f"swarm_node.{room}")
    assert [name for name in front(room) if not hasattr(module, name)] == []
    public = PUBLIC.get(room, [])
    used = {one.name for one in imports() if one.room == room and not one.inside and not is_of_room(one, room)}
    assert [name for name in front(room) if name not in used | set(public)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_rooms_own_modules_do_not_come_in_by_its_front(room: str) -> None:
    inside = [one for one in imports() if is_of_room(one, room) and one.file != f"swarm_node/{room}/__init__.py"]
    assert [str(one) for one in inside if one.room == room and not one.inside] == []


def test_what_users_run_needs_no_test_tools() -> None:
    tools = [one for one in imports() if one.module.split(".")[0] in ("pytest", "tests")]
    assert [str(one) for one in tools if not one.file.startswith("tests/")] == []
