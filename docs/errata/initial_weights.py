"""Glorot and He, and why weights are drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

import optimlab as ol

from .section import (
    DIGITS,
    RIGHT,
    WRONG,
    Section,
    code,
    label,
    num,
    pair,
    panels,
    percent,
    table,
    title,
)


def glorot_uniform_3(generator, shape):
    r = (3 / sum(shape)) ** 0.5
    return generator.uniform(-r, r, shape)


def he_normal_both(generator, shape):
    return generator.normal(0.0, (2 / (sum(shape) / 2)) ** 0.5, shape)


def signal(widths: Sequence[int], activation: str, initializer: Any, draws: int = 10, rows: int = 200) -> list[float]:
    """Mean square of the activations, inputs first, then after each layer: mean over networks drawn at random."""
    return np.mean(signals(widths, activation, initializer, draws, rows), axis=0).tolist()


def signals(widths: Sequence[int], activation: str, initializer: Any, draws: int = 10, rows: int = 200) -> Any:
    """Like :func:`signal`, with a row for each network."""
    x = np.random.default_rng(1).normal(size=(rows, widths[0]))
    return np.array([_signal(x, widths, activation, initializer, seed) for seed in range(draws)])


def _signal(x: Any, widths: Sequence[int], activation: str, initializer: Any, seed: int) -> list[float]:
    net = ol.MLP([*widths, 1], activation=activation, initializer=initializer, seed=seed, dtype="float64")
    sizes = [float(np.mean(x**2))]
    for layer in net.layers[:-1]:
        x = layer.forward(x, training=False)
        if isinstance(layer, ol.layers.Activate):
            sizes.append(float(np.mean(x**2)))
    return sizes


def signal_panel(axes: Axes, right: list[float], wrong: list[float], heading: str) -> None:
    pair(axes, range(len(right)), right, wrong, marker="o", markersize=3)
    axes.set(yscale="log", xlabel="layer (0: the inputs)", ylabel="mean square of the activations")
    axes.set_xticks(range(0, len(right), 5))
    title(axes, heading)


def glorot(layers: int = 20, width: int = 256) -> Section:
    widths = [width] * (layers + 1)
    right, wrong = (signal(widths, "tanh", i) for i in ("glorot_uniform", glorot_uniform_3))
    shape = (600, 400)
    asked = 2 / sum(shape)
    drawn = [
        float(i(np.random.default_rng(0), shape).var()) / asked
        for i in (ol.initializers.get("glorot_uniform"), glorot_uniform_3)
    ]
    figure, (a,) = panels()
    signal_panel(a, right, wrong, f"{layers} tanh layers of {width}, uniform weights")
    label(a, layers, right[-1] * 4, "±√(6/(in+out))", RIGHT, ha="right")
    label(a, layers / 2 - 1, wrong[layers // 2] / 4, "±√(3/(in+out))", WRONG, ha="right")
    return Section(
        "glorot",
        "002",
        "Glorot's uniform weights are drawn from too narrow an interval",
        "uniform on ±√(3/(in+out))",
        "uniform on ±√(6/(in+out))",
        f"half the variance ({drawn[1]:.2f} of it); after {layers} tanh layers a signal of {num(wrong[-1], 1)} is left "
        f"of 1, against {num(right[-1], 1)}",
        [
            """
            A uniform distribution on ±r has the variance r²/3, and Glorot asks for 2/(in+out): so r² = 6/(in+out).
            With 3 in its place each layer passes on half of the variance it should.
            """,
            code(glorot_uniform_3),
            f"""
            Drawn for a layer of {shape[0]} inputs and {shape[1]} outputs, the weights have {drawn[0]:.2f} times the
            variance asked for with 6, and {drawn[1]:.2f} times with 3. A tanh network loses some of the signal in any
            case; {layers} layers keep {num(right[-1], 2)} of it with 6 and {num(wrong[-1], 2)} with 3, a factor of
            {num((right[-1] / wrong[-1]) ** (1 / layers), 2)} a layer.
            """,
        ],
        figure,
        "Mean square of the activations by depth, for inputs of mean square 1.",
    )


def he(layers: int = 20, wide: int = 256, narrow: int = 64) -> Section:
    widths = [wide if k % 2 == 0 else narrow for k in range(layers + 1)]
    drawn = signals(widths, "relu", "he_normal")
    right, wrong = drawn.mean(axis=0).tolist(), signal(widths, "relu", he_normal_both)
    error = float(drawn[:, -1].std(ddof=1)) / len(drawn) ** 0.5
    same = [signal([wide] * (layers + 1), "relu", i, draws=3)[-1] for i in ("he_normal", he_normal_both)]
    per_pair = 2 * wide / (wide + narrow) * 2 * narrow / (wide + narrow)
    figure, (a,) = panels()
    signal_panel(a, right, wrong, f"{layers} ReLU layers, {wide} and {narrow} wide by turns")
    a.set_ylim(wrong[-1] / 3, 30)
    label(a, layers, right[-1] * 3.5, "variance 2/in", RIGHT, ha="right")
    label(a, layers / 2 - 2, wrong[layers // 2] / 4, "variance 2/((in+out)/2)", WRONG, ha="right")
    return Section(
        "he",
        "002",
        "He's variance is shared between inputs and outputs",
        "variance 2/((in+out)/2)",
        "variance 2/in",
        f"after {layers} ReLU layers, {wide} and {narrow} wide by turns, a signal of 1 is "
        f"{num(per_pair ** (layers / 2), 1)} in expectation, against 1",
        [
            """
            He's argument counts inputs: an output is a sum over `in` terms, and ReLU drops half of its square, hence
            2/in. The mean of inputs and outputs belongs to Glorot, who weighs the way back as well.
            """,
            code(he_normal_both),
            f"""
            On square layers the two are the same ({num(same[0], 1)} of the signal after {layers} layers of {wide}, and
            {num(same[1], 1)}), which is why the slip is easily overlooked. Elsewhere the wrong form multiplies the
            signal by 2 in/(in+out) at each layer: by {num(2 * wide / (wide + narrow), 2)} from {wide} to {narrow}, by
            {num(2 * narrow / (wide + narrow), 2)} back, by {num(per_pair, 2)} for the pair. With 2/in the factor is 1,
            in expectation. Single networks scatter: the {len(drawn)} drawn for the figure have a mean of
            {num(right[-1], 1)}, with a standard error of {num(error, 1)}.
            """,
            """
            Averaging over both sides is a choice one can make, and the same slides make it in an example; it has a
            name of its own, `VarianceScaling(2.0, "fan_avg")`.
            """,
        ],
        figure,
        "Mean square of the activations by depth, for inputs of mean square 1.",
    )


def normal_by_variance(generator, shape):
    return generator.normal(0.0, 1 / (sum(shape) / 2), shape)  # the variance, used as a standard deviation


def deviation(width: int = 256) -> Section:
    widths = [width] * 3
    right, wrong = (signal(widths, "tanh", i) for i in ("glorot_normal", normal_by_variance))
    drawn = float(normal_by_variance(np.random.default_rng(0), (width, width)).std())
    asked = width**-0.5
    return Section(
        "deviation",
        "002",
        "A variance is called a standard deviation",
        "standard deviation σ² = 1/((in+out)/2)",
        "*variance* σ² = 1/((in+out)/2)",
        f"for {width} inputs and outputs the weights are drawn with {num(drawn, 2)} instead of {num(asked, 2)}; one "
        f"tanh layer leaves {num(wrong[1], 1)} of a signal of 1 instead of {num(right[1], 1)}",
        [
            """
            The symbol is right and the word beside it is wrong. Random generators ask for the standard deviation, so
            the word is what one types:
            """,
            code(normal_by_variance),
            f"""
            The mean square of the activations then falls about {width}-fold in each layer of {width}. Of a signal of 1
            the first tanh layer leaves {num(wrong[1], 1)} and the second {num(wrong[2], 1)}; with the root it is
            {num(right[1], 2)} and {num(right[2], 2)}.
            """,
        ],
    )


def constant(generator, shape):
    return np.full(shape, 0.1)


def trained_from(initializer: Any, epochs: int = 10) -> tuple[float, int]:
    """Validation accuracy on the digits, and how many of the 32 hidden units differ after training."""
    net = ol.MLP([64, 32, 10], seed=0, dtype="float64", initializer=initializer)
    history = ol.fit(net, ol.Adam(net.parameters, lr=0.01), DIGITS, epochs=epochs, progress=False)
    incoming = net.parameters["dense1.W"].data
    return history.val_accuracy[-1], np.unique(incoming.round(9), axis=1).shape[1]


def random_weights() -> Section:
    rows, found = [], {}
    for name, initializer in (("random, He", "he_normal"), ("all 0.1", constant), ("all zero", "zeros")):
        accuracy, units = found[name] = trained_from(initializer)
        rows.append([name, percent(accuracy), str(units)])
    return Section(
        "random-weights",
        "002",
        "Random initial weights are not to be avoided",
        "the summary advises against random initial weights",
        "draw them at random, with the right variance",
        f"on the digits, all weights 0.1 give {percent(found['all 0.1'][0])}, random ones "
        f"{percent(found['random, He'][0])}",
        [
            """
            Every scheme in these slides draws at random, and what they teach is how wide to draw. The summary says the
            opposite. Hidden units that begin with the same weights get the same gradient and stay the same for ever,
            so that 32 of them are worth one. With zeros no gradient reaches the hidden layer at all.
            """,
            code(constant),
            table(["initial weights", "accuracy after 10 epochs", "different hidden units, of 32"], rows),
        ],
    )
