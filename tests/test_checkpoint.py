"""Checkpoints: they hold everything, and a damaged or strange file changes nothing."""

import io
import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pytest
from conftest import assert_same_bits

import optimlab as ol
from optimlab.training.checkpoint import load_checkpoint, load_layers, read_checkpoint, save_checkpoint

DATA = ol.datasets.load("digits")


def make(seed=0, rule="adam", **options):
    options = {"batch_norm": True, "dropout": 0.3, **options}
    net = ol.MLP([64, 12, 10], seed=seed, **options)
    return net, ol.optimizers.get(rule)(net.parameters)


def train(net, opt, epochs=1, seed=0):
    ol.fit(net, opt, DATA, epochs=epochs, batch_size=100, seed=seed)
    return net.parameters.data.copy()


@pytest.mark.parametrize("rule", ["sgd", "adam", "adagrad", "lion", "schedule_free_adamw", "lamb", "muon"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_goes_on_bit_for_bit(tmp_path, rule, dtype):
    """Weights, moments, running statistics and dropout masks: the next epochs are those of the original."""
    net, opt = make(rule=rule, dtype=dtype)
    train(net, opt)
    save_checkpoint(tmp_path / "c.npz", net, opt)
    end = train(net, opt, epochs=2, seed=1)
    fresh, fresh_opt = make(seed=9, rule=rule, dtype=dtype)
    load_checkpoint(tmp_path / "c.npz", fresh, fresh_opt)
    np.testing.assert_array_equal(train(fresh, fresh_opt, epochs=2, seed=1), end)
    np.testing.assert_array_equal(fresh.logits(DATA.x_val), net.logits(DATA.x_val))


def test_extra_is_plain_data_and_comes_back(tmp_path):
    net, _ = make()
    extra = {"epoch": 3, "best": {"loss": 0.25}, "names": ["a", "b"], "nothing": None}
    save_checkpoint(tmp_path / "c.npz", net, extra=extra)
    assert load_checkpoint(tmp_path / "c.npz", net) == extra
    for bad in ({"f": print}, {"nan": float("nan")}):
        with pytest.raises(ol.InputError, match="plain data"):
            save_checkpoint(tmp_path / "c.npz", net, extra=bad)
    assert load_checkpoint(tmp_path / "c.npz", net) == extra


def unchanged(path, message, net=None, opt=None):
    """The file is refused, and the network and optimizer stay as they were."""
    net, opt = (net, opt) if net else make(seed=5)
    if opt:
        train(net, opt)
    weights, t = net.parameters.data.copy(), opt.t if opt else None
    states = [{k: v.copy() for k, v in layer.state().items()} for layer in net.layers]
    with pytest.raises(ol.InputError, match=message):
        load_checkpoint(path, net, opt)
    np.testing.assert_array_equal(net.parameters.data, weights)
    assert (opt.t if opt else None) == t
    for layer, state in zip(net.layers, states, strict=True):
        for name, values in layer.state().items():
            np.testing.assert_array_equal(values, state[name])


@pytest.fixture
def saved(tmp_path):
    net, opt = make()
    train(net, opt)
    save_checkpoint(tmp_path / "c.npz", net, opt)
    return tmp_path / "c.npz"


def test_a_flipped_byte_anywhere_is_noticed(saved):
    """One byte in each of a hundred places over the whole file: headers, arrays, directory."""
    content = saved.read_bytes()
    whole = read_checkpoint(saved)
    for at in np.linspace(0, len(content) - 1, 100).astype(int):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        saved.write_bytes(bytes(damaged))
        try:
            arrays, header = read_checkpoint(saved)
        except ol.InputError:
            continue
        # a byte that carries nothing (a date, padding): then what is read must be what was written
        assert header == whole[1]
        assert all((arrays[k] == whole[0][k]).all() for k in whole[0])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99, 0.9999])
def test_a_truncated_file_is_refused(saved, share):
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    unchanged(saved, "damaged, or not a checkpoint")


def rewritten(path, **changes):
    """The archive with some entries replaced, so that every CRC fits."""
    with zipfile.ZipFile(path) as archive:
        entries = {e.filename: archive.read(e) for e in archive.infolist()}
    entries |= changes
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def npy(array, **options):
    content = io.BytesIO()
    np.lib.format.write_array(content, np.asarray(array), **options)
    return content.getvalue()


def test_changed_weights_with_a_fitting_crc_are_refused(saved):
    arrays, _ = read_checkpoint(saved)
    rewritten(saved, **{"weights.npy": npy(arrays["weights"] + 1)})
    unchanged(saved, "checksum does not match")


class Bomb:
    def __reduce__(self):
        return os.system, ("touch exploded",)


def test_pickled_objects_are_never_loaded(saved, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rewritten(saved, **{"weights.npy": npy(np.array([Bomb()], dtype=object), allow_pickle=True)})
    unchanged(saved, "Python objects, which are never loaded")
    saved.write_bytes(pickle.dumps(Bomb()))
    unchanged(saved, "damaged, or not a checkpoint")
    assert not (tmp_path / "exploded").exists()


def test_a_header_that_lies_about_its_size_allocates_nothing(saved):
    header = npy(np.zeros(1, np.float32))
    rewritten(saved, **{"weights.npy": header.replace(b"(1,)", b"(999999999999,)")[: len(header)]})
    unchanged(saved, "damaged, or not a checkpoint")


def test_another_format_is_refused(saved, monkeypatch):
    net, opt = make()
    monkeypatch.setattr("optimlab.training.checkpoint.FORMAT", 2)
    save_checkpoint(saved, net, opt)
    monkeypatch.undo()
    message = (
        f"has format 2, but this version reads 3: read it with the version that wrote it, optimlab {ol.__version__}"
    )
    unchanged(saved, message)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: make(dtype="float64"), "another network: dtype float32, now float64[.]"),
        (lambda: make(use_bias=False), r"dense1.b of shape \(12,\), now none"),
        (lambda: (ol.MLP([64, 13, 10], batch_norm=True, dropout=0.3), None), "dense1 Dense 64 x 12, now Dense 64 x 13"),
        (
            lambda: (ol.MLP([64, 12, 10]), None),
            "the order of the layers dense1, norm1, activation1, dropout1, dense2, now dense1, activation1, dense2;",
        ),
        (
            lambda: make(batch_norm="after"),
            "the order of the layers dense1, norm1, act.*, now dense1, activation1, norm",
        ),
        (lambda: make(rule="sgd"), "rule 'adam', but the optimizer's is 'sgd'"),
    ],
)
def test_another_network_or_rule_is_refused(saved, other, message):
    unchanged(saved, message, *other())


def layers_set(**changes):
    """A network and what is changed in its layers after it was made."""
    net, opt = make(activation=ol.activations.get("leaky_relu").given(slope=0.1))
    for name, value in changes.items():
        layer, attribute = name.split("__")
        setattr(next(x for x in net.layers if x.name == layer), attribute, value)
    return net, opt


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"norm1__momentum": 0.95}, "norm1.momentum 0.9, now 0.95"),
        ({"norm1__eps": 1e-3}, "norm1.eps 1e-05, now 0.001"),
        ({"norm1__convention": "torch"}, "norm1.convention 'textbook', now 'torch'"),
        ({"dropout1__rate": 0.5}, "dropout1.rate 0.3, now 0.5"),
        (
            {"activation1__activation": ol.activations.get("leaky_relu").given(slope=0.2)},
            r"activation1.activation leaky_relu\(slope=0.1\), now leaky_relu\(slope=0.2\)",
        ),
        ({"dense1__of_a_user": (1, 2.5)}, r"dense1.of_a_user none, now \[1, 2.5\]"),
    ],
)
def test_what_a_layer_was_set_to_has_to_be_the_same(changes, message, tmp_path):
    save_checkpoint(tmp_path / "c.npz", *layers_set())
    unchanged(tmp_path / "c.npz", message, *layers_set(**changes))
    save_checkpoint(tmp_path / "c.npz", *layers_set(**changes))
    load_checkpoint(tmp_path / "c.npz", *layers_set(**changes))


def test_numbers_of_numpy_are_as_good(tmp_path):
    save_checkpoint(tmp_path / "c.npz", *layers_set(norm1__momentum=np.float64(0.95)))
    load_checkpoint(tmp_path / "c.npz", *layers_set(norm1__momentum=0.95))


class Noise(ol.layers.Layer):
    """A layer of a user's: it says what it was set to by its attributes, or by settings of its own."""

    def __init__(self, features, scale, table=None):
        self.inputs = self.outputs = features
        self.scale, self.table = scale, table
        self._calls = 0

    def forward(self, x, training):
        self._calls += 1
        return x * self.scale

    def backward(self, dy, input_gradient=True):
        return dy * self.scale


class TableNoise(Noise):
    def settings(self):
        return {**super().settings(), "table": repr(self.table.tolist())}


def test_a_list_is_a_setting_if_all_of_it_is():
    layer = ol.layers.Dense(3, 2)
    layer.numbers, layer.mixed = [1, 2.5], [1, object()]
    assert layer.settings()["numbers"] == "[1, 2.5]"
    assert "mixed" not in layer.settings()


def test_a_layer_of_a_user_says_what_it_was_set_to(tmp_path):
    def net(scale=2.0, table=None, kind=Noise):
        return ol.Network([ol.layers.Dense(3, 2), kind(2, scale, table)])

    saved = net()
    saved.forward(np.zeros((4, 3)))
    save_checkpoint(tmp_path / "c.npz", saved)
    load_checkpoint(tmp_path / "c.npz", net())
    unchanged(tmp_path / "c.npz", "layer1.scale 2.0, now 3.0", net(scale=3.0))
    ones, twos = np.ones(2), np.ones(2) * 2
    save_checkpoint(tmp_path / "c.npz", net(table=ones, kind=TableNoise))
    load_checkpoint(tmp_path / "c.npz", net(table=ones, kind=TableNoise))
    unchanged(tmp_path / "c.npz", r"layer1.table \[1.0, 1.0\], now \[2.0, 2.0\]", net(table=twos, kind=TableNoise))


def test_an_optimizer_that_is_not_there_is_missed(tmp_path):
    save_checkpoint(tmp_path / "c.npz", make()[0])
    unchanged(tmp_path / "c.npz", "has no optimizer state")


def test_files_that_are_not_there_or_something_else(tmp_path):
    unchanged(tmp_path / "none.npz", "cannot read .*No such file")
    unchanged(tmp_path, "cannot read")
    (tmp_path / "text.npz").write_text("not a checkpoint")
    unchanged(tmp_path / "text.npz", "damaged, or not a checkpoint")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    unchanged(tmp_path / "other.npz", "damaged, or not a checkpoint")


def test_a_write_that_fails_leaves_the_old_checkpoint_and_nothing_else(saved, monkeypatch):
    content = saved.read_bytes()
    net, opt = make(seed=3)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ol.InputError, match="No space left on device"):
        save_checkpoint(saved, net, opt)
    assert saved.read_bytes() == content
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
    with pytest.raises(ol.InputError, match="cannot write"):
        save_checkpoint(saved.parent / "missing" / "c.npz", net, opt)


def test_a_disk_that_is_really_full(tmp_path):
    """A file system of 64 kB, where the machine allows one to be mounted."""
    if os.getuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a small file system")
    folder = tmp_path / "small"
    folder.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k tmpfs {folder} 2>/dev/null"):
        pytest.skip("this machine does not allow mounting")
    try:
        small = ol.MLP([64, 4, 10], seed=0)
        save_checkpoint(folder / "c.npz", small)
        content = (folder / "c.npz").read_bytes()
        with pytest.raises(ol.InputError, match="No space left on device"):
            save_checkpoint(folder / "c.npz", ol.MLP([64, 400, 10], seed=0))
        assert (folder / "c.npz").read_bytes() == content
        assert [p.name for p in folder.iterdir()] == ["c.npz"]
    finally:
        os.system(f"umount {folder}")


def test_the_header_is_readable_json(saved):
    with zipfile.ZipFile(saved) as archive, archive.open("header.npy") as file:
        header = json.loads(np.lib.format.read_array(file).tobytes())
    assert header["optimizer"]["rule"] == "adam"
    assert header["versions"]["optimlab"] == ol.__version__


# --- transfer


def test_named_layers_move_to_another_network(tmp_path):
    """Trained on ten classes, the first layers serve a network for two; frozen, they stay as they came."""
    source = ol.MLP([64, 12, 10], batch_norm=True, seed=0)
    train(source, ol.Adam(source.parameters, lr=0.01), epochs=8)
    save_checkpoint(tmp_path / "c.npz", source)
    net = ol.MLP([64, 12, 2], batch_norm=True, seed=1)
    load_layers(tmp_path / "c.npz", net, ["dense1", "norm1"])
    for name in ("dense1.W", "dense1.b", "norm1.gamma", "norm1.beta"):
        np.testing.assert_array_equal(net.parameters[name].data, source.parameters[name].data)
    np.testing.assert_array_equal(net.layers[1].running_mean, source.layers[1].running_mean)
    np.testing.assert_array_equal(net.layers[1].running_var, source.layers[1].running_var)
    fresh = ol.MLP([64, 12, 2], batch_norm=True, seed=1)
    np.testing.assert_array_equal(net.parameters["dense2.W"].data, fresh.parameters["dense2.W"].data)
    for group in ("dense1", "norm1"):
        net.parameters.freeze(group)
    before = net.parameters["dense1.W"].data.copy()
    odd = ol.Dataset(DATA.x_train[:200], DATA.y_train[:200] % 2, DATA.x_val, DATA.y_val % 2)
    history = ol.fit(net, ol.Adam(net.parameters, lr=0.02), odd, epochs=20, batch_size=50)
    np.testing.assert_array_equal(net.parameters["dense1.W"].data, before)
    np.testing.assert_array_equal(net.layers[1].running_mean, source.layers[1].running_mean)
    np.testing.assert_array_equal(net.layers[1].running_var, source.layers[1].running_var)
    assert history.val_accuracy[-1] > 0.8


@pytest.mark.parametrize(
    ("make_net", "layers", "message"),
    [
        (
            lambda: ol.MLP([64, 12, 10], batch_norm=True),
            ["dense9"],
            "unknown layer of the network 'dense9'",
        ),
        (lambda: ol.MLP([64, 12, 12, 10]), ["dense1", "dense3"], "unknown layer of the checkpoint 'dense3'"),
        (
            lambda: ol.MLP([64, 13, 10]),
            ["dense1"],
            r"other arrays in the checkpoint: dense1.W \(64, 12\)",
        ),
        (lambda: ol.MLP([64, 12, 10], use_bias=False), ["dense1"], "has other arrays"),
        (lambda: ol.MLP([64, 12, 10], dtype="float64"), ["dense1"], "has dtype float32, but the network has float64"),
        (lambda: ol.MLP([64, 12, 10]), "dense1", "layers must be a list of names"),
    ],
)
def test_layers_that_do_not_fit_are_refused_and_nothing_changes(saved, make_net, layers, message):
    net = make_net()
    before = net.parameters.data.copy()
    with pytest.raises(ol.InputError, match=message):
        load_layers(saved, net, layers)
    np.testing.assert_array_equal(net.parameters.data, before)


@pytest.mark.parametrize("rule", [ol.Adam, ol.Nadam])
def test_a_checkpoint_holds_the_steps_of_each_parameter(rule, tmp_path):
    """Rules of the torch convention, where a layer that is unfrozen late begins at its own first step."""

    def made():
        net = ol.MLP([4, 3, 2], seed=0, dtype="float64")
        return net, rule(net.parameters, convention="torch", lr=0.1)

    def steps(net, opt, count, seed):
        generator = np.random.default_rng(seed)
        for _ in range(count):
            net.parameters.grad[...] = generator.normal(size=net.parameters.grad.size)
            opt.step()

    net, opt = made()
    net.parameters.freeze("dense1")
    steps(net, opt, 5, seed=0)
    save_checkpoint(tmp_path / "frozen.npz", net, opt)
    net.parameters.unfreeze("dense1")
    steps(net, opt, 2, seed=1)
    save_checkpoint(tmp_path / "unfrozen.npz", net, opt)
    steps(net, opt, 3, seed=2)
    for name, rest in (("frozen", ((2, 1), (3, 2))), ("unfrozen", ((3, 2),))):
        again, again_opt = made()
        load_checkpoint(tmp_path / f"{name}.npz", again, again_opt)
        for count, seed in rest:
            steps(again, again_opt, count, seed)
        assert_same_bits(again.parameters.data, net.parameters.data)
        assert [again_opt.steps(p) for p in again.parameters] == [opt.steps(p) for p in net.parameters]
        assert {again_opt.steps(p) for p in again.parameters} == {5, 10}
