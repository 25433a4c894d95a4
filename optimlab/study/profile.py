"""Several problems together: the performance profile of the contenders."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import Any

from ..files import json_text, write_atomically
from .compare import Comparison
from .statistics import performance_profile

ENOUGH = 5
"""Problems from which on a profile says something."""


def profile_of(comparisons: Mapping[str, Comparison], folders: Mapping[str, Path]) -> dict[str, Any] | None:
    """The performance profile of the tuned contenders over five problems or more, written into each one's
    ``summary.json``; None for fewer. The cost is the median number of epochs to the problem's target."""
    if len(comparisons) < ENOUGH:
        return None
    labels = [row["label"] for row in next(iter(comparisons.values())).rows if row["kind"] == "tuned"]

    def cost(comparison: Comparison, label: str) -> float:
        row = next(r for r in comparison.rows if r["label"] == label)
        return float(row["epochs_to_target"] or inf)

    costs = {label: [cost(c, label) for c in comparisons.values()] for label in labels}
    profile = {
        "problems": list(comparisons),
        "cost": "median epochs to the target",
        "curves": performance_profile(costs),
    }
    for folder in folders.values():
        path = folder / "summary.json"
        write_atomically(path, json_text({**json.loads(path.read_bytes()), "profile": profile}) + "\n")
    return profile
