"""A node's options from a file: the same as on the command line, each mistake with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import swarm_node
from cli.config_file import options_of, read_config
from cli.node import CHECKS, node
from routing.errors import UsageError
from tests.cli.command import swarm

EXAMPLE = Path(swarm_node.__file__).parent.parent / "docs" / "operating" / "node.toml"
NOBODY = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "node.toml"


def complaint(file: Path, text: str) -> str:
    """What is said of ``text``, from the place on."""
    file.write_text(text)
    with pytest.raises(UsageError) as refused:
        read_config(file, node, CHECKS)
    assert str(refused.value).startswith(f"{file}:")
    return str(refused.value).removeprefix(f"{file}:")


def test_every_option_of_the_command_can_stand_in_the_file(file: Path) -> None:
    command_line = {"model", "blocks", "memory", "initial-peers", "new-swarm", "metrics-port", "log-json", "debug"}
    assert command_line <= options_of(node).keys()
    file.write_text(
        f'model = "some/model"\nblocks = "0:4"\nmemory = "6GiB"\ninitial-peers = ["{NOBODY}"]\nport = 31337\n'
        'identity = "~/key"\ndtype = "bfloat16"\nshare-prefixes = true\nthreads = 2\n'
    )
    assert read_config(file, node, CHECKS) == {
        "model": "some/model", "blocks": "0:4", "memory": "6GiB", "initial_peers": [NOBODY], "port": 31337,
        "identity": "~/key", "dtype": "bfloat16", "share_prefixes": True, "threads": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('host = "::"\nprot = 1\n', "2:1: 'prot' is no option here; did you mean port?"),
        ("config = 'other.toml'", "1:1: 'config' is no option here"),
        ('\n  port = "31337"\n', "2:10: port: input should be a valid integer"),
        ("port = 70000", "1:8: port: input should be less than or equal to 65535"),
        ("metrics-port = 70000", "1:16: metrics-port: input should be less than or equal to 65535"),
        ("threads = 0", "1:11: threads: input should be greater than or equal to 1"),
        ("port = true", "1:8: port: input should be a valid integer"),
        ('new-swarm = "yes"', "1:13: new-swarm: input should be a valid boolean"),
        ("model = 7", "1:9: model: input should be a valid string"),
        ("model = 1979-05-27", "1:9: model: dates and times"),
        ("dtype = 'float23'", "1:9: dtype: input should be 'auto', 'float32'"),
        ('blocks = "four"', "1:10: "),
        ('memory = "lots"', "1:10: 'lots' is not a size of memory"),
        ('initial-peers = ["/ip4/127.0.0.1"]', "1:17: '/ip4/127.0.0.1' is not a peer's address"),
        ("model = 'a'\nport == 3", "2:7: invalid value"),
        ("model = 'a", "1:"),
        ("[node]\nport = 3", "1:2: 'node' is no option here"),
        ('revision = """\nport = 1\n"""\nport = -1', "4:8: port: "),
        ("port = 1\nport = 2", "2:9: cannot overwrite a value"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_column(file: Path, text: str, said: str) -> None:
    assert complaint(file, text).lower().startswith(said.lower())


def test_a_file_that_is_not_there_is_one_line(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    outcome = swarm(capfd, "node", "--config", tmp_path / "none.toml")
    assert outcome.code == 2
    assert "none.toml" in outcome.complaint and "--config" in outcome.complaint


def test_the_command_line_goes_before_the_file(capfd: pytest.CaptureFixture[str], file: Path, tmp_path: Path) -> None:
    file.write_text(f'model = "{tmp_path / "of-the-file"}"\nnew-swarm = true\n')
    assert "of-the-file" in swarm(capfd, "node", "--config", file).complaint
    outcome = swarm(capfd, "node", "--config", file, "--model", tmp_path / "of-the-line")
    assert outcome.code == 1
    assert "of-the-line" in outcome.complaint


def test_the_example_in_the_documentation_is_right() -> None:
    assert read_config(EXAMPLE, node, CHECKS)
    commented = re.findall(r"^# ([a-z-]+) = ", EXAMPLE.read_text(), re.MULTILINE)
    assert set(commented) <= options_of(node).keys()
