"""Each sentence of the verdict is true of the numbers it stands beside, whatever they are."""

import io
from types import SimpleNamespace

import pytest

from optimlab.cli.live import _table
from optimlab.study import Contender, Problem, Study
from optimlab.study.compare import Comparison
from optimlab.study.statistics import paired_difference
from optimlab.study.summary import rows, verdict
from optimlab.study.table import tables

SEEDS = 10


def records(val=0.9, test=0.9, epochs=5, status="ok", lr=0.1):
    """One record a seed; each value is one number for all of them, or one each."""

    def spread(value):
        return value if isinstance(value, list) else [value] * SEEDS

    each = zip(spread(val), spread(test), spread(epochs), spread(status), strict=True)
    return [
        {
            "run": {"lr": lr, "hyperparameters": {}},
            "status": s,
            **({"error": "MemoryError: "} if s == "error" else {"val_accuracy": v, "val_loss": 1 - v}),
            **({"test_accuracy": t} if s == "ok" else {}),
            "epochs_to_target": e,
            "steps": 10,
            "state_arrays": 0,
        }
        for v, t, e, s in each
    ]


def said(target=0.95, default=None, **contenders):
    """The rows by label and the verdict, of contenders with these confirmation records."""
    study = Study(Problem(target=target), tuple(Contender("sgd", label=name) for name in contenders))
    tuning = {name: {lr: records(lr=lr)[:3] for lr in (0.01, 0.1, 1.0)} for name in contenders}
    confirmed = {"tuned": contenders, **({"default": default} if default else {})}
    made = rows(study, tuning, {}, confirmed, dict.fromkeys(contenders, 1e-4))
    return {r["label"]: r for r in made}, verdict(study, made)


def noisy(middle, step=1):
    return [middle + step * d for d in (-2, -1, -1, 0, 0, 0, 0, 1, 1, 2)]


def test_one_that_missed_in_every_run_is_not_the_fastest():
    found, sentences = said(a=records(epochs=None), b=records(epochs=[None] * 7 + [3] * 3))
    assert [row["speed"] for row in found.values()] == [None, None]
    assert "None reached 95% validation accuracy in most of its runs." in sentences


def test_a_single_contender_is_the_best_of_nothing():
    _, sentences = said(a=records(epochs=noisy(5)))
    assert sentences == ["To 95% validation accuracy a needs 5 epochs (median)."]


def test_equal_means_share_the_first_place():
    _, sentences = said(a=records(val=0.9), b=records(val=0.9), c=records(val=0.8))
    assert sentences[0] == "a has the best mean validation accuracy, the same as b; it is the reference."


def test_equal_medians_are_told():
    """b's runs are those of a, but for one that missed: of the two nobody needs fewer in the median."""
    _, sentences = said(a=records(epochs=noisy(5)), b=records(epochs=[*noisy(5)[:-1], None]))
    assert "To 95% validation accuracy a needs the fewest epochs (median 5, the same as b)." in sentences
    assert any("b (9 of 10); where a run missed, no interval" in sentence for sentence in sentences)


def test_of_equal_medians_with_misses_the_order_of_the_contenders_does_not_choose_the_first():
    one, other = records(epochs=[*noisy(5)[:-1], None]), records(epochs=[*noisy(5)[:-2], None, None])
    assert {r["speed_reference"] for r in said(a=one, b=other)[0].values()} == {"a"}
    assert {r["speed_reference"] for r in said(b=other, a=one)[0].values()} == {"a"}


def test_one_that_is_faster_in_the_mean_than_the_fastest_in_the_median():
    found, sentences = said(a=records(epochs=[5] * 6 + [40, 41, 42, 43]), b=records(epochs=noisy(6, 0)))
    assert (found["a"]["speed"], found["b"]["speed"]) == ("fastest", "faster")
    assert "Yet faster in the mean, in epochs: b by 13.6 [0.1, 27.1]." in sentences


def test_diverged_in_every_run():
    status = {"status": "diverged", "epochs": None}
    found, sentences = said(a=records(**status), b=records(**status))
    assert sentences == [
        "No run at a chosen rate finished: there is nothing to compare.",
        "10 of 10 fresh runs of a diverged: they count as accuracy 0.",
        "10 of 10 fresh runs of b diverged: they count as accuracy 0.",
    ]
    assert {row["speed"] for row in found.values()} == {None}


def test_diverged_fresh_runs_are_told():
    _, sentences = said(a=records(), b=records(status=["diverged"] * 3 + ["ok"] * 7))
    assert sentences[-1] == "3 of 10 fresh runs of b diverged: they count as accuracy 0."


def test_an_error_is_no_result_of_the_optimizer():
    """b would be lower and slower by its numbers, but some of them are the machine's."""
    failed = records(test=0.8, epochs=9, status=["error"] * 2 + ["ok"] * 8)
    _, sentences = said(a=records(test=0.9), b=failed, default={"b": failed})
    assert sum("failed with an error" in sentence for sentence in sentences) == 2
    assert not any(sentence.startswith(("Lower", "Slower", "In test", "Untuned")) for sentence in sentences)


def test_all_tied_is_said_only_of_all():
    _, sentences = said(a=records(), b=records())
    assert "In test accuracy all are tied with it: the 95% interval of every paired difference holds zero." in sentences
    _, sentences = said(a=records(), b=records(), c=records(test=0.5, val=0.5, status=["error"] + ["ok"] * 9))
    assert any("b is tied with it" in sentence for sentence in sentences)


def test_a_difference_without_spread_needs_six_runs():
    assert paired_difference([2.0] * 5, [1.0] * 5) == (1.0, 0.0, 1.0)
    assert paired_difference([1.0] * 5, [2.0] * 5) == (-1.0, -1.0, 0.0)
    assert paired_difference([2.0] * 6, [1.0] * 6) == (1.0, 1.0, 1.0)
    assert paired_difference([2.0] * 5, [2.0] * 5) == (0.0, 0.0, 0.0)


def test_what_many_comparisons_leave_of_a_difference():
    """Nine optimizers: a difference that is just beyond the interval is told as such, one that is far beyond too."""
    near = [0.9 + d for d in (-0.03, -0.02, -0.02, -0.02, -0.01, -0.01, 0, 0, 0, 0.01)]
    equal = {f"e{k}": records(val=0.8) for k in range(6)}
    found, sentences = said(a=records(val=0.91), near=records(test=near), far=records(test=noisy(0.5, 0.01)), **equal)
    assert not found["near"]["tied"]
    assert not found["near"]["surely"]["test"]
    assert "Lower in test accuracy than a: near and far." in sentences
    [told] = [sentence for sentence in sentences if "Bonferroni" in sentence]
    assert told.endswith("pairs of the 9 together (Bonferroni), what still differs is in test accuracy far.")
    assert not any("Bonferroni" in sentence for sentence in said(a=records(), b=records(test=0.5))[1])


@pytest.mark.parametrize(("target", "told"), [(0.975, "97.5%"), (0.57, "57%"), (1.0, "100%"), (0.995, "99.5%")])
def test_the_target_is_not_rounded(target, told):
    assert said(target, a=records(), b=records())[1][2].startswith(f"To {told} validation accuracy")


def test_labels_are_shown_as_they_are_written():
    """Square brackets are no markup of the terminal."""
    from rich.console import Console

    name = "adam [bold] [/x]"
    study = Study(Problem(), (Contender("sgd", label=name),))
    made = rows(study, {name: {0.1: records()}}, {}, {"tuned": {name: records()}}, {})
    comparison = Comparison(study, made, [], {}, {})
    console = Console(width=200, record=True, file=io.StringIO())
    for table in [*tables(comparison), _table(study, {name: SimpleNamespace(grid={}, confirmed={})})]:
        console.print(table)
    assert console.export_text().count(name) == 2
