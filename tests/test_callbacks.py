"""Callbacks: when they stop, what they keep, and what they write."""

import csv
import json

import numpy as np
import pytest

import optimlab as ol
from optimlab.training.callbacks import Best, EarlyStopping
from optimlab.training.history import History

DATA = ol.datasets.load("digits")


def made_up(values, monitor="val_loss"):
    """A history that grows by one made-up value at a time."""
    history = History()
    for value in values:
        history.train_loss.append(value)
        if monitor != "train_loss":
            getattr(history, monitor).append(value)
        yield history


def stopped_after(callback, values, monitor="val_loss"):
    net = ol.MLP([2, 2])
    for history in made_up(values, monitor):
        if callback(net, None, history):
            return history.epochs
    return None


@pytest.mark.parametrize(
    ("patience", "values", "epoch"),
    [
        (2, [1.0] * 10, 3),  # a constant metric: the first epoch is the best, and two more are waited for
        (1, [3, 2, 1, 1, 1], 4),
        (2, [3, 2, 1, 2, 0.5, 0.6, 0.7], 7),  # an improvement starts the waiting anew
        (3, [5, 4, 3, 2, 1], None),
        (2, [1, float("nan"), float("nan")], 3),  # NaN is no improvement
    ],
)
def test_early_stopping_waits_as_keras_does(patience, values, epoch):
    assert stopped_after(EarlyStopping(patience=patience), values) == epoch


def test_accuracies_are_to_rise():
    assert stopped_after(EarlyStopping("val_accuracy", patience=1), [0.5, 0.6, 0.55], "val_accuracy") == 3


def test_an_improvement_must_exceed_min_delta():
    """Gains of 0.1 are none where 0.1 is asked to be exceeded; the best stays the first."""
    values = [1.0, 0.90625, 0.8125, 0.78125]
    assert stopped_after(EarlyStopping(patience=2, min_delta=0.125), values) is None
    assert stopped_after(EarlyStopping(patience=2, min_delta=0.25), values) == 3


def train(callbacks, lr=0.03, epochs=60, **options):
    net = ol.MLP([64, 16, 10], batch_norm=True, seed=0)
    history = ol.fit(net, ol.Adam(net.parameters, lr=lr), DATA, epochs=epochs, callbacks=callbacks, **options)
    return net, history


def test_early_stopping_puts_the_best_epoch_back_with_its_statistics():
    stop = EarlyStopping("val_loss", patience=4)
    net, history = train([stop])
    assert history.status == "stopped"
    assert history.epochs == stop.best.epoch + 4
    loss, _ = ol.evaluate(net, DATA.x_val, DATA.y_val)
    assert loss == min(history.val_loss) == stop.best.value


def test_early_stopping_may_leave_the_last_epoch():
    net, history = train([EarlyStopping(patience=4, restore_best=False)])
    assert ol.evaluate(net, DATA.x_val, DATA.y_val)[0] == history.val_loss[-1]


def test_the_best_is_put_back_however_training_ends(tmp_path):
    keep = ol.BestCheckpoint("val_accuracy", tmp_path / "best.npz")
    net, history = train([keep], epochs=8)
    assert ol.evaluate(net, DATA.x_val, DATA.y_val)[1] == max(history.val_accuracy)
    fresh = ol.MLP([64, 16, 10], batch_norm=True, seed=3)
    extra = ol.load_checkpoint(tmp_path / "best.npz", fresh)
    assert extra == {"epoch": keep.best.epoch, "val_accuracy": max(history.val_accuracy)}
    np.testing.assert_array_equal(fresh.logits(DATA.x_val), net.logits(DATA.x_val))

    def ruin(network, optimizer, history):
        if history.epochs == 3:
            optimizer.lr = 1e30

    keep = ol.BestCheckpoint("val_loss")
    net, history = train([keep, ruin], epochs=8)
    assert history.status == "diverged"
    assert ol.evaluate(net, DATA.x_val, DATA.y_val)[0] == min(history.val_loss)


def test_the_scheduler_sets_the_rate_of_each_epoch():
    _, history = train([ol.LearningRateScheduler(lambda epoch: 0.01 / (1 + epoch))], lr=0.01, epochs=4)
    assert history.lr == [0.01, 0.005, 0.01 / 3, 0.0025]


def test_the_loggers_write_what_the_history_holds(tmp_path):
    _, history = train([ol.CSVLogger(tmp_path / "log.csv"), ol.JSONLogger(tmp_path / "log.jsonl")], epochs=3)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for name in ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr"):
        assert [float(row[name]) for row in rows] == getattr(history, name) == [line[name] for line in lines]


def test_a_new_csv_log_replaces_the_old_one(tmp_path):
    for _ in range(2):
        train([ol.CSVLogger(tmp_path / "log.csv")], epochs=2)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EarlyStopping("val_los"), "unknown measure 'val_los'; did you mean 'val_loss'"),
        (lambda: EarlyStopping(patience=0), "patience must be a whole number of at least 1"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta must be"),
        (lambda: Best("val_loss").improves(History()), "there is no val_loss to watch"),
        (lambda: train([ol.CSVLogger("/nowhere/log.csv")], epochs=1), "cannot write /nowhere/log.csv"),
        (lambda: train([ol.JSONLogger("/nowhere/log.jsonl")], epochs=1), "cannot write /nowhere/log.jsonl"),
        (lambda: train([lambda *a: None, ol.LearningRateScheduler(lambda e: -1.0)], epochs=2), "lr must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ol.InputError, match=message):
        call()
