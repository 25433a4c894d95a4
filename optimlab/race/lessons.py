"""Texts of the playground: a paragraph for each landscape, and lessons, each an address of the page.

An optimizer without a learning rate in the address gets the best rate of the page's grid.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXTS = {
    "quadratic": "The slope across the valley is fifty times the slope along it. One learning rate must serve both: "
    "small enough not to overshoot across, it is too small along. Momentum and adaptive rates are two answers.",
    "rosenbrock": "The floor of this valley is bent and nearly flat. Most paths find the valley within a few steps; "
    "following it to the minimum is what takes the time.",
    "beale": "A wide plateau between steep corners: far from the minimum gradients are huge, near it tiny. "
    "No single rate suits both.",
    "himmelblau": "Four minima, equally deep. Which one a path ends in depends on the start, on the rule, and on the "
    "rate. Move the start a little and see who changes valleys.",
    "rastrigin": "A local minimum near every pair of whole numbers. The gradient does not point to the deepest one. "
    "Where a path ends is mostly luck; long steps or momentum carry it over a rim.",
    "styblinski-tang": "Four valleys, one of them deepest (marked). A rule that follows the gradient ends in the "
    "valley it starts in, unless its steps carry it across.",
    "saddle": "At the origin the gradient vanishes, but it is not a minimum: the way down leads up or down the "
    "picture. Near the saddle the gradient that leads away is tiny; what matters is how fast it is amplified.",
    "noisy-valley": "Each gradient is noisy, like the gradient of a small batch. A constant rate never settles: the "
    "path hovers around the minimum, more widely at a higher rate. The valley lies along the diagonal, where a rate "
    "for each coordinate cannot follow it.",
}
"""The paragraph for each landscape, by name."""


@dataclass(frozen=True)
class Lesson:
    """A scene to teach with. ``address`` is the page's address after ``#``; ``#lesson=NAME`` abbreviates it."""

    name: str
    title: str
    text: str
    address: str


LESSONS = (
    Lesson(
        "zigzag",
        "Why not plain gradient descent?",
        "The valley is fifty times steeper across than along. Gradient descent (sgd) must keep its rate below 2/50 or "
        "diverge across: it shakes first, then crawls along the floor. Momentum swings wider, but gathers speed along "
        "the floor. RMSProp and Adam scale each direction by its own gradients and set out diagonally, as if the "
        "valley were round. Each has the best rate of one grid. Click anywhere to start there.",
        "on=quadratic&t=24&look=5&play=1",
    ),
    Lesson(
        "too-fast",
        "A rate too large",
        "On this valley gradient descent is stable up to a rate of 2/50 = 0.04. At 0.041 every step overshoots by a "
        "little more than the last; at 0.039 by a little less. The small difference decides. Move the slider of the "
        "learning rate across 0.04 and watch.",
        "on=quadratic&start=-3.5,0.3&steps=120&t=60&look=1&axis=y&play=0"
        "&run=sgd,textbook,on,lr:0.02&run=sgd,textbook,on,lr:0.041",
    ),
    Lesson(
        "bend",
        "Round the bend",
        "Every path drops into the valley at once; following its bent, nearly flat floor to the minimum is what takes "
        "the time. Look at the loss: a cliff, then a long slope. Momentum remembers the direction of the floor, and "
        "arrives first.",
        "on=rosenbrock&steps=400&t=400&look=1&speed=60&play=0&run=sgd,textbook,on,lr:0.0018"
        "&run=momentum,textbook,on,lr:0.0018&run=rmsprop,textbook,on,lr:0.018&run=adam,textbook,on,lr:0.1",
    ),
    Lesson(
        "conventions",
        "One name, three conventions",
        "The same Adam with the same settings, epsilon = 0.5: as the textbook here prints it (epsilon inside the "
        "root), as PyTorch has it (outside), as Keras has it (outside, beside the uncorrected moment, which is small "
        "at first). Epsilon shortens the steps along, where gradients are small: least in the textbook's, most in "
        "Keras's. Compare the last lines of the three formulas.",
        "on=quadratic&steps=200&t=30&look=2&speed=30&play=0&run=adam,textbook,on,lr:0.2,eps:0.5"
        "&run=adam,torch,on,lr:0.2,eps:0.5&run=adam,keras,on,lr:0.2,eps:0.5",
    ),
    Lesson(
        "diagonal",
        "A valley that lies askew",
        "The valley of scene 1, turned by 45 degrees, and only twenty times steeper across. A rate for each "
        "coordinate cannot follow it: both coordinates see the same mixture of steep and flat. Adam and RMSProp lose "
        "what they had gained; sgd and momentum do not depend on the axes.",
        "on=noisy-valley&noise=0&steps=150&t=30&look=4&play=0",
    ),
    Lesson(
        "noise",
        "Noise, and the size of a step",
        "Each gradient is noisy, like the gradient of a small batch; all three paths get the same noise. A large rate "
        "comes near the minimum quickly and then hovers around it. A small rate arrives late and stays nearer. That is "
        "why rates are lowered in training.",
        "on=noisy-valley&start=-3.5,-1&noise=8&steps=600&t=600&look=0&speed=60&play=0"
        "&run=sgd,textbook,on,lr:0.05&run=sgd,textbook,on,lr:0.015&run=sgd,textbook,on,lr:0.005",
    ),
    Lesson(
        "saddle",
        "Leaving a saddle",
        "All start almost on the ridge that leads into the saddle, 0.01 away from it. The sideways slope is tiny "
        "there. Plain gradient descent slows down and must wait until the slope has grown. Momentum speeds this up. "
        "Adaptive rules divide by its size and leave at once. There is no minimum: all run away, as they should.",
        "on=saddle&steps=150&t=28&look=5&play=0&run=sgd,textbook,on,lr:0.05&run=momentum,textbook,on,lr:0.05"
        "&run=nesterov,textbook,off,lr:0.05&run=adagrad,textbook,off,lr:0.05&run=rmsprop,textbook,on,lr:0.05"
        "&run=adam,textbook,on,lr:0.05",
    ),
    Lesson(
        "luck",
        "Local minima",
        "There are minima everywhere, but only the middle one is the deepest. With small steps each rule ends in the "
        "hollow it starts in. Momentum with a larger rate is carried over the rims, and lands where its speed runs "
        "out. Drag the start to see how much of it is luck.",
        "on=rastrigin&steps=200&t=200&look=1&speed=40&play=0&run=sgd,textbook,on,lr:0.001"
        "&run=momentum,textbook,on,lr:0.01&run=rmsprop,textbook,on,lr:0.02&run=adam,textbook,on,lr:0.2",
    ),
)

OPENING = f"lesson={LESSONS[0].name}"
"""The lesson that the page shows by default."""
