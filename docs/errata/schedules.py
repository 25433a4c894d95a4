"""Power decay, the old decay argument, cyclic rates, kinds of decay, StepLR and ExponentialLR."""

from __future__ import annotations

import math
from math import ceil, log

import numpy as np

import optimlab as ol

from .section import (
    DIGITS,
    RIGHT,
    WRONG,
    Section,
    by_epoch,
    label,
    losses,
    num,
    pair,
    panels,
    table,
    title,
    train,
)


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
            "In optimlab every schedule says whether it counts epochs or steps, and a plain function counts steps.",
        ],
    )


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
        "CyclicLR is stepped once an epoch (a trap, not an error)",
        f"{up} scheduler steps up and {down} down, one step an epoch",
        "as it says; but PyTorch documents a step after every batch",
        f"the same two numbers mean one cycle in the whole run if stepped per epoch, {cycles:.0f} if stepped per batch",
        [
            f"""
            The numbers {up} and {down} count calls of the scheduler, whatever lies between them. The post calls it
            once an epoch, and gets one slow triangle over its {epochs} epochs; the rates this gives for epochs
            {", ".join(map(str, at))} ({", ".join(f"{v:.5f}" for v in at.values())}) are those its log shows. PyTorch
            documents the class for a call after every batch: {rows:,} rows in batches of {batch_size} make {batches}
            batches an epoch, and the same numbers give {batches / period:.1f} cycles in each.
            """,
            f"""
            Nothing is wrong with that, and the comment in the code says epochs. But if you copy the line into a loop
            that steps per batch, you get another schedule. There the same triangle is {up * batches:,} steps up and
            {down * batches:,} down. In optimlab the clock is part of the schedule: `CyclicLR(..., up={up},
            down={down}, per="epoch")`.
            """,
        ],
        figure,
        f"The same two numbers, {up} up and {down} down, on two clocks.",
    )


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


def decays(length: int) -> dict[str, list[float]]:
    """Three schedules from 0.1 that all are at a tenth of it in epoch 10."""
    lr, every, gamma = 0.1, 10, 0.1
    s = ol.schedules
    made = {
        "step decay": s.StepLR(lr, every, gamma),
        "exponential": s.ExponentialLR(lr, gamma ** (1 / every)),
        "1/t": s.InverseTime(lr, every * gamma / (1 - gamma)),
    }
    return {name: list(ol.preview(schedule, length).lr) for name, schedule in made.items()}


def kinds_of_decay() -> Section:
    length, shown = 101, (0, 5, 9, 10, 30, 100)
    rates = decays(length)
    distinct = {name: len(set(values[:30])) for name, values in rates.items()}
    rows = [[str(e), *(num(values[e], 3) for values in rates.values())] for e in shown]
    last = {name: values[-1] for name, values in rates.items()}
    return Section(
        "kinds-of-decay",
        "003",
        "Exponential and 1/t decay are not kinds of step decay",
        "step decay can be done in two ways, exponentially or by 1/t",
        "they are three schedules: one falls in steps, two fall all the time",
        f"different rates in the first 30 epochs: {', '.join(f'{n} {name}' for name, n in distinct.items())}",
        [
            """
            Step decay keeps the rate for some epochs and then multiplies it by a factor. Exponential decay multiplies
            it by a factor in every epoch: it is step decay with steps of one epoch, the special case and not the
            general one. 1/t decay has no factor at all. It slows down as it goes. Here are the three from 0.1, each
            with the constant that brings it to 0.01 in epoch 10:
            """,
            table(["epoch", *rates], rows),
            f"""
            In epoch 100 the rate of 1/t decay is still {num(last["1/t"], 2)}; that of the others is
            {num(last["exponential"], 1)}. The classical proofs of convergence ask for such a slow decay. Its rates add
            up to infinity, so that the weights can get anywhere. Those of the other two have a finite sum.
            """,
        ],
    )


OWN_SCHEDULE = """
def strategy(epochs):
    return 0.01 / math.pow(1 + epoch / 10_000, 1)
"""


def name_error() -> str:
    """The NameError when a training run asks the schedule of the slides for a rate."""
    names = {"math": math}
    exec(OWN_SCHEDULE, names)
    schedule = ol.LearningRateScheduler(names["strategy"])
    try:
        train(ol.rules.textbook.sgd, epochs=2, lr=0.01, callbacks=[schedule])
    except NameError as error:
        return str(error)
    return ""


def own_schedule() -> Section:
    message = name_error()
    return Section(
        "own-schedule",
        "002",
        "The schedule of one's own reads a name that does not exist",
        "the function's argument is called `epocas`, its formula reads `epoca`",
        "one name for both",
        f"`NameError: {message}`, as soon as training asks for a rate",
        [
            "With the names in English (and the time scale put right, which is another erratum), the function is:",
            f"```python\n{OWN_SCHEDULE.strip()}\n```",
            f"""
            Python looks for a name only when it runs the line, so defining the function raises nothing. Given to
            `ol.LearningRateScheduler`, it ends the training with `NameError: {message}`. It is worse where a variable
            `epoch` happens to exist, as it does in many notebooks: then the rate silently stays that of one epoch. A
            look at a schedule before training finds both: `ol.preview(strategy, 20)`.
            """,
        ],
    )


def cycled(epochs: int = 30) -> list[tuple[float, float]]:
    """Rate and momentum of each epoch in the run of the post, as PyTorch's class sets them."""
    shown = ol.preview(ol.schedules.CyclicLR(1e-4, 1e-2, up=5, down=25, per="epoch"), epochs + 1)
    return list(zip(shown.lr, shown.momentum, strict=True))


def cycled_on_digits(epochs: int = 30) -> tuple[list[float], list[float]]:
    """Training loss by epoch with the momentum that was set, and with the momentum that was named."""
    cycle = ol.schedules.CyclicLR(1e-4, 1e-2, up=5, down=25, per="epoch")
    options = dict(epochs=epochs, batch_size=32, lr=cycle)
    return tuple(losses(ol.rules.torch.momentum, beta=beta, **options) for beta in (cycle.momentum, 0.9))


def cycled_momentum() -> Section:
    values = cycled()
    shown = (0, 3, 5, 15, 30)
    rows = []
    for epoch in shown:
        lr, momentum = values[epoch]
        rows.append([str(epoch), num(lr), f"{momentum:.3f}", num(lr / (1 - momentum), 2), num(lr / (1 - 0.9), 2)])
    peak = values[5]
    was, named = cycled_on_digits()
    return Section(
        "cycled-momentum",
        "000",
        "The cyclic schedule also changes the momentum",
        "momentum 0.9, and a learning rate that goes up and down",
        "PyTorch's CyclicLR moves the momentum too, unless `cycle_momentum=False`",
        f"at the peak of the rate the momentum is {peak[1]:g}; a step is worth {num(peak[0] / (1 - peak[1]), 2)} in "
        f"the long run instead of {num(peak[0] / (1 - 0.9), 2)}",
        [
            """
            The optimizer is made with a momentum of 0.9, and the post says nothing more about it. By default the
            scheduler sets it at every call, between 0.9 and 0.8, down when the rate goes up. In the long run a step
            moves the weights by the rate over 1 − β, so the highest rate counts for half of what it seems:
            """,
            table(["epoch", "rate", "momentum set", "rate / (1 − β)", "the same with β = 0.9"], rows),
            f"""
            On the digits the loss after 30 epochs is {num(was[-1])} with the momentum that was set and
            {num(named[-1])} with 0.9 throughout. A schedule of optimlab has the momentum beside the rate, and an
            optimizer follows it where you say so: `ol.Momentum(net.parameters, lr=cycle, beta=cycle.momentum)`.
            """,
        ],
    )
