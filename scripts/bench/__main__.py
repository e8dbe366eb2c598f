"""Runs a benchmark: ``python scripts/bench NAME [OPTIONS]``; without a name it lists them all.

Whatever the benchmarks start as processes of their own is run in the same way.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

BENCHMARKS = (
    "generate", "petals", "gpu", "overhead", "prefill", "prefix", "speculation", "wire", "soak",
    "dht", "routing", "convergence", "churn", "stale_routing",
)  # fmt: skip
FOLDER = Path(__file__).resolve().parent


def main() -> None:
    # Python has put this folder first, where bench/dht.py would be found for the package dht.
    sys.path[:1] = [str(FOLDER.parent), str(FOLDER.parents[1])]
    import typer

    if len(sys.argv) < 2 or not (FOLDER / f"{sys.argv[1]}.py").exists():
        print(f"there is no benchmark '{sys.argv[1]}'" if sys.argv[1:] else __doc__, end="\n\n")
        for name in BENCHMARKS:
            told = ast.get_docstring(ast.parse((FOLDER / f"{name}.py").read_text())) or ""
            print(f"{name:14}{told.splitlines()[0]}")
        raise SystemExit(2)
    _, name, *options = sys.argv
    sys.argv = [f"bench {name}", *options]
    typer.run(import_module(f"bench.{name}").main)


if __name__ == "__main__":
    main()
