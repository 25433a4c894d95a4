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

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import backends, datasets, kernels, rules, schedules
from .common.errors import InputError, RuleError
from .common.version import __version__ as __version__
from .common.views import VIEWS
from .datasets import Dataset
from .datasets.normalization import Standardize
from .nn import activations, initializers, layers, losses
from .nn.network import MLP, Network
from .nn.regularization import L1, L2, ClipGlobalNorm, ClipNorm, ClipValue, MaxNorm
from .optim import optimizers
from .optim.optimizers import (
    LAMB,
    LARS,
    SGD,
    AdaBelief,
    Adadelta,
    AdaGrad,
    Adam,
    AdaMax,
    AdamW,
    Adan,
    AMSGrad,
    Lion,
    Momentum,
    Muon,
    Nadam,
    Nesterov,
    Optimizer,
    RAdam,
    RMSProp,
    ScheduleFreeAdamW,
)
from .training import (
    BestCheckpoint,
    Checkpoint,
    CSVLogger,
    EarlyStopping,
    History,
    JSONLogger,
    LearningRateScheduler,
    ReduceLROnPlateau,
    TensorBoard,
    evaluate,
    fit,
    load_checkpoint,
    load_layers,
    resume,
    save_checkpoint,
    verify_resume,
)

if TYPE_CHECKING:
    from . import tuning
    from .checks.gradient_check import GradientError, gradcheck
    from .checks.rule_check import assert_rule_matches
    from .export import export_rule
    from .lab.explanation import explain, first_parting
    from .lab.range_finder import find_lr
    from .lab.schedule_preview import preview
    from .nn.mc_dropout import mc_predict
    from .optim.averages import AverageWeights, Ensemble, Snapshots, recompute_statistics
    from .optim.translation import translate
    from .training.diagnostics import Diagnostics

_ON_DEMAND = {
    "GradientError": "checks.gradient_check:GradientError",
    "gradcheck": "checks.gradient_check:gradcheck",
    "assert_rule_matches": "checks.rule_check:assert_rule_matches",
    "export_rule": "export:export_rule",
    "explain": "lab.explanation:explain",
    "first_parting": "lab.explanation:first_parting",
    "find_lr": "lab.range_finder:find_lr",
    "preview": "lab.schedule_preview:preview",
    "mc_predict": "nn.mc_dropout:mc_predict",
    "AverageWeights": "optim.averages:AverageWeights",
    "Ensemble": "optim.averages:Ensemble",
    "Snapshots": "optim.averages:Snapshots",
    "recompute_statistics": "optim.averages:recompute_statistics",
    "translate": "optim.translation:translate",
    "Diagnostics": "training.diagnostics:Diagnostics",
    "tuning": "tuning",
}
"""What no training needs: it is imported when first asked for."""

VIEWS.update(
    {
        "history figure": "optimlab.plotting.training:history_figure",
        "diagnostics figure": "optimlab.plotting.training:diagnostics_figure",
        "weights figure": "optimlab.plotting.weights:weights_figure",
        "score figure": "optimlab.plotting.comparison:accuracy_figure",
        "loss figure": "optimlab.plotting.comparison:loss_figure",
        "sensitivity figure": "optimlab.plotting.comparison:sensitivity_figure",
        "map figure": "optimlab.plotting.maps:map_figure",
        "joint table": "optimlab.study.joint_table:joint_table",
        "race figure": "optimlab.plotting.race:race_figure",
        "race table": "optimlab.race.table:table",
        "race sentence": "optimlab.race.words:sentence",
        "search figure": "optimlab.plotting.tuning:trials_figure",
        "search table": "optimlab.tuning.table:results_table",
        "search measures": "optimlab.tuning.table:measures_table",
    }
)
# what draws a result: the rooms of the results may not import these, see optimlab.common.views


def __getattr__(name: str) -> Any:
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _ON_DEMAND[name].partition(":")
    found = import_module(f".{module}", __name__)
    globals()[name] = getattr(found, attribute) if attribute else found  # no longer asked for
    return globals()[name]


def __dir__() -> list[str]:
    return [*__all__, "__version__"]


__all__ = [
    "L1",
    "L2",
    "LAMB",
    "LARS",
    "MLP",
    "SGD",
    "AMSGrad",
    "AdaBelief",
    "AdaGrad",
    "AdaMax",
    "Adadelta",
    "Adam",
    "AdamW",
    "Adan",
    "AverageWeights",
    "BestCheckpoint",
    "CSVLogger",
    "Checkpoint",
    "ClipGlobalNorm",
    "ClipNorm",
    "ClipValue",
    "Dataset",
    "Diagnostics",
    "EarlyStopping",
    "Ensemble",
    "GradientError",
    "History",
    "InputError",
    "JSONLogger",
    "LearningRateScheduler",
    "Lion",
    "MaxNorm",
    "Momentum",
    "Muon",
    "Nadam",
    "Nesterov",
    "Network",
    "Optimizer",
    "RAdam",
    "RMSProp",
    "ReduceLROnPlateau",
    "RuleError",
    "ScheduleFreeAdamW",
    "Snapshots",
    "Standardize",
    "TensorBoard",
    "activations",
    "assert_rule_matches",
    "backends",
    "datasets",
    "evaluate",
    "explain",
    "export_rule",
    "find_lr",
    "first_parting",
    "fit",
    "gradcheck",
    "initializers",
    "kernels",
    "layers",
    "load_checkpoint",
    "load_layers",
    "losses",
    "mc_predict",
    "optimizers",
    "preview",
    "recompute_statistics",
    "resume",
    "rules",
    "save_checkpoint",
    "schedules",
    "translate",
    "tuning",
    "verify_resume",
]
