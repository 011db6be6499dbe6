"""Identifiers: time-ordered opaque ids, and secrets for links and keys."""

from __future__ import annotations

import hashlib
import secrets
import time
import uuid


def uuid7() -> uuid.UUID:
    """A time-ordered random UUID, version 7 of RFC 9562: 48 bits of Unix milliseconds, 74 random bits."""
    value = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return uuid.UUID(int=value)


def new_secret() -> str:
    """A URL-safe secret of 192 random bits, for a link or an API key. Store only its `secret_digest`."""
    return secrets.token_urlsafe(24)


def secret_digest(secret: str) -> bytes:
    """SHA-256 of a secret, 32 bytes; a fast hash is enough because the secret is random, not chosen."""
    return hashlib.sha256(secret.encode()).digest()
