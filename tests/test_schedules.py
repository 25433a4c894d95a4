"""Schedules: PyTorch's and Keras's values, every boundary, bad input; plateau, preview."""

import copy
import dataclasses
import inspect
import json
import math
import pickle

import numpy as np
import pytest
from conftest import require
from hypothesis import example, given, settings
from hypothesis import strategies as st

import optimlab as ol
from optimlab.schedules import (
    Chain,
    CosineAnnealing,
    CosineWarmRestarts,
    CyclicLR,
    ExponentialLR,
    InverseTime,
    LinearDecay,
    MultiStepLR,
    OneCycle,
    PiecewiseConstant,
    PolynomialDecay,
    PowerDecay,
    ReduceLROnPlateau,
    Schedule,
    StepLR,
    Warmup,
    WarmupStableDecay,
    per_epoch,
    unit,
)
from optimlab.schedules.shapes import Length, Shape

torch = require("torch")
theirs = torch.optim.lr_scheduler

STEPS = 1000
LR = 0.3


def torch_run(make, steps=STEPS):
    """Rate, momentum, and rate by the closed form where there is one, at 0, 1, ... in a live PyTorch optimizer."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR, momentum=0.9)
    scheduler = make(optimizer)
    closed = getattr(scheduler, "_get_closed_form_lr", None)
    rows = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        rows.append((group["lr"], group["momentum"], closed()[0] if closed else group["lr"]))
        optimizer.step()
        scheduler.step()
    return np.array(rows).T


def close(actual, expected):
    """Equal to 1e-12, or to rounding of the largest rate: near zero a sum keeps no more digits than that."""
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15 * LR)


# Ours and PyTorch's. PyTorch makes the rate of many schedules from the one a step before, so that its rounding adds up:
# over these 1,000 steps to 4e-15 of the rate, and to 4e-13 where a cosine goes on after almost nothing (cosine-again).
# Its closed form, where it has one, is compared as well.
TORCH = {
    "step": (StepLR(LR, 30), lambda o: theirs.StepLR(o, 30)),
    "step-7": (StepLR(LR, 7, 0.9), lambda o: theirs.StepLR(o, 7, 0.9)),
    "multistep": (MultiStepLR(LR, [30, 80]), lambda o: theirs.MultiStepLR(o, [30, 80])),
    "multistep-close": (
        MultiStepLR(LR, [1, 2, 500, 999], 0.5, "torch"),
        lambda o: theirs.MultiStepLR(o, [1, 2, 500, 999], 0.5),
    ),
    "exponential": (ExponentialLR(LR, 0.99), lambda o: theirs.ExponentialLR(o, 0.99)),
    "exponential-fast": (ExponentialLR(LR, 0.7), lambda o: theirs.ExponentialLR(o, 0.7)),
    "linear": (LinearDecay(LR, 0.1 * LR, 400), lambda o: theirs.LinearLR(o, 1.0, 0.1, 400)),
    "linear-up": (Warmup(LR, 100, start=LR / 4), lambda o: theirs.LinearLR(o, 0.25, 1.0, 100)),
    "constant": (Chain([LR / 4, LR], [7], per="epoch"), lambda o: theirs.ConstantLR(o, 0.25, 7)),
    "polynomial": (PolynomialDecay(LR, 700), lambda o: theirs.PolynomialLR(o, 700, 1.0)),
    "polynomial-2": (PolynomialDecay(LR, 1200, 2.5), lambda o: theirs.PolynomialLR(o, 1200, 2.5)),
    "cosine": (CosineAnnealing(LR, 2000), lambda o: theirs.CosineAnnealingLR(o, 2000)),
    "cosine-again": (
        CosineAnnealing(LR, 130, 0.01, "torch"),
        lambda o: theirs.CosineAnnealingLR(o, 130, 0.01),
    ),
    "restarts": (CosineWarmRestarts(LR, 37), lambda o: theirs.CosineAnnealingWarmRestarts(o, 37)),
    "restarts-2": (
        CosineWarmRestarts(LR, 10, 2, 0.01),
        lambda o: theirs.CosineAnnealingWarmRestarts(o, 10, 2, 0.01),
    ),
    "restarts-1": (CosineWarmRestarts(LR, 1, 3), lambda o: theirs.CosineAnnealingWarmRestarts(o, 1, 3)),
    "onecycle": (OneCycle(LR, STEPS), lambda o: theirs.OneCycleLR(o, LR, STEPS)),
    "onecycle-linear": (
        OneCycle(LR, STEPS, 0.123, "linear", 0.5, 0.9, 10, 100),
        lambda o: theirs.OneCycleLR(
            o,
            LR,
            STEPS,
            pct_start=0.123,
            anneal_strategy="linear",
            base_momentum=0.5,
            max_momentum=0.9,
            div_factor=10,
            final_div_factor=100,
        ),
    ),
    "onecycle-3": (
        OneCycle(LR, STEPS, three_phase=True),
        lambda o: theirs.OneCycleLR(o, LR, STEPS, three_phase=True),
    ),
    "onecycle-3-linear": (
        OneCycle(LR, STEPS, 0.4567, "linear", three_phase=True),
        lambda o: theirs.OneCycleLR(o, LR, STEPS, pct_start=0.4567, anneal_strategy="linear", three_phase=True),
    ),
    "onecycle-3-half": (
        OneCycle(LR, STEPS, 0.5, three_phase=True),
        lambda o: theirs.OneCycleLR(o, LR, STEPS, pct_start=0.5, three_phase=True),
    ),
    "cyclic": (CyclicLR(0.01, LR, 20), lambda o: theirs.CyclicLR(o, 0.01, LR, 20)),
    "cyclic-2": (
        CyclicLR(0.01, LR, 13, 29, "triangular2", base_momentum=0.5, max_momentum=0.95),
        lambda o: theirs.CyclicLR(o, 0.01, LR, 13, 29, "triangular2", base_momentum=0.5, max_momentum=0.95),
    ),
    "cyclic-exp": (
        CyclicLR(0.01, LR, 50, 3, "exp_range", 0.995),
        lambda o: theirs.CyclicLR(o, 0.01, LR, 50, 3, "exp_range", 0.995),
    ),
    "lambda": (lambda k: LR * 0.95 ** (k // 9), lambda o: theirs.LambdaLR(o, lambda k: 0.95 ** (k // 9))),
    "chain": (
        Chain([Warmup(LR, 10, LR / 10, per="epoch"), ExponentialLR(LR, 0.95), StepLR(LR, 40, 0.5)], [10, 300]),
        lambda o: theirs.SequentialLR(
            o,
            [theirs.LinearLR(o, 0.1, 1.0, 10), theirs.ExponentialLR(o, 0.95), theirs.StepLR(o, 40, 0.5)],
            [10, 300],
        ),
    ),
    "warmup-restarts": (
        Warmup(CosineWarmRestarts(LR, 50, 2), 25, start=LR / 100, per="epoch"),
        lambda o: theirs.SequentialLR(
            o, [theirs.LinearLR(o, 0.01, 1.0, 25), theirs.CosineAnnealingWarmRestarts(o, 50, 2)], [25]
        ),
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_equals_pytorch(name):
    ours, make = TORCH[name]
    lr, momentum, closed = torch_run(make)
    close([ours(k) for k in range(STEPS)], closed)
    close([ours(k) for k in range(STEPS)], lr)
    if name.startswith(("onecycle", "cyclic")):
        close([ours.momentum(k) for k in range(STEPS)], momentum)


def keras_polynomial(step, lr, decay_steps, end, power):
    step = min(step, decay_steps)
    return (lr - end) * (1 - step / decay_steps) ** power + end


def keras_exponential(step, lr, decay_steps, decay_rate, staircase):
    p = step / decay_steps
    return lr * decay_rate ** (math.floor(p) if staircase else p)


def keras_inverse_time(step, lr, decay_steps, decay_rate):
    return lr / (1 + decay_rate * (step / decay_steps))


def keras_piecewise(step, boundaries, values):
    if step <= boundaries[0]:
        return values[0]
    if step > boundaries[-1]:
        return values[-1]
    (found,) = [v for low, high, v in zip(boundaries, boundaries[1:], values[1:-1], strict=False) if low < step <= high]
    return found


def keras_cosine(step, lr, decay_steps, alpha=0.0, warmup_target=None, warmup_steps=0):
    def decay(step, start):
        return start * ((1 - alpha) * (0.5 * (1.0 + math.cos(math.pi * (step / decay_steps)))) + alpha)

    if warmup_target is None:
        return decay(min(step, decay_steps), lr)
    step = min(step, decay_steps + warmup_steps)
    if step < warmup_steps:
        return (warmup_target - lr) * (step / warmup_steps) + lr
    return decay(step - warmup_steps, warmup_target)


def keras_restarts(step, lr, first, t_mul, alpha):
    done = step / first
    if t_mul == 1:
        done -= math.floor(done)
    else:
        # their logarithm may fall short of a whole number by its last bit, which would put off a restart by one step
        restart = math.floor(math.log(1.0 - done * (1.0 - t_mul)) / math.log(t_mul) + 1e-12)
        done = (done - (1.0 - t_mul**restart) / (1.0 - t_mul)) / t_mul**restart
    return lr * ((1 - alpha) * (0.5 * (1.0 + math.cos(math.pi * done))) + alpha)


KERAS = {
    "PolynomialDecay": (LinearDecay(LR, 1e-4, 400), lambda k: keras_polynomial(k, LR, 400, 1e-4, 1.0)),
    "PolynomialDecay-2": (PolynomialDecay(LR, 400, 2.5, 1e-4), lambda k: keras_polynomial(k, LR, 400, 1e-4, 2.5)),
    "ExponentialDecay": (
        ExponentialLR(LR, 0.5 ** (1 / 40)),
        lambda k: keras_exponential(k, LR, 40, 0.5, staircase=False),
    ),
    "ExponentialDecay-stairs": (StepLR(LR, 40, 0.5), lambda k: keras_exponential(k, LR, 40, 0.5, staircase=True)),
    "InverseTimeDecay": (InverseTime(LR, 40 / 0.7), lambda k: keras_inverse_time(k, LR, 40, 0.7)),
    "InverseTimeDecay-power": (PowerDecay(LR, 40 / 0.7), lambda k: keras_inverse_time(k, LR, 40, 0.7)),
    "PiecewiseConstantDecay": (
        MultiStepLR(LR, [30, 80, 81], 0.1, "keras"),
        lambda k: keras_piecewise(k, [30, 80, 81], [LR, LR * 0.1, LR * 0.01, LR * 0.001]),
    ),
    "PiecewiseConstantDecay-values": (
        PiecewiseConstant([1, 500], [0.1, 0.5, 0.2], "keras"),
        lambda k: keras_piecewise(k, [1, 500], [0.1, 0.5, 0.2]),
    ),
    "CosineDecay": (CosineAnnealing(LR, 700, 0.1 * LR, "keras"), lambda k: keras_cosine(k, LR, 700, 0.1)),
    "CosineDecay-warm": (
        Warmup(CosineAnnealing(LR, 700, convention="keras"), 50, 0.01),
        lambda k: keras_cosine(k, 0.01, 700, 0.0, LR, 50),
    ),
    "CosineDecayRestarts": (CosineWarmRestarts(LR, 37, 1, 0.1 * LR), lambda k: keras_restarts(k, LR, 37, 1.0, 0.1)),
    "CosineDecayRestarts-2": (CosineWarmRestarts(LR, 10, 2), lambda k: keras_restarts(k, LR, 10, 2.0, 0.0)),
    "CosineDecayRestarts-1.5": (CosineWarmRestarts(LR, 16, 1.5), lambda k: keras_restarts(k, LR, 16, 1.5, 0.0)),
}


@pytest.mark.parametrize("name", KERAS)
def test_equals_keras(name):
    ours, reference = KERAS[name]
    close([ours(k) for k in range(STEPS)], [reference(k) for k in range(STEPS)])


@pytest.mark.parametrize(
    ("schedule", "m", "around"),
    [
        (StepLR(0.8, 5, 0.5), 5, (0.8, 0.4, 0.4)),
        (MultiStepLR(0.8, [5], 0.5), 5, (0.8, 0.4, 0.4)),
        (MultiStepLR(0.8, [5], 0.5, "torch"), 5, (0.8, 0.4, 0.4)),
        (MultiStepLR(0.8, [5], 0.5, "keras"), 5, (0.8, 0.8, 0.4)),
        (PiecewiseConstant([5], [0.8, 0.4]), 5, (0.8, 0.4, 0.4)),
        (PiecewiseConstant([5], [0.8, 0.4], "keras"), 5, (0.8, 0.8, 0.4)),
        (LinearDecay(0.8, 0.0, 8), 8, (0.1, 0.0, 0.0)),
        (PolynomialDecay(0.8, 8), 8, (0.1, 0.0, 0.0)),
        (CosineAnnealing(0.8, 3), 3, (0.2, 0.0, 0.0)),
        (CosineAnnealing(0.8, 3, convention="keras"), 3, (0.2, 0.0, 0.0)),
        (CosineAnnealing(0.8, 3, convention="torch"), 3, (0.2, 0.0, 0.2)),
        (CosineWarmRestarts(0.8, 3), 3, (0.2, 0.8, 0.6)),
        (CosineWarmRestarts(0.8, 3, 2), 9, (0.8 * (1 + math.cos(math.pi * 5 / 6)) / 2, 0.8, None)),
        (Warmup(0.8, 4), 4, (0.6, 0.8, 0.8)),
        (Warmup(StepLR(0.8, 1, 0.5, per="step"), 4), 4, (0.6, 0.8, 0.4)),
        (OneCycle(0.8, 10, anneal_strategy="linear", div_factor=2, final_div_factor=1), 2, (0.6, 0.8, None)),
        (OneCycle(0.8, 10, div_factor=2, final_div_factor=4), 9, (None, 0.1, 0.1)),
        (OneCycle(0.8, 10, 0.1, div_factor=2, final_div_factor=1), 0, (None, 0.8, None)),  # its rise has no length
        (OneCycle(0.8, 10, 1.0, "linear", div_factor=2), 9, (0.8 - 0.4 / 9, 0.8, 0.8)),
        (LinearDecay(1.0, 1e-20, 8), 8, (0.125, 1e-20, 1e-20)),  # at the end not 1 + (1e-20 - 1)
        (CyclicLR(0.0, 0.8, 4), 4, (0.6, 0.8, 0.6)),
        (CyclicLR(0.8, 0.8, 4), 4, (0.8, 0.8, 0.8)),
        (CyclicLR(0.0, 0.8, 4), 8, (0.2, 0.0, 0.2)),
        (CyclicLR(0.0, 0.8, 4, mode="triangular2"), 8, (0.2, 0.0, 0.1)),
        (CyclicLR(0.0, 0.8, 4, 2), 6, (0.4, 0.0, 0.2)),
        (WarmupStableDecay(0.8, 4, 4, 4), 4, (0.6, 0.8, 0.8)),
        (WarmupStableDecay(0.8, 4, 4, 4), 8, (0.8, 0.8, 0.6)),
        (WarmupStableDecay(0.8, 4, 4, 4), 12, (0.2, 0.0, 0.0)),
        (Chain([0.1, LinearDecay(0.8, 0.0, 8)], [5]), 5, (0.1, 0.8, 0.7)),
        (per_epoch(StepLR(0.8, 1, 0.5), 5), 5, (0.8, 0.4, 0.4)),
        (per_epoch(ExponentialLR(0.8, 0.5), 5), 9, (0.4, 0.4, 0.2)),
    ],
)
def test_boundaries(schedule, m, around):
    for k, expected in zip((m - 1, m, m + 1), around, strict=True):
        if expected is not None:
            assert schedule(k) == pytest.approx(expected, rel=1e-14, abs=0 if expected == 1e-20 else 1e-15), k


lengths = st.integers(1, 60)
rates = st.floats(0, 10)
shares = st.floats(0.01, 1)
ANY = st.one_of(
    st.builds(StepLR, rates, lengths, shares),
    st.builds(MultiStepLR, rates, st.lists(lengths, unique=True).map(sorted), shares, st.sampled_from(["keras"])),
    st.builds(ExponentialLR, rates, shares),
    st.builds(PowerDecay, rates, st.floats(0.01, 100), st.floats(0, 3)),
    st.builds(InverseTime, rates, st.floats(0.01, 100)),
    st.builds(LinearDecay, rates, rates, lengths),
    st.builds(PolynomialDecay, rates, lengths, st.floats(0, 4), rates),
    st.builds(CosineAnnealing, rates, lengths, rates, st.sampled_from(["textbook", "torch"])),
    st.builds(CosineWarmRestarts, rates, lengths, st.floats(1, 3), rates),
    st.builds(OneCycle, rates, lengths, st.floats(0, 0.5), st.sampled_from(["cos", "linear"]),
              three_phase=st.booleans()),
    st.builds(lambda low, more, *rest: CyclicLR(low, low + more, *rest), rates, rates, lengths, st.none() | lengths,
              st.sampled_from(["triangular", "triangular2", "exp_range"]), shares),
    st.builds(WarmupStableDecay, rates, st.integers(0, 60), st.integers(0, 60), lengths, rates),
)  # fmt: skip
WRAPPED = ANY | st.one_of(
    st.builds(lambda a, *rest: Warmup(a, *rest, per=unit(a)), ANY | rates, lengths, rates),
    st.builds(lambda a, b, m: Chain([a, asked(b, unit(a))], [m]), ANY, ANY | rates, lengths),
    st.builds(lambda a, n: per_epoch(asked(a, "epoch"), n), ANY, lengths),
)


def asked(rate, per):
    """The same schedule counting ``per``, its pieces too."""
    if not isinstance(rate, Schedule):
        return rate
    parts = {"pieces": lambda pieces: [asked(p, per) for p in pieces], "schedule": lambda piece: asked(piece, per)}
    changed = {name: make(getattr(rate, name)) for name, make in parts.items() if hasattr(rate, name)}
    return dataclasses.replace(rate, per=per, **changed)


BOUNDS = ("lr", "end", "start", "base_lr", "max_lr")


def bounds(schedule):
    """The rates that a schedule was given, and those of its pieces."""
    if not callable(schedule):
        return [schedule]
    pieces = [getattr(schedule, "schedule", None), *getattr(schedule, "pieces", ())]
    given_here = [getattr(schedule, name) for name in BOUNDS if hasattr(schedule, name)]
    return given_here + [bound for piece in pieces if piece is not None for bound in bounds(piece)]


@settings(max_examples=300, deadline=None)
@given(WRAPPED, st.integers(0, 300))
def test_any_schedule_stays_within_its_bounds(schedule, k):
    value = schedule(k)
    assert isinstance(value, float)
    assert -1e-14 <= value <= max(bounds(schedule)) * (1 + 1e-12)
    momentum = schedule.momentum(k)
    assert momentum is None or 0.8 - 1e-12 <= momentum <= 0.95 + 1e-12
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedule(k) == value


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StepLR(-0.1, 3), r"lr must be a finite number of at least 0, got -0.1"),
        (lambda: StepLR(0.1, 0), "step_size must be a whole number of at least 1"),
        (lambda: StepLR(0.1, 3, 0.0), "gamma must be a positive number"),
        (lambda: StepLR(0.1, 3, 1.5), r"gamma must lie in \(0, 1\], got 1.5"),
        (lambda: ExponentialLR(math.nan, 0.5), "lr must be"),
        (lambda: MultiStepLR(0.1, [30, 20]), "milestones must rise, got 20 after 30"),
        (lambda: MultiStepLR(0.1, [30, 30]), "milestones must rise"),
        (lambda: MultiStepLR(0.1, [0]), r"milestones\[0\] must be a whole number"),
        (lambda: MultiStepLR(0.1, 30), "milestones must be a sequence, got 30"),
        (lambda: MultiStepLR(0.1, [3], convention="tourch"), "did you mean 'torch'"),
        (lambda: PiecewiseConstant([3], [0.1]), "values must be one more than milestones, got 1 for 1"),
        (lambda: PowerDecay(0.1, 0), "s must be a positive number"),
        (lambda: LinearDecay(0.1, 100, 0.01), "total must be a whole number"),
        (lambda: CosineWarmRestarts(0.1, 5, 0.5), "factor must be a finite number of at least 1"),
        (lambda: Warmup("cosine", 5), "schedule must be a finite number"),
        (lambda: OneCycle(0.1, 100, 1.5), r"pct_start must lie in \[0, 1\]"),
        (lambda: OneCycle(0.1, 100, 0.6, three_phase=True), "pct_start must be at most 0.5"),
        (lambda: OneCycle(0.1, 100, anneal_strategy="cosine"), "did you mean 'cos'"),
        (lambda: OneCycle(0.1, 100, three_phase=1), "three_phase must be True or False"),
        (lambda: CyclicLR(0.2, 0.1), "base_lr must be at most max_lr"),
        (lambda: CyclicLR(0.1, 0.2, base_momentum=0.9, max_momentum=0.8), "base_momentum must be at most"),
        (lambda: CyclicLR(0.1, 0.2, mode="triangle"), "did you mean 'triangular'"),
        (lambda: CyclicLR(0.1, 0.2, max_momentum=1.0), r"max_momentum must lie in \[0, 1\)"),
        (lambda: WarmupStableDecay(0.1, -1, 5, 5), "warmup must be a whole number"),
        (lambda: Chain([0.1, 0.2], [3, 5], per="step"), "pieces must be one more than milestones"),
        (lambda: per_epoch(0.1, 2.5), "steps_per_epoch must be a whole number"),
        (lambda: StepLR(0.1, 3)(-1), "k must be a finite number of at least 0, got -1"),
        (lambda: OneCycle(0.1, 3).momentum(-1), "k must be a finite number of at least 0, got -1"),
        (lambda: StepLR(0.1, 3, per="steps"), "unknown unit 'steps'; did you mean 'step'"),
        (lambda: StepLR(0.1, 3, per=1), "unknown unit 1"),
        (lambda: Warmup(StepLR(0.1, 3), 5), r"Warmup counts steps, but its StepLR counts epochs: .* per='step'"),
        (lambda: Warmup(OneCycle(0.1, 3), 5, per="epoch"), "Warmup counts epochs, but its OneCycle counts steps"),
        (lambda: Chain([Warmup(0.1, 3), StepLR(0.1, 3)], [3]), "Chain counts steps, but its StepLR counts epochs"),
        (lambda: Chain([StepLR(0.1, 3), 0.1], [3], per="step"), "Chain counts steps, but its StepLR counts epochs"),
        (lambda: Chain([0.1, lambda k: 0.2], [3]), "no piece of the Chain states a unit: write per='epoch'"),
        (lambda: per_epoch(CyclicLR(0.1, 0.2), 5), "per_epoch counts epochs, but its CyclicLR counts steps"),
        (lambda: ol.LearningRateScheduler(OneCycle(0.1, 3)), "Scheduler counts epochs, but its OneCycle counts steps"),
        (lambda: ReduceLROnPlateau(0.1, mode="least"), "unknown mode 'least'"),
        (lambda: ReduceLROnPlateau(0.1, factor=1.0), r"factor must lie in \[0, 1\)"),
        (lambda: ReduceLROnPlateau(0.1, patience=-1), "patience must be a whole number"),
        (lambda: ReduceLROnPlateau(0.1)("low"), "metric must be a number"),
        (lambda: ReduceLROnPlateau(0.1).load({"lr": 0.1}), "lacks best, bad, cooling"),
        (
            lambda: ReduceLROnPlateau(0.1).load({**ReduceLROnPlateau(0.1).state(), "best": math.nan}),
            "best must be a finite number, got nan",
        ),
        (lambda: ReduceLROnPlateau(0.1).load({"rate": 0.1}), "unknown state of ReduceLROnPlateau 'rate'"),
        (lambda: Warmup(ReduceLROnPlateau(0.1), 5), r"schedule must .* follows a metric: .*ol\.ReduceLROnPlateau\("),
        (lambda: Chain([0.1, ReduceLROnPlateau(0.1)], [3]), r"pieces\[1\] must .* follows a metric"),
        (lambda: per_epoch(ReduceLROnPlateau(0.1), 5), "follows a metric"),
        (lambda: ol.LearningRateScheduler(ReduceLROnPlateau(0.1)), "follows a metric"),
        (lambda: ol.LearningRateScheduler(StepLR), r"write StepLR\(\.\.\.\)"),
        (lambda: ol.preview(ReduceLROnPlateau(0.1), 5), "follows a metric"),
        (lambda: ol.preview(StepLR, 5), r"write StepLR\(\.\.\.\)"),
        (
            lambda: Warmup(StepLR, 5),
            r"schedule must be a number or a function, not the class StepLR: write StepLR\(\.\.\.\)",
        ),
        (lambda: ol.preview(StepLR(0.1, 3), 0), "length must be a whole number"),
        (lambda: ol.preview(lambda k: 0.1 - 0.1 * k, 5), "lr must be .* at step 2"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ol.InputError, match=message):
        make()


def test_a_schedule_as_the_rate_and_momentum_of_an_optimizer():
    schedule = OneCycle(0.1, total=20)
    net = ol.MLP([2, 1], seed=0, dtype="float64")
    opt = ol.Momentum(net.parameters, lr=schedule, beta=schedule.momentum)
    for k in range(25):
        net.parameters.grad[...] = 1.0
        opt.step()
        assert opt.used["lr"] == schedule(k)
        assert opt.used["beta"] == schedule.momentum(k)


def test_wrapped_schedules_keep_their_momentum():
    inner = CyclicLR(0.1, 0.2, up=4)
    warm, chain, epochs = Warmup(inner, 3), Chain([0.1, inner], [3]), per_epoch(asked(inner, "epoch"), 3)
    assert [warm.momentum(k) for k in (0, 3, 5)] == [inner.momentum(k) for k in (0, 0, 2)]
    assert [chain.momentum(k) for k in (2, 3, 5)] == [None, inner.momentum(0), inner.momentum(2)]
    assert [epochs.momentum(k) for k in (2, 3)] == [inner.momentum(0), inner.momentum(1)]


# --- epochs and steps ---

UNITS = {
    "epoch": [
        StepLR(0.1, 10),
        MultiStepLR(0.1, [10]),
        PiecewiseConstant([10], [0.1, 0.2]),
        ExponentialLR(0.1, 0.9),
        PowerDecay(0.1, 10),
        InverseTime(0.1, 10),
        LinearDecay(0.1, 0.0, 10),
        PolynomialDecay(0.1, 10),
        CosineAnnealing(0.1, 10),
        CosineAnnealing(0.1, 10, convention="torch"),
        CosineWarmRestarts(0.1, 10),
        Chain([0.1, StepLR(0.1, 10)], [10]),
    ],
    "step": [
        CyclicLR(0.1, 0.2),
        OneCycle(0.1, 10),
        Warmup(0.1, 10),
        WarmupStableDecay(0.1, 10, 10, 10),
        MultiStepLR(0.1, [10], convention="keras"),
        PiecewiseConstant([10], [0.1, 0.2], convention="keras"),
        CosineAnnealing(0.1, 10, convention="keras"),
        Chain([Warmup(0.1, 10), 0.1], [10]),
        per_epoch(StepLR(0.1, 10), 17),
    ],
}
EVERY = [(schedule, per) for per, schedules in UNITS.items() for schedule in schedules]


@pytest.mark.parametrize(("schedule", "per"), EVERY, ids=str)
def test_every_schedule_says_what_it_counts(schedule, per):
    assert unit(schedule) == unit(schedule.momentum) == per
    assert ol.preview(schedule, 20).per == per
    assert str(ol.preview(schedule, 20)).splitlines()[2].split()[0] == per
    assert f"{per}, from 0" in [axes.get_xlabel() for axes in ol.preview(schedule, 20).figure().axes]
    if isinstance(schedule, ol.schedules.PerEpoch):
        return  # always of steps, and of nothing else
    assert f"per='{per}'" in repr(schedule)
    for other in ("epoch", "step"):
        changed = asked(schedule, other)
        assert unit(changed) == other
        assert [changed(k) for k in range(30)] == [schedule(k) for k in range(30)]
    assert pickle.loads(pickle.dumps(schedule)) == copy.deepcopy(schedule) == schedule


def test_every_schedule_is_in_the_table_of_units():
    public = {value for name in ol.schedules.__all__ if isinstance(value := getattr(ol.schedules, name), type)}
    kinds = {kind for kind in public if issubclass(kind, Schedule)} - {Schedule}
    assert {type(schedule) for schedule, _ in EVERY} == kinds


EPOCHS, BATCHES = 9, 5
TINY = ol.Dataset(np.zeros((BATCHES, 2), "float32"), np.zeros(BATCHES, int))


def rates_used(lr, epochs=EPOCHS, **hyperparameters):
    """What ``fit`` really updates with, step by step; all gradients are finite, whatever the rate."""
    net = ol.MLP([2, 2], seed=0)
    opt = ol.Momentum(net.parameters, lr=lr, convention="torch", **hyperparameters)
    return used_by(net, opt, epochs)


def used_by(net, opt, epochs):
    used = []

    def watch(net, opt, history):
        pass

    watch.on_step = lambda net, opt: used.append(opt.used)
    ol.fit(net, opt, TINY, epochs=epochs, batch_size=1, callbacks=[watch])
    return used


@pytest.mark.parametrize("per", ["epoch", "step"])
@pytest.mark.parametrize("name", TORCH)
def test_training_follows_pytorch_stepped_once_an_epoch_or_once_a_step(name, per):
    ours, make = TORCH[name]
    steps = EPOCHS * BATCHES
    lr, momentum, _ = torch_run(make, EPOCHS if per == "epoch" else steps)
    if per == "epoch":
        lr, momentum = np.repeat(lr, BATCHES), np.repeat(momentum, BATCHES)
    if not isinstance(ours, Schedule):  # a function is one of the step; this is how it becomes one of the epoch
        ours = per_epoch(ours, BATCHES) if per == "epoch" else ours
        used = rates_used(ours)
    else:
        ours = asked(ours, per)
        used = rates_used(ours, beta=ours.momentum if ours.momentum(0) is not None else 0.9)
        close([u["beta"] for u in used], momentum)
    close([u["lr"] for u in used], lr)


TABLES = {
    "StepLR": (StepLR(0.1, step_size=10, gamma=0.1), [0.1] * 10 + [0.01] * 10 + [0.001] * 10),
    "MultiStepLR": (MultiStepLR(0.1, milestones=[10, 30], gamma=0.1), [0.1] * 10 + [0.01] * 20 + [0.001] * 5),
    "ExponentialLR": (ExponentialLR(0.1, gamma=0.1), [0.1, 0.01, 0.001]),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_tables_of_document_001(name):
    """The rate of each epoch, from the first, as the article prints it."""
    schedule, printed = TABLES[name]
    net = ol.MLP([2, 2], seed=0)
    history = ol.fit(net, ol.SGD(net.parameters, lr=schedule), TINY, epochs=len(printed), batch_size=2)
    assert history.lr == pytest.approx(printed, rel=1e-12)
    assert list(ol.preview(schedule, len(printed)).lr) == pytest.approx(printed, rel=1e-12)


def test_every_hyperparameter_of_every_group_follows_its_own_clock():
    net = ol.MLP([2, 2], seed=0)
    halve = ExponentialLR(0.5, 0.5)
    groups = {"biases": {"lr": ExponentialLR(0.25, 0.5), "beta": lambda step: 0.5 / (1 + step)}}
    opt = ol.Momentum(net.parameters, lr=asked(halve, "step"), beta=halve, groups=groups)
    seen = []
    scalars, opt._kernel.scalars = opt._kernel.scalars, lambda **values: seen.append(values) or scalars(**values)
    used_by(net, opt, 3)
    steps = range(3 * BATCHES)
    expected = [{"t": k + 1, "lr": 0.5 * 0.5**k, "beta": 0.5 * 0.5 ** (k // BATCHES)} for k in steps]
    assert seen[0::2] == expected
    assert seen[1::2] == [{"t": k + 1, "lr": 0.25 * 0.5 ** (k // BATCHES), "beta": 0.5 / (1 + k)} for k in steps]


def test_by_hand_the_epoch_has_to_be_told():
    net = ol.MLP([2, 1], seed=0)
    opt = ol.SGD(net.parameters, lr=StepLR(0.5, 1, 0.5))
    before = net.parameters.data.copy()
    net.parameters.grad[...] = 1.0
    with pytest.raises(ol.InputError, match=r"lr is a schedule of epochs.*write `opt.epoch = epoch`.*per='step'"):
        opt.step()
    assert (opt.t, opt.epoch, opt.used, opt.lr) == (0, None, {}, 0.5)
    np.testing.assert_array_equal(net.parameters.data, before)
    for epoch in range(3):
        opt.epoch = epoch
        for _ in range(2):
            opt.step()
            assert opt.used["lr"] == opt.lr == 0.5 * 0.5**epoch
    for hyperparameters in ({"beta": StepLR(0.5, 1)}, {"groups": {"biases": {"lr": StepLR(0.5, 1)}}}):
        with pytest.raises(ol.InputError, match="is a schedule of epochs"):
            ol.Momentum(net.parameters, **hyperparameters).step()


@pytest.mark.parametrize("epoch", [-1, 1.5, True, math.nan, "1", None])
def test_an_epoch_is_a_whole_number(epoch):
    opt = ol.SGD(ol.MLP([2, 1], seed=0).parameters)
    with pytest.raises(ol.InputError, match="epoch must be a whole number of at least 0"):
        opt.epoch = epoch
    with pytest.raises(ol.InputError, match="epoch must be a whole number"):
        opt.load_state_dict({**opt.state_dict(), "epoch": -1})
    assert opt.epoch is None


def test_a_second_fit_goes_on_with_the_epochs():
    net = ol.MLP([2, 2], seed=0)
    opt = ol.SGD(net.parameters, lr=ExponentialLR(0.5, 0.5))
    assert [u["lr"] for u in used_by(net, opt, 2)][::BATCHES] == [0.5, 0.25]
    assert (opt.epoch, opt.t) == (1, 2 * BATCHES)
    other = ol.SGD(net.parameters, lr=ExponentialLR(0.5, 0.5))
    other.load_state_dict(opt.state_dict())
    for again in (opt, other, copy.deepcopy((net, opt))[1], pickle.loads(pickle.dumps((net, opt)))[1]):
        assert again.epoch == 1
        again.begin_epoch()
        assert again.lr == 0.125


@pytest.mark.parametrize("stop", [3, BATCHES, BATCHES + 1, 3 * BATCHES - 1])
def test_a_resumed_run_is_in_the_epoch_it_was_in(stop, tmp_path):
    """In the middle of an epoch, and at its last step."""

    def run(epochs, **options):
        net = ol.MLP([2, 2], seed=0)
        opt = ol.SGD(net.parameters, lr=ExponentialLR(0.5, 0.5))
        keep = ol.Checkpoint(tmp_path / "run.npz", every=stop)
        return ol.fit(net, opt, TINY, epochs=epochs, batch_size=1, callbacks=[keep], **options).lr, opt.epoch

    whole = run(4)
    run(-(-stop // BATCHES))
    assert run(4, resume=tmp_path / "run.npz") == whole == ([0.5, 0.25, 0.125, 0.0625], 3)


def test_the_range_finder_leaves_a_schedule_of_epochs_where_it_is():
    net = ol.MLP([64, 10], seed=0)
    data = ol.datasets.load("digits")
    options = {"steps": 20, "high": 0.1}
    found = {}
    for epoch, beta in ((None, 0.9), (None, ExponentialLR(0.9, 0.5)), (1, ExponentialLR(0.9, 0.5)), (1, 0.45)):
        opt = ol.Momentum(net.parameters, beta=beta)
        if epoch is not None:
            opt.epoch = epoch
        found[epoch, isinstance(beta, float)] = ol.find_lr(net, opt, data, **options).losses
        assert opt.epoch == epoch
    assert found[None, True] == found[None, False] != found[1, False] == found[1, True]


def test_a_callback_at_the_beginning_of_an_epoch_sees_its_number_and_its_rate():
    net = ol.MLP([2, 2], seed=0)
    seen = []

    class Watch:
        def on_epoch_begin(self, net, opt, history):
            seen.append((opt.epoch, opt.lr))

        def __call__(self, net, opt, history):
            seen.append((opt.epoch, opt.lr))

    ol.fit(net, ol.SGD(net.parameters, lr=ExponentialLR(0.5, 0.5)), TINY, epochs=2, batch_size=2, callbacks=[Watch()])
    assert seen == [(0, 0.5), (0, 0.5), (1, 0.25), (1, 0.25)]


def test_a_scheduler_callback_takes_a_schedule_of_epochs():
    net = ol.MLP([2, 2], seed=0)
    halve = ExponentialLR(0.5, 0.5)
    opt = ol.SGD(net.parameters, lr=halve(0))
    history = ol.fit(net, opt, TINY, epochs=3, batch_size=2, callbacks=[ol.LearningRateScheduler(halve)])
    assert history.lr == [0.5, 0.25, 0.125]


def test_an_optimizer_prints_its_schedules():
    opt = ol.SGD(ol.MLP([2, 1], seed=0).parameters, lr=StepLR(0.1, 10))
    assert repr(opt) == "<SGD lr=StepLR(lr=0.1, step_size=10, gamma=0.1, per='epoch'), t=0>"
    opt.epoch = 3
    assert repr(opt).endswith("t=0, epoch=3>")


@pytest.mark.quick_each("schedule", "k")
@pytest.mark.parametrize("k", [True, False, math.nan, math.inf, -1, -0.5, "1", None, [1], np.array([1]), 1j])
@pytest.mark.parametrize("schedule", [schedule for schedule, _ in EVERY], ids=str)
def test_a_wrong_counter_is_refused_by_every_schedule(schedule, k):
    for call in (schedule, schedule.momentum):
        with pytest.raises(ol.InputError, match="k must be"):
            call(k)


@pytest.mark.parametrize("schedule", [schedule for schedule, _ in EVERY], ids=str)
def test_any_kind_of_number_counts(schedule):
    for kind in (np.int8, np.uint8, np.int64, np.float32, float):
        for k in (0, 3, 25):
            assert schedule(kind(k)) == schedule(k)
            assert type(schedule(kind(k))) is float
    assert schedule(10**300) >= 0


# --- plateau ---


def test_a_plateau_has_no_rates_in_advance():
    with pytest.raises(ol.InputError, match="it follows the validation loss, see ReduceLROnPlateau"):
        Shape.of("plateau").schedule(0.1, Length(100))


def cuts(plateau, epochs=13):
    lr = [plateau.lr] + [plateau(1.0) for _ in range(epochs)]
    return [e for e in range(1, epochs + 1) if lr[e] < lr[e - 1]]


@pytest.mark.parametrize(
    ("convention", "expected"), [("textbook", [4, 8, 12]), ("torch", [4, 8, 12]), ("keras", [3, 5, 7, 9, 11, 13])]
)
def test_plateau_on_a_constant_metric(convention, expected):
    assert cuts(ReduceLROnPlateau(1.0, patience=2, cooldown=1, factor=0.5, convention=convention)) == expected


PLATEAU = {
    "mode": st.sampled_from(["min", "max"]),
    "factor": st.floats(0, 0.99),
    "patience": st.integers(0, 4),
    "threshold": st.sampled_from([0.0, 1e-4, 0.1, 1.0]),
    "cooldown": st.integers(0, 4),
    "min_lr": st.sampled_from([0.0, 1e-3, 0.1]),
}
METRICS = st.lists(
    st.sampled_from([0.5, 0.9, 0.99, 0.9999, 1.0, 1.1, -1.0, 0.0, math.nan, math.inf]) | st.floats(-2, 2)
)


def test_plateau_has_the_defaults_of_pytorch():
    mine, its = (inspect.signature(c).parameters for c in (ReduceLROnPlateau, theirs.ReduceLROnPlateau))
    shared = [name for name in its if name in mine and mine[name].default not in (None, inspect.Parameter.empty)]
    assert shared == ["mode", "factor", "patience", "threshold", "cooldown", "min_lr"]
    assert [mine[name].default for name in shared] == [its[name].default for name in shared]


def test_a_cycle_rises_as_long_as_pytorchs():
    its = inspect.signature(theirs.CyclicLR).parameters["step_size_up"].default
    assert CyclicLR(0.0, 0.8).up == its


def test_plateau_keeps_plain_numbers():
    plateau = ReduceLROnPlateau(0.1)
    plateau(np.float32(0.5))
    assert json.loads(json.dumps(plateau.state())) == {"lr": 0.1, "best": 0.5, "bad": 0, "cooling": 0}
    for best in (np.float64(np.inf), np.float64(0.5)):
        plateau.load({**plateau.state(), "best": best})
        assert type(plateau.best) is float


def test_plateau_in_keras_cuts_at_once_when_the_rate_is_raised_from_the_lowest():
    """Its count of epochs without improvement goes on at the lowest rate."""
    plateau = ReduceLROnPlateau(1.0, patience=3, factor=0.5, min_lr=1.0, convention="keras")
    assert [plateau(0.5) for _ in range(5)] == [1.0] * 5
    plateau.lr = 4.0
    assert plateau(0.5) == 2.0


TORCHS = {"threshold_mode": st.sampled_from(["rel", "abs"]), "eps": st.sampled_from([1e-8, 0.05, 0.5])}


@settings(max_examples=200, deadline=None)
@example([1.0, 1.0], {"patience": 0, "factor": 0.5, "eps": 0.5})
@given(METRICS, st.fixed_dictionaries({**PLATEAU, **TORCHS}))
def test_plateau_equals_pytorch(metrics, options):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    reference = theirs.ReduceLROnPlateau(optimizer, **options)
    plateau = ReduceLROnPlateau(1.0, convention="torch", **options)
    for metric in metrics:
        reference.step(metric)
        assert plateau(metric) == optimizer.param_groups[0]["lr"]
        assert (plateau.best, plateau.bad) == (reference.best, reference.num_bad_epochs)
        assert plateau.cooling == reference.cooldown_counter


def keras_plateau(metrics, lr, mode, factor, patience, threshold, cooldown, min_lr):
    """``keras.callbacks.ReduceLROnPlateau``, line by line, in Python's floats."""
    best, cooling, wait = None, 0, 0
    min_delta = -threshold if mode == "min" else threshold
    for metric in metrics:
        if cooling > 0:
            cooling -= 1
            wait = 0
        if best is None or (metric - min_delta < best if mode == "min" else metric - min_delta > best):
            best, wait = metric, 0
        elif not cooling > 0:
            wait += 1
            if wait >= patience and lr > min_lr:
                lr = max(lr * factor, min_lr)
                cooling, wait = cooldown, 0
        yield lr


@settings(max_examples=200, deadline=None)
@example(
    [1.0, 1.0, 1.0, 0.5, 0.6],
    {"mode": "min", "factor": 0.5, "patience": 2, "threshold": 0.0, "cooldown": 1, "min_lr": 0.0},
)
@given(st.lists(st.sampled_from([0.5, 0.9999, 1.0, 1.1]) | st.floats(-2, 2)), st.fixed_dictionaries(PLATEAU))
def test_plateau_equals_keras(metrics, options):
    plateau = ReduceLROnPlateau(1.0, convention="keras", **options)
    assert [plateau(m) for m in metrics] == list(keras_plateau(metrics, 1.0, **options))


@pytest.mark.parametrize("convention", ["torch", "keras"])
def test_plateau_resumes_exactly(convention):
    metrics = np.random.default_rng(0).normal(size=60).cumsum()
    options = {"patience": 1, "cooldown": 2, "factor": 0.7, "convention": convention}
    whole = ReduceLROnPlateau(1.0, **options)
    expected = [whole(m) for m in metrics]
    for stop in (0, 1, 20, 21, 22, 40):
        first, second = ReduceLROnPlateau(1.0, **options), ReduceLROnPlateau(1.0, **options)
        for m in metrics[:stop]:
            first(m)
        second.load(json.loads(json.dumps(first.state())))
        assert [second(m) for m in metrics[stop:]] == expected[stop:]


# --- preview ---


@pytest.mark.parametrize(
    ("schedule", "steps", "expected"),
    [
        (MultiStepLR(0.1, [15, 30]), 45, [(15, "jump"), (30, "jump")]),
        (MultiStepLR(0.1, [15, 30], convention="keras"), 45, [(16, "jump"), (31, "jump")]),
        (Warmup(CosineAnnealing(0.1, 80, per="step"), 10), 100, [(10, "turn")]),
        (WarmupStableDecay(0.1, 10, 60, 20), 100, [(10, "bend"), (70, "bend"), (90, "bend")]),
        (CosineWarmRestarts(0.1, 20, 2), 100, [(20, "jump"), (60, "jump")]),
        (CyclicLR(0.01, 0.1, 20, 30), 99, [(20, "turn"), (50, "turn"), (70, "turn")]),
        (OneCycle(0.1, 200), 200, [(59, "turn")]),
        (lambda k: 0.1 if k < 7 else 0.2, 20, [(7, "jump")]),
        (ExponentialLR(0.1, 0.9), 100, []),
        (lambda k: 0.1 / (1 + k), 100, []),
        (0.1, 5, []),
        (StepLR(0.1, 5), 1, []),
    ],
)
def test_preview_finds_the_boundaries(schedule, steps, expected):
    shown = ol.preview(schedule, steps)
    assert [(row.k, row.what) for row in shown.boundaries] == expected
    for row in shown.table[1:]:
        assert (row.lr_before, row.lr) == (shown.lr[row.k - 1], shown.lr[row.k])
    assert {row.k for row in shown.boundaries} <= {row.k for row in shown.table}


def test_preview_prints_the_momentum_and_counts_what_it_leaves_out():
    text = str(ol.preview(OneCycle(0.1, 200), 200))
    assert "momentum before" in text
    assert " 59     0.099932        0.1         0.850071      0.85  turn" in text
    assert "and 69 more changes, the last at 198" in str(ol.preview(StepLR(0.1, 2, 0.9), 200))


def test_preview_figure():
    both = ol.preview(OneCycle(0.1, 200), 200).figure()
    panels = [axes for axes in both.axes if axes.get_ylabel()]
    assert [axes.get_ylabel() for axes in panels] == ["learning rate", "momentum"]
    assert panels[0].get_shared_x_axes().joined(*panels)
    for axes in panels:
        assert [line.get_xdata()[0] for line in axes.lines[:-1]] == [59]
        assert len(axes.lines[-1].get_xdata()) == 200
    both.draw_without_rendering()
    assert len([axes for axes in ol.preview(StepLR(0.1, 30), 100).figure().axes if axes.get_ylabel()]) == 1
