"""What a cluster file may hold, key by key, and what is said of a key that is wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from cli.options import Dtype
from cli.sizes import BANDWIDTH, MEMORY, NUMBER, TIME, Measure, quoted
from routing.errors import ClusterInvalid


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("this is a list or a mapping; give one value")
    return value


def _amount(measure: Measure, zero: bool = False) -> Callable[[object], float]:
    def read(value: object) -> float:
        text = _text(value)
        amount = measure.read(text)
        if amount < 0 or (amount == 0 and not zero):
            raise ValueError(f"{quoted(text)} is not {'at least' if zero else 'above'} 0; correct it")
        return amount

    return read


def _whole(value: object) -> int:
    amount = NUMBER.read(text := _text(value))
    if amount < 1 or not amount.is_integer():
        raise ValueError(f"{quoted(text)} is not a whole number of at least 1; correct it")
    return int(amount)


def _name(value: object) -> str:
    text = _text(value)
    if not text.strip() or len(text) > 100 or not text.isprintable():
        raise ValueError(f"{quoted(text)} is not a name; use 1 to 100 visible characters")
    return text


_Text = Annotated[str, BeforeValidator(_text)]
_Name = Annotated[str, BeforeValidator(_name)]
_Whole = Annotated[int, BeforeValidator(_whole)]
_Positive = Annotated[float, BeforeValidator(_amount(NUMBER))]
_Bytes = Annotated[float, BeforeValidator(_amount(MEMORY))]
_Bandwidth = Annotated[float, BeforeValidator(_amount(BANDWIDTH))]
_Seconds = Annotated[float, BeforeValidator(_amount(TIME, zero=True))]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelEntry(_Section):
    """Sizes in bytes, or a name from which they follow."""

    blocks: _Whole | None = None
    block_bytes: _Bytes | None = None
    cache_bytes: _Bytes | None = None
    name_or_path: _Text | None = None
    dtype: Dtype | None = None
    session_tokens: _Whole | None = None
    flops_per_token: _Positive | None = None


class DeviceEntry(_Section):
    """A GPU by its data sheet: TFLOP/s, bytes per second, bytes."""

    tflops: _Positive
    bandwidth: _Bandwidth
    memory_bytes: _Bytes | None = None


class JobEntry(_Section):
    """Mean lengths; the defaults are those of arXiv 2604.14993, section 5."""

    input_tokens: _Positive = 2000.0
    output_tokens: _Positive = 20.0


class ServerEntry(_Section):
    """One machine, or ``count`` alike: bytes, and the seconds of one whole job or the device from which they follow."""

    name: _Name
    memory_bytes: _Bytes | None = None
    comm_seconds: _Seconds
    compute_seconds: _Seconds | None = None
    device: _Name | None = None
    tflops: _Positive | None = None
    bandwidth: _Bandwidth | None = None
    count: _Whole = 1


class FileEntry(_Section):
    """All of a cluster file."""

    model: ModelEntry
    servers: list[Any]
    """Each validated when its turn comes, so that the first mistake ends the reading."""
    devices: dict[_Name, DeviceEntry] = {}
    job: JobEntry = JobEntry()


_SectionType = TypeVar("_SectionType", bound=_Section)


def validated(kind: type[_SectionType], value: object, place: str) -> _SectionType:
    """Raises ClusterInvalid with the first mistake; a key that is unknown often explains another that is missing."""
    try:
        return kind.model_validate(value)
    except ValidationError as invalid:
        mistakes = invalid.errors(include_url=False, include_input=True)
    mistake = next((each for each in mistakes if each["type"] == "extra_forbidden"), mistakes[0])
    where = place
    for part in mistake["loc"]:
        shown = part if isinstance(part, int) or part.isidentifier() else quoted(part)
        where += f"[{part}]" if isinstance(part, int) else f".{shown}" if where else str(shown)
    raise ClusterInvalid(f"{where}: {_problem(mistake)}" if where else _problem(mistake))


def _problem(mistake: Any) -> str:
    kind = mistake["type"]
    if kind == "value_error":
        return str(mistake["ctx"]["error"])
    if kind == "extra_forbidden":
        return "there is no such key; check its spelling and its indentation"
    if kind == "missing":
        return "this is missing; give it"
    if kind == "enum":
        given = mistake["input"]
        shown = quoted(given) if isinstance(given, str) else "this"
        return f"{shown} is not one of {', '.join(Dtype)}; choose one"
    if kind == "list_type":
        return "this is not a list; begin each entry with a dash"
    return "this is not a mapping; write keys with their values, such as 'name: fast'"
