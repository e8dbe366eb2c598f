"""Runs trials, each in a forked process with a deadline: the imports are done once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from model_table.trial import Trial, tried


def run_trials(kinds: Sequence[str], out: Path, seconds: int) -> list[Trial]:
    """Try ``kinds``, and write all results to ``out``/trials.jsonl; what models say goes to ``out``/said.log."""
    import torch

    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    trials = []
    with (out / "trials.jsonl").open("w") as results:
        for kind in kinds:
            trial = _apart(kind, out / "said.log", seconds)
            trials.append(trial)
            results.write(trial.model_dump_json() + "\n")
            results.flush()
            mark = "exact" if trial.exact else "WRONG" if trial.wrong else "–"
            print(f"{kind:28} {mark:6} {trial.path:10} {trial.said[:150]}", flush=True)
    return trials


def _apart(kind: str, log: Path, seconds: int) -> Trial:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(seconds)
        said = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(said, sys.stdout.fileno())
        os.dup2(said, sys.stderr.fileno())
        with os.fdopen(writing, "w") as pipe:
            pipe.write(tried(kind).model_dump_json())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    if not told:
        return Trial(kind=kind, wrong=True, said=f"died, or took longer than {seconds} s")
    return Trial.model_validate_json(told)
