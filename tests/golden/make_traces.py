"""Make keras.npz and optax.npz: what Keras and Optax do with the problem of tests/parity.py.

Needs keras, jax, optax and this package, in any environment of their own::

    pip install keras jax optax scipy
    PYTHONPATH=. python tests/golden/make_traces.py

Keras runs on its JAX backend, where the optimizers are the generic ones of keras/src/optimizers (the PyTorch backend
has replacements, the NumPy backend computes in float32); eagerly, one operation at a time, as outside a compiled
training step.
"""

from __future__ import annotations

import inspect
import json
import os
import platform
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
sys.path.insert(0, str(Path(__file__).parents[1]))

import functools

import jax
import keras
import numpy as np
import optax
import parity


def defaults(call):
    """The numbers (and None) among a signature's defaults."""
    numbers = inspect.signature(call).parameters.items()
    return {k: p.default for k, p in numbers if p.default is None or isinstance(p.default, int | float)}


def about(library, calls):
    return json.dumps(
        {
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "jax": jax.__version__,
                library.__name__: library.__version__,
            },
            "backend": "jax, eager" if library is keras else "jax, compiled step",
            "steps": parity.RECORDED,
            "defaults": {name: defaults(call) for name, call in calls.items()},
        }
    )


def record(library):
    """Every row of the library, in every variant and dtype."""
    traces = {}
    recorded = np.array(parity.RECORDED) - 1
    for row in (row for row in parity.ROWS if row.library == library.__name__):
        for variant in row.variants:
            for dtype in parity.DTYPES:
                key = f"{row.rule}/{variant}/{dtype}"
                if library is keras:
                    path = parity.keras_path(row, variant, dtype)
                else:
                    path, evaluation = parity.optax_path(row, variant, dtype)
                    if evaluation is not None:
                        traces[f"evaluation/{key}"] = evaluation[recorded]
                assert path.dtype == dtype, key
                traces[key] = path[recorded]
                print(key, flush=True)
    return traces


if __name__ == "__main__":
    for library, root in ((keras, keras.optimizers), (optax, optax)):
        there = parity.CALLS[library.__name__].values()
        calls = {name: functools.reduce(getattr, name.split("."), root) for name, _ in there}
        np.savez_compressed(parity.GOLDEN / f"{library.__name__}.npz", about=about(library, calls), **record(library))
