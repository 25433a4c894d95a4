"""Stop at any step, go on in a new process: the weights are bit-equal to those of a run that was never stopped."""

import json
import subprocess
import sys
import textwrap
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import optimlab as ol
from optimlab import rules

DATA = ol.datasets.load("digits")
RULES = sorted(
    {name for convention in rules.CONVENTIONS for name in rules.names(convention)} | {"lars", "lamb", "muon"}
)
EPOCHS, BATCH = 3, 200  # 6 steps an epoch, the last a short one


RATES = {
    "constant": 0.003,
    "cyclic": ol.schedules.CyclicLR(0.001, 0.01, up=4),
    "plateau": 0.003,
    "one-cycle": ol.schedules.OneCycle(0.01, total=18),
}


def make(rule, rich, schedule="constant"):
    net = ol.MLP([64, 12, 10], batch_norm=rich, dropout=0.3 if rich else 0.0, seed=0)
    conventions = [c for c in rules.CONVENTIONS if rules.find(rule, c)]
    options = {"convention": conventions[0]} if conventions else {}
    opt = ol.optimizers.get(rule)(net.parameters, lr=RATES[schedule], **options)
    callbacks = [ol.EarlyStopping(patience=50), ol.AverageWeights(net, decay=0.9)] if rich else []
    if schedule == "plateau":  # so touchy that it cuts in these few epochs
        callbacks.append(ol.ReduceLROnPlateau("val_loss", factor=0.5, patience=0, threshold=0.5))
    return net, opt, callbacks


class StopAt:
    """Ctrl-C after so many steps, the last of them saved: it stands behind the checkpoint."""

    last = True

    def __init__(self, step):
        self.step = step

    def on_step(self, network, optimizer):
        self.step -= 1
        if self.step == 0:
            raise KeyboardInterrupt


def fit(made, path, stop=None, every=1, **options):
    net, opt, callbacks = made
    # the same callbacks in both runs: the one that stops must be there, and do nothing, when the run goes on
    callbacks = [*callbacks, ol.Checkpoint(path, every=every), StopAt(stop or -1)]
    return ol.fit(net, opt, DATA, epochs=EPOCHS, batch_size=BATCH, callbacks=callbacks, seed=3, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """``whole(rule, rich, schedule)``: what was trained without a stop, and its history; trained once, not changed."""

    @cache
    def trained(*case):
        made = make(*case)
        return made, fit(made, tmp_path_factory.mktemp("whole") / "run.npz", every=EPOCHS * 6)

    return trained


@pytest.mark.quick_each("rule", "rich", "schedule")
@pytest.mark.parametrize("schedule", RATES)
@pytest.mark.parametrize("rich", [False, True], ids=["plain", "batch norm, dropout, average"])
@pytest.mark.parametrize("rule", RULES)
def test_every_rule_goes_on_bit_for_bit_from_a_random_step(rule, rich, schedule, whole, tmp_path):
    """Saved at that step; each of the steps before it is saved, too, in the next test."""
    expected, history = whole(rule, rich, schedule)
    stop = int(np.random.default_rng([RULES.index(rule), list(RATES).index(schedule)]).integers(1, 19))
    stopped = fit(make(rule, rich, schedule), tmp_path / "run.npz", stop, every=stop)
    assert stopped.status == "interrupted"
    again = make(rule, rich, schedule)
    resumed = fit(again, tmp_path / "new.npz", every=EPOCHS * 6, resume=tmp_path / "run.npz")
    for name, values in expected[0].learned().items():
        np.testing.assert_array_equal(again[0].learned()[name], values)
    for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "lr", "steps"):
        assert getattr(resumed, name) == getattr(history, name), name
    if rich:
        with expected[2][1].applied(), again[2][1].applied():
            np.testing.assert_array_equal(again[0].parameters.data, expected[0].parameters.data)
        assert again[2][0].best.value == expected[2][0].best.value


@pytest.mark.quick("1", "7", "18")
@pytest.mark.parametrize("stop", range(1, 19))
def test_every_step_can_be_the_last(stop, whole, tmp_path):
    """The steps of a short last batch and of an epoch's end among them; each is saved, before the stop and after."""
    (expected, *_), _ = whole("adam", True, "constant")
    fit(make("adam", True), tmp_path / "run.npz", stop)
    again = make("adam", True)
    fit(again, tmp_path / "run.npz", resume=tmp_path / "run.npz")
    np.testing.assert_array_equal(again[0].parameters.data, expected.parameters.data)


SCRIPT = textwrap.dedent("""
    import os, signal, sys
    import numpy as np
    import optimlab as ol

    path, out, kill = sys.argv[1], sys.argv[2], int(sys.argv[3])

    class Kill:
        def __call__(self, network, optimizer, history): pass
        def on_step(self, network, optimizer):
            if optimizer.t == kill:
                os.kill(os.getpid(), signal.SIGKILL)

    net = ol.MLP([64, 12, 10], batch_norm=True, dropout=0.3, seed=0)
    opt = ol.Nadam(net.parameters, lr=0.01)
    average = ol.AverageWeights(net, decay=0.9)
    callbacks = [average, ol.CSVLogger(out + ".csv"), ol.Diagnostics(every=4), ol.Checkpoint(path, every=3), Kill()]
    resume = path if os.path.exists(path) else None
    ol.fit(net, opt, ol.datasets.load("digits"), epochs=4, batch_size=100, callbacks=callbacks, resume=resume)
    average.swap()
    np.save(out, net.parameters.data)
""")


@pytest.mark.slow
def test_killed_and_resumed_in_new_processes(tmp_path):
    """SIGKILL three times, wherever it strikes; each start goes on from the last checkpoint."""
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)

    def run(name, kill=0):
        paths = [str(tmp_path / f"{name}.npz"), str(tmp_path / f"{name}.npy"), str(kill)]
        return subprocess.run([sys.executable, str(script), *paths], capture_output=True, text=True, check=False)

    assert run("whole").returncode == 0
    for kill in (7, 20, 33):
        assert run("killed", kill).returncode == -9
    last = run("killed")
    assert last.returncode == 0, last.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "killed.npy"), np.load(tmp_path / "whole.npy"))
    logs = [(tmp_path / f"{name}.npy.csv").read_text().splitlines() for name in ("whole", "killed")]
    without_seconds = [[line.split(",")[:6] for line in log] for log in logs]
    assert without_seconds[0] == without_seconds[1]


def test_more_epochs_may_follow(tmp_path):
    whole = make("adam", False)
    fit(whole, tmp_path / "a.npz")
    again = make("adam", False)
    net, opt, _ = again
    callbacks = [ol.Checkpoint(tmp_path / "b.npz", every=1), StopAt(-1)]
    ol.fit(net, opt, DATA, epochs=1, batch_size=BATCH, callbacks=callbacks, seed=3)
    fit(make_and_keep := make("adam", False), tmp_path / "b.npz", resume=tmp_path / "b.npz")
    np.testing.assert_array_equal(make_and_keep[0].parameters.data, whole[0].parameters.data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 100}, "from another run: batch_size 200, now 100"),
        ({"penalties": [ol.L2(1e-4)]}, "from another run: penalties"),
        ({"callbacks": []}, "with other callbacks: Checkpoint, StopAt"),
    ],
)
def test_another_run_is_refused_and_nothing_changes(change, message, tmp_path):
    fit(make("adam", False), tmp_path / "run.npz", stop=4)
    net, opt, _ = make("adam", False)
    before = net.parameters.data.copy()
    callbacks = [ol.Checkpoint(tmp_path / "new.npz"), StopAt(-1)]
    options = {"epochs": EPOCHS, "batch_size": BATCH, "callbacks": callbacks, **change}
    with pytest.raises(ol.InputError, match=message):
        ol.fit(net, opt, DATA, resume=tmp_path / "run.npz", **options)
    np.testing.assert_array_equal(net.parameters.data, before)
    assert opt.t == 0


def tiny(**changes):
    g = np.random.default_rng(0)
    x, y = g.normal(size=(24, 4)).astype("float32"), g.integers(0, 3, 24)
    return replace(ol.Dataset(x, y, x[:8].copy(), y[:8].copy()), **changes)


def short(path, data=None, epochs=3, lr=0.1, set_up=lambda net: None, resume=None, callbacks=(), **options):
    net = ol.MLP([4, 6, 3], batch_norm=True, dropout=0.2, seed=0)
    set_up(net)
    groups = {"biases": {"lr": 0.05}}
    opt = ol.SGD(net.parameters, lr=lr, groups=groups)
    save = ol.Checkpoint(path, every=4)
    options = {"batch_size": 8, **options}
    history = ol.fit(net, opt, data or tiny(), epochs=epochs, callbacks=[*callbacks, save], resume=resume, **options)
    return net, history


X, Y = tiny().x_train, tiny().y_train


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x_train": X + 1},
            r"x_train float32 \(24, 4\) [0-9a-f]{12}, now float32 \(24, 4\) [0-9a-f]{12}[.] Pass the same data",
        ),
        ({"x_train": X[::-1], "y_train": Y[::-1]}, "x_train .*y_train"),
        ({"y_train": (Y + 1) % 3}, r"on other data: y_train int64 \(24,\)"),
        ({"x_train": X[:16], "y_train": Y[:16]}, r"x_train float32 \(24, 4\) .*, now float32 \(16, 4\)"),
        ({"x_val": X[8:16]}, "on other data: x_val"),
        ({"y_val": (Y[:8] + 1) % 3}, "on other data: y_val"),
        ({"x_val": None, "y_val": None}, "x_val .*, now none; y_val .*, now none"),
    ],
)
def test_other_data_are_refused_and_nothing_changes(change, message, tmp_path):
    short(tmp_path / "run.npz")
    net = ol.MLP([4, 6, 3], batch_norm=True, dropout=0.2, seed=0)
    opt = ol.SGD(net.parameters, lr=0.1, groups={"biases": {"lr": 0.05}})
    before, save = net.parameters.data.copy(), ol.Checkpoint(tmp_path / "new.npz")
    with pytest.raises(ol.InputError, match=message):
        ol.fit(net, opt, tiny(**change), batch_size=8, callbacks=[save], resume=tmp_path / "run.npz")
    np.testing.assert_array_equal(net.parameters.data, before)
    assert opt.t == 0


@pytest.mark.parametrize(
    "same",
    [
        {"x_train": X.astype("float64")},
        {"x_train": np.asfortranarray(X)},
        {"x_train": X.tolist(), "y_train": Y.tolist()},
        {"y_train": np.eye(3)[Y]},
        {"y_train": Y.astype("uint8"), "name": "another name"},
    ],
)
def test_the_same_numbers_are_the_same_data(same, tmp_path):
    """What training sees decides, not the type or the order in memory of what is given."""
    whole, _ = short(tmp_path / "run.npz")
    again, _ = short(tmp_path / "other.npz", tiny(**same), resume=tmp_path / "run.npz")
    np.testing.assert_array_equal(again.parameters.data, whole.parameters.data)


def test_data_that_were_scaled_after_loading_are_asked_for(tmp_path):
    """The name of the set is still that of the raw one, which must not be taken for it."""
    path, scaled = tmp_path / "run.npz", ol.Standardize.fit(DATA.x_train).dataset(DATA)

    def train(**options):
        net = ol.MLP([64, 10], seed=0)
        ol.fit(net, ol.SGD(net.parameters), scaled, batch_size=200, callbacks=[ol.Checkpoint(path, every=7)], **options)
        return net

    whole = train(epochs=2)
    with pytest.raises(ol.InputError, match=r"on other data: x_train .*Pass the same data.*fit\(network") as told:
        ol.resume(path)
    assert "resume(path, data=data)" in str(told.value)
    for again in (train(epochs=2, resume=path), ol.resume(path, data=scaled).network):
        np.testing.assert_array_equal(again.parameters.data, whole.parameters.data)


@pytest.mark.parametrize(
    ("layer", "attribute", "value"),
    [("norm1", "momentum", 0.5), ("norm1", "eps", 0.1), ("dropout1", "rate", 0.7)],
)
def test_layers_that_were_set_after_the_network_was_made(layer, attribute, value, tmp_path):
    """From the file alone the network is made as its constructor makes it: refused, both values said."""

    def set_up(net):
        setattr(next(x for x in net.layers if x.name == layer), attribute, value)

    whole, _ = short(tmp_path / "run.npz", set_up=set_up)
    for attempt in (
        lambda: ol.resume(tmp_path / "run.npz", data=tiny()),
        lambda: short(tmp_path / "other.npz", resume=tmp_path / "run.npz"),
    ):
        with pytest.raises(ol.InputError, match=f"{layer}.{attribute} {value}, now 0?[.0-9e-]+[.] Make the network"):
            attempt()
    again, _ = short(tmp_path / "other.npz", set_up=set_up, resume=tmp_path / "run.npz")
    np.testing.assert_array_equal(again.parameters.data, whole.parameters.data)


def test_another_schedule_is_refused(tmp_path):
    schedule, other = ol.schedules.StepLR(0.1, 2), ol.schedules.StepLR(0.1, 3)
    whole, _ = short(tmp_path / "run.npz", lr=schedule)
    again, _ = short(tmp_path / "other.npz", lr=schedule, resume=tmp_path / "run.npz")
    np.testing.assert_array_equal(again.parameters.data, whole.parameters.data)
    with pytest.raises(ol.InputError, match=r"the schedule of lr StepLR\(.*, now StepLR\("):
        short(tmp_path / "other.npz", lr=other, resume=tmp_path / "run.npz")
    with pytest.raises(ol.InputError, match=r"the schedule of lr StepLR\(.*, now none"):
        short(tmp_path / "other.npz", lr=0.1, resume=tmp_path / "run.npz")
    short(tmp_path / "run.npz", lr=0.1)
    with pytest.raises(ol.InputError, match=r"the schedule of lr none, now StepLR\("):
        short(tmp_path / "other.npz", lr=schedule, resume=tmp_path / "run.npz")


def test_a_function_of_a_user_is_known_by_its_name_in_another_process(tmp_path):
    """Not by where in memory it is."""

    def penalties():
        def nothing(parameters):
            return 0.0

        return [nothing]

    whole, _ = short(tmp_path / "run.npz", penalties=penalties())
    again, _ = short(tmp_path / "other.npz", penalties=penalties(), resume=tmp_path / "run.npz")
    np.testing.assert_array_equal(again.parameters.data, whole.parameters.data)


def test_what_was_frozen_on_the_way_is_frozen_again(tmp_path):
    """As by gradual unfreezing: the network that goes on is made as the first was."""

    class Thaws:
        def __call__(self, network, optimizer, history):
            if history.epochs == 1:
                network.parameters.unfreeze("dense1")
                network.parameters.freeze("dense2.b")

    def set_up(net):
        net.parameters.freeze("dense1")

    whole, _ = short(tmp_path / "run.npz", set_up=set_up, callbacks=[Thaws()])
    again, _ = short(tmp_path / "other.npz", set_up=set_up, callbacks=[Thaws()], resume=tmp_path / "run.npz")
    np.testing.assert_array_equal(again.parameters.data, whole.parameters.data)
    assert [p.frozen for p in again.parameters] == [p.frozen for p in whole.parameters]


def test_callbacks_may_stand_in_another_order(tmp_path):
    """Of several of one kind, the first goes on as the first."""

    def run(order, path, resume=None):
        net = ol.MLP([4, 6, 3], batch_norm=True, seed=0)
        made = {"slow": ol.AverageWeights(net, decay=0.99), "fast": ol.AverageWeights(net, decay=0.5)}
        made |= {"save": ol.Checkpoint(path, every=4), "cut": ol.ReduceLROnPlateau(patience=0, factor=0.5)}
        callbacks = [made[name] for name in order]
        ol.fit(net, ol.SGD(net.parameters), tiny(), epochs=3, batch_size=8, callbacks=callbacks, resume=resume)
        return [net.parameters.data, *(made[name].state()["weights"] for name in ("slow", "fast"))]

    whole = run(["save", "slow", "cut", "fast"], tmp_path / "run.npz")
    again = run(["slow", "fast", "save", "cut"], tmp_path / "other.npz", tmp_path / "run.npz")
    for ours, theirs in zip(again, whole, strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Remembers:
    """A callback of a user: what it remembers is given."""

    def __init__(self, memory):
        self.memory = memory

    def __call__(self, network, optimizer, history):
        pass

    def state(self):
        return self.memory

    def load(self, state, network):
        self.memory = state


def watched(path, callback, epochs=1, **options):
    net = ol.MLP([64, 10], seed=0)
    callbacks = [ol.Checkpoint(path, every=5), callback]
    return ol.fit(
        net, ol.SGD(net.parameters), ol.datasets.load("digits"), epochs=epochs, callbacks=callbacks, **options
    )


def test_a_callback_may_remember_numbers_of_numpy(tmp_path):
    watched(path := tmp_path / "run.npz", Remembers({"best": np.float32(0.5), "worst": [np.float64("inf")]}))
    again = Remembers({})
    watched(path, again, epochs=2, resume=path)
    assert again.memory == {"best": 0.5, "worst": [float("inf")]}


def test_what_a_callback_cannot_remember_is_told_with_its_name(tmp_path):
    with pytest.raises(
        ol.InputError, match=r"Remembers.state\(\) must return plain data, and arrays by name: .* object"
    ):
        watched(tmp_path / "run.npz", Remembers({"best": object()}))


@pytest.mark.parametrize("missing", ["state", "load"])
def test_a_callback_that_is_to_go_on_needs_state_and_load(missing, tmp_path):
    half = type("Half", (Remembers,), {missing: None})
    with pytest.raises(ol.InputError, match=r"Half has only the method (state|load)"):
        watched(tmp_path / "run.npz", half({}))
    net = ol.MLP([64, 10], seed=0)  # without a checkpoint nobody asks
    ol.fit(net, ol.SGD(net.parameters), ol.datasets.load("digits"), epochs=1, callbacks=[half({})])


def test_fewer_epochs_than_were_done_are_refused(tmp_path):
    short(tmp_path / "run.npz")
    with pytest.raises(ol.InputError, match="from a run of 2 epochs: ask for more than 2"):
        short(tmp_path / "other.npz", epochs=2, resume=tmp_path / "run.npz")


def test_a_run_without_checkpoints_computes_no_fingerprint(monkeypatch):
    monkeypatch.setattr("optimlab.training.run.fingerprint", lambda array: 1 / 0)
    net = ol.MLP([4, 3])
    ol.fit(net, ol.SGD(net.parameters), tiny(), epochs=1, batch_size=8)


def test_the_fingerprint_is_computed_once_a_run(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("optimlab.training.run.fingerprint", lambda array: seen.append(array.shape) or "-" * 64)
    short(tmp_path / "run.npz", epochs=4)
    assert seen == [(24, 4), (24,), (8, 4), (8,)]


def test_other_files_are_refused(tmp_path):
    made = make("adam", False)
    with pytest.raises(ol.InputError, match="cannot read"):
        fit(made, tmp_path / "x.npz", resume=tmp_path / "none.npz")
    ol.save_checkpoint(tmp_path / "net.npz", made[0], made[1])
    with pytest.raises(ol.InputError, match="contains a network, not a run"):
        fit(made, tmp_path / "x.npz", resume=tmp_path / "net.npz")
    fit(make("adam", False), tmp_path / "run.npz", stop=4)
    with pytest.raises(ol.InputError, match="rule 'adam', but the optimizer's is 'sgd'"):
        fit(make("sgd", False), tmp_path / "x.npz", resume=tmp_path / "run.npz")
    content = (tmp_path / "run.npz").read_bytes()
    (tmp_path / "run.npz").write_bytes(content[:-100])
    with pytest.raises(ol.InputError, match="damaged"):
        fit(make("adam", False), tmp_path / "x.npz", resume=tmp_path / "run.npz")


def test_what_a_run_keeps_is_plain_json(tmp_path):
    from optimlab.training.checkpoint import read_checkpoint

    fit(make("adam", True), tmp_path / "run.npz", stop=8)
    _, header = read_checkpoint(tmp_path / "run.npz")
    assert json.loads(json.dumps(header))["extra"]["position"] == 400
    assert header["extra"]["history"]["steps"] == 8


def test_the_plateau_of_the_matrix_does_cut(tmp_path):
    history = fit(make("adam", False, "plateau"), tmp_path / "run.npz")
    assert history.lr[-1] < history.lr[0]


@pytest.mark.slow
def test_verify_resume_passes_what_resumes_and_fails_what_does_not():
    stops = ol.verify_resume(lambda: make("nadam", True, "one-cycle"), DATA, batch_size=BATCH, stops=4, seed=1)
    assert len(stops) == 4
    made = []

    def forgetful():
        """A rate that remembers how often it was asked, and of which nothing is kept."""
        net = ol.MLP([64, 8, 10], seed=0)
        asked = iter(range(10**6))
        made.append(net)
        return net, ol.SGD(net.parameters, lr=lambda step: 0.1 / (1 + next(asked))), []

    with pytest.raises(AssertionError, match=r"stopped at step \d+ of 18 and resumed, weights differs"):
        ol.verify_resume(forgetful, DATA, batch_size=BATCH, seed=1)


def test_the_losses_of_the_epoch_that_was_cut_have_the_same_bits():
    """Sums of numbers of all sizes, in which each rounding shows."""
    random = np.random.default_rng(0)
    x = random.normal(size=(400, 3))
    y = x @ [1, 2, 3]
    y[:3] *= 1e6

    def small():
        net = ol.MLP([3, 1], seed=0, initializer="zeros", dtype="float64")
        return net, ol.SGD(net.parameters, lr=1e-12), []

    assert len(ol.verify_resume(small, ol.Dataset(x, y, x, y), epochs=2, batch_size=7, stops=6)) == 6


# --- from the file alone


def schedule_of_everything():
    s = ol.schedules
    warm = s.Warmup(s.StepLR(0.01, step_size=3, per="step"), steps=4)
    return s.Chain([warm, s.CosineAnnealing(0.005, total=8, per="step")], [8])


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("adam", {"lr": 0.01}),
        ("nadam", {"convention": "keras", "lr": ol.schedules.OneCycle(0.02, total=18)}),
        ("adamw", {"lr": schedule_of_everything(), "groups": {"biases": {"weight_decay": 0.0}}}),
        ("lamb", {"lr": ol.schedules.per_epoch(ol.schedules.ExponentialLR(0.01, 0.5), 6)}),
        ("sgd", {"lr": ol.schedules.Chain([0.1, ol.schedules.ExponentialLR(0.05, 0.5)], [1])}),
        ("momentum", {"convention": "torch", "dampening": 0.5}),
    ],
)
@pytest.mark.parametrize("activation", ["relu", "gelu_tanh"])
def test_a_run_goes_on_from_its_file_alone(optimizer, options, activation, tmp_path):
    def train(path, **more):
        net = ol.MLP([64, 12, 10], activation=activation, batch_norm="after", dropout=0.2, seed=0)
        net.parameters.freeze("dense1.b")
        opt = ol.optimizers.get(optimizer)(net.parameters, **options)
        ol.fit(net, opt, DATA, epochs=EPOCHS, batch_size=BATCH, callbacks=[ol.Checkpoint(path, every=7)], **more)
        return net

    whole = train(tmp_path / "run.npz")  # the last checkpoint is of step 14 of 18
    again = ol.resume(tmp_path / "run.npz")
    for name, values in whole.learned().items():
        np.testing.assert_array_equal(again.network.learned()[name], values)
    assert again.history.steps == 18


def test_what_a_file_cannot_say_is_asked_for(tmp_path):
    def saved(net, opt, data=DATA, callbacks=()):
        path = tmp_path / "run.npz"
        ol.fit(net, opt, data, epochs=1, batch_size=BATCH, callbacks=[*callbacks, ol.Checkpoint(path, every=1)])
        return path

    def sign_descent(w, g, *, lr=0.01):
        return w - lr * np.sign(g)

    net = ol.MLP([64, 10])
    for opt, message in (
        (ol.Optimizer(net.parameters, sign_descent), "cannot recreate its optimizer"),
        (ol.SGD(net.parameters, lr=lambda step: 0.1), "cannot recreate its optimizer"),
        (ol.SGD(net.parameters, lr=ol.schedules.Warmup(lambda k: 0.1, steps=2)), "cannot recreate its optimizer"),
    ):
        with pytest.raises(ol.InputError, match=message):
            ol.resume(saved(net, opt))
    other = ol.MLP([64, 8, 10], activation=ol.activations.get("leaky_relu").given(slope=0.2))
    with pytest.raises(ol.InputError, match="cannot recreate its network"):
        ol.resume(saved(other, ol.SGD(other.parameters)))
    mine = ol.Dataset(DATA.x_train, DATA.y_train)
    with pytest.raises(ol.InputError, match="pass the run's data as data="):
        ol.resume(saved(net, ol.SGD(net.parameters), mine))
    with pytest.raises(
        ol.InputError, match="pass the run's callbacks, made with the same arguments: AverageWeights, Checkpoint"
    ):
        ol.resume(saved(net, ol.SGD(net.parameters), callbacks=[ol.AverageWeights(net)]))
    ol.save_checkpoint(tmp_path / "net.npz", net)
    with pytest.raises(ol.InputError, match="not a run"):
        ol.resume(tmp_path / "net.npz")


def every_case():
    return [(rule, rich, schedule) for rule in RULES for rich in (False, True) for schedule in RATES]


def resume_all(folder):
    """Called in a process of its own: go on with every run that was stopped, and keep where it ends."""
    ends = {}
    for k, case in enumerate(every_case()):
        made = make(*case)
        fit(made, folder / "again.npz", every=EPOCHS * 6, resume=folder / f"{k}.npz")
        ends |= {f"{k}/{name}": values for name, values in made[0].learned().items()}
    np.savez(folder / "ends.npz", **ends)


@pytest.mark.slow
def test_the_whole_matrix_goes_on_in_a_new_process(whole, tmp_path):
    for k, case in enumerate(every_case()):
        stop = int(np.random.default_rng([k, 1]).integers(1, 19))
        fit(make(*case), tmp_path / f"{k}.npz", stop, every=stop)
    code = f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_resume; "
    code += f"test_resume.resume_all(pathlib.Path({str(tmp_path)!r}))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    with np.load(tmp_path / "ends.npz") as ends:
        for k, case in enumerate(every_case()):
            for name, values in whole(*case)[0][0].learned().items():
                np.testing.assert_array_equal(ends[f"{k}/{name}"], values, err_msg=str(case))
