"""optimlab datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..common.files import json_text
from ..common.tables import Column, Table
from .options import TABLE, echo, say, show, table_options


@click.command()
@click.argument("name", required=False)
@click.option(
    "--root", type=click.Path(path_type=Path), help="Look here first.  [default: the folder named by OPTIMLAB_DATA]"
)
@table_options
@click.option("--offline", is_flag=True, help="Download nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
def datasets(name: str | None, root: Path | None, offline: bool, as_json: bool, **options: Any) -> None:
    """List the data sets and where they are, or get and check one.

    \b
    NAME is digits, mnist, fashion_mnist, cifar10, sklearn:wine (iris,
    breast_cancer, diabetes, digits), or the path of a file: .csv, .parquet,
    .npz. Files that are not on this machine are downloaded; every published file
    is read and compared with its digest. For a table, each column is described.

    \b
    Examples:
      optimlab datasets
      optimlab datasets mnist
      optimlab datasets mine.npz --json
      optimlab datasets mine.csv --target-column species
    """
    if name is None:
        listed = [_bundled(), *_sources(root)]
        echo(json_text({"datasets": listed})) if as_json else _print(listed, root)
        return
    given = {option: options[option] for option in TABLE if options[option] is not None}
    from ..datasets import is_table

    if is_table(name):
        described = _table(name, given)
        echo(json_text(described)) if as_json else _print_table(described)
        return
    described = _described(name, root, not offline, given)
    if as_json:
        echo(json_text(described))
        return
    for split, part in described["splits"].items():
        counts = part["rows_per_class"]
        echo(f"{split:<10} {part['rows']:>6} rows, {min(counts)} to {max(counts)} a class")
    echo(f"{'features':<10} {described['features']:>6}, from {described['low']:g} to {described['high']:g}")
    echo(f"{'classes':<10} {len(described['classes']):>6}: {', '.join(described['classes'])}")


def _bundled() -> dict[str, Any]:
    from ..datasets import load

    data = load("digits")
    rows = [len(data.y_train), len(data.y_val), len(data.y_test)]
    return {"name": "digits", "rows": rows, "features": data.x_train.shape[1], "found": "bundled", "bytes": None}


def _sources(root: Path | None) -> list[dict[str, Any]]:
    from ..datasets import SOURCES

    listed = []
    for source in SOURCES.values():
        paths = [source.find(file, root) for file in source.files]
        found = [path for path in paths if path is not None]
        folders = sorted({str(path.parent) for path in found})
        where = ", ".join(folders) if len(found) == len(paths) else None
        size = sum(p.stat().st_size for path in found for p in ([path] if path.is_file() else path.iterdir()))
        described = {"name": source.name, "rows": list(source.rows), "features": source.features}
        listed.append({**described, "found": where, "bytes": size if where else None})
    return listed


def _print(listed: list[dict[str, Any]], root: Path | None) -> None:
    from ..datasets import BUNDLED
    from ..datasets.sources import places

    columns = [Column("name", "name"), *map(Column, ("train / val / test", "features", "MB"))]
    columns += [Column("found in", "path")]
    body = []
    for row in listed:
        size = "" if row["bytes"] is None else f"{row['bytes'] / 1e6:.1f}"
        rows = " / ".join(map(str, row["rows"]))
        body.append([row["name"], rows, str(row["features"]), size, row["found"] or "-"])
    show(Table(columns, body))
    echo(f"Looked in {', '.join(map(str, places(root)))}.")
    say("Run `optimlab datasets NAME` to get and check one.")
    say(f"scikit-learn brings {', '.join(BUNDLED.values())}.")


def _table(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Describe a table: its columns, and the data set that it becomes."""
    import numpy as np

    from ..datasets import load_table

    table = load_table(name, **options)
    data = table.dataset(*table.split())
    counts = np.bincount(table.target).tolist() if table.classes else []
    return {
        "name": table.name,
        "task": data.task,
        "columns": [column._asdict() for column in table.columns],
        "features": list(table.features),
        "rows": dict(zip(("training", "validation", "test"), table.sizes(), strict=True)),
        "rows_per_class": dict(zip(table.classes, counts, strict=True)),
        "notes": [*table.notes, *table.warnings],
    }


def _print_table(described: dict[str, Any]) -> None:
    columns = [Column("column", "name"), Column("kind", "name"), Column("missing"), Column("contents", "path")]
    body = [[c["name"], c["kind"], str(c["missing"] or ""), c["detail"]] for c in described["columns"]]
    show(Table(columns, body))
    rows = described["rows"]
    split = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    say(f"{sum(rows.values()):,} rows: {split}; {len(described['features'])} inputs")
    if described["rows_per_class"]:
        shares = described["rows_per_class"].items()
        total = sum(rows.values())
        say("classes: " + ", ".join(f"{name} {count:,} ({100 * count / total:.1f}%)" for name, count in shares))
    for note in described["notes"]:
        say(f"• {note}")


def _described(name: str, root: Path | None, download: bool, options: dict[str, Any]) -> dict[str, Any]:
    import numpy as np

    from ..datasets import check, load

    data = load(name, root, download=download, **options)
    check(data)
    splits = {}
    for split in ("train", "val", "test"):
        y = getattr(data, f"y_{split}")
        if y is not None:
            counts = np.bincount(y, minlength=len(data.classes)).tolist()
            splits[{"val": "validation"}.get(split, split)] = {"rows": len(y), "rows_per_class": counts}
    return {
        "name": data.name,
        "features": data.x_train.shape[1],
        "low": float(data.x_train.min()),
        "high": float(data.x_train.max()),
        "classes": list(data.classes),
        "splits": splits,
    }
