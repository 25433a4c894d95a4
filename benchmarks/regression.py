"""Regression beside scikit-learn's MLPRegressor, with equal settings, on two problems.

    python benchmarks/regression.py

The problems are sklearn:diabetes, and a function of four inputs plus noise of a known variance. On a fixed split each
seed trains a network with scikit-learn, with the estimator ``optimlab.sklearn.MLPRegressor``, and with ``ol.fit``; R²
is that of the held-out rows. In a comparison each replicate draws its own split, and Adam is tuned over three rates;
scikit-learn's networks are trained on the same rows at the same rates, and chosen in the same way, by the epoch with
the best validation R². The spread is the standard deviation of scikit-learn's R² over its seeds.

Four more lines tell which difference matters: ``ol.fit`` with other initial weights and biases.

Asked: at each number of epochs the mean R² differs from scikit-learn's by less than the spread. As a check of this
check, He's weights with zero biases, which optimlab draws by default, must be found behind on the function with noise
at 15 and 20 epochs: the 95% interval of the difference lies below zero. The command fails if one of these does not
hold.
"""

from __future__ import annotations

import csv
import json
import sys
import warnings
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import common
import numpy as np
from scipy import stats
from sklearn import neural_network
from sklearn.datasets import load_diabetes
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import optimlab as ol
from optimlab.backends.threads import one_thread
from optimlab.common.files import json_ready, write_atomically
from optimlab.sklearn import MLPRegressor
from optimlab.study import Contender, Problem, Study, compare

EPOCHS = (15, 20, 40, 60)
HIDDEN, BATCH, RATE, ALPHA = 32, 32, 0.01, 0.1
RATES = (0.005, 0.01, 0.02)
"""Of the comparison; each replicate shifts them by its own factor."""
NOISE = 0.5
"""Standard deviation of the noise."""
EPSILON = 1e-8
"""Scikit-learn's. Its loss is half of the mean squared error, so that ours needs twice as much, and twice the alpha."""
USUAL = "ol.fit, He's normal weights, zero biases"
STARTS = {
    "ol.fit": ("glorot_uniform", "glorot_uniform"),
    USUAL: ("he_normal", "zeros"),
    "ol.fit, He's normal weights, Glorot's biases": ("he_normal", "glorot_uniform"),
    "ol.fit, Glorot's uniform weights, zero biases": ("glorot_uniform", "zeros"),
    "ol.fit, Glorot's uniform weights, PyTorch's biases": ("glorot_uniform", "torch_uniform"),
}
"""Initial weights and biases; the first are scikit-learn's."""

Split = tuple[Any, Any, Any, Any]
"""Inputs and targets to train on, and those held out."""


def noisy() -> tuple[Any, Any]:
    """Return 600 rows of a function of four inputs plus normal noise."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (600, 4))
    return x, np.sin(3 * x[:, 0]) + x[:, 1] * x[:, 2] + NOISE * rng.standard_normal(600)


def split(x: Any, y: Any) -> Split:
    """Hold 30% of the rows out; scale inputs and targets by the others."""
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.3, random_state=0)
    scaler = StandardScaler().fit(x_train)
    mean, deviation = y_train.mean(), y_train.std()
    return (
        scaler.transform(x_train),
        (y_train - mean) / deviation,
        scaler.transform(x_test),
        (y_test - mean) / deviation,
    )


def theirs(rate: float, random: np.random.RandomState, alpha: float) -> neural_network.MLPRegressor:
    """Return scikit-learn's regressor, to be trained by ``partial_fit``, one epoch a call."""
    return neural_network.MLPRegressor(
        hidden_layer_sizes=(HIDDEN,),
        batch_size=BATCH,
        learning_rate_init=rate,
        alpha=alpha,
        epsilon=EPSILON,
        random_state=random,
    )


def by_scikit_learn(data: Split, seed: int) -> list[float]:
    """Return the R² after each of ``EPOCHS`` of one training."""
    x, y, x_test, y_test = data
    model = theirs(RATE, np.random.RandomState(seed), ALPHA)
    found = []
    for epoch in range(1, max(EPOCHS) + 1):
        model.partial_fit(x, y)
        if epoch in EPOCHS:
            found.append(model.score(x_test, y_test))
    return found


def by_estimator(data: Split, seed: int) -> list[float]:
    """Return the same for optimlab's estimator, each of a training of its own."""
    x, y, x_test, y_test = data
    model = MLPRegressor(
        (HIDDEN,),
        optimizer="adam:keras",
        optimizer_options={"eps": 2 * EPSILON},
        batch_size=BATCH,
        learning_rate_init=RATE,
        alpha=2 * ALPHA,
        tol=None,
        random_state=seed,
    )
    return [float(model.set_params(max_iter=epochs).fit(x, y).score(x_test, y_test)) for epochs in EPOCHS]


def by_fit(data: Split, seed: int, start: tuple[str, str]) -> list[float]:
    """Return the R² in the course of one training by ``ol.fit``, from initial weights and biases by ``start``."""
    weights, biases = start
    sizes = [data[0].shape[1], HIDDEN, 1]
    net = ol.MLP(sizes, initializer=weights, bias_initializer=biases, dtype="float64", seed=seed)
    history = ol.fit(
        net,
        ol.Adam(net.parameters, lr=RATE, convention="keras", eps=2 * EPSILON),
        ol.Dataset(*data),  # the held-out rows take the place of validation rows
        epochs=max(EPOCHS),
        batch_size=BATCH,
        penalties=[ol.L2(2 * ALPHA / BATCH)],
        seed=seed,
        progress=False,
    )
    return [history.val_r2[epochs - 1] for epochs in EPOCHS]


def by_comparison(dataset: str, column: str, replicates: int) -> dict[str, Any]:
    """Return the scores of ``ol.study.compare`` and of two seeds of scikit-learn, by replicate and ``EPOCHS``."""
    ours = np.empty((replicates, len(EPOCHS)))
    both = np.empty((2, replicates, len(EPOCHS)))
    adam = Contender("adam", "keras", {"eps": 2 * EPSILON})
    for k, epochs in enumerate(EPOCHS):
        problem = Problem(
            dataset,
            hidden=(HIDDEN,),
            initializer="glorot_uniform",
            bias_initializer="glorot_uniform",
            batch_size=BATCH,
            epochs=epochs,
            target=0.3,
            dtype="float64",
            target_column=column,
        )
        study = Study(problem, (adam,), RATES, replicates, extensions=0, defaults=False)
        with TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
            (row,) = compare(study, folder, jobs=1).summary.tuned
        for r, replicate in enumerate(row.replicates):
            ours[r, k] = replicate.test_score
    # the replicates of all four studies have the same rows and rates
    for r, replicate in enumerate(row.replicates):
        rates = [trial.lr for trial in replicate.grid]
        for seed in range(2):
            both[seed, r] = chosen(problem.replicate(replicate.number), rates, 1000 * seed + r)
    first, second = both
    return {"optimlab": ours, "scikit-learn": first, "spread": (first - second).std(axis=0, ddof=1) / 2**0.5}


def chosen(data: ol.Dataset, rates: list[float], seed: int) -> list[float]:
    """Return the test R² of the rate and epoch with the best validation R² among the first epochs, for ``EPOCHS``."""
    found = []
    for rate in rates:
        model = theirs(rate, np.random.RandomState(seed), 0.0)
        for epoch in range(1, max(EPOCHS) + 1):
            model.partial_fit(data.x_train, np.ravel(data.y_train))
            val, test = (
                max(0.0, r2_score(np.ravel(y), model.predict(x)))
                for x, y in ((data.x_val, data.y_val), (data.x_test, data.y_test))
            )
            found.append((val, test, epoch))
    return [max(f for f in found if f[2] <= epochs)[1] for epochs in EPOCHS]


def measured(name: str, x: Any, y: Any, seeds: int, replicates: int) -> list[dict[str, Any]]:
    """Return a record for each way of training and number of epochs on one problem."""
    data = split(x, y)

    def table(train: Callable[[int], list[float]]) -> Any:
        return np.array([train(seed) for seed in range(seeds)])

    others = table(lambda seed: by_scikit_learn(data, seed))
    spread = others.std(axis=0, ddof=1)
    found = records(name, "estimator", table(lambda seed: by_estimator(data, seed)), others, spread)
    for way, start in STARTS.items():
        found += records(name, way, table(lambda seed, start=start: by_fit(data, seed, start)), others, spread)
    if name == "sklearn:diabetes":
        compared = by_comparison(name, "", replicates)
    else:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "noise.csv"
            with path.open("w", newline="") as file:
                csv.writer(file).writerows([["a", "b", "c", "d", "y"], *np.column_stack([x, y]).tolist()])
            compared = by_comparison(str(path), "y", replicates)
    paired = compared["optimlab"] - compared["scikit-learn"]
    return found + records(name, "compare", *compared.values(), paired)


def records(name: str, way: str, ours: Any, others: Any, spread: Any, paired: Any = None) -> list[dict[str, Any]]:
    """Return the means, their difference with its 95% interval, and the spread, for each of ``EPOCHS``.

    Without ``paired`` differences the interval is Welch's: seed k of one library has nothing to do with the other's.
    """
    made = []
    for k, epochs in enumerate(EPOCHS):
        difference = float(ours[:, k].mean() - others[:, k].mean())
        half = welch(ours[:, k], others[:, k]) if paired is None else common.interval(paired[:, k].tolist()).half
        made.append(
            {
                "problem": name,
                "way": way,
                "epochs": epochs,
                "optimlab": float(ours[:, k].mean()),
                "scikit_learn": float(others[:, k].mean()),
                "difference": difference,
                "half": half,
                "spread": float(spread[k]),
                "within": abs(difference) < float(spread[k]),
                "runs": ours[:, k].tolist(),
                "runs_scikit_learn": others[:, k].tolist(),
            }
        )
    return made


def welch(a: Any, b: Any) -> float:
    """Return half of Welch's 95% interval of the difference of two means."""
    interval = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return float(interval.high - interval.low) / 2


def conditions(found: list[dict[str, Any]]) -> dict[str, bool]:
    """Return what is asked, and whether it holds."""
    made = {
        f"{way} within the spread, {problem}": all(
            f["within"] for f in found if (f["way"], f["problem"]) == (way, problem)
        )
        for way in ("estimator", "ol.fit", "compare")
        for problem in dict.fromkeys(f["problem"] for f in found)
    }
    usual = [f for f in found if f["way"] == USUAL and f["problem"] == "known noise" and f["epochs"] <= 20]
    behind = all(f["difference"] + f["half"] < 0 for f in usual)
    return made | {f"{USUAL}: behind at 15 and 20 epochs, known noise": behind}


def told(found: list[dict[str, Any]], seeds: int, replicates: int) -> str:
    """Return the results as a text."""
    lines = [
        "Regression beside scikit-learn's MLPRegressor: mean R² of the held-out rows",
        f"one hidden layer of {HIDDEN} ReLUs, batches of {BATCH}, Adam at {RATE:g}, alpha {ALPHA:g} (compare: rates "
        f"around {', '.join(f'{r:g}' for r in RATES)}, no penalty); {seeds} seeds, {replicates} replicates",
        ", ".join(f"{name} {version}" for name, version in versions().items()),
    ]
    for problem in dict.fromkeys(f["problem"] for f in found):
        head = f"{problem:50} epochs  optimlab  scikit-learn  difference ±95%   spread"
        lines += ["", head]
        for f in found:
            if f["problem"] == problem:
                lines.append(
                    f"{f['way']:50} {f['epochs']:6}  {f['optimlab']:8.3f}  {f['scikit_learn']:12.3f}  "
                    f"{f['difference']:+10.3f} ±{f['half']:.3f}  {f['spread']:7.3f}{'' if f['within'] else '  outside'}"
                )
    lines += ["", *(f"{'holds' if held else 'MISSED'}: {text}" for text, held in conditions(found).items())]
    return "\n".join(lines) + "\n"


def versions() -> dict[str, str]:
    """Return the versions that the results depend on."""
    return {k: v for k, v in common.versions().items() if k != "torch"} | {
        "scikit-learn": metadata.version("scikit-learn")
    }


def as_json(summary: dict[str, Any], rows: list[dict[str, Any]]) -> str:
    """Return ``summary`` with its ``rows`` as JSON, each row on a line of its own."""
    made = [json.dumps(common.rounded(json_ready(row)), ensure_ascii=False, allow_nan=False) for row in rows]
    head = json.dumps(summary, indent=1, ensure_ascii=False).removesuffix("\n}")
    return head + ',\n "rows": [\n  ' + ",\n  ".join(made) + "\n ]\n}\n"


@click.command(help=__doc__.split("\n\n")[0])
@click.option("--seeds", type=click.IntRange(2), default=64, show_default=True, help="How many on the fixed split.")
@click.option("--replicates", type=click.IntRange(2), default=16, show_default=True, help="Of the comparison.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=common.HERE / "results",
    help="Folder.  [default: results/ beside the script]",
)
def main(seeds: int, replicates: int, out: Path) -> None:
    problems = {"sklearn:diabetes": load_diabetes(return_X_y=True), "known noise": noisy()}
    with one_thread():
        found = [record for name, (x, y) in problems.items() for record in measured(name, x, y, seeds, replicates)]
    text, asked = told(found, seeds, replicates), conditions(found)
    click.echo(text, nl=False)
    summary = {"experiment": "regression", "made": common.now(), "versions": versions(), "seeds": seeds}
    summary |= {"replicates": replicates, "conditions": asked}
    write_atomically(out / "regression.json", as_json(summary, found))
    write_atomically(out / "regression.txt", text)
    sys.exit(not all(asked.values()))


if __name__ == "__main__":
    main()
