"""The ``swarm`` command as a test calls it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cli.main import app, spread_peers


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    error: str

    @property
    def complaint(self) -> str:
        """The one line on standard error; fails if there is more or less."""
        lines = self.error.strip().splitlines()
        assert len(lines) == 1, self.error
        assert lines[0].startswith("error: ")
        return lines[0]


def swarm(capfd: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run the command in this process."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        app(args=spread_peers([str(argument) for argument in arguments]))
    out, error = capfd.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return Outcome(code, out, error)
