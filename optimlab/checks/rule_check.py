"""Comparison of an update rule with an independent reference, step by step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..backends import dtype_name
from ..backends.numpy import NumPyStep
from ..common.errors import InputError, count, number, unknown
from ..kernels import trace
from ..nn.network import seed_sequence
from ..rules import Rule, kinds_of

Floats = NDArray[Any]

RTOL = {"float32": 1e-4, "float64": 1e-12}
"""Tolerance for rounding between a rule and its reference. No rule of this package needs more than a tenth of it."""

SCALES = np.array([0.0, *(10.0 ** np.arange(-7, 4))])
"""Gradient magnitudes, one per weight. Small ones reveal a wrong epsilon, large ones a wrong power."""


def assert_rule_matches(
    rule: Rule,
    reference: Callable[..., Any],
    *,
    steps: int = 200,
    dtype: DTypeLike = "float64",
    rtol: float | None = None,
    seed: int = 0,
    **hyperparameters: float,
) -> None:
    """Assert that ``rule`` agrees with ``reference`` in every step, for every weight and state.

    The reference is the formula written a second time, from its source, for one weight in Python floats. It is called
    like the rule, ``reference(w, g, *state, t=..., lr=..., ...)``, and returns the same values. The rule runs both as
    the optimizers run it (block by block, in compiled NumPy calls) and as the plain function. These two must agree
    exactly. Both must agree with the reference to ``rtol`` times the largest value that the weight or state has had
    (plus the rounding of the weight, once per step, for a state that is a difference of weights). Some rules use erf,
    or a power such as ``g**3``, which becomes multiplications, while NumPy's ``**`` rounds differently. For these
    rules, the two runs must agree to twice that tolerance.

    Each weight has gradients of a different size, from 1e-7 to 1e3, and a thousand times smaller in the second quarter
    of the steps. One gradient in ten is zero, and all gradients of the first weight are zero. The learning rate falls
    to a tenth halfway.

    Parameters
    ----------
    rule: see :mod:`optimlab.rules`.
    dtype: ``"float32"`` or ``"float64"``, the dtype of the rule's arrays; the reference computes in float64.
    rtol: by default 1e-12 in float64 and 1e-4 in float32.
    hyperparameters: values for both, in place of the rule's defaults. A value of 0 hides its term. A hyperparameter
        with the name of an argument of this function, such as ``steps``, keeps its default.

    Raises
    ------
    AssertionError: rule and reference differ, and the message names the first step, the quantity and the weight; or
        a result of the rule has another dtype or shape than its arrays.
    RuleError: the rule is not elementwise.
    InputError: a hyperparameter is unknown, a value is out of range, or the reference returns too few or too many
        values.

    Exceptions in the reference, such as ZeroDivisionError, propagate with a note of the step and the weight.

    >>> def heavy_ball(w, g, m, *, lr=0.1, beta=0.9):
    ...     m = beta * m - lr * g
    ...     return w + m, m
    >>> def reference(w, g, m, *, lr, beta):
    ...     velocity = beta * m - lr * g
    ...     return w + velocity, velocity
    >>> assert_rule_matches(heavy_ball, reference)

    >>> def undamped(w, g, m, *, lr, beta):
    ...     velocity = m - lr * g
    ...     return w + velocity, velocity
    >>> assert_rule_matches(heavy_ball, undamped)
    Traceback (most recent call last):
    ...
    AssertionError: m at step 2: rule ..., reference ... (weight ..., whose gradient is ...)
    """
    __tracebackhide__ = True  # pytest shows the line that called
    graph = trace(rule)
    for name in hyperparameters:
        if name not in graph.hyperparameters:
            raise unknown(f"hyperparameter of {graph.name}", name, graph.hyperparameters)
    kinds = kinds_of(rule)
    given = {**graph.hyperparameters, **{k: kinds[k].check(k, v) for k, v in hyperparameters.items()}}
    dtype = dtype_name(dtype)
    rtol = RTOL[dtype] if rtol is None else number("rtol", rtol, positive=True)
    steps, n = count("steps", steps), len(SCALES)
    counts = "t" in inspect.signature(rule).parameters

    generator = np.random.default_rng(seed_sequence(seed))
    gradients = (generator.normal(size=(steps, n)) * SCALES).astype(dtype)
    gradients[steps // 4 : steps // 2] *= 1e-3
    gradients[generator.random(gradients.shape) < 0.1] = 0.0
    start = [generator.normal(size=n), *(np.full(n, value) for value in graph.state.values())]
    plain: list[Floats] = [values.astype(dtype) for values in start]
    engine = [values.copy() for values in plain]
    expected = np.array(plain, "float64")
    largest = abs(expected)
    # blocks of five weights: several full blocks and a shorter last one
    arrays = dict(zip(graph.inputs, [engine[0], np.empty(n, dtype), *engine[1:]], strict=True))
    step = NumPyStep(graph, [arrays], block_bytes=5 * gradients.itemsize)

    with np.errstate(all="ignore"):
        for other in RTOL:
            arbitrary = [np.full((2, 3), 0.5, other) for _ in graph.inputs]
            _call(rule, arbitrary, given | {"t": 1} if counts else given, graph.written)
        for t in range(1, steps + 1):
            if "lr" in given and t == steps // 2 + 1:
                given["lr"] *= 0.1
            keywords = given | {"t": t} if counts else given
            g = gradients[t - 1]
            arrays["g"][...] = g
            step(graph.scalars(**given | {"t": t}))
            plain = _call(rule, [plain[0], g, *plain[1:]], keywords, graph.written)
            for k in range(n):
                expected[:, k] = _call_reference(reference, expected[:, k].tolist(), float(g[k]), keywords, t, k)
            np.fmax(largest, abs(expected), out=largest, where=np.isfinite(expected))
            bound = rtol * largest + t * np.finfo(dtype).eps * largest[0]
            # compare the state first: a wrong state makes the weights wrong too
            for i in [*range(1, len(plain)), 0]:
                what = f"{graph.written[i]} at step {t}"
                _assert_close(what, {"rule": plain[i], "reference": expected[i]}, bound[i], g)
                same = 0 * bound[i] if graph.exact else 2 * bound[i]
                _assert_close(what, {"rule": plain[i], "the same in the engine": engine[i]}, same, g)


def _call(rule: Rule, arrays: list[Floats], keywords: Mapping[str, float], names: Sequence[str]) -> list[Floats]:
    """Return the new weights and state, checked to have the dtype and shape of the old ones."""
    __tracebackhide__ = True
    old = f"{arrays[0].dtype} of shape {arrays[0].shape}"
    new = list(_as_tuple(rule(*arrays, **keywords)))
    for name, values in zip(names, new, strict=True):
        if (made := f"{values.dtype} of shape {values.shape}") != old:
            raise AssertionError(f"the rule returned {name} as {made}, but received it as {old}")
    return new


def _call_reference(
    reference: Callable[..., Any], own: list[float], g: float, keywords: Mapping[str, float], t: int, k: int
) -> tuple[float, ...]:
    try:
        new = _as_tuple(reference(own[0], g, *own[1:], **keywords))
    except Exception as error:
        error.add_note(f"in the reference, at step {t} for weight {k}, whose gradient is {g}")
        raise
    if len(new) != len(own):
        raise InputError(f"the reference must return {len(own)} values, like the rule, but it returned {len(new)}")
    return new


def _as_tuple(returned: Any) -> tuple[Any, ...]:
    return returned if isinstance(returned, tuple) else (returned,)


def _assert_close(what: str, sides: Mapping[str, Floats], bound: Floats, g: Floats) -> None:
    __tracebackhide__ = True
    (name, a), (other, b) = sides.items()
    error = abs(a - b)
    apart = ~((error <= bound) | (a == b) | (np.isnan(a) & np.isnan(b)))
    if apart.any():
        k = int(np.argmax(np.where(apart, np.nan_to_num(error / bound, nan=np.inf), -1)))
        raise AssertionError(f"{what}: {name} {a[k]}, {other} {b[k]} (weight {k}, whose gradient is {g[k]})")
