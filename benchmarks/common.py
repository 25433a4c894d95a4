"""What the experiments share: their command line, runs that are kept as they finish, results and figures on disk.

An experiment is a script beside this file. It says what is trained and what the source document printed for it;
``command`` gives it its options, ``Runs`` keeps each finished run in ``results/runs.jsonl`` (a second start goes on
where the first ended, and a run that two experiments share is made once), ``write`` leaves
``results/<experiment>.json`` and the figure beside it.
"""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

import optimlab as ol
from optimlab.backends.threads import one_thread
from optimlab.common.errors import InputError
from optimlab.common.files import json_ready, write_atomically
from optimlab.plotting.comparison import PALETTE, plain_axes
from optimlab.plotting.comparison import spread as moved_apart
from optimlab.study import Study, compare
from optimlab.study.compare import Comparison
from optimlab.study.results import Interval
from optimlab.study.statistics import t_interval
from optimlab.study.store import Codec, Store

HERE = Path(__file__).parent
INK, SOFT = "#333333", "#737373"
__all__ = ["INK", "PALETTE", "SOFT", "plain_axes"]


@dataclass(frozen=True)
class Settings:
    """The options of the command line."""

    name: str
    data: str
    seeds: tuple[int, ...]
    epochs: int
    out: Path
    quick: bool
    torch: bool
    search: bool


def command(
    *, data: str, epochs: int, quick_epochs: int = 2, seeds: int = 3, torch: bool = False, search: bool = False
) -> Any:
    """Turn ``function(settings)`` into the command of the script it stands in, whose docstring is its help."""

    def decorate(function: Callable[[Settings], Any]) -> click.Command:
        script = Path(inspect.getfile(function))
        text = (inspect.getmodule(function).__doc__ or "").split("\n\n")

        def run(**options: Any) -> None:
            quick = options["quick"]
            folder = options["out"] or (Path("build/benchmarks") if quick else HERE / "results")
            settings = Settings(
                name=script.stem,
                data=options["data"],
                seeds=tuple(range(options["seeds"] or (2 if quick else seeds))),
                epochs=options["epochs"] or (quick_epochs if quick else epochs),
                out=folder,
                quick=quick,
                torch=options.get("torch", False),
                search=options.get("search", False),
            )
            try:
                with one_thread():
                    function(settings)
            except ol.InputError as error:
                raise click.UsageError(str(error)) from None

        made = click.command(name=script.stem, help=text[0])(run)
        # each option is put before the last
        if torch:
            made = click.option("--torch", is_flag=True, help="Run PyTorch too, with the same seeds.")(made)
        if search:
            made = click.option("--search", is_flag=True, help="Make the document's searches too.")(made)
        for option in (
            click.option("--quick", is_flag=True, help="Few epochs and seeds: does it run?"),
            click.option(
                "--out", type=click.Path(path_type=Path), help="Folder.  [default: results/ beside the script]"
            ),
            click.option("--epochs", type=click.IntRange(1), help=f"Epochs of a run.  [default: {epochs}]"),
            click.option("--seeds", type=click.IntRange(2), help=f"How many seeds.  [default: {seeds}]"),
            click.option(
                "--data", default=data, show_default=True, help="A name for ol.datasets.load, or an .npz file."
            ),
        ):
            made = option(made)
        return made

    return decorate


# ---- runs ---------------------------------------------------------------------------------------------------------


class Runs:
    """Runs on disk: each is described by plain data, made once, and kept."""

    def __init__(self, settings: Settings) -> None:
        self.store = Store(settings.out, CODEC)

    def has(self, **config: Any) -> bool:
        """Return True if that run has been made."""
        return self.store.finished(run_key(config))

    def get(self, make: Callable[[], dict[str, Any]], **config: Any) -> dict[str, Any]:
        """The record of the run so described: from the disk, or made now."""
        key = run_key(config)
        if not self.store.finished(key):
            start = time.monotonic()
            result = {"status": "ok", **make()}
            record = {"key": key, "run": config, **rounded(result), "versions": versions(), "made": now()}
            self.store.append([Kept(record)])
            if time.monotonic() - start > 2:
                click.echo(f"  {describe(config)}", err=True)
        return self.store.records[key].values


@contextmanager
def until_interrupted() -> Iterator[None]:
    """Ctrl-C ends the block, not the program: what is finished can be reported, and the same command goes on later."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("interrupted: this is what was finished; the same command goes on", err=True)


@dataclass(frozen=True)
class Kept:
    """The record of a run, with the key of its description."""

    values: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.values["key"])

    @property
    def status(self) -> str:
        return str(self.values["status"])


def read_run(line: bytes) -> Kept:
    """Return the record in ``line`` if it is that of a run, with the key of its description."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise InputError(str(error)) from None
    if not (isinstance(record, dict) and isinstance(record.get("run"), dict) and "status" in record):
        raise InputError("it must be an object with key, run and status")
    if record.get("key") != run_key(record["run"]):
        raise InputError("key is not the digest of run, so one of them was edited")
    return Kept(record)


def write_run(kept: Kept) -> bytes:
    return json.dumps(json_ready(kept.values), allow_nan=False, separators=(",", ":")).encode()


CODEC = Codec(write_run, read_run)


def run_key(config: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def describe(config: dict[str, Any]) -> str:
    return f"{now()[11:19]} " + ", ".join(f"{k} {config[k]}" for k in ("row", "engine", "seed") if k in config)


def rounded(value: Any) -> Any:
    """Floats to six significant digits: what a curve needs, in a third of the space."""
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(v) for v in value]
    return float(f"{value:.6g}") if isinstance(value, float) else value


def digest(*arrays: Any) -> str:
    """Names the data a run was made with."""
    made = hashlib.sha256()
    for array in arrays:
        made.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return made.hexdigest()[:12]


def about(data: ol.Dataset) -> dict[str, Any]:
    """The data of a run: name and rows of the data, and a digest of the rows that train and validate."""
    rows = {split: len(x) for split in ("train", "val", "test") if (x := getattr(data, f"x_{split}")) is not None}
    arrays = [a for a in (data.x_train, data.y_train, data.x_val, data.y_val) if a is not None]
    return {"name": data.name, "rows": rows, "digest": digest(*arrays)}


def versions() -> dict[str, str]:
    installed = {name: metadata.version(name) for name in ("numpy", "scipy")}
    try:
        installed["torch"] = metadata.version("torch")
    except metadata.PackageNotFoundError:
        installed["torch"] = "not installed"
    return {"optimlab": ol.__version__, "python": platform.python_version(), **installed}


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def with_validation(data: ol.Dataset, rows: int = 10_000) -> ol.Dataset:
    """The data with the last training rows as validation, unless they have their own; of few rows, a quarter."""
    return data if data.x_val is not None else data.with_validation(min(rows, len(data.x_train) // 4))


def all_but_test(data: ol.Dataset) -> ol.Dataset:
    """Training and validation rows together as training rows."""
    if data.x_val is None:
        return data
    x, y = np.concatenate([data.x_train, data.x_val]), np.concatenate([data.y_train, data.y_val])
    return replace(data, x_train=x, y_train=y, x_val=None, y_val=None)


def compared(settings: Settings, study: Study, folder: str) -> Comparison:
    """``ol.study.compare``; the quick mode tries three rates, and does not mind a best at the edge."""
    if not settings.quick:
        return compare(study, settings.out / folder)
    with warnings.catch_warnings(action="ignore"):
        quick = replace(study, rates=(0.01, 0.03, 0.1), extensions=0)
        return compare(quick, settings.out / folder)


# ---- what is reported ---------------------------------------------------------------------------------------------


def interval(values: Iterable[float]) -> Interval:
    return t_interval(list(values))


def spread(values: Sequence[float]) -> Interval:
    """The range of one more run, 19 times in 20: the interval that a document's single run is held against.

    Student's t again, with ``s sqrt(1 + 1/n)`` for the deviation of one new value from the mean of n.
    """
    mean, low, high = t_interval(list(values))
    half = (high - low) / 2 * (len(values) + 1) ** 0.5
    return Interval(mean, mean - half, mean + half)


def plus_minus(found: Interval | dict[str, float], scale: float = 1, digits: int = 3) -> str:
    """The mean with half of its interval, such as ``0.721 ±0.034``."""
    made = found if isinstance(found, Interval) else Interval(found["mean"], found["low"], found["high"])
    return f"{scale * made.mean:.{digits}f} ±{scale * made.half:.{digits}f}"


def of_fewer(found: dict[str, Any], seeds: int) -> str:
    """`` (2 seeds)`` after a figure that has fewer runs than the others."""
    made = len(found["runs"])
    return "" if made == seeds else f" ({made} seeds)"


def percent(found: Interval | dict[str, float]) -> str:
    return plus_minus(found, 100, 2)


def write(settings: Settings, data: ol.Dataset, summary: dict[str, Any], figure: Figure) -> None:
    """``<experiment>.json`` and ``<experiment>.png``, each whole or not there."""
    head = {"experiment": settings.name, "made": now(), "versions": versions(), "quick": settings.quick}
    head |= {"seeds": list(settings.seeds), "epochs": settings.epochs, "data": about(data)}
    text = json.dumps(rounded(json_ready(head | summary)), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(settings.out / f"{settings.name}.json", text + "\n")
    content = io.BytesIO()
    # without the version of Matplotlib in it the file is the same each time
    figure.savefig(content, format="png", dpi=130, metadata={"Software": None})
    write_atomically(settings.out / f"{settings.name}.png", content.getvalue())
    where = f"\nIn {settings.out}: {settings.name}.json, {settings.name}.png, and the runs"
    console().print(where, highlight=False, soft_wrap=True)


def console() -> Console:
    made = Console()
    # wide enough for the tables where the output goes to a file
    return made if made.is_terminal else Console(width=130)


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], caption: str = "") -> None:
    table = Table(title=title, caption=caption, box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left")
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left")
    for row in rows:
        table.add_row(*row)
    console().print(table, highlight=False)


def say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        console().print(f"- {sentence}", highlight=False, markup=False)


def end_labels(axes: Axes, x: float, ends: Sequence[tuple[float, str, str]], gap: float = 0.052) -> None:
    """Names (value, name, colour) beside the ends of lines, moved apart where they would overlap."""
    to_axes = axes.transData + axes.transAxes.inverted()
    ordered = sorted(ends)
    heights = moved_apart(np.array([to_axes.transform((x, value))[1] for value, _, _ in ordered]), gap)
    left = to_axes.transform((x, ordered[0][0]))[0]
    for (_, name, colour), height in zip(ordered, heights, strict=True):
        axes.text(left + 0.015, height, name, color=colour, fontsize=9, va="center", transform=axes.transAxes)
