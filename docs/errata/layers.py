"""Batch norm, normalised data, softmax."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from typing import Any

import numpy as np

import optimlab as ol

from .section import (
    DIGITS,
    RIGHT,
    SOFT,
    WRONG,
    Section,
    code,
    label,
    losses,
    num,
    pair,
    panels,
    table,
    title,
)


def batch_norm_by_deviation(x, eps=1e-5):
    deviation = x - x.mean(axis=0)
    return deviation / np.sqrt(deviation.mean(axis=0) + eps)  # not squared


def batch_norm_outputs(spreads: Sequence[float], eps: float, rows: int = 1000) -> tuple[Any, Any, float]:
    """Standard deviations after batch norm, right and wrong, of features so spread; largest wrong 'variance'."""
    x = np.random.default_rng(0).normal(size=(rows, len(spreads)))
    x = 3 + spreads * (x - x.mean(axis=0)) / x.std(axis=0)
    net = ol.Network([ol.layers.BatchNorm(len(spreads), eps=eps)], dtype="float64")
    right = net.forward(x, training=True).std(axis=0)
    return right, batch_norm_by_deviation(x, eps).std(axis=0), float(np.abs((x - x.mean(axis=0)).mean(axis=0)).max())


def batch_norm() -> Section:
    spreads = np.array([0.1, 1.0, 10.0, 100.0])
    eps = 1e-5
    right, wrong, variance = batch_norm_outputs(spreads, eps)
    figure, (a,) = panels()
    pair(a, spreads, right, wrong, marker="o", markersize=4)
    a.set(xscale="log", yscale="log", xlabel="standard deviation going in", ylabel="standard deviation coming out")
    title(a, "A feature through batch norm (γ = 1, β = 0)")
    label(a, 1.0, 2.6, "mean of (x − μ)²: always 1", RIGHT)
    label(a, 1.6, wrong[1] * 0.4, f"mean of (x − μ): {wrong[1] / spreads[1]:,.0f} times what went in", WRONG)
    rows = [[f"{s:g}", num(r), num(w)] for s, r, w in zip(spreads, right, wrong, strict=True)]
    return Section(
        "batch-norm",
        "000",
        "Batch norm's variance is always zero",
        "the variance is the mean of x − μ",
        "the mean of (x − μ)²",
        f"the 'variance' is {variance:.6f}, so features come out {wrong[1] / spreads[1]:,.0f} times as spread as they "
        "went in, not normalized",
        [
            """
            Deviations from the mean add up to zero, by the definition of the mean: without the square there is nothing
            left to divide by but ε.
            """,
            code(batch_norm_by_deviation),
            table(["standard deviation going in", "coming out, squared", "coming out, not squared"], rows),
            f"""
            What is meant to be a variance is {variance:.6f} for every feature, and the layer multiplies by 1/√ε: by
            {wrong[1] / spreads[1]:,.0f} for ε = {num(eps, 1)}. The document's code uses PyTorch's layer, which
            squares.
            """,
        ],
        figure,
        "With the square the output's spread is 1 whatever goes in.",
    )


def standardised(data: ol.Dataset) -> ol.Dataset:
    """Mean 0 and standard deviation 1 over all pixels, as for one colour channel, by the training split's numbers."""
    mean, std = data.x_train.mean(), data.x_train.std()
    x = {f"x_{split}": (getattr(data, f"x_{split}") - mean) / std for split in ("train", "val", "test")}
    return ol.Dataset(**x, y_train=data.y_train, y_val=data.y_val, y_test=data.y_test)


def normalization_runs(seeds: Sequence[int] = (0, 1, 2), epochs: int = 60) -> tuple[Any, Any]:
    """Training loss, shape (seeds, epochs), on digits as they are and standardised: document 000's optimizer."""
    options = dict(epochs=epochs, hidden=(100, 100), batch_size=32, lr=0.001)
    raw, normal = (
        np.array([losses(ol.rules.textbook.momentum, data, seed=seed, **options) for seed in seeds])
        for data in (DIGITS, standardised(DIGITS))
    )
    return raw, normal


def epochs_to(losses: Any, target: float) -> list[int]:
    """The first epoch, counted from 1, at or below ``target``, for each row."""
    assert losses.min(axis=1).max() <= target, "a run never got there: train longer"
    return [int(np.argmax(row <= target)) + 1 for row in losses]


def normalization(target: float = 0.2) -> Section:
    raw, normal = normalization_runs()
    slow, fast = epochs_to(raw, target), epochs_to(normal, target)
    figure, (a,) = panels()
    epochs = np.arange(1, raw.shape[1] + 1)
    a.plot(epochs, raw.T, color=WRONG, linewidth=1.4, linestyle=(0, (4, 1.5)))
    a.plot(epochs, normal.T, color=RIGHT, linewidth=1.4)
    a.axhline(target, color=SOFT, linewidth=0.8)
    a.set(yscale="log", xlabel="epoch", ylabel="training loss (nats)")
    title(a, "Digits, momentum 0.9 at rate 0.001, three seeds each")
    label(a, 24, raw[0, 23] * 2.6, "pixels from 0 to 1: what was run, twice", WRONG)
    label(a, 2, normal[0, 49] * 0.9, "standardised: what was meant", RIGHT)
    label(a, epochs[-1], target * 1.08, f"loss {target:g}", SOFT, ha="right", va="bottom")
    factor = np.median(slow) / np.median(fast)
    return Section(
        "normalization",
        "000",
        "The normalization experiment used the data that were not normalized",
        "standardising the images has no considerable effect",
        "it has; the run that was to show it read the other data set",
        f"the same experiment in small: {np.median(slow):.0f} epochs to a training loss of {target:g} without, "
        f"{np.median(fast):.0f} with",
        [
            """
            The post standardises its images, builds a data set of them, and then makes the loaders from the old data
            set, a name away. So it compares one training run with another of the same data and finds, rightly, no
            difference. Here is the same experiment on the bundled digits: a ReLU network of two hidden layers of 100,
            momentum, batches of 32, three seeds.
            """,
            table(
                ["", f"epochs to the loss {target:g}", "median"],
                [
                    ["pixels from 0 to 1", ", ".join(map(str, slow)), f"{np.median(slow):.0f}"],
                    ["standardised", ", ".join(map(str, fast)), f"{np.median(fast):.0f}"],
                ],
            ),
            f"""
            Two seeds of the same data differ by a few epochs; standardising makes training {factor:.1f} times as fast.
            Mean and standard deviation are those of the training split, which the post took over the validation rows
            as well. A guard against such a slip: print the mean and the spread of a batch as the *network* receives
            it.
            """,
        ],
        figure,
        "Each line is one seed.",
    )


def softmax_plain(x):
    e = np.exp(x)
    return e / e.sum(axis=-1, keepdims=True)


def softmax_by_size(sizes: Sequence[float]) -> tuple[Any, Any]:
    """Probability of the first of three classes with float32 logits (z, z - 1, z - 2): right and wrong."""
    logits = np.array([[z, z - 1, z - 2] for z in sizes], "float32")
    with np.errstate(all="ignore"):
        return ol.activations.get("softmax")(logits)[:, 0], softmax_plain(logits)[:, 0]


def softmax() -> Section:
    sizes = np.arange(0, 121)
    right, wrong = softmax_by_size(sizes)
    first = int(sizes[np.isnan(wrong)][0])
    limit = log(float(np.finfo("float32").max))
    pair_of_logits = np.array([[first, first + 5]], "float32")
    with np.errstate(all="ignore"):
        chosen = int(softmax_plain(pair_of_logits).argmax())
    figure, (a,) = panels()
    a.plot(sizes, right, color=RIGHT, linewidth=2)
    a.plot(sizes, wrong, color=WRONG, linewidth=2, linestyle=(0, (4, 1.5)))
    a.plot(first - 1, wrong[first - 1], "x", color=WRONG, markersize=9, markeredgewidth=2)
    a.axvspan(first - 0.5, sizes[-1], color=WRONG, alpha=0.1, linewidth=0)
    a.set(ylim=(0, 1), xlabel="largest logit z, of (z, z − 1, z − 2)", ylabel="probability of the first class")
    title(a, "Softmax in float32")
    label(a, 4, 0.76, "maximum subtracted first", RIGHT)
    label(a, first + 2, 0.3, f"NaN from\nz = {first}\nwithout", WRONG)
    return Section(
        "softmax",
        "000",
        "Softmax overflows",
        "exp(x) over its sum, as it stands",
        "subtract the largest x first",
        f"NaN in float32 as soon as a logit reaches {first}",
        [
            f"""
            The largest float32 is e to the {limit:.2f}: exp({first}) is infinite, and infinity over infinity is not a
            number. At the other end, when all logits are far below zero, it is 0/0. Softmax does not change when a
            constant is taken from all logits; with the largest taken away no exponential exceeds 1 and one of them is
            1.
            """,
            code(softmax_plain),
            f"""
            In the post it only serves to find the largest class. With the logits {first} and {first + 5} both
            probabilities are NaN and `argmax` answers class {chosen} instead of 1, without a warning in the accuracy.
            (To find the largest class no softmax is needed: it keeps the order.)
            """,
        ],
        figure,
        "The probabilities do not depend on z; the naive form loses them.",
    )
