"""Power decay, the old decay argument, cyclic rates, StepLR and ExponentialLR."""

from __future__ import annotations

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
            "In optimlab a schedule given as a function is a function of the step, and says so.",
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
