"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Never

import numpy as np

from ..common.errors import InputError, count, only
from ..common.progress import progress_bar
from ..datasets import Dataset
from ..nn import regularization
from ..nn.losses import Loss
from ..nn.network import Network, seed_sequence
from ..nn.own_losses import LossFunction, chosen
from ..nn.regularization import Clip, Constraint, Penalty
from ..optim.optimizers import Optimizer
from .checks import check_batches, check_dataset, checked_data
from .evaluation import Evaluator
from .history import History
from .lifecycle import Diverged
from .run import Run
from .saved import load_run


def fit(
    network: Network,
    optimizer: Optimizer,
    data: Dataset,
    *,
    epochs: int = 20,
    batch_size: int = 64,
    loss: str | Loss | LossFunction | None = None,
    penalties: Sequence[Penalty] = (),
    clip: Clip | None = None,
    constraints: Sequence[Constraint] = (),
    seed: int | np.random.SeedSequence = 0,
    callbacks: Sequence[Any] = (),
    resume: str | Path | None = None,
    progress: bool | None = None,
    print_every: int | None = None,
    graph: bool = False,
    **other: Never,
) -> History:
    """Train ``network`` on the training split of ``data``, and measure it on the validation split after each epoch.

    Every epoch uses all rows once, in an order drawn from ``seed``; the last batch may be smaller. A loss that becomes
    infinite or NaN ends the run with status ``"diverged"``, and Ctrl-C ends it with ``"interrupted"``; the history of
    the epochs before is kept. On a GPU, divergence is detected only at the end of an epoch. The diverging step is still
    reported, but the weights are those after the epoch's last step.

    Parameters
    ----------
    network: the network.
    optimizer: an optimizer of ``network.parameters``.
    data: the data set.
    epochs: number of epochs.
    batch_size: number of rows per step.
    loss: a name in :mod:`optimlab.losses`. None selects the usual one for the targets and the network's outputs
        (:func:`optimlab.losses.usual`): a cross-entropy for classes, the mean squared error for one number. Or a
        function of your own, ``(outputs, targets) -> (value, gradient)``, see :func:`optimlab.nn.own_losses.chosen`;
        check it with :func:`optimlab.gradcheck`.
    penalties: penalties such as ``[ol.L2(1e-4)]``, whose gradients are added to that of the loss. The losses in the
        history do not include them; they have their own list there.
    clip: clipping such as ``ol.ClipGlobalNorm(1.0)``, applied to the gradients, which include the penalties.
    constraints: constraints such as ``[ol.MaxNorm(3.0)]``, applied to the weights after each update. See
        :mod:`optimlab.nn.regularization` for all three.
    seed: seed of the order of the rows.
    callbacks: called as ``callback(network, optimizer, history)`` after each epoch. If one returns True, training ends
        with status ``"stopped"``. See :mod:`optimlab.training.callbacks` for ready-made callbacks, and
        :mod:`optimlab.training.lifecycle` for your own.
    resume: a file that :class:`optimlab.Checkpoint` wrote. The run continues from there, bit for bit. Network,
        optimizer, data and options must be created as before, but ``epochs`` may be larger.
    progress: True or False to show or hide the progress bar. By default it is shown in a notebook, and if standard
        error is a terminal.
    print_every: print a line, see :meth:`History.line`, every so many epochs and after the last, and say how the run
        ended if it ended early. None prints nothing.
    graph: on the backend ``"cupy"``, whether to make each step one launch of a CUDA graph. If that is impossible, a
        warning says why, and training continues without: for rules of whole matrices, callbacks that observe each
        step, and functions of your own that synchronize the GPU. Experimental: tested only without a GPU.

    Returns
    -------
    History: losses, scores and learning rates of each epoch, and how the run ended.

    Raises
    ------
    InputError: the data, labels or options are invalid, which is found before the first step; or ``fit`` does not have
        a keyword, such as ``learning_rate``: the message says what to write.

    >>> import optimlab as ol
    >>> data = ol.datasets.load("digits")
    >>> net = ol.MLP([64, 32, 10], seed=0)
    >>> history = ol.fit(net, ol.Adam(net.parameters, lr=0.01), data, epochs=5)
    >>> history.status, history.steps, history.val_accuracy[-1] > 0.9
    ('completed', 85, True)
    """
    only(fit, other)
    if optimizer.parameters is not network.parameters:
        raise InputError("the optimizer was made for another network's parameters")
    check_dataset(data)
    loss = chosen(network, loss, data.y_train)
    epochs = count("epochs", epochs)
    batch_size = count("batch_size", batch_size)
    printed = 0 if print_every is None else count("print_every", print_every)
    x, y = checked_data(network, data.x_train, data.y_train, loss, "training")
    val = None if data.x_val is None else checked_data(network, data.x_val, data.y_val, loss, "validation")
    rows = len(x)
    check_batches(network, rows, batch_size)
    penalties = regularization.checked("penalties", penalties, network.parameters)
    constraints = regularization.checked("constraints", constraints, network.parameters)
    if clip is not None:
        regularization.checked("clip", [clip], network.parameters)
    order = np.random.default_rng(seed_sequence(seed))
    network.classifies = loss.classifies
    run = Run(network, optimizer, loss, batch_size, x, y, penalties, clip, constraints, order, callbacks, graph)
    run.epochs, run.data, run.val = epochs, data.name, val
    history, life = run.history, run.life
    score = loss.score
    kinds = ("loss",) if score is None else ("loss", score.name)
    whole = 0.0 if score is None else score.whole(y)
    measured = [f"{split}_{kind}" for split in (("train", "val") if val else ("train",)) for kind in kinds]
    remembered = load_run(resume, run) if resume is not None else None
    validate = Evaluator(network, *val, loss) if val else None
    with network.backend.quiet(), progress_bar("training", epochs, shown=progress) as advance, life.ending():
        life.begin(remembered, measured)
        for _ in range(history.epochs, epochs):
            if not run.position:  # otherwise a resumed run is inside an epoch
                optimizer.begin_epoch()
                life.begin_epoch()
            start = time.perf_counter()
            train_loss, counted, penalty = run.epoch()
            seconds = time.perf_counter() - start
            entries = {"train_loss": train_loss, "seconds": seconds}
            if penalties:
                entries["penalty"] = penalty
            if "lr" in optimizer.used:
                entries["lr"] = optimizer.used["lr"]
            if score is not None:
                entries[f"train_{score.name}"] = score.value(counted, whole)
            if validate:
                entries["val_loss"], val_score = validate()
                if score is not None:
                    entries[f"val_{score.name}"] = val_score
            entries = {name: float(value) for name, value in entries.items()}
            if not all(map(math.isfinite, entries.values())):
                raise Diverged(late=0)
            history.append(**entries)
            advance(f"loss {train_loss:.4g}")
            ended = life.end_epoch()
            if printed and (ended or history.epochs == epochs or history.epochs % printed == 0):
                print(history.line(epochs))
            if ended:
                history.status = "stopped"
                break
    if printed and history.status != "completed":
        print(history.ending())
    return history


def evaluate(
    network: Network, x: Any, y: Any, loss: str | Loss | LossFunction | None = None
) -> tuple[float, float | None]:
    """Return the loss and the score in evaluation mode, over all rows.

    The score is the accuracy for classes, R² for a regression (:data:`optimlab.losses.R2`), and None for a loss that
    has no score.

    Parameters
    ----------
    network: the network.
    x, y: inputs and targets.
    loss: as for :func:`optimlab.fit`.

    Raises
    ------
    InputError: ``x`` or ``y`` does not fit the network.

    >>> import optimlab as ol
    >>> net = ol.MLP([2, 3], initializer="zeros")
    >>> loss, accuracy = evaluate(net, np.zeros((4, 2)), [0, 0, 0, 1])
    >>> round(loss, 4), accuracy
    (1.0986, 0.75)
    """
    loss = chosen(network, loss, y)
    x, y = checked_data(network, x, y, loss, "given")
    value, score = Evaluator(network, x, y, loss)()
    return float(value), None if score is None else float(score)
