"""Training a network: the loop, and the history it records.

Imports common, rules, schedules, kernels, backends, nn, optim and datasets.
"""

from __future__ import annotations

from .callbacks import (
    BestCheckpoint,
    CSVLogger,
    EarlyStopping,
    JSONLogger,
    LearningRateScheduler,
    ReduceLROnPlateau,
)
from .checkpoint import load_checkpoint, load_layers, save_checkpoint
from .history import History
from .loop import evaluate, fit
from .resume import resume, verify_resume
from .saved import Checkpoint
from .tensorboard import TensorBoard

__all__ = [
    "BestCheckpoint",
    "CSVLogger",
    "Checkpoint",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LearningRateScheduler",
    "ReduceLROnPlateau",
    "TensorBoard",
    "evaluate",
    "fit",
    "load_checkpoint",
    "load_layers",
    "resume",
    "save_checkpoint",
    "verify_resume",
]
