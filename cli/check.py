"""``swarm check``: whether a model can be served, and what that takes, without loading any of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.stderr import progress, reported
from routing import Span, describe_bytes
from routing.errors import ModelError, UsageError
from swarm_node.settings import session_tokens

if TYPE_CHECKING:
    from swarm_node.model import ModelSource


def check(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Directory of a model, or its Hub id.")],
    revision: options.Revision = None,
    blocks: Annotated[
        str | None, typer.Option(metavar="START:END", help="Name the files that these blocks are in.")
    ] = None,
    json_output: options.Json = False,
    debug: options.Debug = False,
) -> None:
    """Tell whether MODEL can be served and what it takes; exit code 1 if it cannot. Downloads no weights."""
    with reported(debug):
        wanted = Span.parse(blocks) if blocks is not None else None
        try:
            with progress("reading the model's description …"):
                facts = facts_of(model, revision, wanted)
        except ModelError as error:
            if not json_output:
                raise
            facts = {"model": model, "served": False, "why": str(error)}
        print(json.dumps(facts) if json_output else "\n".join(lines(facts)))
        if not facts["served"]:
            raise typer.Exit(1)


def facts_of(model: str, revision: str | None, wanted: Span | None) -> dict[str, Any]:
    """Everything that is to be told. Raises ModelError if the model cannot be served, UsageError for ``wanted``."""
    import torch

    from swarm_node.model import ModelSource, Quant

    source = ModelSource.open(model, revision)
    if wanted is not None and wanted.end > source.blocks:
        raise UsageError(f"blocks {wanted} are out of range: the model has blocks 0:{source.blocks}")
    shapes, dtype = source.shapes, source.dtype
    every, session = Span(0, source.blocks), session_tokens(source.context_length)
    sizes = {file.file: file.size for file in source.shards}
    return {
        "model": model,
        "served": True,
        "type": source.config.model_type,
        "fingerprint": source.fingerprint,
        "dtype": str(dtype).removeprefix("torch."),
        "blocks": source.blocks,
        "cuts": list(range(1, source.blocks)),
        "hidden_size": source.hidden_size,
        "context_length": source.context_length,
        "runs": _path(source),
        "left_out": list(shapes.beside),
        "block_bytes": {
            name: {quant.value: shapes.footprint(getattr(torch, name), quant).block_bytes for quant in Quant}
            for name in ("float32", "bfloat16")
        },
        "token_bytes": shapes.session_bytes(1, every, dtype) - shapes.session_bytes(0, every, dtype),
        "state_bytes": shapes.session_bytes(0, every, dtype),
        "session_tokens": session,
        "session_bytes": shapes.session_bytes(session, every, dtype),
        "weights_bytes": sum(sizes.values()),
        "span": None if wanted is None else {
            "blocks": str(wanted),
            "files": {file: sizes[file] for file in sorted(set(source.needed_tensors(wanted).values()))},
        },
    }  # fmt: skip


def _path(source: ModelSource) -> str:
    """How its blocks will run, as far as that is known before they are loaded."""
    from swarm_node.compute import LEAN_MODELS

    if source.shapes.keeps_states:
        return "its own blocks and attention"
    kind = source.config.get_text_config().model_type
    return (
        "our own form of each block" if kind in LEAN_MODELS else "its own blocks, with our attention if that is right"
    )


def lines(facts: dict[str, Any]) -> list[str]:
    """For people."""
    own = facts["dtype"]
    shown = facts["block_bytes"].get(own, facts["block_bytes"]["bfloat16"])
    kinds = ", ".join(f"{describe_bytes(size)} {name}" for name, size in shown.items() if name != "none")
    left_out = f", text alone, without {', '.join(facts['left_out'])}" if facts["left_out"] else ""
    rows = [
        ("type", facts["type"] + left_out),
        ("blocks", f"{facts['blocks']}, cut anywhere"),
        ("hidden state", f"{facts['hidden_size']:,} numbers a token"),
        ("context", f"{facts['context_length']:,} tokens" if facts["context_length"] else "not told"),
        ("runs by", facts["runs"]),
        ("one block", f"{describe_bytes(shown['none'])} {own}, {kinds}"),
        ("cache", f"{describe_bytes(facts['token_bytes'])} a token in all blocks"),
    ]
    if facts["state_bytes"]:
        rows.append(("states", f"{describe_bytes(facts['state_bytes'])} a session in all blocks, however long it is"))
    rows += [
        ("a session", f"of {facts['session_tokens']:,} tokens: {describe_bytes(facts['session_bytes'])} in all blocks"),
        ("files", f"{describe_bytes(facts['weights_bytes'])} of weights in all"),
    ]
    if facts["span"] is not None:
        files = facts["span"]["files"]
        rows.append(
            (f"blocks {facts['span']['blocks']}", f"{describe_bytes(sum(files.values()))} in {', '.join(files)}")
        )
    width = max(len(name) for name, _told in rows)
    return [f"{facts['model']} can be served", *(f"  {name:<{width}}  {told}" for name, told in rows)]
