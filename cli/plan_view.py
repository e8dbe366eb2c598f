"""What a person sees of a plan: a headline, a map of the blocks, the fastest chains, and the choices of c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.block_bar import BlockBar
from cli.figures import between, count, load_of
from routing.plan.cluster import hosted_blocks, total_rate

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cli.cluster import Cluster
    from routing.plan.cluster import Chain, Server
    from routing.plan.reserve import Candidate, Plan
    from routing.span import Span

_ROWS = 40
"""Of the block map; more do not fit a screen."""
_CHAINS = 10
_CANDIDATES = 9
_HOPS = 5
"""Servers of a chain that are named; of longer ones the middle is left out."""
_NAMES = 6
"""Servers left out that are named."""
_NAME_WIDTH = 24
_GAP = 2
"""Columns after each column of the map."""


def plan_view(cluster: Cluster, plan: Plan, arrival_rate: float, width: int) -> RenderableType:
    """``width`` is the terminal's, in columns."""
    parts: list[RenderableType] = [_headline(cluster, plan, arrival_rate), Text()]
    parts += [_block_map(cluster, plan, width), *_left_out(cluster, plan), Text()]
    parts += [_chain_table(cluster.servers, plan.chains), *_other_chains(plan.chains[_CHAINS:])]
    if len(plan.candidates) > 1:
        parts += [Text(), _candidate_table(plan)]
    return Group(*parts)


def _headline(cluster: Cluster, plan: Plan, arrival_rate: float) -> Text:
    rate = total_rate(plan.chains)
    room = sum(chain.capacity for chain in plan.chains)
    hosting = sum(span is not None for span in plan.placement.spans)
    text = Text()
    text.append(f"{count(cluster.model.blocks, 'block')} on {hosting:,} of {count(len(cluster.servers), 'server')}: ")
    text.append(f"{count(len(plan.chains), 'chain')} with room for {count(room, 'job')} at once", style="bold")
    text.append(f"\neach server keeps cache for {count(plan.reserve, 'job')} on all its blocks (c = {plan.reserve})\n")
    text.append(f"mean response {between(plan.bounds)}", style="bold green")
    text.append(f" at {arrival_rate:.4g} jobs/s: {load_of(arrival_rate, rate)}")
    return text


# --- The block map ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Row:
    """One server, or several that host the same blocks."""

    span: Span
    names: list[str]

    @property
    def title(self) -> str:
        more = f" +{len(self.names) - 1:,}" if len(self.names) > 1 else ""
        name = self.names[0]
        room = _NAME_WIDTH - len(more)
        return (name if len(name) <= room else name[: room - 1] + "…") + more


def _block_map(cluster: Cluster, plan: Plan, width: int) -> Table:
    rows = _rows(cluster.servers, plan.placement.spans)
    shown = sorted(sorted(rows, key=_importance)[:_ROWS], key=lambda row: row.span)
    left = sum(len(row.names) for row in rows) - sum(len(row.names) for row in shown)
    more = [f"… {left:,} more"] if left else []
    names = max(len(text) for text in ("server", *more, *(row.title for row in shown)))
    spans = max(len(text) for text in ("blocks", *(str(row.span) for row in shown)))
    bar = BlockBar(cluster.model.blocks, width - names - spans - 3 * _GAP)
    table = Table.grid(padding=(0, _GAP))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_row(Text("server", style="dim"), Text("blocks", style="dim"), Text(bar.ruler(), style="dim"))
    for row in shown:
        table.add_row(row.title, str(row.span), Text(bar.span(row.span), style="cyan"))
    for text in more:
        table.add_row(Text(text, style="dim"))
    table.add_row(Text("hosts", style="dim"), "", Text(bar.replicas(plan.placement.spans), style="dim"))
    return table


def _rows(servers: Sequence[Server], spans: Sequence[Span | None]) -> list[_Row]:
    """In the order of their blocks. Servers share rows only where each could not have its own."""
    placed = [(span, server.name) for server, span in zip(servers, spans, strict=True) if span is not None]
    if len(placed) <= _ROWS:
        return [_Row(span, [name]) for span, name in sorted(placed, key=lambda pair: pair[0])]
    groups: dict[Span, list[str]] = {}
    for span, name in placed:
        groups.setdefault(span, []).append(name)
    return [_Row(span, groups[span]) for span in sorted(groups)]


def _importance(row: _Row) -> tuple[int, int, Span]:
    """Where not all rows are shown, those of many servers and of many blocks are."""
    return -len(row.names), -len(row.span), row.span


def _left_out(cluster: Cluster, plan: Plan) -> list[Text]:
    """Names the servers that do not help, in a line for each reason."""
    used = {link.server for chain in plan.chains for link in chain.links}
    small = f"too little memory for a block and {count(plan.reserve, 'job')}"
    reasons: dict[str, list[str]] = {small: [], "not needed": [], "on no chain": []}
    for index, (server, span) in enumerate(zip(cluster.servers, plan.placement.spans, strict=True)):
        if span is None:
            fits = hosted_blocks(server, cluster.model, plan.reserve) > 0
            reasons["not needed" if fits else small].append(server.name)
        elif index not in used:
            reasons["on no chain"].append(server.name)
    return [Text(f"{reason}: {_named(names)}", style="yellow") for reason, names in reasons.items() if names]


def _named(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


# --- Chains and candidates -------------------------------------------------------------------------------------------


def _chain_table(servers: Sequence[Server], chains: Sequence[Chain]) -> Table:
    table = Table("chain", box=None, pad_edge=False)
    for title in ("s/job", "jobs", "jobs/s"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("servers")
    for number, chain in enumerate(chains[:_CHAINS], start=1):
        table.add_row(
            str(number),
            f"{chain.service_seconds:.4g}",
            f"{chain.capacity:,}",
            f"{chain.rate:.4g}",
            _path([servers[link.server].name for link in chain.links]),
        )
    return table


def _path(names: list[str]) -> str:
    if len(names) > _HOPS:
        names = [*names[: _HOPS - 2], f"… {len(names) - _HOPS + 1} more …", names[-1]]
    return " → ".join(names)


def _other_chains(chains: Sequence[Chain]) -> list[Text]:
    if not chains:
        return []
    room = sum(chain.capacity for chain in chains)
    slowest = _seconds(chains[-1].service_seconds)
    return [
        Text(
            f"… and {count(len(chains), 'slower chain')} with room for {count(room, 'job')}: "
            f"{total_rate(chains):.4g} jobs/s, up to {slowest} a job",
            style="dim",
        )
    ]


def _candidate_table(plan: Plan) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("c", "chains", "jobs/s", "mean response", "c·K(c)"):
        table.add_column(title, justify="right", no_wrap=True)
    for candidate in _around(plan.candidates, plan.reserve):
        chosen = candidate.reserve == plan.reserve
        bounds = candidate.bounds
        table.add_row(
            f"{'▸ ' if chosen else ''}{candidate.reserve:,}",
            f"{candidate.chains:,}",
            f"{candidate.rate:.4g}",
            between(bounds) if bounds else "too slow" if candidate.chains else "no chain",
            "–" if candidate.surrogate is None else f"{candidate.surrogate:,}",
            style="bold green" if chosen else None,
        )
    return table


def _around(candidates: Sequence[Candidate], reserve: int) -> Sequence[Candidate]:
    middle = next(index for index, candidate in enumerate(candidates) if candidate.reserve == reserve)
    first = max(0, min(middle - _CANDIDATES // 2, len(candidates) - _CANDIDATES))
    return candidates[first : first + _CANDIDATES]


def _seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.4g} s"
