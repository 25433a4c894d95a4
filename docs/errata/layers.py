"""Batch norm, normalized data, activations, Monte Carlo dropout, softmax."""

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
    percent,
    table,
    title,
    train,
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
            The post standardises its images and builds a data set of them, but makes the loaders from the old data set.
            So it compares two training runs on the same data, and rightly finds no difference. Here is the same
            experiment on the bundled digits: a ReLU network of two hidden layers of 100, momentum, batches of 32, three
            seeds.
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


def activation_ranges(limit: float = 1000.0) -> dict[str, tuple[float, float]]:
    """Smallest and largest value of each activation function between -limit and limit."""
    x = np.linspace(-limit, limit, 200_001)
    names = ("tanh", "sigmoid", "relu", "leaky_relu", "elu", "swish", "softplus")
    values = {name: ol.activations.get(name)(x) for name in names}
    return {name: (float(v.min()), float(v.max())) for name, v in values.items()}


def relu_on_digits(epochs: int = 10) -> tuple[float, float]:
    """Largest activation of a trained ReLU network's hidden layer, and the share of them above 1."""
    net, _ = train(ol.rules.textbook.adam, epochs=epochs, lr=0.01)
    hidden = np.asarray(DIGITS.x_test, "float64")
    for layer in net.layers[:2]:
        hidden = layer.forward(hidden, training=False)
    return float(hidden.max()), float((hidden > 1).mean())


def activation_range() -> Section:
    limit = 1000.0
    ranges = activation_ranges(limit)
    largest, above = relu_on_digits()
    rows = [[f"`{name}`", num(low, 2), num(high, 2)] for name, (low, high) in ranges.items()]
    return Section(
        "activation-range",
        "003",
        "Activation functions do not keep activations between −1 and 1",
        "activation functions manage the activations in the range from −1 to 1",
        "tanh and sigmoid do; ReLU and its relatives have no upper bound",
        f"the hidden ReLU activations of a network trained on the digits reach {num(largest, 2)}, and "
        f"{percent(above, 0)} of them exceed 1",
        [
            f"""
            The sentence describes tanh (and sigmoid, between 0 and 1), the functions of older textbooks. The
            smallest and the largest value of each on −{limit:,.0f} to {limit:,.0f}:
            """,
            table(["", "smallest", "largest"], rows),
            """
            That ReLU does not saturate on the right is the reason for its success: its gradient there is 1. It is also
            the reason why the spread of the activations has to be looked after by initial weights and batch norm.
            """,
        ],
    )


def dropout_network(epochs: int = 10) -> ol.Network:
    """Trained on the digits, with batch norm and dropout."""
    net = ol.MLP([64, 32, 10], batch_norm=True, dropout=0.2, seed=0, dtype="float64")
    ol.fit(net, ol.Adam(net.parameters, lr=0.01), DIGITS, epochs=epochs, progress=False)
    return net


def after_passes(net: ol.Network, passes: int) -> float:
    """Validation accuracy after so many passes of one digit's images in training mode."""
    net = net.copy()
    zeros = DIGITS.x_val[DIGITS.y_val == 0]
    for _ in range(passes):
        net.forward(zeros, training=True)
    return ol.evaluate(net, DIGITS.x_val, DIGITS.y_val)[1]


def monte_carlo() -> Section:
    net = dropout_network()
    counts = (0, 1, 10, 100)
    accuracies = [after_passes(net, n) for n in counts]
    ours = net.copy()
    mean = ol.mc_predict(ours, DIGITS.x_val, samples=100).mean
    right = float((mean.argmax(axis=1) == DIGITS.y_val).mean())
    kept = ol.evaluate(ours, DIGITS.x_val, DIGITS.y_val)[1]
    rows = [[str(n), percent(a)] for n, a in zip(counts, accuracies, strict=True)]
    return Section(
        "monte-carlo",
        "002",
        "Monte Carlo dropout by `training=True` also trains batch norm",
        "call the model with `training=True`, a hundred times",
        "dropout on, batch norm in evaluation mode",
        f"a hundred predictions for images of the digit 0 bring the network's validation accuracy from "
        f"{percent(accuracies[0])} to {percent(accuracies[-1])}",
        [
            """
            In Keras `training=True` reaches all layers. Dropout draws its masks, which is what is wanted. Batch norm
            normalizes by the rows at hand, so that an answer depends on what else is in the batch, and it moves its
            running statistics towards them: predicting changes the network. (The slides recommend both layers; a
            network without batch norm is safe.) A network with both, after so many passes of the zeros among the
            validation images:
            """,
            table(["passes in training mode", "validation accuracy afterwards"], rows),
            f"""
            `ol.mc_predict` switches on dropout alone and leaves the network as it was: its mean over 100 passes is
            right for {percent(right)} of the validation images, and the accuracy afterwards is {percent(kept)}.
            """,
        ],
    )
