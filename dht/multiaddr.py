"""Multiaddresses: how libp2p writes where a peer is, as text for people and as bytes for the daemon and records."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass

from dht.peer_id import peer_id_bytes, peer_id_text
from routing.errors import UsageError

EXAMPLE = "/ip4/192.0.2.7/tcp/31337/p2p/12D3KooWFAeNYeXKe7ghqYVkBUB6JUzj1xDr78feuSeaUgHVkCQa"
_LONGEST_TEXT = 512
_HOST_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?")

# https://github.com/multiformats/multiaddr/blob/master/protocols.csv, as far as libp2p's usual transports go
_CODES = {
    "ip4": 4,
    "tcp": 6,
    "ip6": 41,
    "dns": 53,
    "dns4": 54,
    "dns6": 55,
    "udp": 273,
    "p2p-circuit": 290,
    "unix": 400,
    "p2p": 421,
    "quic-v1": 461,
}
_NAMES = {code: name for name, code in _CODES.items()}
_HOSTS = ("ip4", "ip6", "dns", "dns4", "dns6")
_ADDRESS_BYTES = {"ip4": 4, "ip6": 16, "tcp": 2, "udp": 2}
_WITHOUT_VALUE = ("quic-v1", "p2p-circuit")


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer is and who it must prove to be; str() gives the multiaddress that parse() reads."""

    transport: str
    """The way to the peer: ``/ip4/192.0.2.7/tcp/31337``, or through a relay ``…/p2p/RELAY/p2p-circuit``."""
    peer_id: str

    def __str__(self) -> str:
        return f"{self.transport}/p2p/{self.peer_id}"

    @classmethod
    def parse(cls, text: str) -> PeerAddress:
        """Read an address as nodes print it. Raises UsageError, which shows a right one, for anything else."""
        try:
            parts = list(split(decode(encode(text))))
            if len(parts) < 2 or parts[-1][0] != "p2p":
                raise ValueError("it must end in /p2p/ and the peer's id")
            transport = join(parts[:-1])
            check_dialable(transport)
        except ValueError as error:
            raise UsageError(f"{text[:100]!r} is not a peer's address: {error}; write it like {EXAMPLE}") from None
        return cls(transport, parts[-1][1])


def check_dialable(transport: str) -> None:
    """Raise ValueError unless ``transport`` says which host and port to call."""
    parts = list(split(transport))
    kinds = [kind for kind, _ in parts]
    if len(parts) < 2 or kinds[0] not in _HOSTS or kinds[1] not in ("tcp", "udp"):
        raise ValueError("it must begin with a host and a port")
    if kinds[1] == "udp" and kinds[2:3] != ["quic-v1"]:
        raise ValueError("over UDP only QUIC is spoken: /udp/PORT/quic-v1")
    if kinds[3 if kinds[1] == "udp" else 2 :] not in ([], ["p2p", "p2p-circuit"]):
        raise ValueError("what follows the port is not understood")
    if parts[1][1] == "0":
        raise ValueError("nobody listens on port 0")
    if kinds[0].startswith("ip") and ipaddress.ip_address(parts[0][1]).is_unspecified:
        raise ValueError(f"{parts[0][1]} stands for every address of a machine, not for one to call")


def encode(text: str) -> bytes:
    """The bytes of a multiaddress; raises ValueError if it is malformed."""
    if len(text) > _LONGEST_TEXT:
        raise ValueError("it is too long")
    return b"".join(_encode_part(kind, value) for kind, value in split(text))


def decode(raw: bytes) -> str:
    """The text of a multiaddress; raises ValueError if ``raw`` is malformed or has parts unknown here."""
    parts: list[tuple[str, str]] = []
    rest = raw
    while rest:
        code, rest = _take_varint(rest)
        kind = _NAMES.get(code)
        if kind is None:
            raise ValueError(f"protocol {code} is not known here")
        if kind in _WITHOUT_VALUE:
            length = 0
        elif kind in _ADDRESS_BYTES:
            length = _ADDRESS_BYTES[kind]
        else:
            length, rest = _take_varint(rest)
        if length > len(rest):
            raise ValueError("it is cut short")
        parts.append((kind, _decode_value(kind, rest[:length])))
        rest = rest[length:]
        if kind == "unix" and rest:
            raise ValueError("a unix socket comes last")
    if not parts:
        raise ValueError("it is empty")
    return join(parts)


def split(text: str) -> Iterator[tuple[str, str]]:
    """The parts of a multiaddress: protocol and value, which is empty for protocols without one."""
    if not text.startswith("/"):
        raise ValueError("it must begin with a /")
    words = iter(text[1:].split("/"))
    for kind in words:
        if kind not in _CODES:
            raise ValueError(f"{kind[:20]!r} is no protocol known here")
        if kind in _WITHOUT_VALUE:
            yield kind, ""
        elif kind == "unix":
            yield kind, "/" + "/".join(words)
        else:
            value = next(words, "")
            if not value:
                raise ValueError(f"/{kind} needs a value")
            yield kind, value


def join(parts: list[tuple[str, str]]) -> str:
    """The inverse of split()."""
    return "".join(f"/{kind}" if not value else f"/{kind}/{value.removeprefix('/')}" for kind, value in parts)


def write_varint(number: int) -> bytes:
    """Unsigned LEB128: seven bits a byte, the lowest first."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _encode_part(kind: str, value: str) -> bytes:
    code = write_varint(_CODES[kind])
    if kind in _WITHOUT_VALUE:
        return code
    raw = _encode_value(kind, value)
    return code + raw if kind in _ADDRESS_BYTES else code + write_varint(len(raw)) + raw


def _encode_value(kind: str, value: str) -> bytes:
    match kind:
        case "ip4":
            return ipaddress.IPv4Address(value).packed
        case "ip6":
            if "%" in value:
                raise ValueError("an address with a zone is known to one machine only")
            return ipaddress.IPv6Address(value).packed
        case "tcp" | "udp":
            if not (value.isascii() and value.isdecimal() and len(value) <= 5 and int(value) <= 65535):
                raise ValueError(f"{value[:20]!r} is no port")
            return int(value).to_bytes(2, "big")
        case "p2p":
            return peer_id_bytes(value)
        case "unix":
            return value.encode()
        case _:
            if not _HOST_NAME.fullmatch(value):
                raise ValueError(f"{value[:40]!r} is no host name")
            return value.encode()


def _decode_value(kind: str, raw: bytes) -> str:
    match kind:
        case "ip4":
            return str(ipaddress.IPv4Address(raw))
        case "ip6":
            return str(ipaddress.IPv6Address(raw))
        case "tcp" | "udp":
            return str(int.from_bytes(raw, "big"))
        case "p2p":
            return peer_id_text(raw)
        case "quic-v1" | "p2p-circuit":
            return ""
        case "unix":
            if not raw.startswith(b"/") or len(raw) == 1:
                raise ValueError("a unix socket needs an absolute path")
            return raw.decode()
        case _:
            name = raw.decode()
            if not _HOST_NAME.fullmatch(name):
                raise ValueError("not a host name")
            return name


def _take_varint(raw: bytes) -> tuple[int, bytes]:
    number = 0
    for index, byte in enumerate(raw[:4]):
        number |= (byte & 0x7F) << (7 * index)
        if not byte & 0x80:
            if index and not byte:
                raise ValueError("a number is written longer than it need be")
            return number, raw[index + 1 :]
    raise ValueError("a number has no end")
