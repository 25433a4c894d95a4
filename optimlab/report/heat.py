"""The maps of searched hyperparameters as tables of coloured cells."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from ..common.errors import concise
from ..study.maps import Map, colour_range

ANCHORS = (0x00224E, 0x35456C, 0x666970, 0x948E77, 0xC8B866, 0xFEE838)
"""Of the colour map cividis: even in lightness, and the same to eyes that do not tell red from green."""


class Cell(NamedTuple):
    """A cell's text, what it says in full, its colour and that of its letters, and whether it is the best."""

    text: str
    title: str
    colour: str
    ink: str
    best: bool


class Heat(NamedTuple):
    """A map as a table: the names of its columns, and its lines from the highest value down."""

    map: Map
    rates: list[str]
    lines: list[tuple[str, list[Cell | None]]]


def heats(maps: list[Map]) -> list[Heat]:
    """Return the tables of maps, with one scale of colours for all."""
    low, high = colour_range(maps)
    return [_heat(one, low, high) for one in maps]


def _heat(one: Map, low: float, high: float) -> Heat:
    rates = [concise(float(f"{rate:.2g}")) for rate in one.rates]

    def cell(k: int, j: int) -> Cell | None:
        score, chosen = one.scores[k][j], one.chosen[k][j]
        if score is None:
            return None
        best = (k, j) == one.best
        text = f"{'★ ' if best else ''}{100 * score:.1f}" + (f" ({chosen})" if chosen else "")
        title = f"{one.name} {one.values[k]}, rate {rates[j]}: {100 * score:.2f}%, chosen by {chosen}"
        share = min(1.0, max(0.0, (score - low) / (high - low or 1.0)))
        return Cell(text, title, colour(share), "#000" if share > 0.55 else "#fff", best)

    order = range(len(one.values) - 1, -1, -1)
    return Heat(one, rates, [(one.values[k], [cell(k, j) for j in range(len(rates))]) for k in order])


def colour(share: float) -> str:
    """Return the colour at a share of the scale in [0, 1].

    >>> colour(0.0), colour(1.0)
    ('#00224e', '#fee838')
    """
    at = share * (len(ANCHORS) - 1)
    k = min(int(at), len(ANCHORS) - 2)
    one, other = [*pairwise(ANCHORS)][k]
    parts = [((one >> s & 255) * (k + 1 - at) + (other >> s & 255) * (at - k)) for s in (16, 8, 0)]
    return "#" + "".join(f"{round(part):02x}" for part in parts)
