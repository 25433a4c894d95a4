"""Every rule of every convention against the library it claims to equal, for 200 steps; see parity.py."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import itertools
import json
import os
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import parity
import pytest
from conftest import assert_same_bits, require
from parity import DTYPES, ROWS, Row, measure

import optimlab as ol
from optimlab import rules
from optimlab.kernels import declaration
from optimlab.rules import _host

torch = require("torch")
DOCS = Path(__file__).parents[1] / "docs"

every_row = pytest.mark.parametrize("row", ROWS, ids=str)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


# ---- the proof ----


@every_row
def test_float64(row):
    assert measure(row, "float64").relative < parity.FLOAT64


@pytest.mark.quick("textbook-adam-paper", "torch-nadam-torch", "keras-rmsprop_centered-keras", "layer-wise-lamb-optax")
@every_row
def test_float32(row):
    assert measure(row, "float32").ulps < parity.most_ulps(row)


@pytest.mark.quick_each("row", "dtype")
@every_dtype
@pytest.mark.parametrize("row", [row for row in ROWS if row.elementwise], ids=str)
def test_the_optimizer_is_the_rule_bit_for_bit(row, dtype):
    for variant in row.variants:
        assert_same_bits(parity.by_optimizer(row, variant, dtype), parity.by_rule(row, variant, dtype), variant)


def test_every_rule_of_every_convention_has_a_row():
    layerwise = {name for name, value in vars(rules.layerwise).items() if isinstance(value, rules.LayerRule)}
    wanted = {(c, name) for c in rules.CONVENTIONS for name in rules.names(c)} | {("layer-wise", n) for n in layerwise}
    assert {(row.convention, row.rule) for row in ROWS} == wanted


# ---- the proof could fail ----


def test_the_gradients_span_ten_orders_of_magnitude_and_are_exact_in_both_dtypes():
    values = parity.GRADIENTS
    sizes = abs(values).max(axis=0)
    assert sizes.max() / sizes[sizes > 0].min() > 1e9
    assert 0.05 < (values == 0).mean() < 0.2
    assert (sizes == 0).sum() == 2
    assert_same_bits(values.astype("float32").astype("float64"), values)
    assert (parity.START == 0).any()
    assert_same_bits(parity.START.astype("float32").astype("float64"), parity.START)


@pytest.mark.quick("textbook-adam-paper", "torch-nadam-torch", "keras-rmsprop_centered-keras", "layer-wise-lamb-optax")
@every_row
def test_a_hyperparameter_a_millionth_off_would_be_seen(row):
    """So would a wrong default, and one read as another."""
    path = parity.by_rule(row, "others", "float64")
    everywhere = tuple(range(1, parity.STEPS + 1))
    for name, value in {**row.defaults, **row.variants["others"]}.items():
        # a sign hides small differences, until one turns
        off = 0.05 if row.rule == "lion" and name.startswith("beta") else 1e-6
        other = parity.run_rule(row, {**row.variants["others"], name: value * (1 + off)}, "float64")
        assert parity.apart(other, path, everywhere, "float64").relative > 10 * parity.FLOAT64, name


def test_the_measure_sees_one_wrong_bit_and_what_is_not_finite():
    path = parity.GRADIENTS.astype("float32") + 1
    everywhere = tuple(range(1, parity.STEPS + 1))
    assert parity.apart(path, path, everywhere, "float32") == parity.Apart(0, 0, 0)
    other = path.copy()
    other[9, 3] = np.nextafter(other[9, 3], np.float32(np.inf))
    seen = parity.apart(other, path, everywhere, "float32")
    assert 0 < seen.ulps <= 0.1
    assert 0 < seen.relative < 1.2e-7
    assert seen.relative_at_the_end == 0
    other[9, 3] = np.nan
    assert parity.apart(other, path, everywhere, "float32").relative == np.inf


@pytest.mark.parametrize("row", [row for row in ROWS if row.library in ("keras", "optax")], ids=str)
def test_the_golden_traces_go_somewhere_and_the_variants_differ(row):
    paths = [parity.golden(row.library)[f"{row.rule}/{variant}/float64"] for variant in row.variants]
    for path in paths:
        assert path.shape == (len(parity.RECORDED), parity.SIZE)
        assert np.isfinite(path).all()
        assert (path[-1] != path[0]).mean() > 0.9
    for a, b in itertools.pairwise(paths):
        assert abs(a - b).max() > 1e-4


@pytest.mark.parametrize("library", ["keras", "optax"])
def test_the_golden_files_hold_what_the_rows_need_and_are_small(library):
    needed = {
        f"{row.rule}/{variant}/{dtype}"
        for row in ROWS
        if row.library == library
        for variant in row.variants
        for dtype in DTYPES
    }
    stored = parity.golden(library)
    assert {key for key in stored if not key.startswith(("about", "evaluation"))} == needed
    assert tuple(stored["about"]["steps"]) == parity.RECORDED
    assert {library, "jax", "numpy"} <= set(stored["about"]["versions"])
    assert (parity.GOLDEN / f"{library}.npz").stat().st_size < 200_000


# ---- what belongs to the proof of particular rules ----


@every_dtype
@pytest.mark.parametrize("variant", ["defaults", "others"])
def test_schedule_free_evaluation_weights(variant, dtype):
    row = Row("textbook", "schedule_free_adamw", "optax")
    expected = parity.golden("optax")[f"evaluation/{row.rule}/{variant}/{dtype}"]
    for path in parity.evaluation_paths(row, variant, dtype):
        seen = parity.apart(path, expected, parity.RECORDED, dtype)
        assert seen.relative < parity.FLOAT64 if dtype == "float64" else seen.ulps < parity.most_ulps(row)
    # and they are not the weights trained with
    assert abs(expected - parity.golden("optax")[f"{row.rule}/{variant}/{dtype}"]).max() > 1e-3


@pytest.mark.parametrize("name", ["adam", "amsgrad", "adamw"])
def test_what_parts_keras_in_float32_is_its_powers(name):
    """With beta^t in float32, as Keras has it, the hundred units in the last place become a few."""
    left = parity.with_float32_powers(name)
    assert left.ulps < 5
    assert measure(Row("keras", name, "keras"), "float32").ulps > 10 * left.ulps


@pytest.mark.slow
def test_centred_rmsprop_is_not_lost_more_often_than_pytorchs():
    """Where gradients never change, s - m m tends to zero and may round to less: how often is a matter of form."""
    lost = parity.lost_to_nan()
    assert lost["rmsprop_centered here"] <= 1.5 * lost["PyTorch"] + 5
    assert lost["with m = beta m + (1 - beta) g"] > 2 * lost["rmsprop_centered here"]


def test_nadams_product_keeps_little_however_beta1_changes():
    """A schedule of beta1 must not keep a list of products for every value that it has had."""
    parameters = parity.make_parameters("float64")
    optimizer = ol.Nadam(parameters, convention="torch", beta1=lambda step: 0.9 - 1e-4 * step)
    before = sum(map(len, _host._kept.values()))
    for _ in range(300):
        optimizer.step()
    assert sum(map(len, _host._kept.values())) <= before + 301
    product = 1.0
    for t in range(1, 301):
        product *= _host.decaying_beta(t, 0.8, 0.004)
    assert abs(_host.decaying_beta_product(300, 0.8, 0.004) / product - 1) < 1e-12


def test_nadams_products_are_right_in_threads(monkeypatch):
    """Eight threads fill one table, and give way to each other in the midst of it."""
    factors = [_host.decaying_beta(t, 0.999, 0.03) for t in range(1, 101)]
    plain = _host.decaying_beta

    def yielding(*arguments):
        time.sleep(1e-6)
        return plain(*arguments)

    monkeypatch.setattr(_host, "decaying_beta", yielding)
    steps = [100, 90, 80, 100, 70, 95, 100, 99]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda t: _host.decaying_beta_product(t, 0.999, 0.03), steps))
    np.testing.assert_allclose(found, [np.prod(factors[:t]) for t in steps], rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("backend", ["numpy", "compiled"])
def test_centred_rmsprop_without_memory_divides_by_the_root_of_epsilon(backend, dtype):
    """As Keras (3.15, eager) does, which was run: w - 1 = 0.1195401 for the first weight, in float32."""
    if backend == "compiled":
        require("llvmlite")
    parameters = ol.MLP([3, 2], dtype=dtype, backend=backend).parameters
    optimizer = ol.RMSProp(parameters, convention="keras", centered=True, lr=1e-4, beta=0.0)
    parameters.data[...] = 1.0
    gradients = np.random.default_rng(0).normal(size=(5, 8)).astype(dtype)
    for g in gradients:
        parameters.grad[...] = g
        optimizer.step()
    expected = 1 - 1e-4 / 1e-7**0.5 * gradients.astype(float).sum(axis=0)
    np.testing.assert_allclose(parameters.data, expected, rtol=1e-6 if dtype == "float32" else 1e-13)
    assert parameters.data[0] - 1 == pytest.approx(0.1195401, rel=1e-5)


# ---- defaults ----


def defaults_there(row):
    """The library's defaults, by our names; those it does not have are left out."""
    name = parity.CALLS[row.library][row.rule][0]
    if row.library == "torch":
        signature = inspect.signature(getattr(torch.optim, name)).parameters
        there = {k: p.default for k, p in signature.items()}
        there["beta1"], there["beta2"] = there.pop("betas", (None, None))
    else:
        there = dict(parity.golden(row.library)["about"]["defaults"][name])
    if there.get("weight_decay", 0) is None:
        there["weight_decay"] = 0.0
    names = parity.names_there(row)
    return {ours: there[theirs] for ours, theirs in names.items() if there.get(theirs) is not None}


@pytest.mark.parametrize("row", [row for row in ROWS if row.library != "paper"], ids=str)
def test_defaults_are_the_librarys_but_for_those_listed(row):
    there = defaults_there(row)
    no_default = {"lr"} if row.library == "optax" and row.rule != "schedule_free_adamw" else set()
    for_vectors = {"adam_lr", "beta1", "beta2"} if row.rule == "muon" else set()
    if row.rule == "muon":
        del there["eps"]  # the library's is of the orthogonalization, ours of AdamW
        for_vectors.add("eps")
    assert set(row.defaults) - set(there) == no_default | for_vectors
    assert {name for name, value in there.items() if value != row.defaults[name]} == parity.exceptions(row)


def test_adagrads_accumulators_start_where_the_libraries_start_them():
    assert declaration(rules.keras.adagrad)[1] == {"s": 0.1}
    assert parity.golden("keras")["about"]["defaults"]["Adagrad"]["initial_accumulator_value"] == 0.1
    start = inspect.signature(torch.optim.Adagrad).parameters["initial_accumulator_value"].default
    assert declaration(rules.torch.adagrad)[1] == {"s": start}


# ---- Keras itself ----


@pytest.mark.slow
@every_dtype
@pytest.mark.parametrize("row", [row for row in ROWS if row.library == "keras"], ids=str)
def test_keras_live(row, dtype):
    """The first steps: each takes Keras 20 ms. The golden traces have all of them, and the changes of the rate."""
    require("jax")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    steps = 12
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # importing Keras is not what is tested
        require("keras")
        path = parity.keras_path(row, "others", dtype, steps)
    everywhere = tuple(range(1, steps + 1))
    seen = parity.apart(parity.by_rule(row, "others", dtype), path, everywhere, dtype)
    assert seen.relative < parity.FLOAT64 if dtype == "float64" else seen.ulps < parity.most_ulps(row)


# ---- the page ----


@pytest.fixture(scope="module")
def generator():
    spec = importlib.util.spec_from_file_location("make_conventions", DOCS / "make_conventions.py")
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


@pytest.mark.slow
def test_the_page_is_current_but_for_its_numbers(generator):
    page = (DOCS / "conventions.md").read_text(encoding="utf-8")
    assert generator.without_numbers(page) == generator.without_numbers(generator.page())


@pytest.mark.quick("textbook-adam-paper", "torch-nadam-torch", "keras-rmsprop_centered-keras", "layer-wise-lamb-optax")
@every_row
def test_the_page_prints_what_is_measured(row, generator):
    """Within a factor of ten; below what rounding alone may do, anything goes."""
    printed = generator.printed((DOCS / "conventions.md").read_text(encoding="utf-8"))[
        (row.rule, row.convention, row.against)
    ]
    in64, in32 = measure(row, "float64"), measure(row, "float32")
    today = (in64.relative, in32.ulps, in32.relative_at_the_end)
    for number, before, noise in zip(today, printed, (1e-14, 3.0, 3e-6), strict=True):
        assert max(number, before) < noise or 0.1 < number / before < 10


def test_muon_moves_matrices_with_more_outputs_than_inputs_further(monkeypatch):
    """The tensors of the proof have no more outputs than inputs; here are 2 inputs and 5 outputs."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.double)
    w, g = np.random.default_rng(0).normal(size=(2, 2, 5))
    theirs = torch.from_numpy(w.T.copy()).requires_grad_()
    optimizer = torch.optim.Muon([theirs], lr=0.1, weight_decay=0.2)
    m = s = np.zeros_like(w)
    for t in (1, 2):
        theirs.grad = torch.from_numpy(g.T.copy())
        optimizer.step()
        w, m, s = rules.layerwise.muon(w, g, m, s, t=t, lr=0.1, weight_decay=0.2)
    np.testing.assert_allclose(w, theirs.detach().numpy().T, rtol=1e-10)
    assert not s.any()


# ---- what PyTorch counts: the steps of each parameter ----

FREEZING = {
    "unfrozen later": {0: ({"dense1"}, set()), 7: (set(), {"dense1"})},
    "one layer after the other": {0: ({"dense1", "norm1"}, set()), 5: (set(), {"norm1"}), 9: (set(), {"dense1"})},
    "frozen in between": {4: ({"dense2", "biases"}, set()), 9: (set(), {"biases"}), 12: (set(), {"dense2.W"})},
    "again and again": {k: (set(), {"weights"}) if k % 6 else ({"weights"}, set()) for k in range(0, 20, 3)},
    "all of them": {3: ({"weights", "biases", "scales"}, set()), 8: (set(), {"weights", "biases", "scales"})},
}
"""By step, from 0: what is frozen before it, and what is unfrozen."""


def torch_row_with_freezing(row, variant, pattern, groups=None, between=lambda optimizer: optimizer):
    """Our weights and PyTorch's after 20 steps; a frozen parameter has no gradient there."""
    names = parity.names_there(row)
    parameters = parity.make_parameters("float64")
    for p, w in zip(parameters, parity.tensors(parity.START, "float64"), strict=True):
        p.data[...] = w
    ours = parity.make_optimizer(row, parameters, groups=groups, **{"lr": 0.05, **row.variants[variant]})
    theirs = [torch.tensor(p.data, requires_grad=True) for p in parameters]
    options = parity.options_there(row, variant)
    if "beta1" in row.defaults:
        options["betas"] = tuple(options.pop(k, row.defaults[k]) for k in ("beta1", "beta2"))
    own = [{"params": [w], "lr": 0.05} for w in theirs]
    for p, group in zip(parameters, own, strict=True):
        for name, values in (groups or {}).items():
            if name in (p.kind, p.layer, p.name):
                group |= {names[k]: v for k, v in values.items()}
    with parity.torch_defaults(torch, "float64"):
        optimizer = getattr(torch.optim, parity.CALLS["torch"][row.rule][0])(own, **options)
        for step in range(20):
            frozen, unfrozen = pattern.get(step, ((), ()))
            for name in frozen:
                parameters.freeze(name)
            for name in unfrozen:
                parameters.unfreeze(name)
            gradients = parity.tensors(parity.GRADIENTS[step], "float64")
            for p, w, g in zip(parameters, theirs, gradients, strict=True):
                p.grad[...] = g
                w.grad = None if p.frozen else torch.from_numpy(g)
            ours.step()
            optimizer.step()
            ours = between(ours)
    counted = [int(optimizer.state[w].get("step", -1)) for w in theirs]
    return ours, counted, parity.flattened([w.detach() for w in theirs])


def weights_of(optimizer):
    return parity.flattened([p.data for p in optimizer.parameters])


@pytest.mark.quick_each("row", "pattern")
@pytest.mark.parametrize("pattern", FREEZING.values(), ids=FREEZING)
@pytest.mark.parametrize("row", [row for row in ROWS if row.convention == "torch"], ids=str)
def test_a_parameter_counts_its_own_steps_as_in_pytorch(row, pattern):
    for variant in row.variants:
        ours, counted, theirs = torch_row_with_freezing(row, variant, pattern)
        np.testing.assert_allclose(weights_of(ours), theirs, rtol=1e-11, atol=1e-13)
        if rules.counts_each_parameter(row.function) and counted[0] >= 0:
            assert [ours.steps(p) for p in ours.parameters] == counted


@pytest.mark.parametrize("row", [row for row in ROWS if row.convention == "torch"], ids=str)
def test_so_it_does_in_groups_and_when_stored_and_loaded_at_any_step(row):
    """Loaded into a fresh optimizer after every single step, the path is the same bit for bit."""
    pattern, groups = FREEZING["frozen in between"], {"biases": {"lr": 0.5}, "dense1.W": {"weight_decay": 0.1}}

    def stored_and_loaded(optimizer):
        again, stored = parity.make_optimizer(row, optimizer.parameters, groups=groups), optimizer.state_dict()
        arrays = stored.pop("state")
        again.load_state_dict({**json.loads(json.dumps(stored)), "state": arrays})
        return again

    ours, _, theirs = torch_row_with_freezing(row, "others", pattern, groups)
    np.testing.assert_allclose(weights_of(ours), theirs, rtol=1e-11, atol=1e-13)
    again, _, _ = torch_row_with_freezing(row, "others", pattern, groups, stored_and_loaded)
    assert_same_bits(weights_of(again), weights_of(ours), row.rule)


def test_a_torch_rule_with_a_value_set_for_good_counts_as_the_rule_does():
    """PyTorch's first step of a parameter that is unfrozen late has the length lr, whatever beta1."""
    torch = require("torch")
    parameters = parity.make_parameters("float64")
    optimizer = ol.Optimizer(parameters, functools.partial(rules.torch.adam, beta1=0.5), lr=0.1)
    late = torch.nn.Parameter(torch.tensor(parameters["dense1.W"].data.copy()))
    theirs = torch.optim.Adam([late], lr=0.1, betas=(0.5, 0.999))
    parameters.freeze("dense1")
    parameters.grad[...] = 3.0
    for _ in range(9):
        optimizer.step()
    parameters.unfreeze("dense1")
    late.grad = torch.full_like(late, 3.0)
    for _ in range(3):
        optimizer.step()
        theirs.step()
    np.testing.assert_allclose(parameters["dense1.W"].data, late.detach().numpy(), rtol=1e-11)


@pytest.mark.parametrize("name", ["textbook", "keras"])
def test_the_other_conventions_have_one_counter(name):
    """A layer that is unfrozen after 9 steps makes its first with t = 10, as Keras's ``iterations`` has it."""
    parameters = parity.make_parameters("float64")
    optimizer = ol.Adam(parameters, convention=name, lr=0.1, eps=0.0)
    parameters.freeze("dense1")
    parameters.grad[...] = 1.0
    for _ in range(9):
        optimizer.step()
    parameters.unfreeze("dense1")
    before = parameters["dense1.W"].data.copy()
    optimizer.step()
    m, s = 0.1, 0.001
    move = 0.1 * m / (1 - 0.9**10) / (s / (1 - 0.999**10)) ** 0.5
    np.testing.assert_allclose(before - parameters["dense1.W"].data, move, rtol=1e-12)
    assert optimizer.steps(parameters["dense1.W"]) == optimizer.t == 10


def test_one_counter_costs_no_more_updates():
    """A group is one update, as long as its members have made equally many steps."""
    parameters = parity.make_parameters("float64")
    optimizer = ol.Adam(parameters, convention="torch", groups={"biases": {"lr": 0.5}})
    assert len(optimizer.bound()) == 2
    parameters.freeze("dense1")
    optimizer.step()
    assert len(optimizer.bound()) == 2
    parameters.unfreeze("dense1")
    assert len(optimizer.bound()) == 4
