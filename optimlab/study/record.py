"""The record of a run: one line of ``runs.jsonl``, checked before its numbers are used."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from ..errors import InputError

Record = dict[str, Any]

STATUSES = ("ok", "diverged", "error")


def key_of(config: dict[str, Any]) -> str:
    """Return the SHA-256 of a run's canonical configuration.

    >>> key_of({"lr": 0.1, "seed": 0}) == key_of({"seed": 0, "lr": 0.1})
    True
    """
    return digest(json.dumps(config, sort_keys=True, separators=(",", ":")))


def digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def check_record(record: Any) -> Record:
    """Return ``record`` if it is valid.

    The key must be the digest of the configuration, so that no run is taken for another. A run that finished must have
    its scores.

    Raises
    ------
    InputError: a field is missing or has an impossible value.

    >>> check_record({"key": key_of({"test": False}), "run": {"test": False}, "status": "ok", "val_accuracy": 2.0})
    Traceback (most recent call last):
    ...
    optimlab.errors.InputError: val_accuracy must lie in [0, 1], got 2.0
    """
    if not isinstance(record, dict):
        raise InputError(f"expected an object in braces, got {record!r:.40}")
    missing = [name for name in ("key", "run", "status") if name not in record]
    if missing:
        raise InputError(f"{missing[0]} is missing")
    run, status = record["run"], record["status"]
    if not isinstance(run, dict):
        raise InputError("run is not an object in braces")
    if status not in STATUSES:
        raise InputError(f"status must be one of {', '.join(STATUSES)}, got {status!r:.40}")
    if record["key"] != key_of(run):
        raise InputError("key is not the digest of run, so one of them was edited")
    if status == "error" and not isinstance(record.get("error"), str):
        raise InputError("a failed run needs the text of its error")
    promised = ["val_accuracy", "val_loss"] if status == "ok" else []
    promised += ["test_accuracy"] if promised and run.get("test") else []
    for name, (low, high) in _RANGES.items():
        value = record.get(name)
        if value is not None or name in promised:
            _number(name, value, low, high)
    curves = record.get("curves", {})
    if not (isinstance(curves, dict) and all(map(_is_curve, curves.values()))):
        raise InputError("a curve must be a list of finite numbers and nulls")
    return record


_RANGES = {
    "val_accuracy": (0.0, 1.0),
    "test_accuracy": (0.0, 1.0),
    "val_loss": (-math.inf, math.inf),
    "test_loss": (-math.inf, math.inf),
    "best_epoch": (1.0, 1e12),
    "epochs_to_target": (1.0, 1e12),
    "steps": (0.0, 1e12),
    "state_arrays": (0.0, 1e12),
    "seconds": (0.0, 1e12),
}
"""The range of each number in a record."""


def _number(name: str, value: Any, low: float, high: float) -> None:
    if type(value) not in (int, float) or not abs(value) < math.inf or not low <= value <= high:
        accepted = f"lie in [{low:g}, {high:g}]" if high < math.inf else "be a finite number"
        raise InputError(f"{name} must {accepted}, got {value!r:.40}")


def _is_curve(curve: Any) -> bool:
    """Return True for a curve, or for an object with one curve per layer."""
    if isinstance(curve, dict):
        return all(isinstance(one, list) and _is_curve(one) for one in curve.values())
    return isinstance(curve, list) and all(
        value is None or (type(value) in (int, float) and abs(value) < math.inf) for value in curve
    )
