"""Write docs/conventions.md: where textbook, PyTorch and Keras differ, and how exactly each convention is met.

    python docs/make_conventions.py

The statements are read from the rules, the numbers from runs: PyTorch's live, Keras's and Optax's from the golden
traces in tests/golden (see tests/parity.py). Needs PyTorch.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests"))

import parity  # noqa: E402
from parity import ROWS, Row, measure  # noqa: E402

import optimlab as ol  # noqa: E402
from optimlab import rules  # noqa: E402
from optimlab.kernels import declaration  # noqa: E402
from optimlab.rules._host import decaying_beta  # noqa: E402

CONVENTIONS = {"textbook": "textbook", "torch": "PyTorch", "keras": "Keras"}
SAME_EPSILON = 1e-7
LATE = 1000

# ---- what is said about each rule; numbers in braces are computed ----

PROSE = {
    "sgd": """The step itself is the same everywhere. `weight_decay` is not: PyTorch adds it to the gradient (an L2
        penalty), Keras shrinks the weights before the step (decoupled). For plain gradient descent the two come to the
        same; wherever a gradient is averaged or divided, they do not. This holds for every rule below but AdamW.""",
    "momentum": """The velocity holds moves in the textbook and in Keras, gradients in PyTorch. While the learning rate
        stays the same, these are one rule. When it falls, PyTorch's old gradients slow down at once, and the others'
        run out at the rate they came with. PyTorch alone has `dampening`, which spares the very first gradient.""",
    "nesterov": """As with momentum; all three hold the weights at the look-ahead point.""",
    "adagrad": """Epsilon inside the root or outside; and Keras starts the sum of squares at {start:g}, so its first
        steps are shorter for gradients below about {root_of_start:.2f}. PyTorch can let the rate fall as 1/t
        (`lr_decay`).""",
    "rmsprop": """Inside the root, an epsilon of {eps:.0e} limits the denominator to at least {root_of_eps:.1e};
        outside, to {eps:.0e}. That is a factor of {ratio:.0f} for the smallest gradients, from the same number. The
        memory of the squares, 1 / (1 - beta), is by default {memory:.0f} times longer in PyTorch.""",
    "rmsprop_momentum": """PyTorch accumulates `g / root` and multiplies by the rate afterwards, Keras accumulates
        finished moves.""",
    "rmsprop_centered": """The root of a difference. Where all gradients are alike it tends to zero, and may round to
        something below: the weight is NaN from then on, in PyTorch and here. PyTorch's way of writing the mean makes
        that rarer than the usual one. Keras has epsilon inside the root, which helps small gradients.""",
    "rmsprop_centered_momentum": """Both variants together.""",
    "adadelta": """The paper has no learning rate. PyTorch's default of {torch_adadelta:g} means the paper's rule;
        Keras's of {keras_adadelta:g} shortens every step to that share.""",
    "adam": """Three places for one epsilon. The textbook adds it to the corrected second moment, inside the root.
        PyTorch adds it to the root of the corrected moment. Keras folds both corrections into the rate, and so adds it
        to the root of the *uncorrected* one: {early:.0f} times stronger in the first step, {later:.1f} times after a
        thousand.""",
    "amsgrad": """The textbook convention here takes the maximum of the corrected moment, as Optax does; PyTorch and
        Keras that of the uncorrected one, and correct afterwards.""",
    "adamax": """Epsilon is added to the maximum in the textbook and in Keras, where it is forgotten again after the
        step. PyTorch adds it inside the maximum, where it stays.""",
    "nadam": """The textbook's momentum coefficient is constant. Both libraries let it grow from about half of `beta1`:
        by `0.96^t` in Keras, by `0.96^(0.004 t)` in PyTorch. After 100 steps the factor on `beta1` is {keras_mu:.3f} in
        Keras and {torch_mu:.3f} in PyTorch.""",
    "adamw": """All three decay alike: by the share `lr weight_decay` of the weight before the step. What differs is
        Adam's epsilon, and the decay by default. PyTorch's `1 - lr weight_decay` is rounded once, before it meets the
        weights: in float32 the default decay is off by {decay_error:.2%}, the same in every step; the other two
        forms round each weight's own decay.""",
    "lion": """One rule, written in two ways; Keras's default rate is {lion:.0f} times the paper's.""",
}

INTRODUCTION = """\
# Conventions

<!-- Written by docs/make_conventions.py; do not edit. -->

The same name stands for different arithmetic in different libraries. `convention=` chooses one:

```python
ol.Adam(net.parameters, lr=1e-3)  # as the textbook prints it
ol.Adam(net.parameters, lr=1e-3, convention="torch")  # what torch.optim.Adam computes
ol.Adam(net.parameters, lr=1e-3, convention="keras")  # what keras.optimizers.Adam computes
```

Each convention brings its own defaults. Five questions tell conventions apart; the textbook's column is of its nine
rules (the modern ones beside them, such as AMSGrad, have epsilon where their papers have it):

| | textbook | PyTorch | Keras |
|---|---|---|---|
| Where does epsilon stand? | inside the root | outside the root, but in Adadelta | inside, but in Adam and Nadam |
| Where does the learning rate stand in momentum? | inside the velocity | outside | inside |
| What is `weight_decay`? | decoupled | L2, added to the gradient; decoupled in AdamW | decoupled |
| What does Adam correct for its start at zero? | both moments | both moments | the step |
| What does `t` count? | updates of the optimizer | steps of each parameter | updates of the optimizer |

The last question matters for layers that are frozen at first. Suppose a weight is unfrozen after {late:,} steps and
that its gradient is 1. PyTorch's Adam moves it by `lr`, because its `t` is 1. The textbook's and Keras's Adam move it
{far:.2g} times as far: its moments are new, but `t` is not.

## Rule by rule

Statements are copied from the rules; an empty place means that there is no such statement, a ditto that it is the one
to the left. Under each table stands what the difference comes to: the rule run with the *same* hyperparameters in every
convention that has it (the textbook's defaults, epsilon {eps:.0e}, weight decay 0.01 where the rule has it), for
{steps} steps of the problem described under [Parity](#parity); the largest difference of a weight, as a share of the
largest magnitude the weight has had.
"""

PARITY = """\
## Parity

Each rule against what it is said to equal, for {steps} steps over six tensors, {size} weights. Every weight's gradients
have a scale of their own, {orders:.0f} orders of magnitude from the smallest to the largest, with exact zeros; the
learning rate changes after steps {changes}. Each rule runs with its defaults and with other hyperparameters throughout,
with weight decay and without, as the plain function and through its optimizer; the table shows the worst of these.

Differences are told in each weight's own size, the largest magnitude that it has had so far in the reference: as a
share of it in float64; in float32 in units of its last place (ulp), divided by the number of steps made.

| rule | convention | against | float64, largest difference | float32, ulp a step | float32, after {steps} steps |
|---|---|---|---|---|---|
"""

NOTES = """\
The tests require less than {bound:.0e} in float64 for every row; in float32 a bound for each row: two to four times the
number above, and 4 where that is less than 2.

**Why some float32 rows differ more.** Keras and Optax compute `1 - beta2^t` in float32. In the first step, with
`beta2 = 0.999`, that is {exact:.10f} by float64 and {single:.10f} by float32: {share:.1e} of itself too small, and the
first step of a weight that starts at zero shows it undiluted. The rules here compute such scalars in float64. With
Keras's float32 powers put into the rule here, Adam's {adam:.0f} ulp a step become {powers:.1f}. The rows of the papers
compare float32 with exact arithmetic, the others float32 with float32.

**Not as the library has it, on purpose.** Defaults are the library's, but for these. A rule of momentum without
momentum would be none; Muon's are its authors', Adadelta's and Lion's those of the papers.

{exceptions}

**Muon.** PyTorch orthogonalizes in bfloat16, optimlab in the weights' own dtype; for the comparison PyTorch is made to
do the same. Its vectors are compared with `torch.optim.AdamW`.

**Schedule-free.** Optax weighs the average by the square of the largest rate so far. That is the same as long as the
rate never rises, as in this row (its evaluation weights are compared too). With a warm-up the two differ.

**What the numbers were made with.** {versions}.
Keras ran eagerly on its JAX backend, whose optimizers are the generic ones; on its PyTorch backend Keras uses
replacements of its own, and its NumPy backend multiplies float64 as float32.
"""


# ---- statements, side by side ----


def statements(rule) -> list[tuple[str, str]]:
    """(name assigned, source of the value) of each statement of a rule; the last one is what it returns as ``w``."""
    source = textwrap.dedent(inspect.getsource(rule))
    found: list[tuple[str, str]] = []
    for node in ast.parse(source).body[0].body:
        if isinstance(node, ast.Assign):
            found.append((ast.get_source_segment(source, node.targets[0]), ast.get_source_segment(source, node.value)))
        elif isinstance(node, ast.Return):
            returned = node.value
            if isinstance(returned, ast.Call) and isinstance(returned.func, ast.Name):  # another rule's arithmetic
                return statements(getattr(inspect.getmodule(rule), returned.func.id))
            weights = returned.elts[0] if isinstance(returned, ast.Tuple) else returned
            found.append(("new w", ast.get_source_segment(source, weights)))
    return found


def side_by_side(name: str) -> str:
    """One row for every name that is assigned in any convention, in an order that suits all."""
    columns = {c: rules.find(name, c) for c in CONVENTIONS}
    columns = {c: rule for c, rule in columns.items() if rule}
    code = {c: dict(statements(rule)) for c, rule in columns.items()}
    order: list[str] = []
    for own in code.values():
        place = 0
        for target in own:
            if target in order:
                place = order.index(target) + 1
            else:
                order.insert(place, target)
                place += 1
    lines = [f"| | {' | '.join(CONVENTIONS[c] for c in columns)} |", "|---" * (len(columns) + 1) + "|"]
    for target in order:
        cells = []
        before = ""
        for own in code.values():
            text = own.get(target, "")
            cells.append("″" if text and text == before else f"`{text}`" if text else "")
            before = text
        lines.append(f"| `{target}` | {' | '.join(cells)} |")
    for what, pick in (("defaults", 2), ("state at the start", 1)):
        cells = [", ".join(f"{k}={v:g}" for k, v in declaration(rule)[pick].items()) for rule in columns.values()]
        if any(cells):
            lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def gaps(name: str) -> str:
    """How far the conventions part with equal hyperparameters."""
    having = [c for c in CONVENTIONS if rules.find(name, c)]
    first = declaration(rules.find(name, having[0]))[2]
    equal = {**first, "eps": SAME_EPSILON, "weight_decay": 0.01}
    paths = {}
    for convention in having:
        row = Row(convention, name, "")
        paths[convention] = parity.run_rule(row, {k: v for k, v in equal.items() if k in row.defaults}, "float64")
    told = []
    for i, a in enumerate(having):
        for b in having[i + 1 :]:
            seen = parity.apart(paths[b], paths[a], tuple(range(1, parity.STEPS + 1)), "float64")
            told.append(f"{CONVENTIONS[a]} and {CONVENTIONS[b]} {seen.relative:.1e}")
    return f"Largest difference: {', '.join(told)}."


def default(convention: str, rule: str, name: str) -> float:
    return declaration(rules.find(rule, convention))[2][name]


def facts() -> dict[str, Any]:
    """The numbers in the prose."""
    start = declaration(rules.keras.adagrad)[1]["s"]
    beta1 = default("keras", "nadam", "beta1")
    decay = default("torch", "nadam", "momentum_decay")
    share = default("torch", "adamw", "lr") * default("torch", "adamw", "weight_decay")
    return {
        "start": start,
        "root_of_start": start**0.5,
        "eps": SAME_EPSILON,
        "root_of_eps": SAME_EPSILON**0.5,
        "ratio": SAME_EPSILON**0.5 / SAME_EPSILON,
        "early": 1 / (1 - 0.999) ** 0.5,
        "later": 1 / (1 - 0.999**1000) ** 0.5,
        "keras_mu": decaying_beta(100, beta1, 1.0) / beta1,
        "torch_mu": decaying_beta(100, beta1, decay) / beta1,
        "memory": (1 - default("keras", "rmsprop", "beta")) / (1 - default("torch", "rmsprop", "beta")),
        "torch_adadelta": default("torch", "adadelta", "lr"),
        "keras_adadelta": default("keras", "adadelta", "lr"),
        "lion": default("keras", "lion", "lr") / default("textbook", "lion", "lr"),
        "decay_error": abs(1 - float(np.float32(1 - share)) - share) / share,
    }


def moved_too_far() -> float:
    """The first move of a weight that is unfrozen late, relative to that with PyTorch's Adam."""
    moves = []
    for convention in ("textbook", "torch"):
        parameters = ol.MLP([1, 1, 1], dtype="float64").parameters
        optimizer = ol.Adam(parameters, convention=convention)
        parameters.freeze("dense1")
        parameters.grad[...] = 1.0
        for _ in range(LATE):
            optimizer.step()
        parameters.unfreeze("dense1")
        before = parameters["dense1.W"].data.copy()
        optimizer.step()
        moves.append(float((before - parameters["dense1.W"].data)[0, 0]))
    return moves[0] / moves[1]


# ---- the page ----


def table() -> str:
    lines = []
    for row in ROWS:
        in64, in32 = measure(row, "float64"), measure(row, "float32")
        numbers = f"{in64.relative:.1e} | {in32.ulps:.2f} | {in32.relative_at_the_end:.1e}"
        lines.append(f"| {row.rule} | {row.convention} | {row.against} | {numbers} |")
    return "\n".join(lines)


def versions() -> str:
    import torch

    found = {"PyTorch": torch.__version__.split("+")[0]}
    for library in ("keras", "optax"):
        there = parity.golden(library)["about"]["versions"]
        found |= {library.capitalize(): there[library], "JAX": there["jax"]}
    return ", ".join(f"{name} {version}" for name, version in found.items())


def listed_exceptions() -> str:
    told = []
    for row in ROWS:
        if row.library == "paper":
            continue
        for name in sorted(parity.exceptions(row)):
            name_there = f"{parity.PREFIX[row.library]}{parity.CALLS[row.library][row.rule][0]}"
            told.append(f"- {row.convention} `{row.rule}`: {name}={row.defaults[name]:g}, not as `{name_there}`")
    return "\n".join(dict.fromkeys(told))


def page() -> str:
    parts = [INTRODUCTION.format(eps=SAME_EPSILON, steps=parity.STEPS, late=LATE, far=moved_too_far())]
    for name, text in PROSE.items():
        prose = textwrap.fill(" ".join(text.split()).format(**facts()), 118, break_on_hyphens=False)
        parts.append(f"### {name}\n\n{prose}\n\n{side_by_side(name)}\n\n{gaps(name)}\n")
        if name == "rmsprop_centered":
            parts.append(
                f"Lost to NaN, of {parity.LOST_OF} float32 weights whose gradients never change, in {parity.LOST_IN} "
                f"steps: {', '.join(f'{who} {count}' for who, count in parity.lost_to_nan().items())}.\n"
            )
    sizes = abs(parity.GRADIENTS).max(axis=0)
    sizes = sizes[sizes > 0]
    one = np.float32(1)
    exact, single = 1 - 0.999, float(one - np.float32(0.999))
    parts.append(
        PARITY.format(
            steps=parity.STEPS,
            size=parity.SIZE,
            orders=np.log10(sizes.max() / sizes.min()),
            changes=" and ".join(map(str, parity.CHANGES)),
        )
        + table()
        + "\n"
    )
    parts.append(
        NOTES.format(
            bound=parity.FLOAT64,
            exact=exact,
            single=single,
            share=abs(single - exact) / exact,
            adam=measure(Row("keras", "adam", "keras"), "float32").ulps,
            powers=parity.with_float32_powers("adam").ulps,
            exceptions=listed_exceptions(),
            versions=versions(),
        )
    )
    return "\n".join(parts)


NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?")


def without_numbers(text: str) -> str:
    """With measured numbers masked: those of the parity table, of the differences, of versions."""
    masked = []
    for line in text.splitlines():
        measured = line.startswith(
            ("Largest difference", "Lost to NaN", "**What the numbers were made with", "Keras's float32 powers")
        )
        if measured:
            line = NUMBER.sub("#", line)
        elif line.startswith("| ") and line.count("|") == 7:
            cells = line.split("|")
            line = "|".join([*cells[:4], *(NUMBER.sub("#", cell) for cell in cells[4:])])
        masked.append(line)
    return "\n".join(masked)


def printed(text: str) -> dict[tuple[str, str, str], tuple[float, ...]]:
    """(rule, convention, against) to the three numbers of the parity table."""
    found = {}
    for line in text.partition("## Parity")[2].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 6 and NUMBER.fullmatch(cells[3]):
            found[cells[0], cells[1], cells[2]] = tuple(map(float, cells[3:]))
    return found


if __name__ == "__main__":
    (HERE / "conventions.md").write_text(page(), encoding="utf-8")
