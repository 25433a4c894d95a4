"""Adam, AdaGrad, RMSProp and clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import optimlab as ol
from optimlab.nn.formulas import times

from .section import (
    DIGITS,
    RIGHT,
    SOFT,
    WRONG,
    Section,
    code,
    label,
    measured,
    num,
    pair,
    panels,
    percent,
    run,
    table,
    title,
    train,
)


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

    def function(backend, outputs, targets, out, buffers):
        loss = plain(backend, outputs, targets, out, buffers)
        backend.map(times, (out,), out, factor=factor)
        return loss

    function.recordable = True

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
            The average starts at zero and is not corrected for it, hence the long first steps, 1/√(1 − β) rates. To
            repeat the document's runs, use `beta={used:g}`.
            """,
        ],
        figure,
        "The step's length, in learning rates; it should be 1.",
    )


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
            "Clipping guards against steps that are too long, and a long step can have either sign. As rules:",
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


def momentum_times_rate(w, g, m, *, lr=0.01):
    m = lr * m - g  # the rate multiplies the momentum
    return w + m, m


def momentum_down(curvature: float, steps: int = 100) -> tuple[float, float]:
    """The weight after so many steps down ``curvature w^2 / 2`` from w = 1 at rate 0.01: right and wrong."""
    rules = (ol.rules.textbook.momentum, momentum_times_rate)
    right, wrong = (run(r, [1.0], lambda w, _: curvature * w, steps, lr=0.01)[-1, 0] for r in rules)
    return float(right), float(wrong)


def momentum_rate() -> Section:
    lr, steps = 0.01, 100
    ends = {h: momentum_down(h, steps) for h in (1.0, 1.9, 2.1, 50.0)}
    right, wrong = ends[50.0]
    rows = [[f"{h:g}", num(abs(r), 1), num(abs(w), 1)] for h, (r, w) in ends.items()]
    return Section(
        "momentum-rate",
        "003",
        "The learning rate multiplies the momentum instead of the gradient",
        "subtract the gradient from the momentum times the learning rate",
        "subtract the gradient *times the learning rate* from the momentum times β",
        f"down 25w² from w = 1, the weight is at {num(abs(wrong), 1)} after {steps} steps; in the right form it is at "
        f"{num(abs(right), 1)}",
        [
            "The post describes the update in one sentence and gives no formula. Taken literally, it is this rule:",
            code(momentum_times_rate),
            f"""
            Two things go wrong. The gradient has no learning rate: on hw²/2 the rule converges only while the
            curvature h is below 2(1 + η), which is {2 * (1 + lr):g} here. And a step keeps {percent(lr, 0)} of the
            step before it instead of 90%, so that hardly any momentum is left. The distance from the minimum after
            {steps} steps at η = {lr:g}:
            """,
            table(["curvature h", "β m − η g", "η m − g"], rows),
        ],
    )


class Ratios:
    """A callback: the norm of each update over the norm of the weights before it."""

    def __init__(self, net: ol.Network) -> None:
        self.weights, self.ratios = net.parameters.data.copy(), []

    def on_step(self, net: ol.Network, opt: ol.Optimizer) -> None:
        w = net.parameters.data
        self.ratios.append(float(np.linalg.norm(w - self.weights) / np.linalg.norm(self.weights)))
        self.weights = w.copy()


def update_ratios(rule: ol.rules.Rule, lr: float, epochs: int = 10) -> tuple[float, float]:
    """Validation accuracy on the digits, and the median ratio of update to weights."""
    net = ol.MLP([64, 32, 10], seed=0, dtype="float64")
    watch = Ratios(net)
    opt = ol.Optimizer(net.parameters, rule, lr=lr)
    history = ol.fit(net, opt, DIGITS, epochs=epochs, callbacks=[watch], progress=False)
    return history.val_accuracy[-1], float(np.median(watch.ratios))


def update_ratio() -> Section:
    book = ol.rules.textbook
    runs = [("SGD", book.sgd, 0.001), ("SGD", book.sgd, 0.3), ("momentum", book.momentum, 0.03)]
    runs += [("Adam", book.adam, 0.003), ("Adam", book.adam, 1e-5)]
    found = [(name, lr, *update_ratios(rule, lr)) for name, rule, lr in runs]
    rows = [[f"{name}, rate {lr:g}", percent(a), num(r, 2), num(r / lr, 2)] for name, lr, a, r in found]
    slow_sgd, sgd, _, adam, slow_adam = found
    return Section(
        "update-ratio",
        "003",
        "The ratio of update to weights is compared with the learning rate",
        "see whether the ratio of weights and updates is above or below the learning rate",
        "see whether it is of the order of 0.001, whatever the learning rate",
        f"two good runs: SGD's ratio is {num(sgd[3] / sgd[1], 2)} times its rate, Adam's {num(adam[3] / adam[1], 2)} "
        f"times; the ratios are {num(sgd[3], 2)} and {num(adam[3], 2)}",
        [
            """
            The ratio says how far a step moves the weights, as a share of their norm. The usual rule of thumb is
            0.001, as an order of magnitude: a hundred times less is too slow, a hundred times more destroys what was
            learned. The learning rate is no yardstick for the ratio, because each rule makes something else of it. SGD
            multiplies the gradient by it. Adam moves every weight by about the rate itself. Ten epochs on the digits:
            """,
            table(["", "validation accuracy", "ratio (median)", "ratio / learning rate"], rows),
            f"""
            The ratio tells the runs that are too slow ({num(slow_sgd[3], 1)} and {num(slow_adam[3], 1)}) from the good
            ones. Divided by the learning rate it does not: it is {num(slow_sgd[3] / slow_sgd[1], 2)} for SGD when it
            is too slow and {num(sgd[3] / sgd[1], 2)} when it is good. `ol.Diagnostics` looks at the ratio of each
            layer.
            """,
        ],
    )


POST = {"SGD": "sgd", "momentum": "momentum", "RMSProp": "rmsprop", "Adam": "adam"}


def rates_on_digits(rates: Sequence[float], epochs: int = 10) -> dict[str, list[float]]:
    """Best validation accuracy of the post's four optimizers at each rate, in PyTorch's convention as there."""
    return {
        name: [max(train(getattr(ol.rules.torch, rule), epochs=epochs, lr=lr)[1].val_accuracy) for lr in rates]
        for name, rule in POST.items()
    }


def one_rate() -> Section:
    rates = (0.001, 0.01, 0.1)
    digits = rates_on_digits(rates)
    names = ("SGD 0.001", "SGD 0.01", "momentum 0.001", "RMSProp 0.001", "Adam 0.001")
    found = {name: measured("cifar10_optimizers", name) for name in names}
    cifar = {name: row["val_accuracy"]["mean"] for name, row in found.items()}
    printed = [percent(found[name]["document"]["best"], 2) for name in (names[0], names[2])]
    slow, tuned, momentum = (cifar[name] for name in names[:3])
    rows = [[name, *map(percent, accuracies)] for name, accuracies in digits.items()]
    return Section(
        "one-rate",
        "000",
        "Four optimizers are compared at one learning rate",
        "the variants converge much faster than SGD, all at the rate 0.001",
        "each at a rate that suits it: 0.001 is too low for SGD",
        f"on the post's images SGD reaches {percent(slow)} at 0.001 and {percent(tuned)} at 0.01, in the same 100 "
        f"epochs; momentum at 0.001 reaches {percent(momentum)}",
        [
            """
            A learning rate of 0.001 means something else to each rule. Momentum with β = 0.9 moves in the long run
            1/(1 − 0.9) = 10 times as far as SGD at the same rate. Adam moves every weight by about the rate, however
            small the gradient is. So the comparison shows what 0.001 is too low for. Measured on the post's 5,000
            images of CIFAR-10 by `benchmarks/cifar10_optimizers.py`, best validation accuracy, mean over three seeds:
            """,
            table(["100 epochs", "accuracy"], [[name, percent(cifar[name])] for name in names]),
            f"""
            The post adds that SGD reaches the same results if it is given enough time. In its own run it does not:
            {printed[0]} against {printed[1]} after 100 epochs. It reaches {percent(tuned)} in the same time at ten
            times the rate. The same on the digits, ten epochs at each rate:
            """,
            table(["digits", *(f"rate {lr:g}" for lr in rates)], rows),
            "`optimlab compare` therefore gives every optimizer the same number of rates to choose from.",
        ],
    )
