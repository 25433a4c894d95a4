"""The callback TensorBoard: what it writes, as TensorBoard's own reader finds it."""

import copy
import sys

import numpy as np
import pytest
from conftest import require

import optimlab as ol

require("tensorboardX")
reader = require("tensorboard.backend.event_processing.event_accumulator")

DATA = ol.datasets.load("digits")
ROWS = len(DATA.x_train)
LR = 0.1


def read(folder):
    found = reader.EventAccumulator(str(folder), size_guidance={reader.HISTOGRAMS: 0, reader.SCALARS: 0})
    return found.Reload()


def train(callback, *others, epochs=3, batch_size=256, net=None, optimizer=ol.SGD, **options):
    net = net or ol.MLP([64, 8, 10], seed=0)
    opt = optimizer(net.parameters, lr=LR)
    history = ol.fit(net, opt, DATA, epochs=epochs, batch_size=batch_size, callbacks=[callback, *others], **options)
    return net, history


def series(found, tag):
    return [(event.step, event.value) for event in found.Scalars(tag)]


def test_scalars_are_the_history(tmp_path):
    _, history = train(ol.TensorBoard(tmp_path / "a" / "b"), penalties=[ol.L2(1e-3)])
    found = read(tmp_path / "a" / "b")
    names = {
        "loss/train": "train_loss",
        "loss/val": "val_loss",
        "accuracy/train": "train_accuracy",
        "accuracy/val": "val_accuracy",
        "learning_rate": "lr",
        "seconds": "seconds",
        "penalty": "penalty",
    }
    assert set(found.Tags()["scalars"]) == set(names)
    for tag, name in names.items():
        values = np.array(getattr(history, name), "float32").tolist()
        assert series(found, tag) == list(enumerate(values, 1))


@pytest.mark.parametrize("batch_size", [100, 256, ROWS])
@pytest.mark.parametrize("backend", ["auto", "numpy"])
def test_histograms_are_of_the_last_step(tmp_path, batch_size, backend):
    """The update of SGD is -lr times the gradient; the last batch holds what is left, or is the only one."""
    net = ol.MLP([64, 8, 10], seed=0, backend=backend)
    net.parameters.freeze("dense2.b")
    train(ol.TensorBoard(tmp_path, histograms=2), net=net, batch_size=batch_size, epochs=5)
    found = read(tmp_path)
    trained = ["dense1.W", "dense1.b", "dense2.W"]
    tags = {f"{kind}/{name}" for kind in ("weights", "gradients", "updates") for name in trained}
    assert set(found.Tags()["histograms"]) == {*tags, "weights/dense2.b"}
    for name in trained:
        gradients, updates = (found.Histograms(f"{kind}/{name}") for kind in ("gradients", "updates"))
        assert [event.step for event in updates] == [event.step for event in gradients] == [2, 4]
        for g, u in zip(gradients, updates, strict=True):
            g, u = g.histogram_value, u.histogram_value
            assert g.num == u.num == net.parameters[name].size
            np.testing.assert_allclose([u.min, u.max], [-LR * g.max, -LR * g.min], rtol=1e-4, atol=1e-7)
            np.testing.assert_allclose(u.sum_squares, LR**2 * g.sum_squares, rtol=1e-4)


def test_histograms_are_of_the_weights_as_they_are(tmp_path):
    net, _ = train(ol.TensorBoard(tmp_path))
    for p in net.parameters:
        event = read(tmp_path).Histograms(f"weights/{p.name}")[-1]
        values, shown = p.data.astype("float64").reshape(-1), event.histogram_value
        assert event.step == 3
        assert (shown.num, shown.min, shown.max) == (values.size, values.min(), values.max())
        assert shown.sum == pytest.approx(values.sum())
        limits = np.array([-np.inf, *shown.bucket_limit])
        assert np.histogram(values, limits)[0].tolist() == shown.bucket


def test_no_histograms(tmp_path):
    train(ol.TensorBoard(tmp_path, histograms=None))
    assert not read(tmp_path).Tags()["histograms"]


@pytest.mark.parametrize("values", [0.0, 1.0, np.nan, np.inf, 1e30, -1e30, [1.0, np.nextafter(1.0, 2)], 1e-300])
def test_histograms_of_odd_weights(tmp_path, values):
    net = ol.MLP([2, 1], use_bias=False, dtype="float64")

    def odd(network, optimizer, history):
        network.parameters.data[...] = values

    data = ol.Dataset(np.zeros((4, 2)), np.zeros((4, 1)))
    callbacks = [odd, ol.TensorBoard(tmp_path)]
    ol.fit(net, ol.SGD(net.parameters), data, epochs=1, batch_size=2, loss="mean_squared_error", callbacks=callbacks)
    found = read(tmp_path)
    if np.isfinite(values).all():
        event = found.Histograms("weights/dense1.W")[0].histogram_value
        assert sum(event.bucket) == event.num == 2
    else:
        assert "weights/dense1.W" not in found.Tags()["histograms"]
    assert series(found, "loss/train")


def test_the_graph_is_the_chain_of_layers(tmp_path):
    net = ol.MLP([64, 8, 10], batch_norm=True, dropout=0.2)
    train(ol.TensorBoard(tmp_path), net=net, epochs=1)
    nodes = {node.name: node for node in read(tmp_path).Graph().node}
    chain, name = [], "softmax_cross_entropy"
    while name != "input":
        chain.append(name)
        name = nodes[name].input[0]
    assert chain[::-1] == ["dense1", "norm1", "relu1", "dropout1", "dense2", "softmax_cross_entropy"]
    assert all(other in nodes for node in nodes.values() for other in node.input)
    assert {name for name, node in nodes.items() if node.op == "Variable"} == {
        p.name.replace(".", "/") for p in net.parameters
    }
    assert [d.size for d in nodes["dense1"].attr["_output_shapes"].list.shape[0].dim] == [-1, 8]
    assert nodes["dropout1"].attr["rate"].s == b"0.2"


def test_each_epoch_is_in_the_file_when_the_next_begins(tmp_path):
    """So that TensorBoard shows a run while it is trained, and a killed process loses none."""
    seen = []

    def look(network, optimizer, history):
        seen.append(len(read(tmp_path).Scalars("loss/train")))

    look.last = True
    train(ol.TensorBoard(tmp_path), look)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("broken")], ids=repr)
def test_the_file_of_a_run_that_breaks_off_is_whole(tmp_path, error):
    def stop(network, optimizer, history):
        if history.epochs == 2:
            raise error

    watch = ol.TensorBoard(tmp_path)
    try:
        train(watch, stop)
    except ValueError:
        assert isinstance(error, ValueError)
    assert [step for step, _ in series(read(tmp_path), "loss/train")] == [1, 2]
    train(watch, epochs=1)  # and it can be used again
    assert [step for step, _ in series(read(tmp_path), "loss/train")] == [1]


STEPS = -(-ROWS // 256)


@pytest.mark.quick("5")
@pytest.mark.parametrize("every", [1, STEPS - 1, STEPS, 2 * STEPS - 1, 2 * STEPS + 1])
def test_a_resumed_run_has_every_step_once(tmp_path, every):
    """Whatever place in an epoch it goes on from; what an earlier process wrote after the checkpoint is forgotten."""

    def stop(network, optimizer, history):
        if history.epochs == 3 and not path.with_suffix(".resumed").exists():
            path.with_suffix(".resumed").touch()
            raise KeyboardInterrupt

    path = tmp_path / "run.npz"
    nets = [ol.MLP([64, 8, 10], dropout=0.1, seed=0) for _ in range(3)]
    train(ol.TensorBoard(tmp_path / "whole"), epochs=4, net=nets[0])
    train(ol.TensorBoard(tmp_path / "parts"), ol.Checkpoint(path, every), stop, epochs=4, net=nets[1])
    train(ol.TensorBoard(tmp_path / "parts"), ol.Checkpoint(path, every), stop, epochs=4, net=nets[2], resume=path)
    whole, parts = read(tmp_path / "whole"), read(tmp_path / "parts")
    for tag in ("loss/train", "accuracy/val"):
        assert series(whole, tag) == series(parts, tag)
    for tag in whole.Tags()["histograms"]:
        shown = [[(e.step, e.histogram_value) for e in found.Histograms(tag)] for found in (whole, parts)]
        assert shown[0] == shown[1], tag


def test_a_new_run_hides_the_one_before(tmp_path):
    train(ol.TensorBoard(tmp_path), epochs=4)
    _, history = train(ol.TensorBoard(tmp_path), epochs=2, optimizer=ol.Adam)
    assert [value for _, value in series(read(tmp_path), "loss/train")] == np.float32(history.train_loss).tolist()
    assert len(list(tmp_path.iterdir())) == 2  # whose file stays


def test_bad_input(tmp_path, monkeypatch):
    with pytest.raises(ol.InputError, match="histograms must be a whole number of at least 1, got 0"):
        ol.TensorBoard(tmp_path, histograms=0)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ol.InputError, match=r"cannot write to .*file"):
            train(ol.TensorBoard(folder))
    monkeypatch.setitem(sys.modules, "tensorboardX.proto.event_pb2", None)
    with pytest.raises(ol.InputError, match=r"needs the package tensorboardX: .* run pip install '\.\[tensorboard\]'"):
        ol.TensorBoard(tmp_path)


def test_a_copy_writes_to_the_same_folder(tmp_path):
    train(copy.deepcopy(ol.TensorBoard(tmp_path, histograms=3)), epochs=3)
    assert [e.step for e in read(tmp_path).Histograms("updates/dense1.W")] == [3]
