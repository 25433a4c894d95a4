"""Make keras_callbacks.json: what Keras's callbacks do in the runs of tests/callback_runs.py.

Needs keras and jax, in any environment of their own::

    pip install keras jax
    python tests/golden/make_callbacks.py
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "jax"
os.environ["JAX_PLATFORMS"] = "cpu"
sys.path.insert(0, str(Path(__file__).parents[1]))

import keras
from callback_runs import CASES, LR, SCHEDULES

NAMES = {"EarlyStopping": {"restore_best": "restore_best_weights"}, "ReduceLROnPlateau": {"threshold": "min_delta"}}


def make(kind, options, asked):
    """Keras's callback, and a schedule that notes what it is asked."""
    options = {NAMES.get(kind, {}).get(name, name): value for name, value in options.items()}
    if kind == "LearningRateScheduler":
        schedule = SCHEDULES[options["schedule"]]

        def noting(*arguments):
            rate = schedule(*arguments)  # a TypeError makes Keras ask again without the rate
            asked.append(arguments)
            return rate

        return keras.callbacks.LearningRateScheduler(noting)
    if kind == "EarlyStopping":
        options = {"restore_best_weights": True, **options}
    return getattr(keras.callbacks, kind)(monitor="val_loss", **options)


def run(callbacks, values, asked):
    """One training, as ``model.fit`` calls its callbacks, without the steps."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(LR))
    model.stop_training = False
    life = keras.callbacks.CallbackList(callbacks, model=model)
    rates, asked[:] = [], []
    life.on_train_begin()
    for epoch, value in enumerate(values):
        life.on_epoch_begin(epoch)
        rates.append(float(model.optimizer.learning_rate.numpy()))
        model.set_weights([w * 0 + epoch + 1 for w in model.get_weights()])
        life.on_epoch_end(epoch, {"val_loss": value})
        if model.stop_training:
            break
    life.on_train_end()
    weight = float(model.get_weights()[0].item())
    return {"lr": rates, "left with": weight, "asked": [[float(x) for x in arguments] for arguments in asked]}


def case(callbacks, runs):
    asked = []
    made = [make(kind, options, asked) for kind, options in callbacks]
    return [run(made, values, asked) for values in runs]


if __name__ == "__main__":
    found = {"keras": keras.__version__, "cases": {name: case(*given) for name, given in CASES.items()}}
    Path(__file__).with_name("keras_callbacks.json").write_text(json.dumps(found, indent=1) + "\n")
