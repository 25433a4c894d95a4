"""The lines of each row in the figures: curves of the chosen runs, and where records differ from the summary.

A row's runs are those that its :class:`~optimlab.study.results.Replicate` names by their keys.
"""

from __future__ import annotations

from typing import NamedTuple

from ..common.errors import number
from ..study.compare import Comparison
from ..study.curves import Band, band, epoch_seconds
from ..study.results import Record, Replicate, Row

QUANTITIES = ("train_loss", "val_score", "lr")


class Lines(NamedTuple):
    """A row's curves, as bands over the replicates.

    ``seconds`` is the time at which each epoch ends, by the time of a step, which is measured apart. ``curves`` has
    the bands of ``QUANTITIES``, ``ratios`` those of each layer's update/weight ratio. ``missing`` runs are not in
    ``runs.jsonl``; ``changed`` runs have other scores there than in the summary.
    """

    seconds: list[float]
    curves: dict[str, Band]
    ratios: dict[str, Band]
    missing: int
    changed: int


def lines_of(comparison: Comparison) -> list[Lines]:
    """Return the lines of every row, in the order of the rows.

    Raises
    ------
    InputError: the time of a step is none.
    """
    chosen = [comparison.chosen(row) for row in comparison.rows]
    every = [record for own in chosen for record in own]
    return [_lines(comparison, row, own, every) for row, own in zip(comparison.rows, chosen, strict=True)]


def _lines(comparison: Comparison, row: Row, chosen: list[Record], every: list[Record]) -> Lines:
    summary = comparison.summary
    step = row.microseconds_per_step
    second = epoch_seconds(every, summary.epochs, None if step is None else step.median)
    second = number("time of an epoch", second, low=0, below=1e15)
    mine = [record.curves for record in chosen if record.status != "error"]
    layers = dict.fromkeys(layer for curves in mine for layer in curves.update_ratio)
    needed = [(one.key, one) for one in row.replicates] + [(one.fast_key, one) for one in row.replicates]
    found = {key: comparison.records.get(key) for key, _ in needed if key is not None}
    return Lines(
        seconds=[(k + 1) * second for k in range(max((len(curves.lr) for curves in mine), default=0))],
        curves={name: band([getattr(curves, name) for curves in mine]) for name in QUANTITIES},
        ratios={layer: band([curves.update_ratio.get(layer, ()) for curves in mine]) for layer in layers},
        missing=sum(record is None for record in found.values()),
        changed=sum(_differs(one, comparison, summary.target.value) for one in row.replicates),
    )


def _differs(replicate: Replicate, comparison: Comparison, target: float) -> bool:
    """Return True if a record of this replicate has another score than the summary says."""
    chosen = comparison.records.get(replicate.key)
    fast = comparison.records.get(replicate.fast_key or "")
    if chosen is not None and (chosen.status, chosen.val_counted, chosen.test_counted) != (
        replicate.status,
        replicate.val_score,
        replicate.test_score,
    ):
        return True
    return fast is not None and fast.epochs_to(target) != replicate.epochs
