"""What the parity tests, the golden traces and docs/conventions.md share: one problem, three libraries, one measure.

The problem is 200 steps over six tensors. Its gradients are given, not computed: every weight has a scale of its own,
ten orders of magnitude apart, with exact zeros in between, so no rule can hide a misplaced epsilon. The learning rate
changes twice, down and up, which tells the two places where momentum may keep it apart.

How far two paths are apart is told in the weight's own size: the largest magnitude that the reference path of this
weight has had so far, its start included. (The momentary magnitude would punish a weight that crosses zero: there it
still carries the rounding of its larger days.)
"""

from __future__ import annotations

import functools
import inspect
import itertools
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from references import REFERENCES

import optimlab as ol
from optimlab import rules
from optimlab.kernels import declaration

GOLDEN = Path(__file__).parent / "golden"
DTYPES = ("float64", "float32")

# ---- the problem ----

STEPS = 200
RECORDED = (1, 2, 3, 10, 60, 61, 130, 131, 199, 200)
"""Steps that golden traces hold: the start, both changes of the learning rate, the end."""

CHANGES = (60, 130)
FACTORS, FALLING = (1.0, 0.1, 3.0), (1.0, 0.3, 0.1)


def rate(step: int, first: float, factors: tuple[float, ...] = FACTORS) -> float:
    """The learning rate of a step, counted from 1."""
    return first * factors[sum(step > change for change in CHANGES)]


def make_parameters(dtype: str) -> ol.nn.parameters.Parameters:
    """Six tensors: a matrix that narrows, one that widens, biases, scales and shifts of a batch norm."""
    return ol.MLP([5, 2, 4], batch_norm=True, dtype=dtype).parameters


SHAPES = [p.shape for p in make_parameters("float32")]
KINDS = [p.kind for p in make_parameters("float32")]
SIZE = sum(math.prod(shape) for shape in SHAPES)


def hashed(numbers: np.ndarray) -> np.ndarray:
    """Integers to numbers in [-1, 1) of 24 bits, the same on every machine and exact in float32 (SplitMix64)."""
    z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(40)).astype(float) * 2.0**-23 - 1


def start() -> np.ndarray:
    """As a network starts: small weights, biases and shifts of zero, scales of one."""
    pieces = []
    for k, (kind, shape) in enumerate(zip(KINDS, SHAPES, strict=True)):
        random = hashed(1000 * (k + 1) + np.arange(math.prod(shape))) / 2
        pieces.append({"weights": random, "biases": 0 * random, "scales": 0 * random + 1}[kind])
    return np.concatenate(pieces)


def gradients() -> np.ndarray:
    """``(STEPS, SIZE)``; every number exact in float32. A column is one weight, with a scale from 2^-20 to 2^13."""
    step, weight = np.mgrid[1 : STEPS + 1, 0:SIZE]
    values = hashed(100_000 * step + weight) * 2.0 ** (weight * 7 % 34 - 20)
    values[hashed(7_000_000 * step + weight) < -0.8] = 0.0  # one in ten: a unit that was off
    values[80:140, ::2] *= -(2.0**-10)  # a plateau, entered and left at a stroke
    values[:, [4, SIZE - 1]] = 0.0  # never touched
    return values


START, GRADIENTS = start(), gradients()
ENDS = list(itertools.accumulate(math.prod(shape) for shape in SHAPES))
PLACES = list(zip(map(slice, [0, *ENDS], ENDS), SHAPES, strict=True))


def tensors(flat: np.ndarray, dtype: str) -> list[np.ndarray]:
    """Cut into the six tensors."""
    own = flat.astype(dtype)
    return [own[place].reshape(shape) for place, shape in PLACES]


def flattened(pieces: list[Any]) -> np.ndarray:
    return np.concatenate([np.asarray(piece).ravel() for piece in pieces])


# ---- which rule is compared with what ----


@dataclass(frozen=True)
class Row:
    """A rule and what it is said to equal: one row of the table in docs/conventions.md."""

    convention: str
    rule: str
    library: str  # "torch", "keras", "optax", or "paper": the scalar transcription in references.py

    @functools.cached_property
    def function(self) -> Any:
        return rules.find(self.rule, self.convention) if self.elementwise else getattr(rules.layerwise, self.rule)

    @property
    def elementwise(self) -> bool:
        return self.convention in rules.CONVENTIONS

    @functools.cached_property
    def defaults(self) -> dict[str, float]:
        return declaration(self.function)[2]

    @property
    def factors(self) -> tuple[float, ...]:
        return FALLING if self.rule == "schedule_free_adamw" else FACTORS

    @property
    def variants(self) -> dict[str, dict[str, float]]:
        """The hyperparameters given, by the name of the variant; weight decay is once on and once off."""
        others = {k: v for k, v in OTHERS.items() if k in self.defaults}
        made: dict[str, dict[str, float]] = {"defaults": {}, "others": others}
        if self.defaults.get("weight_decay"):
            made["no decay"] = {"weight_decay": 0.0}
        return made

    @property
    def against(self) -> str:
        name, options = CALLS[self.library][self.rule]
        if self.library == "paper":
            return name
        options = {**options, **{names_there(self)[k]: self.defaults[k] for k in exceptions(self) - {"lr"}}}
        given = ", ".join(f"{k}={v!r}" for k, v in options.items())
        return f"{PREFIX[self.library]}{name}{f'({given})' if given else ''}"

    def __str__(self) -> str:
        return f"{self.convention}-{self.rule}-{self.library}"


OTHERS = {
    "beta": 0.8,
    "beta1": 0.8,
    "beta2": 0.97,
    "beta3": 0.95,
    "rho": 0.8,
    "momentum": 0.6,
    "dampening": 0.3,
    "lr_decay": 0.02,
    "momentum_decay": 0.1,
    "trust": 0.02,
    "adam_lr": 0.004,
    "eps": 1e-3,
    "weight_decay": 0.05,
}
"""Far from every default; epsilon amid the gradients' scales."""

_COMMON: dict[str, tuple[str, dict[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {}),
    "nesterov": ("SGD", {"nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_momentum": ("RMSprop", {}),
    "rmsprop_centered": ("RMSprop", {"centered": True}),
    "rmsprop_centered_momentum": ("RMSprop", {"centered": True}),
    "adadelta": ("Adadelta", {}),
    "adam": ("Adam", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adamax": ("Adamax", {}),
    "adamw": ("AdamW", {}),
}
"""What PyTorch and Keras name alike."""

PREFIX = {"torch": "torch.optim.", "keras": "keras.optimizers.", "optax": "optax.", "paper": ""}

CALLS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "torch": {
        **_COMMON,
        "nadam": ("NAdam", {}),
        "radam": ("RAdam", {}),
        "muon": ("Muon", {}),
    },
    "keras": {
        **_COMMON,
        "nadam": ("Nadam", {}),
        "lion": ("Lion", {}),
    },
    "optax": {
        "adadelta": ("adadelta", {}),
        "amsgrad": ("amsgrad", {}),
        "adabelief": ("adabelief", {}),
        "adan": ("adan", {"eps_root": 0.0}),
        "lion": ("lion", {}),
        "schedule_free_adamw": ("contrib.schedule_free_adamw", {}),
        "lars": ("lars", {}),
        "lamb": ("lamb", {}),
    },
    "paper": {name: ("its paper, transcribed", {}) for name in rules.textbook.__all__},
}
"""Library, then rule, to the class or function there and the options that choose the variant."""

OTHER_DEFAULTS: dict[tuple[str, str], set[str]] = {
    ("torch", "momentum"): {"beta"},
    ("torch", "nesterov"): {"beta"},
    ("torch", "rmsprop_momentum"): {"momentum"},
    ("torch", "rmsprop_centered_momentum"): {"momentum"},
    ("torch", "muon"): {"lr", "weight_decay"},
    ("torch", "adadelta of textbook"): {"rho"},
    ("keras", "momentum"): {"beta"},
    ("keras", "nesterov"): {"beta"},
    ("keras", "rmsprop_momentum"): {"momentum"},
    ("keras", "rmsprop_centered_momentum"): {"momentum"},
    ("optax", "adadelta"): {"rho"},
    ("optax", "lion"): {"weight_decay"},
}
"""Hyperparameters whose default is deliberately not the library's: a momentum rule without momentum is none; Muon's
are those of its authors; Adadelta's, and Lion's, those of the papers. All other defaults are the library's."""

ROWS = [
    *(Row("textbook", name, "paper") for name in rules.textbook.__all__),
    *(Row("textbook", name, "torch") for name in ("adadelta", "radam")),
    *(Row("textbook", name, "optax") for name in rules.modern.__all__ if name != "radam"),
    *(Row("torch", name, "torch") for name in rules.names("torch")),
    *(Row("keras", name, "keras") for name in rules.names("keras")),
    *(Row("layer-wise", name, "optax") for name in ("lars", "lamb")),
    Row("layer-wise", "muon", "torch"),
]


def names_there(row: Row) -> dict[str, str]:
    """Our names for the row's hyperparameters to the library's."""
    beta = {"torch": "alpha", "keras": "rho"}.get(row.library, "") if "rmsprop" in row.rule else "momentum"
    special = {
        "torch": {"beta": beta},
        "keras": {"lr": "learning_rate", "eps": "epsilon", "beta": beta, "beta1": "beta_1", "beta2": "beta_2"},
        "optax": {
            **{"lr": "learning_rate", "beta": beta, "trust": "trust_coefficient"},
            **{f"beta{k}": f"b{k}" for k in (1, 2, 3)},
        },
    }[row.library]
    return {name: special.get(name, name) for name in row.defaults}


def exceptions(row: Row) -> set[str]:
    """Hyperparameters of the row whose default is not the library's."""
    special = (row.library, f"{row.rule} of {row.convention}")
    return OTHER_DEFAULTS.get(special, OTHER_DEFAULTS.get((row.library, row.rule), set()))


def options_there(row: Row, variant: str) -> dict[str, Any]:
    """What to tell the library: what the variant sets, and what has another default here. The rate comes by step."""
    ours = {**{name: row.defaults[name] for name in exceptions(row)}, **row.variants[variant]}
    names = names_there(row)
    options = {names[name]: value for name, value in ours.items() if name != "lr"}
    return {**CALLS[row.library][row.rule][1], **options}


# ---- this package's paths, over all steps: (STEPS, SIZE) ----


Watch = Callable[[np.ndarray, list[np.ndarray]], None]
"""Called after every step with the flat weights and the flat states."""


def run_rule(row: Row, hyper: dict[str, float], dtype: str, watch: Watch | None = None) -> np.ndarray:
    """The rule as the plain function it is, on one tensor after the other. ``lr`` among ``hyper`` is the first rate."""
    rule, first = row.function, {**row.defaults, **hyper}["lr"]
    initial = declaration(rule)[1].values()
    counts = "t" in inspect.signature(rule).parameters
    weights = tensors(START, dtype)
    states = [[np.full_like(w, value) for value in initial] for w in weights]
    path = []
    for step in range(1, STEPS + 1):
        given = {**hyper, "lr": rate(step, first, row.factors), **({"t": step} if counts else {})}
        for k, g in enumerate(tensors(GRADIENTS[step - 1], dtype)):
            new = rule(weights[k], g, *states[k], **given)
            weights[k], *states[k] = new if isinstance(new, tuple) else (new,)
        path.append(flattened(weights))
        if watch:
            watch(path[-1], [flattened([s[j] for s in states]) for j in range(len(initial))])
    return np.array(path)


def make_optimizer(row: Row, parameters: ol.nn.parameters.Parameters, **hyper: Any) -> ol.Optimizer:
    """By the public class, with the convention as a switch."""
    family, _, variant = row.rule.partition("_")
    if family == "rmsprop":
        hyper["centered"] = "centered" in variant
        if "momentum" in variant:
            hyper.setdefault("momentum", row.defaults["momentum"])
        return ol.RMSProp(parameters, convention=row.convention, **hyper)
    if row.elementwise:
        hyper["convention"] = row.convention
    return ol.optimizers.OPTIMIZERS[row.rule](parameters, **hyper)


def run_optimizer(row: Row, hyper: dict[str, float], dtype: str, watch: Watch | None = None) -> np.ndarray:
    """The optimizer of that name and convention, on the parameters of a network."""
    parameters = make_parameters(dtype)
    first = row.defaults["lr"]
    optimizer = make_optimizer(row, parameters, lr=lambda step: rate(step + 1, first, row.factors), **hyper)
    for p, w in zip(parameters, tensors(START, dtype), strict=True):
        p.data[...] = w
    path = []
    for step in range(STEPS):
        for p, g in zip(parameters, tensors(GRADIENTS[step], dtype), strict=True):
            p.grad[...] = g
        optimizer.step()
        path.append(flattened([p.data for p in parameters]))
        if watch:
            watch(path[-1], [flattened([p.view(s) for p in parameters]) for s in optimizer.state.values()])
    return np.array(path)


@functools.cache
def by_rule(row: Row, variant: str, dtype: str) -> np.ndarray:
    return run_rule(row, row.variants[variant], dtype)


@functools.cache
def by_optimizer(row: Row, variant: str, dtype: str) -> np.ndarray:
    return run_optimizer(row, row.variants[variant], dtype)


def evaluation_paths(row: Row, variant: str, dtype: str) -> list[np.ndarray]:
    """Schedule-free's evaluation weights ``x = w - (1 - beta1) / beta1 d``, by the rule and by the optimizer."""
    beta1 = {**row.defaults, **row.variants[variant]}["beta1"]
    paths = []
    for run in (run_rule, run_optimizer):
        path: list[np.ndarray] = []
        run(row, row.variants[variant], dtype, lambda w, s, path=path: path.append(w - (1 - beta1) / beta1 * s[0]))
        paths.append(np.array(path))
    return paths


# ---- the references' paths ----


def paper_path(row: Row, variant: str, dtype: str) -> np.ndarray:
    """The scalar transcription, in float64 whatever ``dtype`` is."""
    told = {"eps": row.defaults["eps"]} if "eps" in row.defaults else {}  # the papers' is not this package's
    rates = [rate(step, row.defaults["lr"], row.factors) for step in range(1, STEPS + 1)]
    reference = functools.partial(REFERENCES[row.convention][row.rule], **{**told, **row.variants[variant]})
    paths = [list(reference(float(w), GRADIENTS[:, k].tolist(), rates)) for k, w in enumerate(START)]
    return np.array(paths).T


def torch_path(row: Row, variant: str, dtype: str) -> np.ndarray:
    """``torch.optim`` as it is used: parameters, ``grad``, ``step()``, rates set in ``param_groups``."""
    import torch

    flip = row.rule == "muon"  # PyTorch's matrices are (outputs, inputs), and Muon looks at shapes
    with torch_defaults(torch, dtype):
        weights = [torch.tensor(w.T.copy() if flip else w, requires_grad=True) for w in tensors(START, dtype)]
        made = make_torch(torch, row, variant, weights)
        path = []
        for step in range(1, STEPS + 1):
            for w, g in zip(weights, tensors(GRADIENTS[step - 1], dtype), strict=True):
                w.grad = torch.tensor(g.T.copy() if flip else g)
            for group in made[0].param_groups:
                group["lr"] = rate(step, row.defaults["lr"], row.factors)
            for optimizer in made:
                optimizer.step()
            values = [w.detach().numpy() for w in weights]
            path.append(flattened([v.T for v in values] if flip else values))
    return np.array(path)


def make_torch(torch: Any, row: Row, variant: str, weights: list[Any]) -> list[Any]:
    """The optimizer; for Muon, which takes matrices alone, AdamW for the vectors beside it."""
    options = options_there(row, variant)
    if row.rule == "muon":
        adam = {k: {**row.defaults, **row.variants[variant]}[k] for k in ("adam_lr", "eps", "weight_decay")}
        betas = tuple({**row.defaults, **row.variants[variant]}[k] for k in ("beta1", "beta2"))
        for name in ("adam_lr", "eps", "beta1", "beta2"):
            options.pop(name, None)
        vectors = [w for w in weights if w.ndim == 1]
        return [
            torch.optim.Muon([w for w in weights if w.ndim == 2], **options),
            torch.optim.AdamW(
                vectors, lr=adam["adam_lr"], betas=betas, eps=adam["eps"], weight_decay=adam["weight_decay"]
            ),
        ]
    if "beta1" in options:
        options["betas"] = (options.pop("beta1"), options.pop("beta2"))
    return [getattr(torch.optim, CALLS["torch"][row.rule][0])(weights, **options)]


@contextmanager
def torch_defaults(torch: Any, dtype: str) -> Iterator[None]:
    """PyTorch in ``dtype`` throughout: NAdam keeps a product in the *default* dtype, Muon multiplies in bfloat16."""
    default, bfloat16 = torch.get_default_dtype(), torch.Tensor.bfloat16
    torch.set_default_dtype(getattr(torch, dtype))
    torch.Tensor.bfloat16 = torch.Tensor.clone
    try:
        yield
    finally:
        torch.set_default_dtype(default)
        torch.Tensor.bfloat16 = bfloat16


def keras_path(row: Row, variant: str, dtype: str, steps: int = STEPS) -> np.ndarray:
    """``keras.optimizers`` through ``apply``, eagerly, on Keras's JAX backend (or, in float32, its NumPy backend).

    Not on its PyTorch backend, which has optimizers of its own; and its NumPy backend multiplies float64 as float32.
    """
    import keras

    backend = keras.backend.backend()
    if (backend, dtype) not in {("jax", "float64"), ("jax", "float32"), ("numpy", "float32")}:
        raise RuntimeError(f"Keras's {backend} backend does not run its own optimizers in {dtype}")
    keras.config.set_floatx(dtype)
    name = CALLS["keras"][row.rule][0]
    with jax_in(dtype) if backend == "jax" else nullcontext():
        optimizer = getattr(keras.optimizers, name)(**options_there(row, variant))
        weights = [keras.Variable(w, dtype=dtype) for w in tensors(START, dtype)]
        optimizer.build(weights)
        path = []
        for step in range(1, steps + 1):
            optimizer.learning_rate = rate(step, row.defaults["lr"], row.factors)
            optimizer.apply([keras.ops.convert_to_tensor(g) for g in tensors(GRADIENTS[step - 1], dtype)])
            path.append(flattened([keras.ops.convert_to_numpy(w) for w in weights]))
    return np.array(path)


def jax_in(dtype: str) -> Any:
    """JAX as its users have it in float32, scalars included; its float64 is an option."""
    import jax

    return jax.enable_x64(dtype == "float64")


def optax_path(row: Row, variant: str, dtype: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Optax's weights, and its evaluation weights where the rule has them; each step compiled.

    The transformation is made anew for every rate and handed the state of the one before: its functions are pure, and
    a rate given as a function would reach the two halves of the schedule-free wrapper one step apart.
    """
    import jax
    import optax

    name, fixed = CALLS["optax"][row.rule]
    options = {**fixed, **options_there(row, variant)}
    if row.rule == "adabelief" and "eps" in options:
        options["eps_root"] = options["eps"]
    make = functools.reduce(getattr, name.split("."), optax)

    @functools.cache
    def update(lr: float) -> Any:
        return jax.jit(make(lr, **options).update)

    with jax_in(dtype):
        weights = [jax.numpy.asarray(w) for w in tensors(START, dtype)]
        state = make(1.0, **options).init(weights)
        path, evaluation = [], []
        for step in range(1, STEPS + 1):
            moves, state = update(rate(step, row.defaults["lr"], row.factors))(
                [jax.numpy.asarray(g) for g in tensors(GRADIENTS[step - 1], dtype)], state, weights
            )
            weights = optax.apply_updates(weights, moves)
            path.append(flattened(weights))
            if row.rule == "schedule_free_adamw":
                evaluation.append(flattened(optax.contrib.schedule_free_eval_params(state, weights)))
    return np.array(path), np.array(evaluation) if evaluation else None


@functools.cache
def golden(library: str) -> dict[str, Any]:
    """The golden traces: "<rule>/<variant>/<dtype>" to (len(RECORDED), SIZE), and what they were made with."""
    with np.load(GOLDEN / f"{library}.npz") as stored:
        traces: dict[str, Any] = {key: stored[key] for key in stored.files}
    traces["about"] = json.loads(str(traces["about"]))
    return traces


def reference_path(row: Row, variant: str, dtype: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """What the row is compared with, and the steps at which: live, or golden where the library is not needed here."""
    everywhere = tuple(range(1, STEPS + 1))
    if row.library == "paper":
        return paper_path(row, variant, dtype), everywhere
    if row.library == "torch":
        return torch_path(row, variant, dtype), everywhere
    return golden(row.library)[f"{row.rule}/{variant}/{dtype}"], RECORDED


# ---- the measure ----


@dataclass(frozen=True)
class Apart:
    """How far two paths are apart, at most, over all weights."""

    relative: float  # over all steps compared
    ulps: float  # units in the last place for each step made so far, over all steps compared
    relative_at_the_end: float

    def worst(self, other: Apart) -> Apart:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Apart(*(max(a, b) for a, b in pairs))


def apart(path: np.ndarray, reference: np.ndarray, steps: tuple[int, ...], dtype: str) -> Apart:
    """``path`` has all steps, ``reference`` those of ``steps``. Both must be finite."""
    ours = path[np.array(steps) - 1].astype(float)
    theirs = reference.astype(float)
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return Apart(math.inf, math.inf, math.inf)
    scale = np.maximum.accumulate(np.maximum(abs(theirs), abs(START)), axis=0)
    difference = abs(ours - theirs)
    tiny = np.finfo(dtype).tiny  # where a weight never left zero
    relative = difference / np.maximum(scale, tiny)
    ulp = np.spacing(np.maximum(scale, tiny).astype(dtype)).astype(float)
    ulps = difference / ulp / np.array(steps)[:, None]
    return Apart(float(relative.max()), float(ulps.max()), float(relative[-1].max()))


FLOAT64 = 1e-13
"""Relative, at any step, for every row."""


def most_ulps(row: Row) -> float:
    """The bound in float32: two to four times what was measured (docs/conventions.md), 4 where that is below 2."""
    return MORE_ULPS.get((row.library, row.rule), 4.0)


MORE_ULPS = {
    ("paper", "rmsprop"): 6.0,  # these four against exact arithmetic, not against another float32 run
    ("paper", "nesterov"): 5.0,
    ("paper", "adam"): 5.0,
    ("paper", "nadam"): 10.0,
    ("torch", "muon"): 25.0,  # matrix products: a sum's order is the BLAS library's business
    # Keras and Optax compute 1 - beta2^t in float32: at the first step all but one part in 1e5 cancels
    ("keras", "adam"): 250.0,
    ("keras", "amsgrad"): 250.0,
    ("keras", "adamw"): 250.0,
    ("keras", "adamax"): 9.0,
    ("keras", "nadam"): 45.0,
    ("optax", "amsgrad"): 180.0,
    ("optax", "adabelief"): 200.0,
    ("optax", "adan"): 15.0,
    ("optax", "schedule_free_adamw"): 230.0,
    ("optax", "lamb"): 280.0,
}


@functools.cache
def measure(row: Row, dtype: str) -> Apart:
    """The worst over the variants, and over the two ways to run a rule."""
    worst = Apart(0.0, 0.0, 0.0)
    for variant in row.variants:
        reference, steps = reference_path(row, variant, dtype)
        for run in (by_rule, by_optimizer):
            worst = worst.worst(apart(run(row, variant, dtype), reference, steps, dtype))
    return worst


def with_float32_powers(name: str) -> Apart:
    """Keras's Adam or a variant in float32, with beta^t in float32 as Keras has it: what is left of the difference."""
    row = Row("keras", name, "keras")
    beta1, beta2, first = (row.defaults[k] for k in ("beta1", "beta2", "lr"))
    one = np.float32(1)
    weights = START.astype("float32")
    state = [np.zeros_like(weights) for _ in declaration(row.function)[1]]
    path = []
    for t in range(1, STEPS + 1):
        single = np.sqrt(one - np.float32(beta2) ** np.float32(t)) / (one - np.float32(beta1) ** np.float32(t))
        instead = float(single) / ((1 - beta2**t) ** 0.5 / (1 - beta1**t))
        g = GRADIENTS[t - 1].astype("float32")
        weights, *state = row.function(weights, g, *state, t=t, lr=rate(t, first) * instead)
        path.append(weights)
    return apart(np.array(path), golden("keras")[f"{name}/defaults/float32"], RECORDED, "float32")


LOST_OF, LOST_IN = 400, 3000


@functools.cache
def lost_to_nan() -> dict[str, int]:
    """Centred RMSprop for gradients that never change: weights lost to the root of a negative number, in float32."""
    import torch

    g = (hashed(np.arange(LOST_OF)) + 1.01).astype("float32")
    theirs = torch.zeros(LOST_OF, requires_grad=True)
    theirs.grad = torch.from_numpy(g)
    optimizer = torch.optim.RMSprop([theirs], lr=1e-4, centered=True)
    w, s, m = np.zeros((3, LOST_OF), "float32")
    beta = declaration(rules.torch.rmsprop_centered)[2]["beta"]
    mean = np.zeros_like(g)
    usual = np.zeros(LOST_OF, bool)
    for _ in range(LOST_IN):
        optimizer.step()
        with np.errstate(invalid="ignore"):
            w, s, m = rules.torch.rmsprop_centered(w, g, s, m, lr=1e-4)
        mean = beta * mean + (1 - beta) * g
        usual |= s - mean * mean < 0
    return {
        "PyTorch": int(theirs.isnan().sum()),
        "rmsprop_centered here": int(np.isnan(w).sum()),
        "with m = beta m + (1 - beta) g": int(usual.sum()),
    }
