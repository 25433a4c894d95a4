"""A name that another library uses is refused with what to write here."""

import functools
import inspect

import pytest

import optimlab as ol
from optimlab.common import familiar
from optimlab.common.errors import only
from optimlab.nn.layers import BatchNorm, Dense

NET = ol.MLP([4, 3])
DATA = ol.Dataset([[0.0, 1.0, 2.0, 3.0]], [1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ol.Adam(NET.parameters, learning_rate=0.1),
            "hyperparameter of adam 'learning_rate'; write lr. Known: lr",
        ),
        (lambda: ol.Adam(NET.parameters, betas=(0.9, 0.99)), "write beta1 and beta2"),
        (lambda: ol.Adam(NET.parameters, momentum=0.9), "write beta1"),
        (lambda: ol.Momentum(NET.parameters, momentum=0.9), "write beta"),
        (lambda: ol.SGD(NET.parameters, momentum=0.9), "ol.Momentum and ol.Nesterov"),
        (lambda: ol.SGD(NET.parameters, decay=1e-4), "ol.schedules.ExponentialLR"),
        (lambda: ol.SGD(NET.parameters, clipvalue=1.0), "clip=ol.ClipValue"),
        (lambda: ol.SGD(NET.parameters, groups={"biases": {"learning_rate": 0.1}}), "write lr"),
        (lambda: ol.RMSProp(NET.parameters, rho=0.9), "write beta"),
        (lambda: ol.RMSProp(NET.parameters, epsilon=0.9), "write eps"),
        (lambda: ol.explain("adam", beta_1=0.9), "write beta1"),
        (
            lambda: ol.fit(NET, ol.SGD(NET.parameters), DATA, learning_rate=0.1),
            "argument of fit 'learning_rate'; give it to",
        ),
        (lambda: ol.fit(NET, ol.SGD(NET.parameters), DATA, validation_data=(1, 2)), "ol.Dataset"),
        (lambda: ol.fit(NET, ol.SGD(NET.parameters), DATA, metrics=["accuracy"]), "accuracy is always measured"),
        (lambda: ol.fit(NET, ol.SGD(NET.parameters), DATA, n_epochs=3), "write epochs"),
        (lambda: ol.fit(NET, ol.SGD(NET.parameters), DATA, epoch=3), "did you mean 'epochs'"),
        (lambda: ol.EarlyStopping(restore_best_weights=True), "write restore_best"),
        (lambda: ol.EarlyStopping(patence=3), "did you mean 'patience'"),
        (lambda: ol.BestCheckpoint(filepath="x"), "write path"),
        (lambda: ol.ReduceLROnPlateau(min_delta=0.1), "write threshold"),
        (lambda: ol.MLP([4, 3], kernel_initializer="zeros"), "write initializer"),
        (lambda: ol.MLP([4, 3], dropout_rate=0.1), "write dropout"),
        (lambda: Dense(4, 3, bias=False), "write use_bias"),
        (lambda: Dense(4, 3, kernel_regularizer="l2"), r"penalties=\[ol.L2"),
        (lambda: BatchNorm(3, epsilon=1e-3), "write eps"),
        (lambda: ol.Network([Dense(4, 3)], device="cpu"), "write backend"),
    ],
)
def test_a_familiar_name_is_refused_with_what_to_write(make, message):
    with pytest.raises(ol.InputError, match=message):
        make()


OWNERS = {
    "argument of fit": ol.fit,
    "argument of EarlyStopping": ol.EarlyStopping,
    "argument of BestCheckpoint": ol.BestCheckpoint,
    "option of ReduceLROnPlateau": ol.schedules.ReduceLROnPlateau,
    "argument of MLP": ol.MLP,
    "argument of Network": ol.Network,
    "argument of Dense": Dense,
    "argument of BatchNorm": BatchNorm,
}


@pytest.mark.parametrize("kind", [kind for kind in familiar.FAMILIAR if kind != "hyperparameter of"])
def test_what_the_table_says_to_write_exists(kind):
    known = list(inspect.signature(OWNERS[kind]).parameters)
    for name, told in familiar.FAMILIAR[kind].items():
        assert name not in known, f"{name} is a name of ours"
        assert " " in told or told in known


@pytest.mark.parametrize("name", familiar.FAMILIAR["hyperparameter of"])
def test_what_the_table_says_of_hyperparameters_exists(name):
    told = familiar.FAMILIAR["hyperparameter of"][name].split("|")
    assert all(" " in one or one in every_parameter() for one in told)


@functools.cache
def every_parameter():
    return {n for c in ol.rules.CONVENTIONS for rule in ol.rules.names(c) for n in parameters(rule, c)}


def parameters(rule, convention):
    return list(ol.explain(rule, convention=convention, steps=1).hyperparameters)


def test_every_piece_of_code_in_the_table_runs():
    told = " ".join(text for names in familiar.FAMILIAR.values() for text in names.values())
    pieces = [
        piece for piece in told.replace("=ol.", "= ol.").replace("[ol.", "[ ol.").split() if piece.startswith("ol.")
    ]
    for piece in pieces:
        found = ol
        for part in piece.strip(".,:").split("(")[0].strip("])").split(".")[1:]:
            found = getattr(found, part)


def test_only_lists_what_a_function_takes():
    def function(shown, hidden=None, **other):
        only(function, other, "hidden")

    function(1)
    with pytest.raises(ol.InputError, match=r"unknown argument of function 'x'\. Known: shown$"):
        function(1, x=2)
