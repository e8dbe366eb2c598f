"""Options of a command from a TOML file: checked against the command's own parameters, each mistake with its place."""

from __future__ import annotations

import inspect
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, get_args, get_type_hints

import typer
from typer.models import OptionInfo

from cli.sizes import quoted
from cli.stderr import fail
from routing.errors import UsageError

_LONGEST = 2**20
"""Bytes. A page of options is a few hundred."""

Check = Callable[[str], object]
"""Raises UsageError for a text that an option cannot be, though it is a text."""


@dataclass(frozen=True, slots=True)
class _Option:
    """One option of a command as a file may give it."""

    parameter: str
    kind: Any
    """Its type hint."""
    least: float | None
    most: float | None


def take_config(
    context: typer.Context, file: Path | None, command: Callable[..., None], checks: Mapping[str, Check]
) -> Path | None:
    """For the callback of an eager ``--config``: options of ``file`` count where the command line has none.

    ``checks``: what else to ask of texts, by the option's name without dashes. Ends the program with one line if the
    file cannot be read or has a mistake.
    """
    if file is None or context.resilient_parsing:
        return file
    try:
        context.default_map = {**(context.default_map or {}), **read_config(file, command, checks)}
    except UsageError as error:
        fail(str(error), error.exit_code)
    return file


def read_config(file: Path, command: Callable[..., None], checks: Mapping[str, Check]) -> dict[str, Any]:
    """The options in ``file``, by parameter of ``command``.

    Raises UsageError with file, line and column for what is no TOML, no option of the command, or no value for it.
    """
    text = _text_of(file)
    try:
        given = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(_toml_mistake(file, text, str(error))) from None
    options = options_of(command)
    taken: dict[str, Any] = {}
    for name, value in given.items():
        option = options.get(name)
        if option is None:
            near = get_close_matches(name, options, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; swarm {command.__name__} --help lists them"
            raise UsageError(f"{_place(file, text, name, '')}: {quoted(name)} is no option here{hint}")
        try:
            _check(option, value)
            for each in value if isinstance(value, list) else [value]:
                if name in checks:
                    checks[name](each)
        except ValueError as error:
            raise UsageError(f"{_place(file, text, name, value)}: {name}: {error}") from None
        except UsageError as error:
            raise UsageError(f"{_place(file, text, name, value)}: {error}") from None
        taken[option.parameter] = value
    return taken


def options_of(command: Callable[..., None]) -> dict[str, _Option]:
    """The options of a command, by name without dashes; ``--config`` itself apart."""
    hints = get_type_hints(command, include_extras=True)
    found: dict[str, _Option] = {}
    for parameter in inspect.signature(command).parameters:
        kind, info = get_args(hints[parameter])[:2]
        assert isinstance(info, OptionInfo), f"{parameter} is an argument"
        spelled = [name for name in info.param_decls or () if name.startswith("--")]
        name = spelled[0][2:] if spelled else parameter.replace("_", "-")
        if name != "config":
            found[name] = _Option(parameter, kind, info.min, info.max)
    return found


def _text_of(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(_LONGEST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}; give another --config file") from None
    if len(raw) > _LONGEST:
        raise UsageError(f"{file} has more than {_LONGEST} bytes; check that it is the right file")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UsageError(f"{file}:{line}: this is not UTF-8 text; save it as such") from None


def _check(option: _Option, value: Any) -> None:
    """ValueError if ``value`` has not the type that the option has, or lies out of its bounds."""
    from pydantic import Field, TypeAdapter, ValidationError

    kind: Any = option.kind
    if option.least is not None or option.most is not None:
        kind = Annotated[kind, Field(ge=option.least, le=option.most)]
    try:
        # Written as JSON: there a text may be a path or one of several names, but no number.
        TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = next((each for each in error.errors() if each["type"] != "none_required"), error.errors()[0])
        raise ValueError(first["msg"][:1].lower() + first["msg"][1:]) from None
    except TypeError:
        raise ValueError("dates and times are no values of options") from None


def _toml_mistake(file: Path, text: str, message: str) -> str:
    """tomllib tells the place in words; at the end of the text it does not."""
    found = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", message, re.DOTALL)
    if found:
        return f"{file}:{found[2]}:{found[3]}: {found[1]}"
    line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    return f"{file}:{line}:{column}: {message.replace('at end of document', 'at the end of the file')}"


def _place(file: Path, text: str, name: str, value: Any) -> str:
    """``node.toml:3:8``: where the value of ``name`` stands, or the name itself where it has no value of interest."""
    spelling = rf"(?:{re.escape(name)}|\"{re.escape(name)}\"|'{re.escape(name)}')"
    for match in re.finditer(rf"^[ \t]*(\[?)(?P<name>{spelling})(?P<equals>[ \t]*[=.\]][ \t]*)", text, re.MULTILINE):
        with suppress(tomllib.TOMLDecodeError):  # else it stands within a text of several lines
            if name not in tomllib.loads(text[: match.start()]):
                at = match.start("name") if value == "" else match.end("equals")
                line_start = text.rfind("\n", 0, at) + 1
                line = text.count("\n", 0, at) + 1
                return f"{file}:{line}:{at - line_start + 1}"
    return str(file)
