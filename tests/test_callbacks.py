"""Callbacks: their life, when they stop, what they keep, and what they write."""

import csv
import itertools
import json
import math
from pathlib import Path

import callback_runs
import numpy as np
import pytest
from conftest import require

import optimlab as ol
from optimlab.training.callbacks import Best, EarlyStopping
from optimlab.training.checkpoint import read_checkpoint
from optimlab.training.history import History
from optimlab.training.lifecycle import HOOKS, Lifecycle

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


def test_early_stopping_waits_from_the_first_epoch_in_every_run():
    """An epoch without a number is no improvement, not even the first."""
    stop = EarlyStopping(patience=2)
    for _ in range(2):
        assert stop.best.epoch == 0
        assert stopped_after(stop, [math.nan] * 5) == 2
        stop.on_begin(None, None, None)
    assert stopped_after(EarlyStopping(), [1.0] * 20) == 11


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
    """The first epoch is included, and the schedule is never asked for an epoch that does not come."""
    rates = [0.01, 0.005, 0.003]
    _, history = train([ol.LearningRateScheduler(rates.__getitem__)], lr=0.7, epochs=3)
    assert history.lr == rates
    _, history = train([ol.LearningRateScheduler(ol.schedules.MultiStepLR(0.01, (1, 2)))], lr=0.7, epochs=3)
    assert history.lr == pytest.approx([0.01, 0.001, 0.0001])


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (lambda epoch, lr: lr / 2, [0.5, 0.25, 0.125]),
        (lambda epoch, lr=0.1: lr / 2, [0.5, 0.25, 0.125]),
        (lambda epoch, present: present / 2, [0.5, 0.25, 0.125]),
        (lambda epoch, decay=0.5: decay**epoch, [1.0, 0.5, 0.25]),  # a default of the user's own is no rate
        (lambda *arguments: 0.5 ** len(arguments), [0.5, 0.5, 0.5]),
        (lambda epoch: np.float32(0.5), [0.5, 0.5, 0.5]),
    ],
)
def test_which_functions_are_given_the_rate(schedule, rates):
    assert train([ol.LearningRateScheduler(schedule)], lr=1.0, epochs=3)[1].lr == rates


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


# --- Keras and PyTorch


def lived(callbacks, values, optimizer=None):
    """A run of made-up validation losses: after epoch e every weight is e."""
    net = ol.MLP([1, 1])
    optimizer = optimizer(net.parameters) if optimizer else ol.SGD(net.parameters, lr=callback_runs.LR)
    history, rates = History(), []
    life = Lifecycle(callbacks, net, optimizer, history)
    with life.ending():
        life.begin()
        for value in values:
            life.begin_epoch()
            rates.append([optimizer.lr, *(own["lr"] for own in optimizer.groups.values())])
            net.parameters.data[...] = len(rates)
            history.append(train_loss=value, val_loss=value)
            if life.end_epoch():
                break
    return rates, float(net.parameters.data[0])


KERAS = json.loads((Path(__file__).parent / "golden" / "keras_callbacks.json").read_text())["cases"]


@pytest.mark.parametrize("name", callback_runs.CASES)
def test_callbacks_do_what_those_of_keras_do(name):
    """In the recorded runs: rates, epochs, the weights left, and what a schedule is asked, one run after another."""
    kinds, runs = callback_runs.CASES[name]
    asked, callbacks = [], []
    for kind, options in kinds:
        if kind == "LearningRateScheduler":
            schedule = callback_runs.SCHEDULES[options["schedule"]]
            if schedule.__code__.co_argcount == 1:
                noted = lambda epoch, f=schedule: (asked.append([epoch]), f(epoch))[1]  # noqa: E731
            else:
                noted = lambda epoch, lr, f=schedule: (asked.append([epoch, lr]), f(epoch, lr))[1]  # noqa: E731
            callbacks.append(ol.LearningRateScheduler(noted))
        else:
            options = {"convention": "keras", **options} if kind == "ReduceLROnPlateau" else options
            callbacks.append(getattr(ol, kind)("val_loss", **options))
    for values, theirs in zip(runs, KERAS[name], strict=True):
        asked.clear()
        rates, left = lived(callbacks, values)
        np.testing.assert_allclose([rate for rate, *_ in rates], theirs["lr"], rtol=1e-6)
        assert left == theirs["left with"]
        np.testing.assert_allclose(asked, theirs["asked"], rtol=1e-6)


@pytest.mark.parametrize("options", [{"patience": 1}, {"patience": 0, "cooldown": 2}, {"patience": 2, "min_lr": 0.02}])
def test_the_plateau_cuts_every_group_as_pytorch_does(options):
    """Rates that another callback changes on the way among them, and a second run with the same callback."""
    torch = require("torch")
    values = np.random.default_rng(0).random((2, 30)).round(1)
    changes = {7: 0.9, 8: 0.3, 20: 0.7}

    def change(network, optimizer, history):
        optimizer.lr = changes.get(history.epochs, optimizer.lr)

    cut = ol.ReduceLROnPlateau("val_loss", factor=0.3, **options)
    for run in values.tolist():
        ours, _ = lived([cut, change], run, lambda w: ol.SGD(w, lr=0.5, groups={"biases": {"lr": 0.25}}))
        weights = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
        theirs = torch.optim.SGD([{"params": [w], "lr": lr} for w, lr in zip(weights, (0.5, 0.25), strict=True)])
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, factor=0.3, **options)
        expected = []
        for epoch, value in enumerate(run, 1):
            expected.append([group["lr"] for group in theirs.param_groups])
            plateau.step(value)
            theirs.param_groups[0]["lr"] = changes.get(epoch, theirs.param_groups[0]["lr"])
        assert ours == expected
        assert ours[-1][1] < 0.25


def test_the_plateau_of_keras_goes_on_until_every_group_has_the_lowest_rate():
    cut = ol.ReduceLROnPlateau("val_loss", factor=0.5, patience=1, min_lr=0.1, convention="keras")
    rates, _ = lived([cut], [1.0] * 5, lambda w: ol.SGD(w, lr=0.4, groups={"biases": {"lr": 0.1}}))
    assert rates == [[0.4, 0.1], [0.4, 0.1], [0.2, 0.1], [0.1, 0.1], [0.1, 0.1]]


@pytest.mark.parametrize("make", [lambda: ol.ReduceLROnPlateau(), lambda: ol.LearningRateScheduler(lambda epoch: 0.1)])
def test_a_schedule_of_the_optimizer_cannot_be_set_too(make):
    net = ol.MLP([4, 3], seed=0)
    before, data = net.parameters.data.copy(), tiny()
    schedule = ol.schedules.OneCycle(0.5, total=9)
    with pytest.raises(ol.InputError, match=r"sets the learning rate, but so does OneCycle\(.*: give the optimizer a"):
        ol.fit(net, ol.SGD(net.parameters, lr=schedule), data, epochs=3, batch_size=8, callbacks=[make()])
    np.testing.assert_array_equal(net.parameters.data, before)
    if isinstance(make(), ol.ReduceLROnPlateau):
        optimizer = ol.SGD(net.parameters, lr=0.1, groups={"biases": {"lr": schedule}})
        with pytest.raises(ol.InputError, match="but so does OneCycle"):
            ol.fit(net, optimizer, data, epochs=3, batch_size=8, callbacks=[make()])


# --- the life of every callback


def tiny(rows=24):
    g = np.random.default_rng(0)
    x, y = g.normal(size=(rows, 4)), g.integers(0, 3, rows)
    return ol.Dataset(x, y, x[:8], y[:8])


class Counts:
    """A callback of a user's, whose memory has an array and infinite numbers, and which changes the weights."""

    def __init__(self):
        self.seen, self.low, self.sum, self.bounds = "never", 0.0, None, None

    def on_begin(self, network, optimizer, history):
        self.seen, self.low, self.sum = [], math.inf, network.parameters.data * 0
        self.bounds = {"low": [-math.inf], "none": math.nan}

    def on_step(self, network, optimizer):
        self.sum += network.parameters.data
        if len(self.seen) == 1:
            self.low = min(self.low, float(self.sum.sum()))

    def __call__(self, network, optimizer, history):
        self.seen.append(history.epochs)
        network.layers[0].b.data[...] *= 0.5

    def state(self):
        return {"seen": self.seen, "low": self.low, "sum": self.sum, "bounds": self.bounds}

    def load(self, state, network):
        self.seen, self.low, self.sum, self.bounds = (state[name] for name in ("seen", "low", "sum", "bounds"))


KINDS = {
    "EarlyStopping": lambda net, folder: ol.EarlyStopping("val_loss", patience=2),
    "BestCheckpoint": lambda net, folder: ol.BestCheckpoint("val_accuracy", folder / "best.npz"),
    "ReduceLROnPlateau": lambda net, folder: ol.ReduceLROnPlateau("val_loss", patience=0, factor=0.5),
    "LearningRateScheduler": lambda net, folder: ol.LearningRateScheduler(lambda epoch, lr: lr * (1 - epoch / 9)),
    "CSVLogger": lambda net, folder: ol.CSVLogger(folder / "log.csv"),
    "JSONLogger": lambda net, folder: ol.JSONLogger(folder / "log.jsonl"),
    "Checkpoint": lambda net, folder: ol.Checkpoint(folder / "other.npz", every=2),
    "AverageWeights": lambda net, folder: ol.AverageWeights(net, decay=0.9),
    "Snapshots": lambda net, folder: ol.Snapshots(every=2),
    "Diagnostics": lambda net, folder: ol.Diagnostics(every=2),
    "TensorBoard": lambda net, folder: ol.TensorBoard(folder / "board"),
    "Counts": lambda net, folder: Counts(),
    "function": lambda net, folder: lambda network, optimizer, history: None,
}


def test_every_callback_is_in_the_table():
    public = {name for name in ol.__all__ if isinstance(getattr(ol, name), type)}
    with_a_hook = {name for name in public if any(hasattr(getattr(ol, name), hook) for hook in HOOKS)}
    called = {n for n in public if "history" in getattr(vars(getattr(ol, n)).get("__call__"), "__annotations__", {})}
    assert with_a_hook | called == set(KINDS) - {"Counts", "function"}


def fit(net, callbacks, lr=0.3, epochs=5, **options):
    opt = ol.Momentum(net.parameters, lr=lr)
    return ol.fit(net, opt, tiny(), epochs=epochs, batch_size=8, callbacks=callbacks, **options), opt


def mlp(seed=0):
    return ol.MLP([4, 6, 3], activation="tanh", seed=seed)


def remembered(callback):
    """The state; a JSONLogger's file has the lines of earlier runs, too."""
    return callback.state() if hasattr(callback, "state") and not isinstance(callback, ol.JSONLogger) else {}


def assert_same_state(ours, theirs):
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if hasattr(value, "shape"):
            np.testing.assert_array_equal(ours[name], value, err_msg=name)
        else:
            assert repr(ours[name]) == repr(value), name  # NaN is NaN


@pytest.mark.quick_each("kind")
@pytest.mark.parametrize("rate", [0.01, 1e30], ids=["trained", "diverged"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_callback_used_again_is_as_good_as_new(kind, rate, tmp_path):
    """After a run that went otherwise; the network begins again where it began, so that averages may be used, too."""
    net, fresh_net = mlp(), mlp()
    start, fresh_folder = net.parameters.data.copy(), tmp_path / "fresh"
    fresh_folder.mkdir()
    used = KINDS[kind](net, tmp_path)
    fit(net, [used], lr=rate, epochs=7)
    net.load(start)
    history, _ = fit(net, [used])
    fresh = KINDS[kind](fresh_net, fresh_folder)
    expected, _ = fit(fresh_net, [fresh])
    np.testing.assert_array_equal(net.parameters.data, fresh_net.parameters.data)
    assert {**history.to_dict(), "seconds": 0} == {**expected.to_dict(), "seconds": 0}
    assert_same_state(remembered(used), remembered(fresh))


def test_the_best_of_another_network_is_never_put_back():
    for keep in (ol.BestCheckpoint("val_accuracy"), ol.EarlyStopping("val_loss", patience=3)):
        for seed, lr in ((0, 0.5), (1, 0.001)):
            net = ol.MLP([64, 16, 10], seed=seed)
            history = ol.fit(net, ol.SGD(net.parameters, lr=lr), DATA, epochs=4, callbacks=[keep])
            values = dict(zip(("val_loss", "val_accuracy"), ol.evaluate(net, DATA.x_val, DATA.y_val), strict=True))
            of = keep.best.monitor
            assert values[of] == (max if keep.best.rises else min)(getattr(history, of)), (keep, seed)


def outcome(order, folder):
    """Return all that a run leaves: weights, history, files, and the memory of each callback."""
    folder.mkdir()
    net = mlp()
    made = {kind: KINDS[kind](net, folder) for kind in order}
    history, opt = fit(net, [made[kind] for kind in order], epochs=4)
    left = {"weights": net.parameters.data.copy(), "lr": opt.lr, **history.to_dict(), "seconds": 0}
    for kind in sorted(order):
        left |= {f"{kind}.{name}": value for name, value in remembered(made[kind]).items()}
    best, header = read_checkpoint(folder / "best.npz")
    left |= {f"best.npz/{name}": array for name, array in best.items()} | {"best.npz": header}
    arrays, header = read_checkpoint(folder / "other.npz")
    for k, kind in enumerate(order):
        header[kind] = header["extra"]["callbacks"][k]
        for name in [name for name in arrays if name.startswith(f"extra/{k}/")]:
            arrays[f"{kind}/{name.partition('/')[2].partition('/')[2]}"] = arrays.pop(name)
    del header["extra"]["callbacks"], header["extra"]["history"]["seconds"]
    return left | {f"other.npz/{name}": array for name, array in arrays.items()} | {"other.npz": header}


@pytest.mark.parametrize(
    "kinds",
    [
        ("Checkpoint", "AverageWeights", "ReduceLROnPlateau", "BestCheckpoint"),
        ("BestCheckpoint", "Checkpoint", "LearningRateScheduler"),
        ("Checkpoint", "BestCheckpoint", "EarlyStopping"),
        ("Snapshots", "Checkpoint", "BestCheckpoint"),
        ("Diagnostics", "Checkpoint", "BestCheckpoint"),
    ],
)
def test_the_order_of_callbacks_changes_nothing(kinds, tmp_path):
    """Not the run, not what is remembered, not the files: all permutations."""
    first = None
    for k, order in enumerate(itertools.permutations(kinds)):
        left = outcome(order, tmp_path / str(k))
        first = first or left
        assert left.keys() == first.keys()
        for name, value in first.items():
            np.testing.assert_array_equal(left[name], value, err_msg=f"{name}: {order}")


class Notes:
    """Notes that it began and ended, and raises where it is told to."""

    def __init__(self, point="", error=None, at=1):
        self.calls, self.point, self.error, self.at = [], point, error, at

    def _note(self, point):
        self.calls.append(point)
        if point == self.point and self.calls.count(point) == self.at:
            raise self.error

    def on_begin(self, network, optimizer, history):
        self._note("on_begin")

    def on_epoch_begin(self, network, optimizer, history):
        self._note("on_epoch_begin")

    def on_step(self, network, optimizer):
        self._note("on_step")

    def __call__(self, network, optimizer, history):
        self._note("__call__")

    def on_end(self, network, optimizer, history):
        self.calls.append(history.status)
        self._note("on_end")


def test_a_whole_life():
    note = Notes()
    assert fit(mlp(), [note], epochs=2)[0].status == "completed"
    epoch = ["on_epoch_begin", "on_step", "on_step", "on_step", "__call__"]
    assert note.calls == ["on_begin", *epoch, *epoch, "completed", "on_end"]


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("point", [*HOOKS, "__call__"])
def test_what_began_is_ended_whatever_happens(point, error, place):
    """An exception, or Ctrl-C, in every method of a callback that stands first, in the middle or last."""
    notes = [Notes(), Notes()]
    bad = Notes(point, error)
    callbacks = [*notes[:place], bad, *notes[place:]]
    if isinstance(error, KeyboardInterrupt) and point != "on_end":
        assert fit(mlp(), callbacks, epochs=2)[0].status == "interrupted"
    else:
        with pytest.raises(type(error)) as raised:
            fit(mlp(), callbacks, epochs=2)
        assert raised.value is error
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    status = "completed" if point == "on_end" else status
    for note in notes:
        began = point != "on_begin" or callbacks.index(note) < place
        assert note.calls[-2:] == [status, "on_end"] if began else note.calls == []
        assert note.calls.count("on_end") == began
    assert bad.calls.count("on_end") == (point != "on_begin")


def test_the_first_exception_is_raised_and_the_others_are_its_notes():
    last = Notes()
    callbacks = [Notes("on_step", ValueError("first"), 2), Notes("on_end", OSError("second")), last]
    callbacks.insert(0, Notes("on_end", RuntimeError("third")))
    with pytest.raises(ValueError, match="first") as raised:
        fit(mlp(), callbacks)
    assert raised.value.__notes__ == [
        "then Notes failed at its end: RuntimeError: third",
        "then Notes failed at its end: OSError: second",
    ]
    assert last.calls[-1] == "on_end"
    with pytest.raises(OSError, match="second") as raised:
        fit(mlp(), [Notes("on_end", OSError("second")), Notes("on_end", RuntimeError("third"))])
    assert raised.value.__notes__ == ["then Notes failed at its end: RuntimeError: third"]


@pytest.mark.parametrize("end", ["epochs run out", "stopped", "Ctrl-C", "divergence", "exception"])
@pytest.mark.parametrize(
    "make", [lambda: ol.EarlyStopping("val_loss", patience=50), lambda: ol.BestCheckpoint("val_loss")]
)
def test_the_best_weights_are_put_back_however_training_ends(make, end):
    """In a run that gets worse after its third epoch."""
    net, keep, errors = mlp(), make(), {"Ctrl-C": KeyboardInterrupt(), "exception": ValueError("broken")}

    def steer(network, optimizer, history):
        losses.append(history.val_loss[-1])
        optimizer.lr = 1e38 if end == "divergence" and history.epochs == 5 else 0.3 if history.epochs < 3 else 30.0
        return end == "stopped" and history.epochs == 6

    losses = []
    callbacks = [steer, Notes("on_step" if end in errors else "", errors.get(end), 20), keep]
    if end == "exception":
        with pytest.raises(ValueError, match="broken"):
            fit(net, callbacks, epochs=8)
    else:
        status = {"epochs run out": "completed", "Ctrl-C": "interrupted", "divergence": "diverged"}.get(end, end)
        assert fit(net, callbacks, epochs=8)[0].status == status
    assert losses[-1] > min(losses)
    data = tiny()
    assert ol.evaluate(net, data.x_val, data.y_val)[0] == min(losses) == keep.best.value


@pytest.mark.parametrize("kind", KINDS)
def test_every_callback_goes_on_from_a_checkpoint(kind, tmp_path):
    def make():
        net = mlp()
        return net, ol.Momentum(net.parameters, lr=0.3), [KINDS[kind](net, tmp_path)]

    assert len(ol.verify_resume(make, tiny(), batch_size=8, stops=2)) == 2


def averaged():
    net = mlp()
    return net, ol.SGD(net.parameters, lr=0.3), [ol.AverageWeights(net)]


def test_a_checkpoint_that_is_saved_too_early_is_noticed(monkeypatch):
    """In the order of the list it would come before the average's update."""
    monkeypatch.setattr(ol.Checkpoint, "last", False)
    with pytest.raises(
        AssertionError, match=r"stopped at step \d+ of 9 and resumed, updates of AverageWeights differs"
    ):
        ol.verify_resume(averaged, tiny(), epochs=3, batch_size=8)


@pytest.mark.parametrize("lost", ["seen", "low", "sum"])
def test_a_callback_that_forgets_is_noticed(lost):
    class Forgets(Counts):
        def load(self, state, network):
            super().load({**state, lost: getattr(self, lost)}, network)

    def make():
        net = mlp()
        return net, ol.SGD(net.parameters, lr=0.3), [Forgets()]

    with pytest.raises(AssertionError, match=f"resumed, {lost} of Forgets differs"):
        ol.verify_resume(make, tiny(), epochs=3, batch_size=8, stops=8)


def test_runs_that_are_never_the_same_are_noticed():
    seeds = iter(range(100))

    def make():
        net = mlp(next(seeds))
        return net, ol.SGD(net.parameters), []

    with pytest.raises(AssertionError, match="two uninterrupted runs of 9 steps differ in weights"):
        ol.verify_resume(make, tiny(), epochs=3, batch_size=8)


@pytest.mark.parametrize(
    ("answer", "epochs"), [(True, 1), (np.True_, 1), (np.array(True), 1), (None, 3), (False, 3), (np.False_, 3)]
)
def test_a_true_answer_ends_training(answer, epochs):
    assert fit(mlp(), [lambda *about: answer], epochs=3)[0].epochs == epochs


@pytest.mark.parametrize("answer", [1, 0, "yes", np.array([True]), np.float64(1.0), [], History()])
def test_any_other_answer_is_refused(answer):
    with pytest.raises(ol.InputError, match=r"function returned .* after an epoch: True ends training, False or None"):
        fit(mlp(), [lambda *about: answer])


class Watches:
    """A callback of a user's that says what it watches."""

    monitor = "val_accuracy"

    def __call__(self, network, optimizer, history):
        return history.val_accuracy[-1] > 2


@pytest.mark.parametrize(
    "make", [lambda: EarlyStopping(), lambda: ol.BestCheckpoint(), lambda: ol.ReduceLROnPlateau(), lambda: Watches()]
)
def test_what_is_not_measured_cannot_be_watched(make):
    """Told before the first step."""
    net, note, callback = mlp(), Notes(), make()
    before, data = net.parameters.data.copy(), tiny()
    message = (
        f"there is no {callback.monitor} for {type(callback).__name__} to watch.*choose one of train_loss, train_acc"
    )
    without = ol.Dataset(data.x_train, data.y_train)
    with pytest.raises(ol.InputError, match=message):
        ol.fit(net, ol.SGD(net.parameters), without, batch_size=8, callbacks=[note, callback])
    np.testing.assert_array_equal(net.parameters.data, before)
    assert note.calls == []
    numbers, options = ol.Dataset(data.x_train, np.zeros((24, 3))), {"loss": "mean_squared_error", "batch_size": 8}
    with pytest.raises(ol.InputError, match="there is no train_accuracy for EarlyStopping to watch"):
        ol.fit(net, ol.SGD(net.parameters), numbers, callbacks=[EarlyStopping("train_accuracy")], **options)


class KerasStyle:
    def set_model(self, model):
        pass

    def on_train_begin(self, logs=None):
        pass

    def on_epoch_end(self, epoch, logs=None):
        pass


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([KerasStyle()], "KerasStyle has the method on_epoch_end, which fit never calls. A callback is a function"),
        ([object()], "is not a callback. A callback is a function"),
        ([None], "None is not a callback"),
        ([ol.EarlyStopping], r"callbacks holds the class EarlyStopping; write EarlyStopping\(...\)"),
        (ol.EarlyStopping(), r"callbacks must be a list, such as \[ol.EarlyStopping\(\)\]"),
        (None, "callbacks must be a list"),
        ([ol.ReduceLROnPlateau()] * 2, "callbacks holds the same ReduceLROnPlateau twice"),
        ([ol.AverageWeights(ol.MLP([4, 3]))], "belongs to another network"),
    ],
)
def test_what_is_no_callback_is_refused_before_the_first_step(callbacks, message):
    net = mlp()
    before = net.parameters.data.copy()
    with pytest.raises(ol.InputError, match=message):
        fit(net, callbacks)
    np.testing.assert_array_equal(net.parameters.data, before)


@pytest.mark.parametrize("make", [ol.CSVLogger, ol.JSONLogger])
def test_a_log_goes_on_where_the_checkpoint_was(make, tmp_path):
    """Later lines are logged again, even if one was cut in half; a JSON log keeps the run before."""
    log = tmp_path / "log"
    fit(mlp(), [make(log)], epochs=2)
    earlier = log.read_text().splitlines() if make is ol.JSONLogger else []
    fit(mlp(), [make(log), ol.Checkpoint(tmp_path / "run.npz", every=7)], epochs=4)  # the last is in the third epoch
    with log.open("a") as file:
        file.write("half a li")
    callbacks = [make(log), ol.Checkpoint(tmp_path / "other.npz")]
    history, _ = fit(mlp(), callbacks, epochs=4, resume=tmp_path / "run.npz")
    lines = log.read_text().splitlines()
    if make is ol.CSVLogger:
        losses = [float(row["train_loss"]) for row in csv.DictReader(lines)]
    else:
        assert lines[: len(earlier)] == earlier
        losses = [json.loads(line)["train_loss"] for line in lines[len(earlier) :]]
    assert losses == history.train_loss


def test_a_json_log_that_is_not_there_has_no_lines_and_every_line_is_json(tmp_path):
    log = ol.JSONLogger(tmp_path / "log.jsonl")
    assert log.state() == {"lines": 0}
    with pytest.raises(ValueError, match="not JSON compliant"):
        log(None, None, History(train_loss=[math.nan]))


def test_a_log_that_is_gone_begins_anew_with_its_header(tmp_path):
    log = tmp_path / "log.csv"
    fit(mlp(), [ol.CSVLogger(log), ol.Checkpoint(tmp_path / "run.npz", every=7)], epochs=4)
    log.unlink()
    fit(mlp(), [ol.CSVLogger(log), ol.Checkpoint(tmp_path / "other.npz")], epochs=4, resume=tmp_path / "run.npz")
    assert [row["epoch"] for row in csv.DictReader(log.read_text().splitlines())] == ["3", "4"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: EarlyStopping("val_los"), "unknown measure 'val_los'; did you mean 'val_loss'"),
        (lambda: EarlyStopping(patience=0), "patience must be a whole number of at least 1"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta must be"),
        (lambda: EarlyStopping(min_delta="small"), "min_delta must be"),
        (
            lambda: ol.ReduceLROnPlateau("val_loss", min_delta=1e-4),
            "unknown option of ReduceLROnPlateau 'min_delta'; write threshold",
        ),
        (
            lambda: ol.schedules.ReduceLROnPlateau(0.1, min_delta=1e-4),
            "unknown option of ReduceLROnPlateau 'min_delta'; write threshold",
        ),
        (lambda: ol.ReduceLROnPlateau("val_loss", patienc=1), "unknown option .* 'patienc'; did you mean 'patience'"),
        (lambda: ol.LearningRateScheduler([0.1]), r"takes a function \(epoch\) or \(epoch, lr\), got \[0.1\]"),
        (lambda: ol.LearningRateScheduler(lambda: 0.1), r"takes a function \(epoch\) or"),
        (lambda: ol.LearningRateScheduler(lambda epoch, lr, more: 0.1), r"takes a function \(epoch\) or"),
        (lambda: Best("val_loss").improves(History()), "there is no val_loss to watch"),
        (lambda: train([ol.CSVLogger("/nowhere/log.csv")], epochs=1), "cannot write /nowhere/log.csv"),
        (lambda: train([ol.JSONLogger("/nowhere/log.jsonl")], epochs=1), "cannot write /nowhere/log.jsonl"),
        (lambda: train([ol.LearningRateScheduler(lambda e: -1.0)], epochs=2), "lr must be"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ol.InputError, match=message):
        call()
