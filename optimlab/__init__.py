"""optimlab: a laboratory for neural-network optimizers.

An update rule is written once, as the textbook prints it (:mod:`optimlab.rules`); everything that runs it is made
from that one function. Around it stands a network with hand-written forward and backward passes.

>>> import optimlab as ol
>>> data = ol.datasets.load("digits")
>>> net = ol.MLP([64, 32, 10], activation="relu", seed=0)
>>> opt = ol.Adam(net.parameters, lr=0.01)
>>> history = ol.fit(net, opt, data, epochs=5)
"""

from __future__ import annotations

from . import activations, backends, datasets, initializers, kernels, layers, losses, optimizers, rules
from .datasets import Dataset
from .errors import InputError, RuleError
from .gradient_check import GradientError, gradcheck
from .network import MLP, Network
from .optimizers import SGD, AdaGrad, Adam, AdaMax, AdamW, Momentum, Nadam, Nesterov, Optimizer, RMSProp
from .training import History, evaluate, fit

__version__ = "0.1.0"

__all__ = [
    "MLP",
    "SGD",
    "AdaGrad",
    "AdaMax",
    "Adam",
    "AdamW",
    "Dataset",
    "GradientError",
    "History",
    "InputError",
    "Momentum",
    "Nadam",
    "Nesterov",
    "Network",
    "Optimizer",
    "RMSProp",
    "RuleError",
    "activations",
    "backends",
    "datasets",
    "evaluate",
    "fit",
    "gradcheck",
    "initializers",
    "kernels",
    "layers",
    "losses",
    "optimizers",
    "rules",
]
