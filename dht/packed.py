"""How records are written: a msgpack list of a version and bounded fields, refused as a whole if one of them is off."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import msgpack
from pydantic import BaseModel, ConfigDict, ValidationError

from dht.settings import RECORD_BYTES
from routing.errors import ProtocolError


class PackedRecord(BaseModel):
    """Base of what peers publish: its VERSION, and behind that the fields of a subclass in their order."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    VERSION: ClassVar[int]

    version: int

    def encode(self) -> bytes:
        """As decode() reads it."""
        packed: bytes = msgpack.packb([getattr(self, name) for name in type(self).model_fields])
        return packed

    @classmethod
    def decode(cls, packed: bytes) -> Self:
        """Raises ProtocolError unless ``packed`` is exactly one record that keeps every bound."""
        if len(packed) > RECORD_BYTES:
            raise ProtocolError(f"a record of {len(packed)} bytes is longer than {RECORD_BYTES}")
        try:
            values: Any = msgpack.unpackb(packed, max_array_len=64, max_map_len=0, max_ext_len=0)
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            raise ProtocolError(f"a record is not msgpack: {error!r}") from None
        if not isinstance(values, list) or not values:
            raise ProtocolError("a record is not a list")
        if values[0] != cls.VERSION:
            raise ProtocolError(f"a record of version {str(values[0])[:20]!r}, not {cls.VERSION}")
        if len(values) != len(cls.model_fields):
            raise ProtocolError(f"a record of {len(values)} fields, not {len(cls.model_fields)}")
        return cls.checked(dict(zip(cls.model_fields, values, strict=True)))

    @classmethod
    def checked(cls, fields: dict[str, Any]) -> Self:
        """The record with these fields. Raises ProtocolError naming the first that breaks a bound."""
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, first["loc"])) or "record"
            raise ProtocolError(f"bad record: {where}: {first['msg']}") from None
