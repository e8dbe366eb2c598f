"""``swarm doctor``: whether this machine can be a node, and what to do where it cannot."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.checkup.finding import Finding, Verdict
from cli.stderr import progress, reported


def doctor(
    initial_peers: options.InitialPeers = None,
    host: Annotated[str, typer.Option(help="IPv4 address that the node is to listen on.")] = "0.0.0.0",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Its TCP port; 0 takes a free one.")] = 0,
    json_output: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Look at what a node needs here; exit code 1 if something is wrong. Changes nothing."""
    with reported(debug):
        with progress("looking at this machine …"):
            findings = examined(host, port, options.peers_of(initial_peers))
        well = all(finding.verdict is not Verdict.WRONG for finding in findings)
        if json_output:
            print(json.dumps({"well": well, "findings": [asdict(finding) for finding in findings]}))
        else:
            print("\n".join(lines(findings)))
        if not well:
            raise typer.Exit(1)


def examined(host: str, port: int, initial_peers: Sequence[str]) -> list[Finding]:
    """All findings."""
    import trio
    from huggingface_hub.constants import HF_HUB_CACHE
    from platformdirs import user_data_path

    from cli.checkup import machine
    from cli.checkup.network import network

    models = Path(HF_HUB_CACHE)
    return [
        machine.clock(machine.clock_status()),
        machine.open_files(machine.open_files_limit()),
        machine.disk(models, machine.free_bytes(models)),
        machine.writable("models", models, "export HF_HOME=/a/folder/of/yours"),
        machine.writable(
            "identity", user_data_path("swarm-node", appauthor=False), "swarm node --identity /a/folder/of/yours/key …"
        ),
        machine.memory(machine.available_memory(), machine.group_room()),
        machine.gpu(),
        *trio.run(network, host, port, tuple(initial_peers)),
    ]


def lines(findings: Sequence[Finding]) -> list[str]:
    """For people: a line for each finding, and one with what mends it."""
    shown: list[str] = []
    for finding in findings:
        shown.append(f"{finding.verdict.value:<6} {finding.check:<11} {finding.said}")
        if finding.mend:
            shown.append(f"       {'':<11} → {finding.mend}")
    return shown
