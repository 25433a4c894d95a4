"""translate: what comes out trains as what went in, exactly where it says so."""

import warnings

import numpy as np
import parity
import pytest
from conftest import require

import optimlab as ol
from optimlab import rules
from optimlab.optim.translation import Translation, translate

torch = require("torch")

PAIRS = [
    (name, source, to)
    for source in rules.CONVENTIONS
    for to in rules.CONVENTIONS
    for name in rules.names(source)
    if source != to and rules.find(name, to)
]


def quietly(*arguments, **options):
    with warnings.catch_warnings(action="ignore"):
        return translate(*arguments, **options)


def path(name, convention, hyperparameters, steps=60, change=False, small=False):
    """Weights of a small network under fixed gradients, in float64."""
    net = ol.MLP([3, 2], seed=0, dtype="float64")
    opt = ol.Optimizer(net.parameters, rules.find(name, convention), **hyperparameters)
    g = np.random.default_rng(1)
    for t in range(steps):
        net.parameters.grad[...] = g.normal(size=net.parameters.grad.size) * (1e-4 if small else 1.0)
        if change and t == steps // 2:
            opt.lr = hyperparameters["lr"] / 10
        opt.step()
    return net.parameters.data


@pytest.mark.parametrize(("name", "source", "to"), PAIRS)
def test_a_translation_without_a_warning_is_exact(name, source, to):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = translate(
            {"rule": name, "eps": 0.0} if takes(name, source, "eps") else {"rule": name}, to=to, convention=source
        )
    assert [str(w.message) for w in caught] == list(made.inexact)
    given = dict(ol.kernels.declaration(rules.find(name, source))[2])
    given |= {"eps": 0.0} if "eps" in given else {}
    ours, theirs = path(name, source, given, change=True), path(name, to, made.hyperparameters, change=True)
    agree = np.allclose(ours, theirs, rtol=1e-10, atol=0)
    assert agree or made.inexact, f"{name}: {source} to {to} differ without a word"


def takes(name, convention, hyperparameter):
    return hyperparameter in ol.kernels.declaration(rules.find(name, convention))[2]


@pytest.mark.parametrize("name", ["momentum", "nesterov", "rmsprop_momentum"])
def test_velocities_are_equal_until_the_rate_changes(name):
    made = quietly(
        {"rule": name, "lr": 0.05} | ({"eps": 0.0} if name.startswith("rms") else {}), to="keras", convention="torch"
    )
    assert any("learning rate" in sentence for sentence in made.inexact)
    given = {**ol.kernels.declaration(rules.find(name, "torch"))[2], "lr": 0.05}
    given |= {"eps": 0.0} if "eps" in given else {}
    np.testing.assert_allclose(path(name, "torch", given), path(name, "keras", made.hyperparameters), rtol=1e-12)
    parted = np.abs(path(name, "torch", given, change=True) - path(name, "keras", made.hyperparameters, change=True))
    assert parted.max() > 1e-3


def test_the_translated_epsilon_comes_closer_than_the_plain_one():
    """Gradients of 1e-4, where an epsilon of 1e-7 inside the root matters."""
    given = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-7}
    made = quietly({"rule": "adam", **given}, to="torch")
    assert made.hyperparameters["eps"] == pytest.approx(1e-7**0.5)
    target = path("adam", "textbook", given, small=True)
    plain = path("adam", "torch", {**made.hyperparameters, "eps": 1e-7}, small=True)
    close = path("adam", "torch", made.hyperparameters, small=True)
    assert np.abs(close - target).max() < np.abs(plain - target).max() / 3


def test_there_and_back_again():
    start = {"rule": "adam", "lr": 0.01, "beta1": 0.8, "beta2": 0.99, "eps": 1e-12}
    there = quietly(start, to="torch")
    back = quietly({"rule": "adam", **there.hyperparameters}, to="textbook", convention="torch")
    assert {"rule": "adam", **back.hyperparameters} == pytest.approx(start)


def test_an_optimizer_can_be_translated():
    net = ol.MLP([2, 2])
    made = translate(ol.Nadam(net.parameters, convention="keras", lr=0.5), to="torch")
    assert made.hyperparameters["momentum_decay"] == 1.0
    assert made.inexact == ()


OTHERS = {"beta": 0.8, "beta1": 0.8, "beta2": 0.97, "momentum": 0.6, "dampening": 0.3, "lr_decay": 0.02, "rho": 0.8}
"""Far from the defaults."""


def torch_settings():
    """Each rule with other hyperparameters than its defaults, and once more with each of them at 0."""
    for name in rules.names("torch"):
        values = {k: OTHERS.get(k, v) for k, v in ol.kernels.declaration(rules.find(name, "torch"))[2].items()}
        values |= {"weight_decay": 0.1}
        yield pytest.param(name, values, id=name)
        for zero in values:
            yield pytest.param(name, {**values, zero: 0.0}, id=f"{name}, {zero}=0")


@pytest.mark.parametrize(("name", "values"), list(torch_settings()))
def test_the_torch_code_makes_an_optimizer_that_takes_the_same_steps(name, values):
    code = Translation(name, "torch", values, ()).code
    weights = torch.linspace(-1, 1, 8, dtype=torch.float64).requires_grad_()
    net = ol.MLP([3, 2], seed=0, dtype="float64")
    net.parameters.data[...] = weights.detach().numpy()
    ours = ol.Optimizer(net.parameters, rules.find(name, "torch"), **values)
    g = np.random.default_rng(0)
    with parity.torch_defaults(torch, "float64"):  # NAdam keeps a product in the default dtype
        theirs = eval(code, {"torch": torch, "parameters": [weights]})
        for _ in range(20):
            gradient = g.normal(size=8)
            weights.grad, net.parameters.grad[...] = torch.from_numpy(gradient), gradient
            theirs.step()
            ours.step()
    if "centered" in name and values["beta"] == 0:  # divided by rounding errors: of no use in either
        assert not abs(net.parameters.data).max() < 1e6
        assert not weights.abs().max() < 1e6
        return
    np.testing.assert_allclose(net.parameters.data, weights.detach().numpy(), rtol=1e-10)


GROUPED = [
    ("adamw", {"weight_decay": 0.1}, {"biases": {"weight_decay": 0.0, "lr": 0.5}}),
    ("adam", {"beta1": 0.8}, {"dense2": {"beta2": 0.5}, "dense1.W": {"lr": 0.02, "beta1": 0.2}}),
    ("nesterov", {"lr": 0.1}, {"weights": {"beta": 0.0}}),
    ("nesterov", {"lr": 0.1, "beta": 0.0}, {"weights": {"beta": 0.8}}),
    ("rmsprop_momentum", {}, {"weights": {"momentum": 0.0}, "biases": {"momentum": 0.5, "eps": 1e-3}}),
]


@pytest.mark.parametrize(("name", "shared", "groups"), GROUPED)
def test_the_torch_code_has_the_same_groups(name, shared, groups):
    net = ol.MLP([3, 2, 2], seed=0, dtype="float64")
    ours = ol.optimizers.get(name)(net.parameters, convention="torch", groups=groups, **shared)
    with warnings.catch_warnings(action="error"):
        made = translate(ours, to="torch")
    assert made.inexact == ()
    weights = {p.name: torch.tensor(p.data).requires_grad_() for p in net.parameters}
    members = {group: {p.name for p in net.parameters.select(group)} for group in groups}
    scope = {group.replace(".", "_"): [weights[p] for p in sorted(names)] for group, names in members.items()}
    rest = [weights[p] for p in weights if not any(p in names for names in members.values())]
    g = np.random.default_rng(0)
    with parity.torch_defaults(torch, "float64"):
        theirs = eval(made.code, {"torch": torch, "parameters": rest, **scope})
        for _ in range(20):
            for p in net.parameters:
                p.grad[...] = g.normal(size=p.shape)
                weights[p.name].grad = torch.tensor(p.grad)
            theirs.step()
            ours.step()
    for p in net.parameters:
        np.testing.assert_allclose(p.data, weights[p.name].detach().numpy(), rtol=1e-10)


@pytest.mark.parametrize("to", rules.CONVENTIONS)
def test_groups_are_translated_or_named_as_inexact(to):
    net = ol.MLP([3, 2, 2], seed=0)
    groups = {"biases": {"lr": 0.5, "eps": 1e-4}, "dense2.W": {"lr": 0.001}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = translate(ol.Adam(net.parameters, groups=groups), to=to)
    assert [str(w.message) for w in caught] == list(made.inexact)
    left_out = [sentence for sentence in made.inexact if "no parameter groups" in sentence]
    if to == "keras":
        told = "the settings of group 'biases' are left out: lr=0.5, eps=0.01"
        assert left_out == [f"Keras has no parameter groups, so {told}"]
        assert made.groups == {}
        return
    eps = 1e-4 if to == "textbook" else 1e-2
    assert made.groups == {"biases": {"lr": 0.5, "eps": eps}}
    assert not left_out
    assert sum("group 'biases': epsilon" in sentence for sentence in made.inexact) == (to == "torch")


def test_the_textbook_code_has_the_same_groups():
    net = ol.MLP([3, 2, 2], seed=0)
    optimizer = ol.Adam(net.parameters, groups={"biases": {"lr": 0.5}})
    again = eval(translate(optimizer, to="textbook").code, {"ol": ol, "net": net})
    assert again.groups == optimizer.groups
    assert again.hyperparameters == optimizer.hyperparameters


@pytest.mark.parametrize("to", ["textbook", "keras"])
def test_nesterov_without_momentum_is_gradient_descent_in_every_convention(to):
    made = quietly({"rule": "nesterov", "beta": 0.0, "lr": 0.1}, to=to)
    expected = path("sgd", "textbook", {"lr": 0.1}, change=True)
    np.testing.assert_allclose(path("nesterov", to, made.hyperparameters, change=True), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: translate({"lr": 0.1}, to="torch"), "needs a 'rule'"),
        (lambda: translate({"rule": "adamm"}, to="torch"), "unknown rule 'adamm'"),
        (lambda: translate({"rule": "adam"}, to="jax"), "unknown convention 'jax'"),
        (lambda: translate({"rule": "adam", "rate": 1}, to="torch"), "unknown hyperparameter of adam 'rate'"),
        (lambda: translate({"rule": "adam", "lr": -1}, to="torch"), "lr must be"),
        (lambda: translate({"rule": "lion"}, to="torch"), "the convention 'torch' has no rule 'lion'; these have"),
        (lambda: translate(ol.LAMB(ol.MLP([2, 2]).parameters), to="torch"), "belongs to no convention"),
        (
            lambda: translate(
                ol.SGD(ol.MLP([2, 2]).parameters, groups={"biases": {"lr": lambda step: 0.1}}), to="textbook"
            ),
            "lr of the group 'biases' is a function of the step",
        ),
        (
            lambda: translate(ol.SGD(ol.MLP([2, 2]).parameters, lr=lambda step: 0.1), to="torch"),
            "lr is a function of the step",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ol.InputError, match=message):
        call()


# --- conventions of layers


def test_batch_norm_means_what_pytorch_means():
    net = ol.Network([ol.layers.BatchNorm(3, convention="torch")], dtype="float64")
    reference = torch.nn.BatchNorm1d(3, dtype=torch.float64)
    g = np.random.default_rng(0)
    for _ in range(5):
        x = g.normal(2.0, 3.0, (7, 3))
        ours, theirs = net.forward(x, training=True), reference(torch.from_numpy(x))
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12)
    layer = net.layers[0]
    np.testing.assert_allclose(layer.running_mean, reference.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.running_var, reference.running_var.numpy(), rtol=1e-12)
    reference.eval()
    np.testing.assert_allclose(net.forward(x), reference(torch.from_numpy(x)).detach().numpy(), rtol=1e-12)


def test_batch_norm_means_what_keras_means():
    """running <- 0.99 running + 0.01 batch, biased variance, epsilon 1e-3: worked out by hand."""
    net = ol.Network([ol.layers.BatchNorm(1, convention="keras")], dtype="float64")
    x = np.array([[1.0], [3.0]])
    z = net.forward(x, training=True)
    np.testing.assert_allclose(z[:, 0], [-1 / 1.001**0.5, 1 / 1.001**0.5], rtol=1e-12)
    assert float(net.layers[0].running_mean[0]) == pytest.approx(0.01 * 2)
    assert float(net.layers[0].running_var[0]) == pytest.approx(0.99 + 0.01 * 1)


def test_initial_weights_are_distributed_as_the_libraries_do():
    reference = torch.nn.Linear(300, 200)
    layer = ol.MLP([300, 200], convention="torch", seed=0).parameters
    for ours, theirs in (("dense1.W", reference.weight), ("dense1.b", reference.bias)):
        values = layer[ours].data
        assert np.abs(values).max() <= 300**-0.5
        assert np.abs(values).max() == pytest.approx(theirs.abs().max().item(), rel=0.05)
        assert values.std() == pytest.approx(theirs.std().item(), rel=0.15)
    keras = ol.MLP([300, 200], convention="keras", seed=0).parameters
    assert np.abs(keras["dense1.W"].data).max() == pytest.approx((6 / 500) ** 0.5, rel=0.01)
    assert not keras["dense1.b"].data.any()


def test_an_initializer_that_is_named_wins_over_the_convention():
    named = ol.MLP([4, 3], convention="torch", initializer="zeros").parameters
    assert not named["dense1.W"].data.any()
    assert named["dense1.b"].data.any()


@pytest.mark.parametrize(
    "make", [lambda: ol.MLP([4, 3], convention="x"), lambda: ol.layers.BatchNorm(3, convention="x")]
)
def test_unknown_conventions_of_layers(make):
    with pytest.raises(ol.InputError, match="unknown convention 'x'"):
        make()
