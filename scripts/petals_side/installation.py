"""Petals's own Python environment: its old transformers and hivemind cannot live beside ours."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import platformdirs

from routing.errors import SwarmError, UsageError

PETALS = "petals==2.2.0.post1"
HIVEMIND = "hivemind==1.1.9"
"""Petals asks for 1.1.10.post2, which has no wheel: building it fetches a program from a code host.

On Linux the two do the same: only a version number, a start method that is Linux's own anyway, and a hook that Petals
does not use are different in the Python code.
"""
REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def default_folder() -> Path:
    return platformdirs.user_cache_path("swarm-node") / "petals"


def petals_python(folder: Path) -> Path:
    """The interpreter of the environment in ``folder``, which is made first unless it holds exactly these releases.

    That downloads some 400 MB and takes a minute or two. Raises UsageError if ``folder`` is something else already,
    SwarmError with pip's last words if an installation fails.
    """
    python, stamp = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join((PETALS, HIVEMIND, REQUIREMENTS.read_text()))
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    if folder.exists() and any(folder.iterdir()) and not (folder / "pyvenv.cfg").exists():
        raise UsageError(f"{folder} is no Python environment; give --petals-env a folder that is empty or new")
    _run([sys.executable, "-m", "venv", "--clear", str(folder)])
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run([*install, "-r", str(REQUIREMENTS)])
    _run([*install, "--no-deps", PETALS, HIVEMIND])
    stamp.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise SwarmError(f"cannot install Petals: {words[-1] if words else f'{command[0]} failed'}")
