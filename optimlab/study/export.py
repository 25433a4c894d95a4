"""Export of a study: its runs as a flat table in CSV or Parquet, its result as a LaTeX table."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..common.errors import InputError, lacks, lookup, one_line
from ..common.files import write_atomically
from .compare import read_summary
from .folder import JOINT
from .joint import present_joint
from .joint_table import order
from .latex import joint_latex, latex
from .results import Record, builtins
from .store import FILE, read

Row = dict[str, Any]


def export(folder: str | Path, to: str | Path, *, curves: bool = False) -> list[Row]:
    """Write the contents of ``folder`` to a ``.csv``, ``.parquet`` or ``.tex`` file.

    CSV and Parquet have one row per run: its configuration, then its results. The name of a nested value is its path,
    such as ``problem.epochs`` or ``hyperparameters.beta1``. With ``curves``, there is one row per run and epoch: the
    configuration, ``epoch`` (from 1), and the value of each curve in it, such as ``curves.val_loss``. For a folder of
    several problems, one table holds all runs, and the column ``problem`` has the name of each problem.

    Numbers are read back exactly: CSV has the shortest digits that give the same float64, and a list is written as
    JSON. A missing value is an empty cell, or null. The folder may be in use, and it is not changed.

    A LaTeX file has the table of the finished comparison, or of the joint answer of several problems.

    Parameters
    ----------
    folder: the folder of the comparison.
    to: the file; its ending decides the format.
    curves: True for one row per run and epoch.

    Returns
    -------
    list: the rows of the table; for LaTeX only their labels.

    Raises
    ------
    InputError: there are no runs, or for LaTeX no finished comparison; the file cannot be written, or its ending is
        unknown; a column of Parquet would mix types; or pyarrow is not installed.
    """
    folder, to = Path(folder), Path(to)
    encode = lookup("kind of table", to.suffix, {".csv": _csv, ".parquet": _parquet, ".tex": None})
    if encode is None:
        if curves:
            raise InputError("a LaTeX table has no curves: leave out --curves, or write a .csv or .parquet file")
        text, labels = _latex(folder)
        write_atomically(to, text)
        return [{"label": label} for label in labels]
    rows = list(_rows(folder, curves))
    if not rows:
        raise InputError(f"{folder} has no finished run yet")
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_atomically(to, encode({name: [row.get(name) for row in rows] for name in names}))
    return rows


def _latex(folder: Path) -> tuple[str, list[str]]:
    """Return the table, and the labels of its rows."""
    if (folder / JOINT).exists():
        joint, _ = present_joint(folder)
        return joint_latex(joint), order(joint)
    summary = read_summary(folder)
    return latex(summary), [row.label for row in summary.rows]


def _rows(folder: Path, curves: bool) -> Iterator[Row]:
    """Yield the rows of one study, or of each study in a folder of several problems."""
    several = [] if (folder / FILE).exists() else sorted(path.parent for path in folder.glob(f"*/{FILE}"))
    for study in several or [folder]:
        named = {"problem": study.name} if several else {}
        records: dict[str, Record] = read(study)
        for record in records.values():
            for row in _epochs(record) if curves else [_run(record)]:
                yield {**named, **row}


def _run(record: Record) -> Row:
    results = {name: value for name, value in builtins(record).items() if name not in ("key", "run", "curves")}
    return {**_configuration(record), **_flat(results)}


def _epochs(record: Record) -> Iterator[Row]:
    configuration, curves = _configuration(record), _flat({"curves": builtins(record.curves)})
    for epoch in range(max(map(len, curves.values()), default=0)):
        values = {name: curve[epoch] for name, curve in curves.items() if epoch < len(curve)}
        yield {**configuration, "epoch": epoch + 1, **values}


def _configuration(record: Record) -> Row:
    return {"key": record.key, **_flat(record.run)}


def _flat(nested: Row, path: str = "") -> Row:
    """Return the leaves of nested dictionaries, by path.

    >>> _flat({"lr": 0.1, "problem": {"epochs": 20}})
    {'lr': 0.1, 'problem.epochs': 20}
    """
    flat: Row = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{path}{name}.") if isinstance(value, dict) else {path + name: value}
    return flat


def _csv(columns: dict[str, list[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _parquet(columns: dict[str, list[Any]]) -> bytes:
    try:
        import pyarrow
        from pyarrow import parquet
    except ModuleNotFoundError:
        raise lacks("a Parquet file", "pyarrow", "parquet") from None
    arrays = {}
    for name, values in columns.items():
        try:
            arrays[name] = pyarrow.array(values)
        except (pyarrow.ArrowException, UnicodeError, OverflowError) as error:
            why = one_line(error)
            raise InputError(f"Parquet cannot hold the values of {name} in one column: {why}; use .csv") from None
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(arrays), file)
    return file.getvalue()
