"""A peer's name is its Ed25519 public key, written in base58 as libp2p does."""

from __future__ import annotations

import base58
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE_BYTES = 64
_ED25519_PREFIX = bytes.fromhex("002408011220")
"""Multihash 'identity' of 36 bytes, which are libp2p's PublicKey message: type Ed25519, data of 32 bytes."""
_SHA256_PREFIX = bytes.fromhex("1220")
"""Multihash SHA-256 of 32 bytes: the name of a peer with a longer key, such as a foreign relay."""
_LONGEST_TEXT = 64


def peer_id_of(public_key: bytes) -> str:
    """The peer id of an Ed25519 public key of 32 bytes."""
    return peer_id_text(_ED25519_PREFIX + public_key)


def peer_id_text(raw: bytes) -> str:
    """Base58 of a peer id's bytes; raises ValueError if they are none."""
    is_ed25519 = raw.startswith(_ED25519_PREFIX) and len(raw) == len(_ED25519_PREFIX) + 32
    is_sha256 = raw.startswith(_SHA256_PREFIX) and len(raw) == len(_SHA256_PREFIX) + 32
    if not (is_ed25519 or is_sha256):
        raise ValueError("not the bytes of a peer id")
    return base58.b58encode(raw).decode()


def peer_id_bytes(text: str) -> bytes:
    """The bytes of a peer id in base58; raises ValueError for anything else."""
    if not text.isascii() or len(text) > _LONGEST_TEXT:
        raise ValueError("not a peer id")
    raw: bytes = base58.b58decode(text)
    if peer_id_text(raw) != text:
        raise ValueError("not a peer id as libp2p writes it")
    return raw


def is_signed_by(peer_id: str, signature: bytes, message: bytes) -> bool:
    """True if ``signature`` (64 bytes) is what the owner of ``peer_id`` signs ``message`` with."""
    try:
        raw = peer_id_bytes(peer_id)
        if not raw.startswith(_ED25519_PREFIX):
            return False
        Ed25519PublicKey.from_public_bytes(raw[len(_ED25519_PREFIX) :]).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def short_name(peer_id: str) -> str:
    """The end of a peer id, enough to tell peers apart in a message: the beginning is the same for all."""
    return f"…{peer_id[-8:]}"
