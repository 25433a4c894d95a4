"""Figures with many optimizers and long names: measured with Matplotlib's renderer, no text meets another or leaves."""

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from run_files import planted

from optimlab.optim.optimizers import OPTIMIZERS
from optimlab.plotting import accuracy_figure, loss_figure, profile_figure, sensitivity_figure
from optimlab.plotting.comparison import spread
from optimlab.plotting.race import race_figure
from optimlab.plotting.tuning import slices_figure, trials_figure
from optimlab.race import race
from optimlab.study import Contender, Problem, Study, compare
from optimlab.study.joint import joint
from optimlab.study.spaces import parse

LONG = "a_rule_of_my_own_with_$a_name$_" + "that_goes_on_and_on_" * 6
assert len(LONG) > 150


def labels(count):
    """Ordinary names, Adam with one setting or another, and names of 150 letters that end, begin or are alike."""
    few = [LONG, LONG + "x", "WWWWWWWW" * 20, "sgd"]
    settings = [f"adam (torch, beta1={0.5 + k / 100:g})" for k in range(40)]
    return [*few, *(name for name in OPTIMIZERS if name not in few), *settings][:count]


def check(figure):
    """Every text lies within the figure, and none of those that are not ticks on another."""
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    ticks = {t for a in figure.axes for t in (*a.get_xticklabels(which="both"), *a.get_yticklabels(which="both"))}
    hidden = {text for a in figure.axes if not a.get_visible() for text in a.findobj(Text)}
    boxes = []
    for text in set(figure.findobj(Text)) - hidden - ticks:
        if text.get_visible() and text.get_text().strip():
            box = Text.get_window_extent(text, renderer)  # without an annotation's arrow
            boxes.append((box.x0, box.x1, box.y0, box.y1, text.get_text()))
    for x0, x1, y0, y1, told in boxes:
        assert x0 >= 0, told
        assert y0 >= 0, told
        assert x1 <= figure.bbox.x1, told
        assert y1 <= figure.bbox.y1, told
    for one, other in combinations(boxes, 2):
        across = min(one[1], other[1]) - max(one[0], other[0])
        above = min(one[3], other[3]) - max(one[2], other[2])
        assert across <= 1 or above <= 3, (one, other)  # pixels: boxes have room above and below their letters
    return [told for *_, told in boxes]


@pytest.mark.quick("1")
@pytest.mark.parametrize("count", [1, 30])
def test_a_comparison(count, tmp_path):
    contenders = tuple(Contender("adam", label=label) for label in labels(count))
    problem = Problem(hidden=(4,), epochs=2, target=0.7)
    study = Study(problem, contenders, rates=(1e-300, 1e-5, 0.0123456), replicates=2, extensions=0, defaults=False)
    with planted(lambda run: "ok", lambda run: 0.8 + 0.001 * (len(run.contender.label) % 100)):
        compared = compare(study, tmp_path)
    for draw in (loss_figure, accuracy_figure, sensitivity_figure):
        told = check(draw(compared))
        assert sum("sgd" in text for text in told) >= (count > 3)
    if count > 1:
        stairs = dict.fromkeys(labels(9), ((1.0, 0.5), (3.0, 1.0)))
        check(profile_figure(replace(joint({"a": compared, "b": compared}), profile=stairs)))


@pytest.mark.quick("2")
@pytest.mark.parametrize("count", [2, 9])
def test_a_race(count):
    def rule(name):
        def step(w, g, *, lr=0.1):
            return w - lr * g

        step.__name__ = name
        return step

    rules = [rule(label) for label in labels(count)]
    made = race("rosenbrock", rules, steps=8, rates=[1e-3], lr={rules[0].__name__: 1e300})
    check(race_figure(made))
    if count == 9:  # all arrive at once, and are named in the headline
        easy = race("quadratic", rules, steps=8, rates=[0.02], tolerance=0.9)
        check(race_figure(easy))


class Search(SimpleNamespace):
    def __str__(self):
        return f"{LONG}.npz, MLP 64-100-10, batch 64, {LONG}"


@pytest.mark.quick("1")
@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_search(count):
    names = ["lr", "batch_size", "factor", "momentum_decay", "weight_decay"][:count]
    search = Search(
        searched={name: parse(name, "0.01:0.5:log" if name != "batch_size" else "32:256:pow2") for name in names},
        objective="val_score",
        problem=Problem(),
        sampler="qmc",
        seed=0,
    )
    records = [
        {
            "number": k,
            "status": "ok" if k else "diverged",
            "val_score": 0.9 + k / 1000,
            "hyperparameters": dict.fromkeys(names, 0.1) | {"batch_size": 64},
        }
        for k in range(20)
    ]
    tuned = SimpleNamespace(
        search=search, records=records, best=records[-1], summary={"rows": {"val": 100}, "diverged": 1}
    )
    check(trials_figure(tuned))
    check(slices_figure(tuned))


def test_spread_moves_as_little_as_it_takes():
    heights = np.array([0.0, 0.5, 0.5, 1.0])
    np.testing.assert_allclose(spread(heights, 0.1), [0.0, 0.45, 0.55, 1.0])
    np.testing.assert_allclose(spread(np.zeros(5), 0.2), [0, 0.2, 0.4, 0.6, 0.8])
    np.testing.assert_allclose(spread(np.ones(3), 0.2), [0.6, 0.8, 1.0])
    assert np.diff(spread(np.full(30, 0.5), 0.1)).min() > 0.0999  # more than there is room for
