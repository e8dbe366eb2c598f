"""Runs a benchmark: ``python scripts/bench NAME [OPTIONS]``; without a name it lists them all.

Whatever the benchmarks start as processes of their own is run in the same way.
"""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
BENCHMARKS = sorted(path.stem for path in FOLDER.glob("[!_]*.py"))
PROCESSES = [path.stem for path in (FOLDER / "processes").glob("[!_]*.py")]


def main() -> None:
    # Python has put this folder first, where bench/dht.py would be found for the package dht.
    sys.path[:1] = [str(FOLDER.parent), str(FOLDER.parents[1])]
    import typer

    name = sys.argv[1] if sys.argv[1:] else ""
    if name not in [*BENCHMARKS, *PROCESSES]:
        print(f"there is no benchmark '{name}'" if name else __doc__, end="\n\n")
        for benchmark in BENCHMARKS:
            told = ast.get_docstring(ast.parse((FOLDER / f"{benchmark}.py").read_text())) or ""
            print(f"{benchmark:14}{told.splitlines()[0]}")
        raise SystemExit(2)
    sys.argv = [f"bench {name}", *sys.argv[2:]]
    typer.run(import_module(f"bench.{name}" if name in BENCHMARKS else f"bench.processes.{name}").main)


if __name__ == "__main__":
    main()
