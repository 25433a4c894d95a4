"""A finished comparison read back from its folder: plain JSON, every value checked before it is used."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import InputError, count, number
from ..files import json_ready
from ..study.curves import Band, band, epoch_seconds
from ..study.plan import KINDS, LEAST_RATE, TOO_HIGH
from ..study.record import Record
from ..study.statistics import Interval
from ..study.store import read
from ..study.summary import accuracy, finished, ranked, unfinished
from .reproduction import Recipe, Settings, recipe, settings

SUMMARY = "summary.json"
CURVES = ("train_loss", "val_accuracy", "lr")


@dataclass(frozen=True)
class Rate:
    """One learning rate of the grid: the score of each tuning seed, None where the run diverged or failed."""

    lr: float
    scores: list[float | None]
    median: float


@dataclass(frozen=True)
class Row:
    """One row of the comparison; the names are those of ``summary.json``.

    ``contender`` is the label without the ``kind``, which is ``"tuned"``, ``"default"`` (the untuned rate) or
    ``"searched"`` (the best random setting). ``seconds`` is the time each epoch ends at, from the time of a step, which
    is measured apart (runs that share a machine slow each other down). ``surely`` tells of the difference in "test"
    accuracy and in "epochs" whether an interval wide enough for all pairs of optimizers leaves zero out, too.
    Of the ``runs`` with fresh seeds, ``finished`` finished and ``failed`` ended with an error; the others diverged.
    ``missing`` are not in ``runs.jsonl``. ``changed`` is True if those there have other scores than the summary.
    ``curves`` holds the bands over the confirmation seeds of the quantities in ``CURVES``, ``ratios`` those of each
    layer's update/weight ratio.
    """

    label: str
    contender: str
    kind: str
    lr: float
    trials: int
    at_edge: bool
    val_accuracy: Interval
    test_accuracy: Interval
    test_difference: Interval
    tied: bool
    surely: dict[str, bool]
    epochs_to_target: float | None
    hits: int
    runs: int
    finished: int
    failed: int
    missing: int
    changed: bool
    speed: str | None
    seconds_to_target: float | None
    microseconds_per_step: float | None
    state_bytes_per_parameter: float
    usable_decades: float | None
    diverged_share: float
    errors: list[str]
    not_searched: list[str]
    sensitivity: list[Rate]
    best_after: list[float]
    seconds: list[float] = field(default_factory=list)
    curves: dict[str, Band] = field(default_factory=dict)
    ratios: dict[str, Band] = field(default_factory=dict)


@dataclass(frozen=True)
class Profile:
    """The performance profile over several problems: of each contender, (factor, share) where the share rises."""

    problems: list[str]
    cost: str
    curves: dict[str, list[tuple[float, float]]]


@dataclass(frozen=True)
class Results:
    """Everything the page shows; ``summary`` is the file's own content, as it is embedded."""

    summary: dict[str, Any]
    data: str
    protocol: str
    made: datetime
    target: float
    epochs: int
    seeds: int
    verdict: list[str]
    reference: str
    fastest: str
    rows: list[Row]
    order: list[int]
    """The places of the rows, fewest epochs to the target first."""
    profile: Profile | None
    recipe: Recipe
    settings: Settings

    @property
    def tuned(self) -> list[Row]:
        """The rows at the tuned rate, one for each contender."""
        return [row for row in self.rows if row.kind == "tuned"]


def read_results(folder: str | Path) -> Results:
    """The comparison in ``folder``, from ``summary.json`` and the curves in ``runs.jsonl``.

    Raises
    ------
    InputError: a file is missing, cannot be read, or is not what :func:`optimlab.study.compare` writes.
    """
    path = Path(folder) / SUMMARY
    summary = json_ready(_parsed(_text(path), f"{path} is not JSON"))  # a number beyond float64 becomes None
    runs = _runs(folder)
    try:
        return _results(summary, runs)
    except KeyError as error:
        raise InputError(f"{folder} does not hold a finished comparison: {error} is missing") from None
    except (TypeError, ValueError, AttributeError, IndexError, ArithmeticError) as error:  # InputError is a ValueError
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


def _runs(folder: str | Path) -> list[Record]:
    """The confirmation runs that have curves; of several records of one run the last counts."""
    return [r for r in read(folder).values() if r["run"].get("test") is True and r["status"] != "error"]


def _results(summary: dict[str, Any], runs: list[dict[str, Any]]) -> Results:
    study, table = summary["study"], summary["optimizers"]
    seeds = study["confirmation_seeds"]
    contenders = {_string("label", c["label"]): c for c in study["optimizers"]}
    here = [r for r in runs if r["run"]["problem"] == study["problem"] and r["run"]["seed"] in seeds]
    epochs = count("epochs", study["problem"]["epochs"])
    rows = [_row(raw, contenders, here, epochs) for raw in table]
    places = {row.label: k for k, row in enumerate(rows)}
    if not any(row.kind == "tuned" for row in rows) or len(places) < len(rows):
        raise InputError("it must name at least one tuned optimizer, and none twice")
    results = Results(
        summary=summary,
        data=_string("data", summary["data"]),
        protocol=_string("protocol", summary["protocol"]),
        made=datetime.fromisoformat(summary["made"]).astimezone(UTC),
        target=number("target", study["problem"]["target"], low=0, below=1.0001),
        epochs=epochs,
        seeds=len(seeds),
        verdict=[_string("verdict", sentence) for sentence in summary["verdict"]],
        reference=_string("reference", summary["reference"]),
        fastest=_string("speed_reference", table[0]["speed_reference"]),
        rows=rows,
        order=[places[raw["label"]] for raw in ranked(table)],
        profile=None if summary["profile"] is None else _profile(summary["profile"]),
        recipe=recipe(study),
        settings=settings(summary),
    )
    if results.reference not in places or results.fastest not in places:
        raise InputError(f"{results.reference!r} or {results.fastest!r} is none of its optimizers")
    return results


def _profile(raw: dict[str, Any]) -> Profile:
    curves = {
        _string("label", label): [(number("factor", f, low=1), number("share", s, low=0)) for f, s in steps]
        for label, steps in raw["curves"].items()
    }
    return Profile([_string("problem", name) for name in raw["problems"]], _string("cost", raw["cost"]), curves)


def _row(raw: dict[str, Any], contenders: dict[str, Any], runs: list[dict[str, Any]], epochs: int) -> Row:
    kind, label = _string("kind", raw["kind"]), _string("label", raw["label"])
    if kind not in KINDS:
        raise InputError(f"{label}: kind must be one of {', '.join(KINDS)}, got {kind!r}")
    contender = label.removesuffix(f", {kind}")

    def optional(name: str) -> float | None:
        return None if raw[name] is None else number(name, raw[name], low=0, below=1e15)

    records = [r for r in runs if _belongs(r["run"], raw, contenders[contender])]
    mine = [r.get("curves", {}) for r in records]
    curves = {name: band([c.get(name, []) for c in mine]) for name in CURVES}
    step = optional("microseconds_per_step")
    second = number("time of an epoch", epoch_seconds(runs, epochs, step), low=0, below=1e15)
    seconds = [(k + 1) * second for k in range(max((len(c.get("lr", [])) for c in mine), default=0))]
    # a run that diverged in its first epoch has no ratios
    ratios = [c.get("update_ratio", {}) for c in mine]
    layers = list(dict.fromkeys(name for own in ratios for name in own))
    total = int(number("runs", raw["runs"], low=1, below=1e9))
    whole, failed = finished(raw), unfinished(raw, "error")
    if not 0 <= whole <= total >= failed >= 0:
        raise InputError(f"{label}: {whole} finished and {failed} failed runs do not fit {total} runs")
    scores = [number("val_accuracy", accuracy(r), low=0, below=1.0001) for r in records]
    val_accuracy = _interval("val_accuracy", raw["val_accuracy"])
    missing = max(0, total - failed - len(records))
    return Row(
        label=label,
        contender=contender,
        kind=kind,
        lr=number("lr", raw["lr"], low=LEAST_RATE, below=TOO_HIGH),
        trials=int(number("trials", raw["trials"], low=0)),
        at_edge=_truth("at_edge", raw["at_edge"]),
        val_accuracy=val_accuracy,
        test_accuracy=_interval("test_accuracy", raw["test_accuracy"]),
        test_difference=_interval("test_difference", raw["test_difference"]),
        tied=_truth("tied", raw["tied"]),
        surely={name: _truth("surely", raw["surely"][name]) for name in ("test", "epochs")},
        epochs_to_target=optional("epochs_to_target"),
        hits=int(number("hits", raw["hits"], low=0)),
        runs=total,
        finished=whole,
        failed=failed,
        missing=missing,
        changed=not missing and abs(sum(scores) / total - val_accuracy.mean) > 1e-9,
        speed=None if raw["speed"] is None else _string("speed", raw["speed"]),
        seconds_to_target=optional("seconds_to_target"),
        microseconds_per_step=step,
        state_bytes_per_parameter=number(
            "state_bytes_per_parameter", raw["state_bytes_per_parameter"], low=0, below=1e15
        ),
        usable_decades=optional("usable_decades"),
        diverged_share=number("diverged_share", raw["diverged_share"], low=0),
        errors=[_string("error", text) for text in raw["errors"]],
        not_searched=[_string("not_searched", name) for name in raw.get("not_searched", [])],
        sensitivity=[
            Rate(
                number("lr", one["lr"], low=LEAST_RATE, below=TOO_HIGH),
                [None if v is None else number("val_accuracy", v, low=0, below=1.0001) for v in one["val_accuracy"]],
                number("median", one["median"], low=0, below=1.0001),
            )
            for one in raw["sensitivity"]
        ],
        best_after=[number("best_after", v, low=0, below=1.0001) for v in raw["best_after"] or []],
        seconds=seconds,
        curves=curves,
        ratios={_string("layer", name): band([own.get(name, []) for own in ratios]) for name in layers},
    )


def _belongs(run: dict[str, Any], row: dict[str, Any], contender: dict[str, Any]) -> bool:
    """Whether a confirmation run is one of a row's: the same contender at the same setting."""
    if run["lr"] != row["lr"] or any(run.get(k) != contender.get(k) for k in ("optimizer", "convention", "rule")):
        return False
    if row["kind"] == "searched":
        return all(row["hyperparameters"][name] == value for name, value in run["hyperparameters"].items())
    return bool(run["hyperparameters"] == contender["hyperparameters"])


def _interval(name: str, raw: dict[str, Any]) -> Interval:
    made = Interval(*(number(f"{name}.{part}", raw[part], low=-1e6, below=1e6) for part in Interval._fields))
    if not made.low <= made.mean <= made.high:
        raise InputError(f"{name} is no interval: {made.low} to {made.high} around {made.mean}")
    return made


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{name} must be text, got {value!r}")
    return value


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {value!r}")
    return value
