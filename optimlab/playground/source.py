"""Everything the page computes with, printed from optimlab: layers, losses, penalties, rules, schedules, digits."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict
from typing import Any

import numpy as np

from .. import datasets, rules
from ..nn.activations import ACTIVATIONS
from ..nn.initializers import INITIALIZERS, Constant, VarianceScaling
from ..nn.layers import Activate, BatchNorm, Dense, Dropout, Layer
from ..nn.losses import LOSSES
from ..nn.network import GLOROT
from ..nn.parameters import KINDS
from ..nn.regularization import L1, L2
from ..race.playground import rule_source
from ..schedules.shapes import SHAPES, Length, Shape
from .recorded import layer_source, loss_source, penalty_source

STEPS = 1000
"""The length of a schedule on the page."""


def network_source() -> str:
    """Print the constants that ``page/network.js`` computes with.

    >>> text = network_source()
    >>> "function swish_backward_map(" in text, "function adam_scalars(" in text
    (True, True)
    """
    maps: dict[str, str] = {}
    layers = {
        "dense": _layer(Dense(3, 5), maps),
        "norm": _layer(BatchNorm(5), maps, running_mean=0.0, running_var=1.0),
        "dropout": _layer(Dropout(5, 0.5), maps, generator=None),
    }
    bends = {name: _layer(Activate(5, name), maps) for name in ACTIVATIONS}
    losses = {name: loss_source(loss, maps) for name, loss in LOSSES.items()}
    penalties = {"l1": penalty_source(L1(0.5), maps), "l2": penalty_source(L2(0.5), maps)}
    printed = {
        convention: _object({name: rule_source(rules.find(name, convention)) for name in rules.names(convention)})
        for convention in rules.CONVENTIONS
    }
    objects = {"LAYERS": layers, "ACTIVATIONS": bends, "LOSSES": losses, "PENALTIES": penalties, "RULES": printed}
    constants = [f"const {name} = {_object(parts)};" for name, parts in objects.items()]
    plain = {"KINDS": KINDS, "SCHEDULES": _schedules(), "INITIALIZERS": _initializers(), "GLOROT": GLOROT}
    constants += [f"const {name} = {_json(value)};" for name, value in plain.items()]
    return "\n".join([*maps.values(), *constants, _digits()])


def _layer(layer: Layer, maps: dict[str, str], **arrays: float | None) -> str:
    """Print a layer: its passes, its settings, its parameters, and its state with the initial values."""
    sides = {3: "inputs", 5: "outputs"}
    parameters = [
        {
            "name": declared.attribute,
            "kind": declared.kind,
            "shape": [sides[n] for n in declared.shape],
            "value": getattr(declared.initializer, "value", 0.0),
        }
        for declared in layer.declare()
    ]
    settings = {name: value for name, value in vars(layer).items() if isinstance(value, float)}
    state = {name: value for name, value in arrays.items() if value is not None}
    facts = {"settings": settings, "parameters": parameters, "state": state}
    kinds = {name: "generator" if value is None else "row" for name, value in arrays.items()}
    return f"{{...{layer_source(layer, maps, **kinds)}, ...{_json(facts)}}}"


def _schedules() -> dict[str, list[float]]:
    """Return the rates of a run of ``STEPS`` steps, as shares of the peak, for each schedule that only counts."""
    run = Length(STEPS)
    made = {name: Shape(name).schedule(1.0, run) for name in SHAPES if not Shape(name).listens}
    return {name: [float(f"{schedule(k):.9g}") for k in range(STEPS)] for name, schedule in made.items()}


def _initializers() -> dict[str, dict[str, Any]]:
    """Return the initializers that the page draws from: scaled, but neither truncated nor orthogonal."""
    kept = (VarianceScaling, Constant)
    found = {name: asdict(made) for name, made in INITIALIZERS.items() if isinstance(made, kept)}
    return {name: facts for name, facts in found.items() if facts.get("distribution") != "truncated"}


def _digits() -> str:
    """Return the bundled digits without their test rows, as bytes in base64."""
    data = datasets.load("digits")
    pixels, labels = (np.concatenate(parts) for parts in ((data.x_train, data.x_val), (data.y_train, data.y_val)))
    texts = [base64.b64encode(a.astype(np.uint8).tobytes()).decode() for a in (np.rint(pixels * 16), labels)]
    read = 'Uint8Array.from(atob("{}"), letter => letter.charCodeAt(0))'
    parts = {"pixels": read.format(texts[0]), "labels": read.format(texts[1]), "training": str(len(data.x_train))}
    return f"const DIGITS = {_object(parts)};"


def _object(parts: dict[str, str]) -> str:
    return "{\n" + "".join(f"{name}: {text},\n" for name, text in parts.items()) + "}"


def _json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
