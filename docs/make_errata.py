"""Write docs/errata.md and its figures: the errors of the source documents, each run beside the right form.

    python docs/make_errata.py

An erratum is two functions: one that computes (its arguments can be made small, as the tests do) and one that turns the
result into a section of the page. No number on the page is typed in. Wrong update rules are rules like any other, run
by ``ol.Optimizer``. Training is in float64, so that the rounding of another machine does not reach the digits printed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, isinf, isnan, log
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import optimlab as ol

HERE = Path(__file__).parent
DIGITS = ol.datasets.load("digits")
RIGHT, WRONG, INK, SOFT = "#0072B2", "#D55E00", "#333333", "#737373"  # Okabe & Ito (2008); wrong is dashed as well

DOCUMENTS = {
    "000": "a post on optimization with PyTorch: update rules, schedules, normalization, batch norm, on CIFAR-10",
    "001": "an article on learning-rate schedulers in PyTorch, on MNIST",
    "002": "slides on the techniques of training, with Keras: initialization, activations, rules, schedules",
    "003": "a post on the speed of training",
    "004": "a notebook on tuning the learning rate with Keras, on MNIST and Fashion-MNIST",
}


@dataclass
class Section:
    """One erratum on the page; ``says``, ``right`` and ``shows`` are its row of the table on top."""

    key: str
    document: str
    title: str
    says: str
    right: str
    shows: str
    body: Sequence[str]
    figure: Figure | None = None
    caption: str = ""


# --- what the sections share


def run(rule: ol.rules.Rule, start: Sequence[float], gradient: Callable[[Any, int], Any], steps: int, **hyper: Any):
    """Weights before and after each step, shape ``(steps + 1, weights)``; ``gradient(w, step)`` is the loss's."""
    net = ol.MLP([len(start), 1], use_bias=False, dtype="float64")
    net.load(start)
    opt = ol.Optimizer(net.parameters, rule, **hyper)
    w = net.parameters.data
    path = [w.copy()]
    with np.errstate(all="ignore"):  # wrong rules may overflow
        for step in range(steps):
            net.parameters.grad[...] = gradient(w, step)
            opt.step()
            path.append(w.copy())
    return np.array(path)


def train(
    rule: ol.rules.Rule,
    data: ol.Dataset = DIGITS,
    *,
    epochs: int = 10,
    hidden: Sequence[int] = (32,),
    batch_size: int = 64,
    seed: int = 0,
    loss: Any = "softmax_cross_entropy",
    callbacks: Sequence[Any] = (),
    **hyper: Any,
) -> tuple[ol.Network, ol.History]:
    """A small ReLU network trained by ``rule``."""
    net = ol.MLP([64, *hidden, 10], seed=seed, dtype="float64")
    opt = ol.Optimizer(net.parameters, rule, **hyper)
    options = dict(epochs=epochs, batch_size=batch_size, seed=seed, loss=loss, callbacks=callbacks)
    return net, ol.fit(net, opt, data, progress=False, **options)


def losses(rule: ol.rules.Rule, data: ol.Dataset = DIGITS, **options: Any) -> list[float]:
    """Training loss by epoch."""
    return train(rule, data, **options)[1].train_loss


def by_epoch(schedule: Callable[[int], float], data: ol.Dataset = DIGITS, batch_size: int = 64) -> Any:
    """A schedule of the epoch as the function of the step that an optimizer takes."""
    steps = ceil(len(data.x_train) / batch_size)
    return lambda step: schedule(step // steps)


def num(x: float, digits: int = 3) -> str:
    """``x`` to so many significant digits."""
    if isnan(x) or isinf(x):
        return "NaN" if isnan(x) else "infinity"
    mantissa, exponent = f"{abs(x):.{digits - 1}e}".split("e")
    power = int(exponent)
    text = f"{float(f'{mantissa}e{power}'):,.{max(0, digits - 1 - power)}f}"
    return ("−" if x < 0 else "") + (text if -4 <= power < 6 else f"{mantissa}e{power}")


def percent(x: float, decimals: int = 1) -> str:
    return f"{100 * x:.{decimals}f}%"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def code(*functions: Callable[..., Any]) -> str:
    return "```python\n" + "\n\n\n".join(inspect.getsource(f).strip() for f in functions) + "\n```"


def panels(count: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(8.4 if count > 1 else 5.6, 3.3), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, count))
    for a in axes:
        a.spines[["top", "right"]].set_visible(False)
        a.grid(color="#E6E6E6", linewidth=0.6)
        a.set_axisbelow(True)
    figure.get_layout_engine().set(w_pad=0.12)
    return figure, list(axes)


def title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=10, loc="left", color=INK)


def pair(axes: Axes, x: Any, right: Any, wrong: Any, **style: Any) -> None:
    """Two curves in the colours of the page: wrong is dashed, and drawn on top of right."""
    axes.plot(x, right, color=RIGHT, linewidth=2, **style)
    axes.plot(x, wrong, color=WRONG, linewidth=2, linestyle=(0, (4, 1.5)), **style)


def label(axes: Axes, x: float, y: float, text: str, colour: str, **place: Any) -> None:
    axes.text(x, y, text, color=colour, fontsize=9, **{"va": "center", **place})


# --- 002, Adam


def adam_times(w, g, m, s, *, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-14):
    m = beta1 * m + (1 - beta1) * g
    s = beta2 * s + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat * np.sqrt(s_hat + eps), m, s  # times the root


def first_steps(scales: Sequence[float], lr: float = 1e-3) -> tuple[Any, Any]:
    """Length of the first step of Adam, right and wrong, for gradients of these sizes: one weight each."""
    rules = (ol.rules.textbook.adam, adam_times)
    right, wrong = (-run(r, np.zeros(len(scales)), lambda w, _: scales, 1, lr=lr)[1] for r in rules)
    return right, wrong


def times_loss(factor: float) -> Any:
    """Cross-entropy whose gradient is that of ``factor`` times the loss: other units, same problem."""
    plain = ol.losses.get("softmax_cross_entropy")

    def function(backend, outputs, targets, out):
        loss, gradient = plain(backend, outputs, targets, out)
        gradient *= factor
        return loss, gradient

    return plain._replace(function=function)


RATES = (0.01, 0.1, 1.0, 10.0, 100.0)


def adam_on_digits(
    factors: Sequence[float], epochs: int = 10, rates: Sequence[float] = RATES
) -> dict[str, tuple[float, list[float]]]:
    """For each form the learning rate that suits it best, and its accuracy there with the loss in other units."""

    def accuracy(rule, lr, factor):
        return train(rule, epochs=epochs, lr=lr, loss=times_loss(factor))[1].val_accuracy[-1]

    result = {}
    for name, rule in (("right", ol.rules.textbook.adam), ("wrong", adam_times)):
        best = max(rates, key=lambda lr: accuracy(rule, lr, 1.0))
        result[name] = best, [accuracy(rule, best, factor) for factor in factors]
    return result


def adam() -> Section:
    scales = np.logspace(-3, 3, 7)
    lr = 1e-3
    right, wrong = first_steps(scales, lr)
    factors = (0.01, 0.1, 1.0, 10.0, 100.0)
    epochs = 10
    digits = adam_on_digits(factors, epochs)
    (right_lr, right_accuracy), (wrong_lr, wrong_accuracy) = digits["right"], digits["wrong"]
    slope = np.polyfit(np.log(scales), np.log(wrong), 1)[0]

    figure, (a, b) = panels(2)
    pair(a, scales, right, wrong, marker="o", markersize=4)
    a.set(xscale="log", yscale="log", xlabel="size of the gradient (loss units per weight unit)")
    a.set_ylabel("length of the first step\n(weight units)")
    title(a, f"One step at rate {lr:g}")
    label(a, scales[0], lr * 8, "divided: always the rate", RIGHT)
    label(a, scales[3], wrong[1], "multiplied: grows\nwith the square", WRONG)
    pair(b, factors, 100 * np.array(right_accuracy), 100 * np.array(wrong_accuracy), marker="o", markersize=4)
    b.set(xscale="log", ylim=(0, 108), xlabel="the loss is multiplied by", ylabel="validation accuracy (%)")
    title(b, f"{epochs} epochs on the digits, best rate of each")
    label(b, factors[0], 86, f"divided, rate {right_lr:g}", RIGHT)
    label(b, factors[0], 45, f"multiplied,\nrate {wrong_lr:g}", WRONG)

    rows = [[num(s, 1), num(r, 1), num(w, 1)] for s, r, w in zip(scales, right, wrong, strict=True)]
    units = [
        [num(f, 1), percent(r), percent(w)] for f, r, w in zip(factors, right_accuracy, wrong_accuracy, strict=True)
    ]
    return Section(
        "adam",
        "002",
        "Adam multiplies where it should divide",
        "the step is the corrected first moment *times* the root of the second",
        "*divided by* it",
        f"first step for gradients of size {scales[0]:g} and {scales[-1]:,.0f} at rate {lr:g}: {num(wrong[0], 1)} and "
        f"{num(wrong[-1], 1)}; divided, {num(right[0], 1)} both times",
        [
            """
            Division is what Adam is for: a weight whose gradients are large and one whose gradients are small take
            steps of the same length, because the unit of the gradient cancels. With a product it enters twice. Run as
            a rule like any other:
            """,
            code(adam_times),
            table(["size of the gradient", "first step, divided", "first step, multiplied"], rows),
            f"""
            The length of the wrong step grows with the power {slope:.2f} of the gradient. A rate can be found for it:
            of {len(RATES)} tried on the digits, {wrong_lr:g} reaches {percent(wrong_accuracy[2])} (Adam at
            {right_lr:g}: {percent(right_accuracy[2])}). But that rate fits one size of gradients only. Measure the
            same loss in other units and Adam does not notice:
            """,
            table(["loss multiplied by", "accuracy, divided", "accuracy, multiplied"], units),
        ],
        figure,
        "Left: the step against the size of the gradient. Right: accuracy when the loss is counted in other units.",
    )


# --- 002, AdaGrad


def adagrad_loss(w, g, s, *, lr=0.01, eps=1e-14, loss=1.0):
    s = s + g * loss  # the gradient times the loss
    return w - lr * g / np.sqrt(s + eps), s


def adagrad_first_step(batch_size: int = 64) -> tuple[float, float]:
    """Share of the weights that are NaN after one step on the digits: right rule, wrong rule."""
    shares = []
    for rule in (ol.rules.textbook.adagrad, adagrad_loss):
        net = ol.MLP([64, 32, 10], seed=0, dtype="float64")
        logits = net.forward(DIGITS.x_train[:batch_size], training=True)
        loss, gradient = ol.losses.softmax_cross_entropy(logits, DIGITS.y_train[:batch_size])
        net.backward(gradient)
        opt = ol.Optimizer(net.parameters, rule, **({"loss": loss} if rule is adagrad_loss else {}))
        with np.errstate(invalid="ignore"):
            opt.step()
        shares.append(float(np.isnan(net.parameters.data).mean()))
    return shares[0], shares[1]


def adagrad_offsets(offsets: Sequence[float], w: float, lr: float = 0.01) -> tuple[list[float], list[float]]:
    """Length of the first step down w^2/2 + offset, right and wrong."""
    right = [run(ol.rules.textbook.adagrad, [w], lambda w, _: w, 1, lr=lr) for _ in offsets]
    wrong = [run(adagrad_loss, [w], lambda w, _: w, 1, lr=lr, loss=w * w / 2 + c) for c in offsets]
    return [float(p[0, 0] - p[1, 0]) for p in right], [float(p[0, 0] - p[1, 0]) for p in wrong]


def adagrad() -> Section:
    right_nan, wrong_nan = adagrad_first_step()
    offsets = (0.0, 10.0, 100.0)
    w = 2.0
    right, wrong = adagrad_offsets(offsets, w)
    rows = [[f"{c:g}", num(r), num(v)] for c, r, v in zip(offsets, right, wrong, strict=True)]
    return Section(
        "adagrad",
        "002",
        "AdaGrad sums the gradient times the loss",
        "the sum collects gradient times *loss*",
        "gradient times *gradient*",
        f"{percent(wrong_nan)} of the weights are NaN after one step on the digits ({percent(right_nan)} with the "
        "right form)",
        [
            """
            AdaGrad divides by the root of a sum of squares, which never falls. Gradient times loss has the sign of the
            gradient: where that is negative, the root is of a negative number. (The loss reaches the rule as a
            hyperparameter, which for an optimizer of optimlab may be a function of the step.)
            """,
            code(adagrad_loss),
            f"""
            One batch of digits leaves NaN in {percent(wrong_nan)} of the weights, those with a negative gradient (many
            have none: some pixels are blank in every image). Where the gradient is positive the rule runs, but its
            step depends on the loss's zero point, which has no meaning. The first step down w²/2 + c from w = {w:g}:
            """,
            table(["c", "first step, gradient²", "first step, gradient × loss"], rows),
        ],
    )


# --- 002, Glorot and He


def glorot_uniform_3(generator, shape):
    r = (3 / sum(shape)) ** 0.5
    return generator.uniform(-r, r, shape)


def he_normal_both(generator, shape):
    return generator.normal(0.0, (2 / (sum(shape) / 2)) ** 0.5, shape)


def signal(widths: Sequence[int], activation: str, initializer: Any, draws: int = 10, rows: int = 200) -> list[float]:
    """Mean square of the activations, inputs first, then after each layer: mean over networks drawn at random."""
    x = np.random.default_rng(1).normal(size=(rows, widths[0]))
    return np.mean([_signal(x, widths, activation, initializer, seed) for seed in range(draws)], axis=0).tolist()


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
    right, wrong = (signal(widths, "relu", i) for i in ("he_normal", he_normal_both))
    same = [signal([wide] * (layers + 1), "relu", i)[-1] for i in ("he_normal", he_normal_both)]
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
        f"after {layers} ReLU layers, {wide} and {narrow} wide by turns, a signal of 1 is {num(wrong[-1], 1)}, against "
        f"{num(right[-1], 1)}",
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
            {num(2 * narrow / (wide + narrow), 2)} back, by {num(per_pair, 2)} for the pair.
            """,
            """
            Averaging over both sides is a choice one can make, and the same slides make it in an example; it has a
            name of its own, `VarianceScaling(2.0, "fan_avg")`.
            """,
        ],
        figure,
        "Mean square of the activations by depth, for inputs of mean square 1.",
    )


# --- 002, schedules


def power_decay(epoch: float, s: float, lr: float = 0.01, c: float = 1.0) -> float:
    return lr / (1 + epoch / s) ** c


def power_on_digits(epochs: int = 20, s: float = 10_000.0) -> tuple[list[float], list[float]]:
    """Training loss by epoch with the right and the wrong s."""
    sgd = ol.rules.textbook.sgd
    right, wrong = (losses(sgd, epochs=epochs, lr=by_epoch(lambda e, s=v: power_decay(e, s))) for v in (s, 1 / s))
    return right, wrong


def power() -> Section:
    s = 10_000.0
    rates = {v: [power_decay(e, v) for e in range(4)] for v in (s, 1 / s)}
    right, wrong = power_on_digits(s=s)
    figure, (a, b) = panels(2)
    epochs = np.arange(len(right))
    pair(a, epochs, [power_decay(e, s) for e in epochs], [power_decay(e, 1 / s) for e in epochs])
    a.set(yscale="log", xlabel="epoch", ylabel="learning rate")
    a.set_xticks(epochs[::5])
    title(a, "The rate")
    label(a, epochs[4], 0.004, f"s = {s:,.0f} epochs", RIGHT)
    label(a, epochs[4], 2e-6, f"s = {1 / s:g} epochs", WRONG)
    pair(b, epochs + 1, right, wrong)
    b.set(ylim=(0, 2.9), xlabel="epoch", ylabel="training loss (nats)")
    b.set_xticks(epochs[4::5] + 1)
    title(b, "SGD on the digits")
    label(b, 12, right[11] - 0.3, f"s = {s:,.0f}", RIGHT, ha="right")
    label(b, 12, wrong[11] + 0.2, f"s = {1 / s:g}: it stands still", WRONG, ha="center")
    rows = [[str(e), num(rates[s][e], 4), num(rates[1 / s][e], 4)] for e in range(4)]
    fall = rates[1 / s][0] / rates[1 / s][1]
    return Section(
        "power-decay",
        "002",
        "Power decay's time scale is turned upside down in the example",
        f"the example divides the epoch by {1 / s:g}",
        f"by {s:,.0f}: {1 / s:g} is its inverse",
        f"the rate falls {fall:,.0f}-fold in the first epoch, and training stands still from there",
        [
            f"""
            In lr₀/(1 + epoch/s)ᶜ the time scale s is the number of epochs after which 1/t decay (c = 1) has halved the
            rate. The slides say rightly that Keras's `decay` is the inverse of s, {1 / s:g} for s = {s:,.0f}; their
            example of a schedule of one's own then divides by the inverse.
            """,
            table(["epoch", f"rate, s = {s:,.0f}", f"rate, s = {1 / s:g}"], rows),
            f"""
            {len(right)} epochs of SGD on the digits: the loss goes from {num(right[0])} to {num(right[-1])} with s =
            {s:,.0f}, and from {num(wrong[0])} to {num(wrong[-1])} as in the example.
            """,
        ],
        figure,
        "The learning rate, and what training makes of it.",
    )


def epochs_to_half(steps_an_epoch: int, decay: float = 1e-4) -> int:
    """Epochs after which ``lr / (1 + decay * steps)`` is half of lr, counted with the engine's own steps."""
    opt = ol.SGD(ol.MLP([1, 1]).parameters, lr=lambda step: 0.01 / (1 + decay * step))
    start, epoch = opt.lr, 0
    while opt.lr > start / 2:
        opt.t += steps_an_epoch  # an epoch of steps, without its work
        epoch += 1
    return epoch


def legacy_decay() -> Section:
    decay, lr, later = 1e-4, 0.01, 20
    sizes = {"read as per epoch": 1, "digits, batch 64": ceil(len(DIGITS.x_train) / 64)}
    sizes |= {"5,000 rows, batch 32": ceil(5_000 / 32), "60,000 rows, batch 32": ceil(60_000 / 32)}
    halves = {name: epochs_to_half(n, decay) for name, n in sizes.items()}
    names = list(sizes)
    rows = [
        [name, f"{sizes[name]:,}", f"{halves[name]:,}", num(power_decay(later * sizes[name], 1 / decay, lr))]
        for name in names
    ]
    return Section(
        "legacy-decay",
        "002",
        "The old `decay` argument counted steps, not epochs",
        "Keras's `decay` is shown in a formula of the epoch",
        "it acted once per update step",
        f"a decay of {decay:g} halves the rate after {halves[names[0]]:,} epochs on paper, after "
        f"{halves[names[-1]]} epochs of 60,000 rows in batches of 32",
        [
            f"""
            The argument `decay` of Keras's older optimizers divided the rate by 1 + decay × *steps*. The formula is
            the same, its clock runs faster by the number of batches in an epoch, and so the schedule changes with the
            size of the data and of the batch. With a rate of {lr:g} and a decay of {decay:g}:
            """,
            table(["", "steps an epoch", "epochs to half the rate", f"rate after {later} epochs"], rows),
            "In optimlab a schedule given as a function is a function of the step, and says so.",
        ],
    )


# --- 002, clipping


def sgd_clipped_above(w, g, *, lr=0.05):
    return w - lr * np.minimum(g, 1.0)


def sgd_clipped(w, g, *, lr=0.05):
    return w - lr * np.maximum(np.minimum(g, 1.0), -1.0)


def clipped_paths(start: float = 5.0, steps: int = 400) -> tuple[Any, Any]:
    """Down w^4, whose gradient is 4w^3, from +start and -start at once: right and wrong, each (steps + 1, 2)."""
    right, wrong = (run(r, [start, -start], lambda w, _: 4 * w**3, steps) for r in (sgd_clipped, sgd_clipped_above))
    return right, wrong


def clip() -> Section:
    start = 5.0
    right, wrong = clipped_paths(start)
    g = np.linspace(-3, 3, 7)
    figure, (a, b) = panels(2)
    pair(a, g, np.clip(g, -1, 1), np.minimum(g, 1))
    a.set(xlabel="component of the gradient", ylabel="what is used of it")
    title(a, "Clipping at 1")
    label(a, -2.9, -0.6, "both sides", RIGHT)
    label(a, -1.5, -2.4, "above only", WRONG)
    steps = np.arange(len(right))
    pair(b, steps, right[:, 1], wrong[:, 1])
    b.plot(steps, right[:, 0], color=SOFT, linewidth=1.2)
    b.set(xlabel="step", ylabel="weight (minimum at 0)")
    title(b, f"SGD down w⁴ from w = −{start:g}")
    label(b, steps[-1], wrong[1, 1] * 0.92, f"above only: thrown to {num(wrong[1, 1], 2)}", WRONG, ha="right")
    label(b, 130, -2.5, "both sides", RIGHT)
    label(b, 45, 5.2, f"from +{start:g}: the two forms agree", SOFT)
    back = 1 + int(np.argmax(np.abs(wrong[1:, 1]) <= start))
    return Section(
        "clip",
        "002",
        "Clipping by value has two sides",
        "a component above 1.0 becomes 1.0",
        "and one below −1.0 becomes −1.0",
        f"from −{start:g} down w⁴ the first step goes to {num(wrong[1, 1], 2)} instead of to {num(right[1, 1])}",
        [
            "Clipping is there against steps that are too long, and a long step has either sign. As rules:",
            code(sgd_clipped_above, sgd_clipped),
            f"""
            The gradient of w⁴ at −{start:g} is −{4 * start**3:,.0f}. Clipped on both sides, the weight walks to the
            minimum ({num(right[-1, 1], 1)} after {len(right) - 1} steps). Clipped above only, the first step
            overshoots to {num(wrong[1, 1], 2)}, from where the clipped side needs {back - 1} steps to come back within
            {start:g} of the minimum. From +{start:g} the two agree: a test from one side would not have found it.
            """,
        ],
        figure,
        "Left: what clipping does to a component. Right: the same problem entered from either side.",
    )


# --- 000, batch norm


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


# --- 000, normalization


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


# --- 000, CyclicLR


def triangular(i: int, up: int = 5, down: int = 25, low: float = 1e-4, high: float = 1e-2) -> float:
    """Up from low to high in ``up`` steps of the scheduler, down again in ``down``, and so on."""
    place = i % (up + down)
    return low + (high - low) * (place / up if place <= up else (up + down - place) / down)


def cyclic(rows: int = 5_000, batch_size: int = 32, epochs: int = 30) -> Section:
    batches = ceil(rows / batch_size)
    up, down = 5, 25
    period = up + down
    cycles = epochs * batches / period
    at = {e: triangular(e - 1, up, down) for e in (10, 20, 30)}  # the rate of epoch e, counted from 1
    figure, (a, b) = panels(2)
    steps = np.arange(epochs * batches)
    fractions = steps / batches
    a.plot(
        fractions,
        [triangular(k // batches, up, down) for k in steps],
        color=WRONG,
        linewidth=2,
        linestyle=(0, (4, 1.5)),
    )
    a.set(xlabel="epoch", ylabel="learning rate", ylim=(0, 0.0115))
    title(a, f"Stepped per epoch: one cycle in {period} epochs")
    b.plot(fractions[: batches + 1], [triangular(k, up, down) for k in steps[: batches + 1]], color=RIGHT, linewidth=2)
    b.set(xlabel="epoch (the first)", ylim=(0, 0.0115))
    title(b, f"Per batch: {batches / period:.1f} cycles in one epoch")
    return Section(
        "cyclic",
        "000",
        "CyclicLR is stepped once an epoch",
        f"{up} scheduler steps up and {down} down, one step an epoch",
        "PyTorch's class is made to be stepped after every batch",
        f"{period} epochs to a cycle instead of {period / batches:.2f}: one cycle in the whole run instead of "
        f"{cycles:.0f}",
        [
            f"""
            The numbers {up} and {down} count calls of the scheduler, whatever lies between them. The post calls it
            once an epoch, and gets one slow triangle over its {epochs} epochs; the rates this gives for epochs
            {", ".join(map(str, at))} ({", ".join(f"{v:.5f}" for v in at.values())}) are those its log shows. PyTorch
            documents the class for a call after every batch: {rows:,} rows in batches of {batch_size} make {batches}
            batches an epoch, and the same numbers give {batches / period:.1f} cycles in each.
            """,
            f"""
            Nothing breaks, and the comment in the code says epochs. But who copies the line into a loop that steps per
            batch gets another schedule. The triangle meant here is {up * batches:,} steps up and {down * batches:,}
            down, per batch.
            """,
        ],
        figure,
        f"The same two numbers, {up} up and {down} down, on two clocks.",
    )


# --- 000, softmax


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


# --- 000, mean of batch means; 001, the sum over the number of batches


def row_losses(epochs: int = 3) -> Any:
    """Cross-entropy of each training row, for a network trained a little."""
    net, _ = train(ol.rules.textbook.adam, epochs=epochs, lr=0.01)
    p = net.predict_proba(DIGITS.x_train)
    return -np.log(p[np.arange(len(p)), DIGITS.y_train])


def batches_of(rows: Any, batch_size: int) -> list[Any]:
    return [rows[k : k + batch_size] for k in range(0, len(rows), batch_size)]


def mean_of_means(rows: Any, batch_size: int) -> float:
    return float(np.mean([b.mean() for b in batches_of(rows, batch_size)]))


def batch_means() -> Section:
    rows = row_losses()
    sizes = np.arange(16, 301)
    errors = np.array([mean_of_means(rows, b) / rows.mean() - 1 for b in sizes])
    worst = int(sizes[np.argmax(np.abs(errors))])
    left = len(rows) % worst
    share, error = 1 / len(batches_of(rows, worst)), float(np.abs(errors).max())
    figure, (a,) = panels()
    a.axhline(0, color=RIGHT, linewidth=2)
    a.plot(sizes, 100 * errors, ".", color=WRONG, markersize=4)
    a.set(xlabel="batch size (rows)", ylabel="error of the epoch's loss (%)")
    title(a, f"One network, {len(rows):,} rows, cut into batches")
    top = 100 * errors[worst - sizes[0]]
    a.annotate(
        f"batches of {worst}: the last holds {left} row" + ("s" if left > 1 else ""),
        xy=(worst, top),
        xytext=(worst - 14, top),
        ha="right",
        va="center",
        fontsize=9,
        color=WRONG,
        arrowprops={"arrowstyle": "-", "color": WRONG, "lw": 0.8},
    )
    label(a, 20, 0.4 * abs(top), "line: mean over rows", RIGHT)
    label(a, 20, 0.55 * abs(top), "dots: mean of batch means", WRONG)
    weight = 32 / (5_000 % 32)
    return Section(
        "batch-means",
        "000",
        "The loss of an epoch is a mean of batch means",
        "the mean over batches of each batch's mean",
        "the mean over rows: a short last batch weighs less",
        f"{percent(error)} off on {len(rows):,} rows in batches of {worst}, whose last batch "
        f"is {left} row{'s' if left > 1 else ''}",
        [
            f"""
            If the batch size does not divide the number of rows, the last batch is short, and its rows count for more.
            In the post, 5,000 rows in batches of 32 leave {5_000 % 32}, each of which weighs {weight:g} times as much
            as the others. Loss and accuracy of its training curves are of this kind (its validation rows divide
            evenly).
            """,
            f"""
            The rows of a trained network, cut into batches of {sizes[0]} to {sizes[-1]}: the mean of means errs by
            {percent(float(np.median(np.abs(errors))))} in the median and by {percent(error)} at worst, for batches of
            {worst}, where {left} of the {len(rows):,} rows hold {percent(share, 0)} of the weight. Small, as a rule;
            but it is free to get right: add up sums, divide by the rows. So does `ol.fit`.
            """,
        ],
        figure,
        "Each dot is a batch size; the network and its rows are the same throughout.",
    )


def sum_over_batches(rows: Any, batch_size: int = 32) -> float:
    """Each batch's mean times its size, added up, over the number of batches."""
    parts = batches_of(rows, batch_size)
    return float(sum(b.mean() * len(b) for b in parts) / len(parts))


def undefined_name() -> str:
    """What Python says to the name the article gives its second loader."""
    try:
        eval("test", {"train": "training rows", "valid": "validation rows"})
    except NameError as error:
        return str(error)
    return ""


def printed_loss() -> Section:
    rows = row_losses()
    wrong = sum_over_batches(rows)
    train_factor, valid_factor = 60_000 / ceil(60_000 / 32), 10_000 / ceil(10_000 / 32)
    return Section(
        "printed-loss",
        "001",
        "The loss printed is 32 times the loss",
        "sum of loss × batch size, divided by the number of *batches*",
        "divided by the number of rows",
        f"prints {num(wrong)} for a loss of {num(float(rows.mean()))}, {wrong / rows.mean():.1f} times as much",
        [
            """
            Multiplying by the batch size turns means into sums, which is right; then the sum has to be divided by what
            was counted, rows. (Batches are what one divides by when adding up means.)
            """,
            table(
                ["digits, batches of 32", "loss"],
                [
                    ["mean over rows", num(float(rows.mean()))],
                    ["sum over rows / number of batches", num(wrong)],
                ],
            ),
            f"""
            With MNIST's 60,000 and 10,000 rows the factors are {train_factor:g} for training and {valid_factor:.2f}
            for validation, so that not even the two printed curves can be compared exactly. The schedule is not
            harmed: PyTorch's plateau scheduler asks by default for a *relative* improvement; with an absolute
            threshold it would be.
            """,
            f"The code also gives its second loader a name that it never assigns: `NameError: {undefined_name()}`.",
        ],
    )


# --- 000, RMSProp


def rmsprop_lengths(beta: float, fall: int, steps: int = 1200, lr: float = 1.0) -> Any:
    """Length of each step, in rates, while the gradient is 1 and, from step ``fall`` on, 0.1."""
    path = run(ol.rules.textbook.rmsprop, [0.0], lambda w, k: 1.0 if k < fall else 0.1, steps, lr=lr, beta=beta)
    return -np.diff(path[:, 0])


def settled(lengths: Any, fall: int) -> tuple[int, int]:
    """Steps until the length is within 5% of the rate, and, after the fall, until it is half of the rate."""
    return int(np.argmax(lengths <= 1.05)) + 1, int(np.argmax(lengths[fall:] >= 0.5)) + 1


def rmsprop() -> Section:
    said, used = 0.9, 0.99
    fall = 500
    a_lengths, b_lengths = rmsprop_lengths(said, fall), rmsprop_lengths(used, fall)
    (a_start, a_back), (b_start, b_back) = settled(a_lengths, fall), settled(b_lengths, fall)
    figure, (a,) = panels()
    steps = np.arange(1, len(a_lengths) + 1)
    pair(a, steps, a_lengths, b_lengths)
    a.set(yscale="log", xlabel="step", ylabel="length of the step (learning rates)")
    a.set_yticks([0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.1", "0.2", "0.5", "1", "2", "5", "10"])
    a.minorticks_off()
    title(a, f"RMSProp while the gradient is 1, from step {fall} on 0.1")
    label(a, 30, 6, f"β = {used:g}, used: starts at {num(b_lengths[0], 3)} rates", WRONG)
    label(a, 30, 0.55, f"β = {said:g}, named:\nstarts at {num(a_lengths[0], 3)}", RIGHT)
    label(a, 860, 0.3, f"{b_back} steps to recover\nhalf the length", WRONG)
    label(a, 525, 1.5, f"{a_back} steps", RIGHT)
    rows = [
        [f"{beta:g}", f"{1 / (1 - beta):.0f}", num(v[0]), str(start), str(back)]
        for beta, v, start, back in ((said, a_lengths, a_start, a_back), (used, b_lengths, b_start, b_back))
    ]
    return Section(
        "rmsprop",
        "000",
        "RMSProp's β is not the one that was run",
        f"β is normally {said:g}",
        f"its runs used PyTorch's default, {used:g}",
        f"first step of {num(b_lengths[0])} rates instead of {num(a_lengths[0])}; {b_back} steps instead of {a_back} "
        "to recover from a fall of the gradient",
        [
            f"""
            {said:g} is a usual value and the formula is right. But the optimizer is called without it, and the default
            in PyTorch is {used:g} (its argument is called `alpha`): a memory of 1/(1 − β) = {1 / (1 - used):.0f} steps
            instead of {1 / (1 - said):.0f}. optimlab's `RMSProp` on a constant gradient that falls to a tenth at step
            {fall}:
            """,
            table(
                [
                    "β",
                    "memory (steps)",
                    "first step (rates)",
                    "steps until within 5% of a rate",
                    "steps to half a rate after the fall",
                ],
                rows,
            ),
            f"""
            The average starts at zero and is not corrected for it, hence the long first steps, 1/√(1 − β) rates. Who
            wants to repeat the document's runs needs `beta={used:g}`.
            """,
        ],
        figure,
        "The step's length, in learning rates; it should be 1.",
    )


# --- 001, schedulers


def step_rate(epoch: int, factor: float, lr: float = 0.1, every: int = 10) -> float:
    return lr * factor ** (epoch // every)


def step_on_digits(epochs: int = 30, every: int = 10, gamma: float = 0.1) -> tuple[list[float], list[float]]:
    """Training loss by epoch when the rate is multiplied by gamma, and by the step size."""
    right, wrong = (
        losses(ol.rules.textbook.sgd, epochs=epochs, lr=by_epoch(lambda e, f=f: step_rate(e, f, every=every)))
        for f in (gamma, float(every))
    )
    return right, wrong


def step_lr() -> Section:
    gamma, every = 0.1, 10
    right, wrong = step_on_digits()
    rows = [
        [
            f"{e} to {e + every - 1}",
            num(step_rate(e, gamma), 1),
            num(step_rate(e, every), 1),
            num(right[e + every - 1]),
            num(wrong[e + every - 1]),
        ]
        for e in (0, every, 2 * every)
    ]
    return Section(
        "step-lr",
        "001",
        "StepLR multiplies by gamma, not by the step size",
        "after step_size epochs the rate becomes lr × step_size",
        "lr × gamma",
        f"rates {rows[0][2]}, {rows[1][2]}, {rows[2][2]} instead of {rows[0][1]}, {rows[1][1]}, {rows[2][1]}; "
        f"the digits' loss ends at {num(wrong[-1])} instead of {num(right[-1])}",
        [
            f"""
            A slip of one word: the numbers printed beside it are right. Taken at its word, a schedule that is to calm
            training down heats it up, by {every} every {every} epochs.
            """,
            table(
                ["epochs", "rate × gamma", "rate × step size", "loss at the end, gamma", "loss at the end, step size"],
                rows,
            ),
            f"""
            SGD on the digits. (A rate of {rows[1][2]} happens to suit this network better than {rows[0][2]}: the
            second stage helps. The third brings the loss to {num(wrong[-1])}; guessing among ten classes gives ln 10 =
            {log(10):.2f}.)
            """,
        ],
    )


def exponential_rate(epoch: int, lr: float = 0.1, gamma: float = 0.1) -> float:
    return lr * gamma**epoch


def exponential_lr() -> Section:
    rows = [
        [str(e), num(exponential_rate(e), 1), num(step_rate(e, 0.1, every=1), 1), num(exponential_rate(e - 1), 1)]
        for e in range(4)
    ]
    rows[0][-1] = "(none)"
    return Section(
        "exponential-lr",
        "001",
        "ExponentialLR begins at epoch 0",
        "the initial rate holds for epoch 1",
        "for epoch 0: lr₀ × gamma^epoch",
        f"at every epoch the rate stated is {exponential_rate(0) / exponential_rate(1):.0f} times the real one",
        [
            """
            PyTorch counts epochs from 0, and so do the article's two other examples. It also says, rightly, that
            ExponentialLR is StepLR with a step size of 1, and the two tables disagree:
            """,
            table(["epoch", "lr₀ × gamma^epoch", "StepLR, step size 1", "as stated"], rows),
            f"""
            An epoch off matters little with a gamma near 1; with {exponential_rate(1) / exponential_rate(0):.1f} it is
            a factor of {exponential_rate(0) / exponential_rate(1):.0f}.
            """,
        ],
    )


# --- 004, the test set as validation data


def candidates(rows: int, seeds: int = 10, epochs: int = 20) -> Any:
    """Whether each candidate is right on each held-out row: shape ``(seeds * epochs, rows held out)``.

    A candidate is a network after an epoch: what one chooses among when keeping "the best checkpoint".
    """
    x, y = np.concatenate([DIGITS.x_val, DIGITS.x_test]), np.concatenate([DIGITS.y_val, DIGITS.y_test])
    small = ol.Dataset(DIGITS.x_train[:rows], DIGITS.y_train[:rows])
    hits: list[Any] = []
    for seed in range(seeds):
        watch = [lambda net, opt, history: hits.append(net.predict(x) == y)]
        train(ol.rules.textbook.adam, small, epochs=2 * epochs, seed=seed, lr=0.01, callbacks=watch)
        del hits[-2 * epochs : -epochs]  # the first half of training: never the best
    return np.array(hits, float)


def optimism(hits: Any, count: int, splits: int = 1000) -> tuple[float, float]:
    """Accuracy of the best of ``count`` candidates on the rows that chose it, and on as many fresh rows.

    Means over random candidates and random halves of the rows, each half once the one and once the other.
    """
    generator = np.random.default_rng(0)
    models, rows = hits.shape
    halves = generator.permuted(np.tile(np.arange(rows) < rows // 2, (splits, 1)), axis=1).T
    some = generator.permuted(np.tile(np.arange(models), (splits, 1)), axis=1)[:, :count].T
    halves, some = np.hstack([halves, ~halves]), np.hstack([some, some])
    chosen_on, fresh = (hits @ half.astype(float) / half.sum(axis=0) for half in (halves, ~halves))
    each = np.arange(2 * splits)
    best = some[chosen_on[some, each].argmax(axis=0), each]
    return float(chosen_on[best, each].mean()), float(fresh[best, each].mean())


def held_out() -> Section:
    trained_on = 300
    hits = candidates(trained_on)
    counts = (1, 2, 5, 10, 20, 50, 100, 200)
    scores = [optimism(hits, n) for n in counts]
    chosen_on, fresh = (100 * np.array(v) for v in zip(*scores, strict=True))
    figure, (a,) = panels()
    pair(a, counts, fresh, chosen_on, marker="o", markersize=4)
    a.set(xscale="log", xlabel="candidates looked at", ylabel="accuracy of the best one (%)")
    a.set_xticks(counts, [str(n) for n in counts])
    a.minorticks_off()
    title(a, "Best checkpoint of several, digits")
    label(a, counts[4], chosen_on[4] + 0.25, "on the rows it was chosen by", WRONG, ha="right")
    label(a, counts[-1], fresh[-2] - 0.3, "on fresh rows: what it is worth", RIGHT, ha="right")
    rows = [[str(n), f"{c:.1f}%", f"{f:.1f}%"] for n, c, f in zip(counts, chosen_on, fresh, strict=True)]
    return Section(
        "test-set",
        "004",
        "The test set stands where validation data belong",
        "the last training is given the test set as validation data",
        "choose by validation rows; look at the test rows once",
        f"the best of {counts[-1]} checkpoints scores {chosen_on[-1]:.1f}% on the rows that chose it, {fresh[-1]:.1f}% "
        "on fresh ones",
        [
            f"""
            In the notebook nothing is chosen by these figures: training runs for a fixed number of epochs and ends.
            But a test curve on the screen is an invitation: to stop where it is highest, to keep that checkpoint, to
            try once more. (Document 001 goes a step further: it takes MNIST's test rows for validation, and the
            learning rate follows them.) What it costs, measured: networks trained on {trained_on} digits, each epoch a
            candidate; the best one by one half of the held-out rows is scored on that half and on the other.
            """,
            table(["candidates", "accuracy where it was chosen", "accuracy on fresh rows"], rows),
            """
            With one candidate the two agree. The more are looked at, the more of the best one's lead is luck with
            those rows, and luck does not come along. Choosing by validation rows is as good a choice; its test score
            is then the right-hand column, and true.
            """,
        ],
        figure,
        "Mean over random halves of the held-out rows.",
    )


# --- the page

ERRATA: list[Callable[[], Section]] = [
    adam,
    adagrad,
    glorot,
    he,
    power,
    legacy_decay,
    clip,
    batch_norm,
    normalization,
    cyclic,
    softmax,
    batch_means,
    rmsprop,
    step_lr,
    exponential_lr,
    printed_loss,
    held_out,
]


def page(sections: Sequence[Section]) -> str:
    parts = [
        "<!-- made by docs/make_errata.py; edit that -->",
        "# Errors found in the source documents",
        """
        optimlab grew out of five teaching documents in Spanish. They are good reading, and most of what this
        laboratory can do is in them:
        """,
        "\n".join(f"- **{number}**, {what}" for number, what in DOCUMENTS.items()),
        f"""
        Texts of this length hold slips, and a slip in a formula is worth a lesson: it shows what the term is for. Here
        are {len(sections)}, told in our own words (we found none in document
        {", ".join(sorted(set(DOCUMENTS) - {s.document for s in sections}))}). Each is run beside the right form, and
        the numbers are those of that run: `python docs/make_errata.py` writes this page. Wrong update rules are
        written as rules and run by `ol.Optimizer`, like any rule of yours. The data are the bundled digits.
        """,
        "In the figures the right form is blue and solid, the other orange and dashed.",
    ]
    rows = [
        f"| [{s.document}](#{s.key}) | [{s.title}](#{s.key}) | {s.says} | {s.right} | {s.shows} |" for s in sections
    ]
    parts.append(
        "\n".join(["| | what | it says | right is | how it shows |", "| --- | --- | --- | --- | --- |", *rows])
    )
    for s in sections:
        parts += [f'<a id="{s.key}"></a>', f"## {s.title}", f"Document {s.document}: {s.says}. Right: {s.right}."]
        parts += s.body
        if s.figure:
            parts.append(f"![{s.title}. {s.caption}](figures/errata-{s.key}.png)")
            parts.append(f"*{s.caption}*")
    return "\n\n".join(" ".join(p.split()) if p.startswith("\n") else p for p in parts) + "\n"  # prose on one line


def main() -> None:
    sections = [make() for make in ERRATA]
    (HERE / "errata.md").write_text(page(sections), encoding="utf-8")
    (HERE / "figures").mkdir(exist_ok=True)
    for s in sections:
        if s.figure:
            # without the version of Matplotlib in it the file is the same each time
            s.figure.savefig(HERE / "figures" / f"errata-{s.key}.png", dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
