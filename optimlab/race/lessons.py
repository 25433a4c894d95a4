"""What the playground tells: a paragraph for each landscape, and scenes to teach with, each an address of the page.

An optimizer that an address gives no learning rate gets the best one of the page's grid, as every other does.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXTS = {
    "quadratic": "The slope across the valley is fifty times the slope along it. One learning rate must serve both: "
    "small enough not to overshoot across, it is too small along. Momentum and adaptive rates are two answers.",
    "rosenbrock": "The floor of this valley is bent and nearly flat. All find the valley within a few steps; "
    "following it to the minimum is what takes the time.",
    "beale": "A wide plateau between steep corners: far from the minimum gradients are huge, near it tiny. "
    "No single rate suits both.",
    "himmelblau": "Four minima, equally deep. Which one a path ends in depends on the start, on the rule, and on the "
    "rate. Move the start a little and see who changes valleys.",
    "rastrigin": "A local minimum near every pair of whole numbers. The gradient knows nothing of the deepest: where "
    "a path ends is mostly luck, and long steps or momentum carry it over a rim.",
    "styblinski-tang": "Four valleys, one of them deepest (marked). A rule that follows the gradient ends in the "
    "valley it starts in, unless its steps carry it across.",
    "saddle": "At the origin the gradient vanishes, but it is no minimum: the way down leads up or down the picture. "
    "Near the saddle the gradient that leads away is tiny; what matters is how fast it is amplified.",
    "noisy-valley": "Each gradient carries noise, as one of a small batch does. A constant rate never settles: it "
    "hovers, the wider the higher the rate. The valley lies along the diagonal, where a rate for each coordinate "
    "cannot follow it.",
}
"""By the landscape's name."""


@dataclass(frozen=True)
class Lesson:
    """A scene worth showing: ``address`` is that of the page, after ``#``."""

    name: str
    title: str
    text: str
    address: str


LESSONS = (
    Lesson(
        "zigzag",
        "Why not plain gradient descent?",
        "This valley is fifty times steeper across than along. Plain gradient descent (sgd) must keep its rate below "
        "2/50 or diverge across, and so crawls along, zigzagging. Momentum averages the zigzag away; RMSProp and Adam "
        "give each direction a rate of its own. Each has the best rate of one grid. Click anywhere to start there.",
        "on=quadratic&t=24&look=5&play=1",
    ),
    Lesson(
        "too-fast",
        "A rate too large",
        "Gradient descent on this valley is stable up to a rate of 2/50 = 0.04. Here it has 0.041: every step "
        "overshoots by a little more than the last. Move the learning rate slider just below 0.04 and watch.",
        "on=quadratic&start=-3.5,0.4&steps=150&t=90&play=0&run=sgd,textbook,on,lr:0.041",
    ),
)

OPENING = "lesson=zigzag&" + LESSONS[0].address
"""What the page shows when its address says nothing."""
