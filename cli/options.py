"""Options that several commands share."""

from __future__ import annotations

import math
import os
from enum import StrEnum
from typing import Annotated

import typer

from routing.errors import UsageError


class Dtype(StrEnum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class WireDtype(StrEnum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"
    int8 = "int8"


class QuantName(StrEnum):
    """The values of swarm_node.model.Quant, which would bring torch along."""

    none = "none"
    int8 = "int8"
    nf4 = "nf4"


Model = Annotated[str, typer.Option("--model", "-m", help="Directory of a model, or its Hub id.", envvar="SWARM_MODEL")]
ModelOrOnly = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Directory of a model, or its Hub id; default: the only one that the swarm has.",
        envvar="SWARM_MODEL",
    ),
]
ModelOrAll = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Name, fingerprint or directory of a model; default: all that the swarm has.",
        envvar="SWARM_MODEL",
    ),
]
Revision = Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub model.")]
InitialPeers = Annotated[
    list[str] | None,
    typer.Option(
        "--initial-peers",
        metavar="ADDRESS",
        help="Multiaddress of a node in the swarm, ending in /p2p/ID. Several: repeat, or separate by commas.",
        envvar="SWARM_INITIAL_PEERS",
    ),
]
DtypeOption = Annotated[Dtype, typer.Option("--dtype", help="Number format; auto is the model's own.")]
WireDtypeOption = Annotated[
    WireDtype,
    typer.Option("--wire-dtype", help="Number format on the network; int8 and bfloat16 help slow links at some loss."),
]
DraftModel = Annotated[
    str | None,
    typer.Option(
        "--draft-model", metavar="MODEL", help="A small model of the same family; it runs here and guesses ahead."
    ),
]
Device = Annotated[str, typer.Option(help="Where this side of the model is computed: cpu, cuda, cuda:1 … or auto.")]
MOST_THREADS = max(256, os.cpu_count() or 1)
"""More is a slip of the finger, and some systems start no more."""

MOST_BEAMS = 64
"""Each is a session of its own at every hop."""

TEMPERATURES = (1e-6, 1e6)
"""Beyond them a score is divided to infinity, or to nothing."""


def _finite(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter("give a number that has an end.")
    return value


def _temperature(value: float | None) -> float | None:
    least, most = TEMPERATURES
    if value is None or value == 0 or least <= value <= most:
        return value
    raise typer.BadParameter(f"give 0, or a number from {least:g} to {most:g}.")


Threads = Annotated[
    int | None, typer.Option(min=1, max=MOST_THREADS, help="CPU threads for computing; default: all cores.")
]
Timeout = Annotated[
    float, typer.Option(min=0, callback=_finite, help="Seconds to wait for missing blocks or a free place.")
]
MaxNewTokens = Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")]
Temperature = Annotated[
    float | None,
    typer.Option(callback=_temperature, help="Higher is more varied; implies sampling. 0 takes the likeliest."),
]
TopP = Annotated[
    float | None, typer.Option(min=0.0, max=1.0, callback=_finite, help="Draw from the likeliest that sum to this.")
]
TopK = Annotated[int | None, typer.Option(min=0, help="Draw from so many likeliest tokens; 0: from all.")]
MinP = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, callback=_finite, help="Draw from those this share as likely as the likeliest."),
]
RepetitionPenalty = Annotated[
    float | None, typer.Option(min=0.01, callback=_finite, help="Above 1 discourages repeats.")
]
Stop = Annotated[
    list[str] | None, typer.Option("--stop", metavar="TEXT", help="End the answer before this text. Several: repeat.")
]
System = Annotated[str | None, typer.Option(help="How the model should behave, for its chat template.")]
Seed = Annotated[int | None, typer.Option(min=-1, max=2**64 - 1, help="Makes sampling repeatable; -1: not.")]
Reserve = Annotated[
    int | None, typer.Option(help="Jobs every server keeps cache for in the plan; default: what answers soonest.")
]
StopEarly = Annotated[
    bool, typer.Option("--stop-early", help="In the plan, leave servers out once the rate is met at 70% load.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]
LogJson = Annotated[bool, typer.Option("--log-json", help="Log to standard error as JSON, one object a line.")]
Debug = Annotated[bool, typer.Option("--debug", help="Log everything and show tracebacks.", envvar="SWARM_DEBUG")]


def peers_of(given: list[str] | None) -> tuple[str, ...]:
    """The addresses of repeated and comma-separated --initial-peers."""
    return tuple(address for part in given or [] for address in part.split(",") if address)


def stops_of(given: list[str] | None) -> tuple[str, ...]:
    """The strings of repeated --stop. Raises UsageError for one without a character, which would end every answer."""
    if given and not all(given):
        raise UsageError("--stop needs a text of at least one character")
    return tuple(given or ())


def required_peers(given: list[str] | None) -> tuple[str, ...]:
    """Raises UsageError if there is none: a client cannot find a swarm by itself."""
    peers = peers_of(given)
    if not peers:
        raise UsageError("give --initial-peers ADDRESS: a node prints its address when it is ONLINE")
    return peers
