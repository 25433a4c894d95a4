"""A rule is added by one function and one line of the table of references; everything else follows."""

import sys
import warnings

import pytest
import references
import test_rules
from test_rules import problem  # noqa: F401  (a fixture)

import optimlab as ol
from optimlab import rules

MODULE = '''
import numpy as np

__all__ = ["soft_sign"]


def soft_sign(w, g, m, *, lr=0.01, beta=0.9, eps=1e-3):
    """Moves by the momentum over its own size.

    Reference: made up.
    """
    m = beta * m + (1 - beta) * g
    return w - lr * m / (np.abs(m) + eps), m
'''


def soft_sign(w, gradients, rates, beta=0.9, eps=1e-3):
    m = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        m += (1 - beta) * (g - m)
        w -= lr * (m / (eps + (m if m > 0 else -m)))
        yield w


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The temporary module joins the textbook convention, and one line the table."""
    (tmp_path / "my_rules.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import my_rules

    monkeypatch.setitem(rules.CONVENTIONS, "textbook", (*rules.CONVENTIONS["textbook"], my_rules))
    monkeypatch.setitem(references.REFERENCES["textbook"], "soft_sign", soft_sign)
    yield "soft_sign"
    sys.modules.pop("my_rules")


@pytest.mark.parametrize("others", [False, True])
def test_the_tests_of_every_rule_cover_it(added, others, problem):  # noqa: F811
    checks = test_rules.TestEveryRuleIsItsSource()
    checks.test_called_directly("textbook", added, others, problem)
    checks.test_run_by_an_optimizer("textbook", added, others, problem)
    test_rules.test_every_exported_rule_has_a_reference("textbook")


def test_without_its_line_the_table_is_incomplete(added, monkeypatch):
    monkeypatch.delitem(references.REFERENCES["textbook"], added)
    with pytest.raises(AssertionError):
        test_rules.test_every_exported_rule_has_a_reference("textbook")


def test_it_trains_and_is_explained_like_any_other(added):
    net = ol.MLP([64, 32, 10], seed=0)
    optimizer = ol.optimizers.get(added)(net.parameters, lr=0.003)
    history = ol.fit(net, optimizer, ol.datasets.load("digits"), epochs=8)
    assert history.val_accuracy[-1] > 0.9
    assert "wₜ = wₜ₋₁ − η mₜ / (|mₜ| + ε)" in ol.explain(added).formula
    assert "soft_sign_step" in ol.kernels.c_source(ol.kernels.trace(rules.find(added)), "float32")


def test_it_can_be_compared(added, tmp_path):
    from optimlab.study import Problem, Study, compare

    study = Study(
        problem=Problem(hidden=(8,), epochs=1),
        optimizers=("sgd", added),
        rates=(0.01, 0.1, 1.0),
        replicates=2,
        extensions=0,
        defaults=False,
    )
    with warnings.catch_warnings(action="ignore"):  # its best rate may lie at the edge of so small a grid
        rows = compare(study, tmp_path).rows
    assert [row.optimizer for row in rows] == ["sgd", added]
