"""Names that users of Keras, PyTorch, Optax and scikit-learn know, with their equivalents here.

The errors for unknown names use this table, see :func:`optimlab.common.errors.unknown`. An entry lists names of
optimlab, separated by bars; the first one that is known in the context is suggested. The last part may be a sentence,
used if none is known.
"""

from __future__ import annotations

from collections.abc import Collection

_TO_FIT = "give it to the optimizer, as in ol.Adam(net.parameters, lr=0.01)"
_PENALTY = "write penalties=[ol.L2(1e-4)], an argument of ol.fit"
_CLIP = {
    "clipvalue": "write clip=ol.ClipValue(0.5), an argument of ol.fit",
    "clip_value": "write clip=ol.ClipValue(0.5), an argument of ol.fit",
    "clipnorm": "write clip=ol.ClipNorm(1.0), an argument of ol.fit",
    "global_clipnorm": "write clip=ol.ClipGlobalNorm(1.0), an argument of ol.fit",
    "max_grad_norm": "write clip=ol.ClipGlobalNorm(1.0), an argument of ol.fit",
}
_TERMS = {
    "kernel_regularizer": _PENALTY,
    "l2": _PENALTY,
    "l1": "write penalties=[ol.L1(1e-4)], an argument of ol.fit",
    "kernel_constraint": "write constraints=[ol.MaxNorm(3.0)], an argument of ol.fit",
    "max_norm": "write constraints=[ol.MaxNorm(3.0)], an argument of ol.fit",
}
_PRINTED = "write print_every=1 for a line an epoch, or progress=True for a bar, arguments of ol.fit"

FAMILIAR: dict[str, dict[str, str]] = {
    "hyperparameter of": {
        **_CLIP,
        **_TERMS,
        "learning_rate": "lr",
        "eta": "lr",
        "momentum": "beta|beta1|ol.Momentum and ol.Nesterov have one, which is called beta",
        "nesterov": "write ol.Nesterov",
        "amsgrad": "write ol.AMSGrad",
        "betas": "write beta1 and beta2, a number each",
        "beta_1": "beta1",
        "beta_2": "beta2",
        "b1": "beta1",
        "b2": "beta2",
        "rho": "beta|beta2",
        "alpha": "beta|beta2",
        "decay": "for a rate that falls write lr=ol.schedules.ExponentialLR(0.1, 0.95), for weight decay ol.AdamW or "
        "ol.L2",
        "weight_decay": "write ol.AdamW, or penalties=[ol.L2(1e-4)], an argument of ol.fit",
        "epsilon": "eps",
    },
    "argument of fit": {
        **_CLIP,
        **_TERMS,
        "learning_rate": _TO_FIT,
        "lr": _TO_FIT,
        "momentum": "give it to the optimizer, as in ol.Momentum(net.parameters, beta=0.9)",
        "weight_decay": "write penalties=[ol.L2(1e-4)], or give it to the optimizer ol.AdamW",
        "scheduler": "give the schedule to the optimizer, as in lr=ol.schedules.StepLR(0.1, 10)",
        "validation_data": "the data hold it: ol.Dataset(x_train, y_train, x_val, y_val)",
        "validation_split": "split the data before: data.with_validation(200)",
        "metrics": "accuracy is always measured, and for a regression R²",
        "shuffle": "every epoch has its own order, which seed decides",
        "verbose": _PRINTED,
        "early_stopping": "write callbacks=[ol.EarlyStopping(patience=10)]",
        "patience": "write callbacks=[ol.EarlyStopping(patience=10)]",
        "device": "choose it for the network, as in ol.MLP([64, 10], backend='cupy')",
        "n_epochs": "epochs",
        "num_epochs": "epochs",
        "nb_epoch": "epochs",
        "max_iter": "epochs",
        "criterion": "loss",
        "loss_fn": "loss",
        "random_state": "seed",
    },
    "argument of EarlyStopping": {
        "restore_best_weights": "restore_best",
        "mode": "leave it out: losses are to fall, accuracy and R² to rise",
        "verbose": _PRINTED,
        "metric": "monitor",
    },
    "argument of BestCheckpoint": {
        "filepath": "path",
        "save_best_only": "leave it out: the best network alone is kept",
        "mode": "leave it out: losses are to fall, accuracy and R² to rise",
        "verbose": _PRINTED,
        "metric": "monitor",
    },
    "option of ReduceLROnPlateau": {
        "min_delta": "threshold",
        "epsilon": "threshold",
        "min_learning_rate": "min_lr",
        "verbose": _PRINTED,
    },
    "argument of MLP": {
        **_TERMS,
        "hidden_activation": "activation",
        "output_activation": "leave it out: the loss applies softmax itself",
        "dropout_rate": "dropout",
        "batch_normalization": "batch_norm",
        "kernel_initializer": "initializer",
        "init": "initializer",
        "bias": "use_bias",
        "random_state": "seed",
        "device": "backend",
        "learning_rate": _TO_FIT,
        "lr": _TO_FIT,
        "optimizer": "make it after the network, as in ol.Adam(net.parameters)",
        "loss": "loss is an argument of ol.fit",
    },
    "argument of Network": {"random_state": "seed", "device": "backend"},
    "argument of Dense": {
        **_TERMS,
        "kernel_initializer": "initializer",
        "bias": "use_bias",
    },
    "argument of BatchNorm": {"epsilon": "eps"},
}
"""The equivalents of familiar names, by the kind of name."""


def advice(kind: str, name: object, known: Collection[str]) -> str:
    """Return advice on what to write instead of a familiar name; empty if the name is not familiar.

    >>> advice("hyperparameter of adam", "learning_rate", ["lr", "beta1"])
    'write lr'
    >>> advice("hyperparameter of adam", "momentum", ["lr", "beta1"]), advice("hyperparameter of sgd", "width", ["lr"])
    ('write beta1', '')
    """
    for beginning, names in FAMILIAR.items():
        if kind.startswith(beginning) and name in names:
            *ours, last = names[str(name)].split("|")
            found = [f"write {one}" for one in (*ours, last) if one in known]
            return found[0] if found else last if " " in last else ""
    return ""


__all__ = ["FAMILIAR", "advice"]
