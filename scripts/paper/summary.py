"""What came out of all figures: summary.md to read, summary.json for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from paper.inputs import SYNTHETIC, Inputs
from paper.study import Outcome


class Part(NamedTuple):
    name: str
    outcome: Outcome
    files: tuple[str, ...]
    seconds: float
    """Time that it took."""


def write_summary(out: Path, parts: Sequence[Part], inputs: Inputs, seed: int, quick: bool) -> None:
    sources = {"rtts": inputs.rtt_source, "trace": inputs.trace_source}
    document = {
        "inputs": sources,
        "seed": seed,
        "quick": quick,
        "figures": [
            {
                "name": part.name,
                "title": part.outcome.title,
                "files": part.files,
                "seconds": round(part.seconds, 1),
                "claims": [asdict(claim) for claim in part.outcome.claims],
                "note": part.outcome.note,
            }
            for part in parts
        ],
    }
    (out / "summary.json").write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "summary.md").write_text(_markdown(parts, inputs, seed, quick), encoding="utf-8")


def print_claims(console: Console, parts: Sequence[Part]) -> None:
    table = Table("figure", "claim", "found", "met")
    for part in parts:
        for claim in part.outcome.claims:
            table.add_row(part.name, claim.text, claim.found, "yes" if claim.met else "[red]no[/red]")
    console.print(table)


def _markdown(parts: Sequence[Part], inputs: Inputs, seed: int, quick: bool) -> str:
    lines = [
        "# arXiv 2604.14993, section 5, simulated again",
        "",
        f"Round-trip times: {_source(inputs.rtt_source)}. Requests: {_source(inputs.trace_source)}. Seed {seed}."
        + (" Quick run: few clusters, short simulations; its figures are rough." if quick else ""),
        "",
        "| figure | claim | found | met |",
        "|---|---|---|---|",
    ]
    for part in parts:
        for claim in part.outcome.claims:
            lines.append(f"| {part.name} | {claim.text} | {claim.found} | {'yes' if claim.met else '**no**'} |")
    for part in parts:
        lines += ["", f"## {part.outcome.title}", "", part.outcome.note]
        for table in part.outcome.tables:
            lines += ["", table]
        lines += ["", *(f"![{name}]({name})" for name in part.files if name.endswith(".png"))]
        lines += ["", "Files: " + ", ".join(part.files)]
    return "\n".join(lines) + "\n"


def _source(source: str) -> str:
    return "synthetic, not measured" if source == SYNTHETIC else f"measured ({source})"
