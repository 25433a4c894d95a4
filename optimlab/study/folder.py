"""The folder of a study: which study it belongs to, and whether another one may use it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from ..common.files import check_writable, json_ready, json_text, write_atomically
from ..common.version import __version__
from .plan import Study
from .results import Record, check_version
from .store import FILE, LOCK, Store, locked, read
from .summary import listed

SUMMARY, DESCRIPTION, JOINT = "summary.json", "study.json", "joint.json"
ELSEWHERE = "name another folder (--out FOLDER)"


def check_folder(study: Study, folder: str | Path) -> None:
    """Check that :func:`compare` can run ``study`` in a folder, without writing there.

    Raises
    ------
    InputError: the folder cannot be written or is in use; or it holds another study, other files, or the summary of a
        larger comparison, which this one would overwrite.
    """
    folder = Path(folder)
    check_writable(folder, FILE)
    _check_versions(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the warning about an incomplete last line comes when it is dropped
        records: dict[str, Record] = read(folder) if (folder / FILE).exists() else {}
    if (folder / LOCK).exists():
        with locked(folder):
            pass
    _check_owner(study, folder, bool(records))


def _check_versions(folder: Path) -> None:
    """Raise an InputError if either description in the folder is of another protocol."""
    for name, what, part in (
        (DESCRIPTION, "the description of a study", ""),
        (SUMMARY, "the summary of a comparison", "study"),
    ):
        description = _description(folder / name, what, part)
        if description is not None:
            try:
                check_version(description)
            except InputError as error:
                raise InputError(f"the folder {folder} holds a study, but {error}") from None


def claim(study: Study, store: Store[Record]) -> dict[str, Any]:
    """Write the description of ``study`` into its folder, and return the original plan.

    A study may grow: with more optimizers, more replicates or another target, the stored runs are used again. The
    original plan has the target and the number of replicates that the study had before its first run.

    Raises
    ------
    InputError: as :func:`check_folder`.
    """
    _check_owner(study, store.folder, bool(store.records))
    before = _description(store.folder / DESCRIPTION, "the description of a study")
    now = {"target": study.problem.target, "replicates": study.replicates}
    planned = before["planned"] if before and store.records and _is_plan(before.get("planned")) else now
    mine = {"optimlab": __version__, **study.config(), "planned": planned}
    write_atomically(store.folder / DESCRIPTION, json_text(mine) + "\n")
    return planned


def _is_plan(planned: Any) -> bool:
    return (
        isinstance(planned, dict)
        and type(planned.get("replicates")) is int
        and type(planned.get("target")) is float
        and 0 < planned["target"] <= 1
    )


def _check_owner(study: Study, folder: Path, has_runs: bool) -> None:
    mine = json_ready(study.config())
    here = {**mine["problem"], "optimlab": __version__, "seed": mine["seed"]}
    theirs = _description(folder / DESCRIPTION, "the description of a study")
    if theirs is not None and has_runs:
        there = {**theirs["problem"], "optimlab": theirs.get("optimlab"), "seed": theirs.get("seed")}
        changed = [
            f"{name} {there.get(name)!r} there, {here.get(name)!r} now"
            for name in sorted({*there, *here} - {"target"})  # the runs are the same for every target
            if there.get(name) != here.get(name)
        ]
        if changed:
            raise InputError(
                f"the folder {folder} holds another study ({'; '.join(changed)}); "
                f"{ELSEWHERE}, or delete this one to start over"
            )
    if (folder / "journal.log").exists():
        raise InputError(f"the folder {folder} holds a search, not a comparison: journal.log; {ELSEWHERE}")
    if (folder / JOINT).exists():
        raise InputError(f"the folder {folder} holds a comparison on several problems: {JOINT}; {ELSEWHERE}")
    reported = _description(folder / SUMMARY, "the summary of a comparison", "study")
    lost = [] if reported is None else _lost(reported, mine)
    if lost:
        raise InputError(
            f"the folder {folder} holds a comparison that this one would overwrite: it also has {listed(lost)}; "
            f"{ELSEWHERE}, or include these as well"
        )


def _description(path: Path, what: str, part: str = "") -> dict[str, Any] | None:
    """Read the description of a study from a file, or from a ``part`` of it; None if there is no file."""
    try:
        content = json.loads(path.read_bytes())
        content = content[part] if part else content
        _ = {**content["problem"]}
        return dict(content)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise InputError(f"{path} is not {what}; {ELSEWHERE}") from None


def _lost(theirs: dict[str, Any], mine: dict[str, Any]) -> list[str]:
    """List, in words, what the first comparison has and the second lacks."""

    def gone(name: str) -> list[Any]:
        return [value for value in theirs.get(name) or [] if value not in mine[name]]

    try:
        labels = [c["label"] for c in mine["optimizers"]]
        lost = [str(c["label"]) for c in theirs["optimizers"] if c["label"] not in labels]
        lost += [f"the learning rate {value!r}" for value in gone("rates")]
        if theirs["replicates"] > mine["replicates"]:
            lost.append(f"{theirs['replicates']} replicates")
    except (TypeError, KeyError):
        return []
    if theirs.get("defaults") and not mine["defaults"]:
        lost.append("the default rates")
    if (theirs.get("search") or 0) > mine["search"]:
        lost.append(f"{theirs['search']} random settings of each")
    return lost if len(lost) <= 6 else [*lost[:5], f"{len(lost) - 5} more"]
