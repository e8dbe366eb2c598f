"""API keys: who may ask, how much at once, and how much a minute."""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import trio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from routing.errors import UsageError
from swarm_node.gateway.errors import Problem, Refused, too_many
from swarm_node.gateway.settings import PROMPTS_AT_ONCE

KEYS = 10_000
KEY_CHARS = 512
MINUTE_SECONDS = 60.0
Prepared = TypeVar("Prepared")


@dataclass(slots=True, eq=False)
class Key:
    """Whoever asks, and what is left of the limits. Owned by Keys, for as long as the gateway runs."""

    name: str
    """For logs and limits; it is no secret."""
    owner: str
    """Under which the nodes keep prompts: nobody learns by timing what another owner has sent."""
    concurrent_requests: int | None = None
    tokens_per_minute: int | None = None
    running: int = 0
    _prompts: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(PROMPTS_AT_ONCE))
    _spent: float = 0.0
    _spent_at: float = 0.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request runs in here. Raises Refused (429) if a limit is reached."""
        if self.concurrent_requests is not None and self.running >= self.concurrent_requests:
            raise too_many(f"this key may have {self.concurrent_requests} requests at once; wait for one to end")
        if self.tokens_per_minute is not None and self._owed() >= self.tokens_per_minute:
            over = self._owed() - self.tokens_per_minute
            seconds = int(over / self.tokens_per_minute * MINUTE_SECONDS) + 1
            raise too_many(f"this key may use {self.tokens_per_minute} tokens a minute; wait {seconds} s", seconds)
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def prepare(self, work: Callable[[], Prepared]) -> Prepared:
        """``work`` in a thread, with at most PROMPTS_AT_ONCE of this key's: those that nobody waits for any more go on
        to their end.
        """
        return await trio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._prompts)

    def spend(self, tokens: int) -> None:
        """Count ``tokens`` of prompt or answer against the minute's limit."""
        self._spent = self._owed() + tokens

    def _owed(self) -> float:
        """Tokens spent, less what time has paid back since."""
        now = trio.current_time()
        if self.tokens_per_minute is not None:
            self._spent -= (now - self._spent_at) / MINUTE_SECONDS * self.tokens_per_minute
        self._spent, self._spent_at = max(0.0, self._spent), now
        return self._spent


class KeyRecord(BaseModel):
    """A key as a keys file tells it."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(min_length=8, max_length=KEY_CHARS, pattern=r"^[!-~]+$")
    name: str = Field(default="", max_length=100)
    concurrent_requests: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)


class Keys:
    """The keys of one gateway; without any, everybody may ask, as one owner."""

    def __init__(self, records: Sequence[KeyRecord] = ()) -> None:
        """Raises UsageError if two are the same."""
        self._everybody = Key(name="", owner="")
        self._keys = {
            _digest(record.key): Key(
                name=record.name or f"key {number}",
                # The nodes see the owner: it must not tell them the key.
                owner=_digest("owner of " + record.key).hex(),
                concurrent_requests=record.concurrent_requests,
                tokens_per_minute=record.tokens_per_minute,
            )
            for number, record in enumerate(records, start=1)
        }
        if len(self._keys) < len(records):
            raise UsageError("the same API key is given twice; give each one once")

    def __bool__(self) -> bool:
        return bool(self._keys)

    def whose(self, given: str | None) -> Key:
        """Raises Refused (401) for none or a wrong one."""
        if not self._keys:
            return self._everybody
        if given is None:
            raise _unauthorised("give an API key: Authorization: Bearer KEY")
        digest = _digest(given)
        # Every digest is compared, each in constant time: how long it takes tells nothing about the keys.
        found = [key for known, key in self._keys.items() if hmac.compare_digest(known, digest)]
        if not found:
            raise _unauthorised("this API key is not known here; ask who runs this gateway for one")
        return found[0]


def read_keys(path: Path) -> list[KeyRecord]:
    """The keys of a file: TOML with ``[[keys]]`` tables (key, name, concurrent_requests, tokens_per_minute), or one key
    a line, with ``#`` for comments.

    Raises UsageError, which names no key.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the keys file {path} cannot be read ({error}); give a readable text file") from error
    records = _toml(path, text) if "[[keys]]" in text else plain_keys(text.splitlines(), str(path))
    if not records:
        raise UsageError(f"the keys file {path} holds no key; write one a line, or leave --keys-file out")
    if len(records) > KEYS:
        raise UsageError(f"the keys file {path} holds more than {KEYS} keys; give fewer")
    return records


def plain_keys(lines: Sequence[str], where: str) -> list[KeyRecord]:
    """One key each, without limits; ``where`` is for messages. Raises UsageError, which names no key."""
    found = [(number, line.strip()) for number, line in enumerate(lines, start=1)]
    return [_record({"key": line}, f"{where}, line {number}") for number, line in found if line and line[0] != "#"]


def _toml(path: Path, text: str) -> list[KeyRecord]:
    try:
        tables = tomllib.loads(text).get("keys", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"the keys file {path} is not TOML ({error}); write [[keys]] tables") from error
    if not isinstance(tables, list):
        raise UsageError(f"the keys file {path} has no list of keys; write [[keys]] tables")
    return [_record(table, f"{path}, key {number}") for number, table in enumerate(tables, start=1)]


def _record(values: Any, where: str) -> KeyRecord:
    try:
        return KeyRecord.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field_name = ".".join(map(str, first["loc"]))
        raise UsageError(f"{where}: {field_name}: {first['msg']}") from None


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _unauthorised(message: str) -> Refused:
    return Refused(Problem(401, message, "authentication_error", "invalid_api_key"))
