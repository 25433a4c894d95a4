"""Digests that name runs by their configuration."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def key_of(config: dict[str, Any]) -> str:
    """Return the SHA-256 of a run's canonical configuration.

    >>> key_of({"lr": 0.1, "seed": 0}) == key_of({"seed": 0, "lr": 0.1})
    True
    """
    return digest(json.dumps(config, sort_keys=True, separators=(",", ":")))


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()
