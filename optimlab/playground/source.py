"""Everything the page computes with, printed from optimlab: layers, activations, losses, penalties, rules."""

from __future__ import annotations

import json
from typing import Any

from .. import rules
from ..nn.activations import ACTIVATIONS
from ..nn.layers import Activate, BatchNorm, Dense, Dropout, Layer
from ..nn.losses import LOSSES
from ..nn.parameters import KINDS
from ..nn.regularization import L1, L2
from ..race.playground import rule_source
from .recorded import layer_source, loss_source, penalty_source


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
    return "\n".join([*maps.values(), f"const KINDS = {json.dumps(KINDS)};", *constants])


def _layer(layer: Layer, maps: dict[str, str], **arrays: float | None) -> str:
    """Print a layer: its three passes, its settings, its parameters, and its state with the initial values."""
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


def _object(parts: dict[str, str]) -> str:
    return "{\n" + "".join(f"{name}: {text},\n" for name, text in parts.items()) + "}"


def _json(value: Any) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/")
