"""A finished comparison read back from its folder: plain JSON, every value checked before it is used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, number
from ..study.curves import Band, band
from ..study.statistics import Interval

SUMMARY, RUNS = "summary.json", "runs.jsonl"
CURVES = ("train_loss", "val_accuracy", "lr")


@dataclass(frozen=True)
class Rate:
    """One learning rate of the grid: the score of each tuning seed, None where the run diverged."""

    lr: float
    scores: list[float | None]
    median: float


@dataclass(frozen=True)
class Row:
    """One optimizer of the comparison; the names are those of ``summary.json``.

    ``curves`` holds the bands over the confirmation seeds: of the quantities in ``CURVES``, of the time passed since
    the start (``"seconds"``), and in ``ratios`` of each layer's update/weight ratio.
    """

    label: str
    optimizer: str
    convention: str
    tuned: bool
    lr: float
    hyperparameters: dict[str, float]
    trials: int
    at_edge: bool
    val_accuracy: Interval
    test_accuracy: Interval
    test_difference: Interval
    tied: bool
    epochs_to_target: float | None
    hits: int
    runs: int
    speed: str | None
    epochs_difference: Interval | None
    seconds_to_target: float | None
    microseconds_per_step: float | None
    state_bytes_per_parameter: float
    usable_decades: float
    diverged_share: float
    errors: list[str]
    sensitivity: list[Rate]
    curves: dict[str, Band] = field(default_factory=dict)
    ratios: dict[str, Band] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """Everything the page shows; ``summary`` is the file's own content, as it is embedded."""

    summary: dict[str, Any]
    data: str
    target: float
    epochs: int
    seeds: int
    verdict: list[str]
    reference: str
    rows: list[Row]
    profile: dict[str, list[tuple[float, float]]]

    @property
    def tuned(self) -> list[Row]:
        """The rows whose learning rate was tuned."""
        return [row for row in self.rows if row.tuned]


def read_results(folder: str | Path) -> Results:
    """The comparison in ``folder``, from ``summary.json`` and the curves in ``runs.jsonl``.

    Raises
    ------
    InputError: a file is missing, cannot be read, or is not what :func:`optimlab.study.compare` writes.
    """
    path = Path(folder) / SUMMARY
    summary = _parsed(_text(path), f"{path} is not JSON")
    runs = _runs(Path(folder) / RUNS)
    try:
        return _results(summary, runs)
    except KeyError as error:
        raise InputError(f"{folder} does not hold a finished comparison: {error} is missing") from None
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:  # InputError is a ValueError
        raise InputError(f"{folder} does not hold a finished comparison: {error}") from None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise InputError(f"cannot read {path}: {reason}; name a folder that optimlab compare has finished") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text") from None


def _parsed(text: str, complaint: str) -> Any:
    def refused(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    try:
        return json.loads(text, parse_constant=refused)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{complaint}: {error}") from None


def _runs(path: Path) -> list[dict[str, Any]]:
    """The finished confirmation runs; a last line that was cut off is no record yet."""
    text = _text(path)
    whole = text[: text.rfind("\n") + 1]
    records = []
    for k, line in enumerate(whole.splitlines(), 1):
        record = _parsed(line, f"{path}, line {k}: not a record of a run")
        try:
            if record["run"]["test"] is True and record["status"] != "error":
                record["curves"].items()
                records.append(record)
        except (KeyError, TypeError, AttributeError):
            raise InputError(f"{path}, line {k}: not a record of a run") from None
    return records


def _results(summary: dict[str, Any], runs: list[dict[str, Any]]) -> Results:
    study = summary["study"]
    seeds = list(study["confirmation_seeds"])
    here = [r for r in runs if r["run"]["problem"] == study["problem"] and r["run"]["seed"] in seeds]
    rows = [_row(raw, here) for raw in summary["optimizers"]]
    labels = [row.label for row in rows]
    if not rows or len(set(labels)) < len(labels):
        raise InputError("it must name at least one optimizer, and none twice")
    profile = summary["profile"] or {}
    results = Results(
        summary=summary,
        data=_string("data", summary["data"]),
        target=number("target", study["problem"]["target"]),
        epochs=int(number("epochs", study["problem"]["epochs"], low=1)),
        seeds=len(seeds),
        verdict=[_string("verdict", sentence) for sentence in summary["verdict"]],
        reference=_string("reference", summary["reference"]),
        rows=rows,
        profile={
            label: [(number("factor", f, low=1), number("share", s, low=0)) for f, s in steps]
            for label, steps in profile.items()
        },
    )
    if results.reference not in labels:
        raise InputError(f"the reference {results.reference!r} is none of its optimizers")
    return results


def _row(raw: dict[str, Any], runs: list[dict[str, Any]]) -> Row:
    def optional(name: str) -> float | None:
        return None if raw[name] is None else number(name, raw[name], low=0)

    def own(run: dict[str, Any]) -> bool:
        return all(run[name] == raw[name] for name in ("optimizer", "convention", "lr", "hyperparameters"))

    mine = [r["curves"] for r in runs if own(r["run"])]
    curves = {name: band([c[name] for c in mine]) for name in CURVES}
    curves["seconds"] = band([_passed(c["seconds"]) for c in mine])
    layers = list(mine[0].get("update_ratio") or {}) if mine else []
    return Row(
        label=_string("label", raw["label"]),
        optimizer=_string("optimizer", raw["optimizer"]),
        convention=_string("convention", raw["convention"]),
        tuned=_truth("tuned", raw["tuned"]),
        lr=number("lr", raw["lr"], positive=True),
        hyperparameters={_string("name", k): number(k, v) for k, v in raw["hyperparameters"].items()},
        trials=int(number("trials", raw["trials"], low=0)),
        at_edge=_truth("at_edge", raw["at_edge"]),
        val_accuracy=_interval("val_accuracy", raw["val_accuracy"]),
        test_accuracy=_interval("test_accuracy", raw["test_accuracy"]),
        test_difference=_interval("test_difference", raw["test_difference"]),
        tied=_truth("tied", raw["tied"]),
        epochs_to_target=optional("epochs_to_target"),
        hits=int(number("hits", raw["hits"], low=0)),
        runs=int(number("runs", raw["runs"], low=0)),
        speed=None if raw["speed"] is None else _string("speed", raw["speed"]),
        epochs_difference=_interval("epochs_difference", raw["epochs_difference"]) if raw["epochs_difference"] else None,
        seconds_to_target=optional("seconds_to_target"),
        microseconds_per_step=optional("microseconds_per_step"),
        state_bytes_per_parameter=number("state_bytes_per_parameter", raw["state_bytes_per_parameter"], low=0),
        usable_decades=number("usable_decades", raw["usable_decades"], low=0),
        diverged_share=number("diverged_share", raw["diverged_share"], low=0),
        errors=[_string("error", text) for text in raw["errors"]],
        sensitivity=[
            Rate(
                number("lr", one["lr"], positive=True),
                [None if v is None else number("val_accuracy", v, low=0, below=1.0001) for v in one["val_accuracy"]],
                number("median", one["median"], low=0, below=1.0001),
            )
            for one in raw["sensitivity"] or []
        ],
        curves=curves,
        ratios={_string("layer", name): band([c["update_ratio"][name] for c in mine]) for name in layers},
    )


def _interval(name: str, raw: dict[str, Any]) -> Interval:
    made = Interval(*(number(f"{name}.{part}", raw[part], low=-1e6, below=1e6) for part in Interval._fields))
    if not made.low <= made.mean <= made.high:
        raise InputError(f"{name} is no interval: {made.low} to {made.high} around {made.mean}")
    return made


def _passed(seconds: list[float]) -> list[float]:
    """Time since the start at the end of each epoch."""
    total, passed = 0.0, []
    for second in seconds:
        total += number("seconds", second, low=0)
        passed.append(total)
    return passed


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, got {value!r}")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {value!r}")
    return value
