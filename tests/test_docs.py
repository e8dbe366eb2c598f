"""What the documentation names is there: links, files, commands, options, Python names. The walkthrough is whole."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

import swarm_node
from cli.main import app

ROOT = Path(swarm_node.__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = ("routing", "dht", "swarm_node", "cli", "scripts", "tests")
NEARBY = (ROOT, ROOT / "swarm_node", ROOT / "scripts")
"""Where a path may begin, beside the folder of the page that names it."""

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def in_backticks(page: Path) -> str:
    """All code of a page, a line for each piece of it."""
    text = page.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return "\n".join(blocks + [found.replace("\n", " ") for found in re.findall(r"`([^`]+)`", _without_blocks(text))])


def _without_blocks(text: str) -> str:
    return re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def is_there(path: str, beside: Path) -> bool:
    return any((folder / path).exists() for folder in (*NEARBY, beside.parent))


def paths_in(text: str) -> Iterator[str]:
    """Words that name files or folders of the project."""
    folders = {entry.name for base in NEARBY for entry in base.iterdir() if entry.is_dir()} - {"build"}
    for word in re.findall(r"[\w./-]+", text):
        path = word.rstrip(".:,")
        first, slash, _ = path.partition("/")
        if (slash and first in folders) or (path.endswith((".py", ".toml")) and not path.startswith("/")):
            yield path


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", page.read_text()):
        address = "".join(target)
        if re.match(r"https?://|mailto:", address):
            continue
        path, _, section = address.partition("#")
        file = page.parent / path if path else page
        if not file.exists() or (section and section not in sections(file)):
            lost.append(address)
    assert lost == []


def sections(page: Path) -> list[str]:
    """Names of the page's headings, as links spell them."""
    headings = re.findall(r"^#+ (.*)$", _without_blocks(page.read_text()), re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]


@each_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    assert [path for path in paths_in(in_backticks(page)) if not is_there(path, page)] == []


def test_files_that_docstrings_name_exist() -> None:
    lost = []
    for file in (file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")):
        tree = ast.parse(file.read_bytes())
        documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        docstrings = [ast.get_docstring(node) or "" for node in ast.walk(tree) if isinstance(node, documented)]
        text = "\n".join(docstrings)
        words = "\n".join(re.findall(r"``([^`\n]+)``", text) + re.findall(r"\bdocs/[\w./-]+", text))
        lost += [f"{file}: {path}" for path in paths_in(words) if "/" in path and not is_there(path, file)]
    assert lost == []


@each_page
def test_scripts_that_a_page_runs_exist(page: Path) -> None:
    lost = []
    for script, word in re.findall(r"python (scripts/[\w/.-]+)(?:[ \n]+([a-z_]+)\b)?", page.read_text()):
        path = ROOT / script.rstrip(".")
        if path.is_dir():  # a package, the next word one of its modules
            there = (path / "__main__.py").exists() and (not word or (path / f"{word}.py").exists())
        else:
            there = path.suffix == ".py" and path.exists()
        if not there:
            lost.append(f"{script} {word}")
    assert lost == []


@each_page
def test_targets_that_a_page_makes_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", in_backticks(page))) <= targets


@cache
def commands() -> dict[str, set[str]]:
    """Options by subcommand of ``swarm``."""
    group: Any = typer.main.get_command(app)
    return {
        name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for name, command in group.commands.items()
    }


@each_page
def test_commands_and_options_that_a_page_names_exist(page: Path) -> None:
    lost = []
    for name, rest in re.findall(r"(?:^|bin/)swarm +([a-z]+)([^#|&\n]*)", in_backticks(page), re.MULTILINE):
        known = commands().get(name, set())
        lost += [f"swarm {name} {option}" for option in re.findall(r"--[a-z][\w-]*", rest) if option not in known]
        if name not in commands():
            lost.append(f"swarm {name}")
    assert lost == []


@each_page
def test_python_names_that_a_page_gives_can_be_imported(page: Path) -> None:
    names = set(re.findall(r"(?<![\w/.])(?:swarm_node|routing|dht|cli)(?:\.\w+)+", in_backticks(page)))
    assert [name for name in sorted(names) if not can_be_imported(name)] == []


def can_be_imported(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        return "." in name and can_be_imported(module) and hasattr(importlib.import_module(module), attribute)
    return True


def test_the_walkthrough_names_every_module_of_the_rooms_once_or_more() -> None:
    """A room's front and its numbers apart: they are the same in every room."""
    rooms = [path.parent for path in (ROOT / "swarm_node").glob("*/__init__.py") if path.parent.name != "testing"]
    modules = {
        file.relative_to(ROOT / "swarm_node").as_posix()
        for room in rooms
        for file in room.rglob("*.py")
        if file.name not in ("__init__.py", "settings.py")
    }
    named = set(paths_in(in_backticks(ROOT / "docs" / "walkthrough.md")))
    assert sorted(modules - named) == []
