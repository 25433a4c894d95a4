"""The works that a methods paragraph cites, and their BibTeX entries."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from ..common.version import __version__

OPTIMIZERS = {
    "sgd": "robbins1951",
    "momentum": "polyak1964",
    "nesterov": "nesterov1983",
    "adagrad": "duchi2011",
    "rmsprop": "tieleman2012",
    "rmsprop_momentum": "tieleman2012",
    "rmsprop_centered": "tieleman2012",
    "rmsprop_centered_momentum": "tieleman2012",
    "adadelta": "zeiler2012",
    "adam": "kingma2015",
    "adamax": "kingma2015",
    "amsgrad": "reddi2018",
    "nadam": "dozat2016",
    "adamw": "loshchilov2019",
    "radam": "liu2020",
    "adabelief": "zhuang2020",
    "adan": "xie2022",
    "lion": "chen2023",
    "schedule_free_adamw": "defazio2024",
    "lars": "you2017",
    "lamb": "you2020",
    "muon": "jordan2024",
}
"""The work that each optimizer is from."""


def citation(version: str = __version__) -> str:
    """Return the BibTeX entry of optimlab itself.

    >>> print(citation("1.0"), end="")
    @misc{optimlab,
      author = {{The optimlab developers}},
      title = {optimlab: A Laboratory for Neural-Network Optimizers},
      note = {Version 1.0}
    }
    """
    return (
        "@misc{optimlab,\n"
        "  author = {{The optimlab developers}},\n"
        "  title = {optimlab: A Laboratory for Neural-Network Optimizers},\n"
        f"  note = {{Version {re.sub('[^0-9A-Za-z.+-]', '', version)}}}\n"
        "}\n"
    )


def bibliography(keys: Iterable[str], version: str) -> str:
    """Return the BibTeX entries of these keys, optimlab's own first."""
    entries = _entries()
    return citation(version) + "".join(entries[key] for key in dict.fromkeys(keys) if key != "optimlab")


def short(key: str) -> str:
    """Return authors and year, as they stand in brackets.

    >>> short("kingma2015"), short("duchi2011"), short("optimlab")
    ('Kingma and Ba, 2015', 'Duchi et al., 2011', 'The optimlab developers')
    """
    if key == "optimlab":
        return "The optimlab developers"
    entry = _entries()[key]
    authors = [name.split()[-1] for name in _field("author", entry).split(" and ")]
    named = " and ".join(authors) if len(authors) < 3 else f"{authors[0]} et al."
    return f"{_letters(named)}, {_field('year', entry)}"


def _field(name: str, entry: str) -> str:
    found = re.search(rf"\b{name} = {{(.*?)}}(?:,|\n)", entry)
    assert found, (name, entry)
    return found[1]


def _letters(text: str) -> str:
    """Return a name without TeX's commands for accents."""
    accents = {"{\\v{s}}": "š", "{\\'e}": "é", '{\\"e}': "ë"}
    for command, letter in accents.items():
        text = text.replace(command, letter)
    return text


@cache
def _entries() -> dict[str, str]:
    text = (files("optimlab.paper") / "references.bib").read_text(encoding="utf-8")
    return {found[1]: found[0] for found in re.finditer(r"@\w+{(\w+),\n.*?\n}\n", text, re.DOTALL)}
