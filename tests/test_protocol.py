"""The protocol: what each replicate draws for itself, what is chosen by what, and what becomes of a folder."""

import json
import math
import random
import warnings
from dataclasses import replace

import numpy as np
import pytest
from run_files import compare_module, executed_by, made, planted
from scipy import stats

import optimlab as ol
from optimlab.rules.textbook import sgd
from optimlab.study import Contender, Problem, Run, Store, Study, compare, read_comparison
from optimlab.study.compare import usual_jobs
from optimlab.study.draws import random_settings
from optimlab.study.export import export
from optimlab.study.run import execute
from optimlab.study.summary import best

TINY = Study(
    problem=Problem(hidden=(2,), epochs=4, target=0.5),
    optimizers=("sgd", "adam"),
    rates=(0.01, 0.1, 1.0),
    replicates=3,
    extensions=0,
    defaults=False,
)


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def lines(folder):
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


# --- what each replicate draws for itself


def every_run(study, replicate):
    """By contender: all runs of a replicate, of every kind."""
    kinds = (study.grid, study.default, study.random)
    return {c.label: [run for make in kinds for run in make(c, replicate)] for c in study.contenders}


def test_replicates_and_studies_share_no_seed_and_the_contenders_of_a_replicate_all():
    """Also those of the last replicate that a study may have, and of another study's first."""
    seen = set()
    for seed in (0, 1, 2, 10_000, 10**20):
        study = replace(TINY, seed=seed, defaults=True, search=2, replicates=10_000)
        for replicate in (0, 1, 2, 9_999):
            runs = [run for own in every_run(study, replicate).values() for run in own]
            assert len(runs) == 2 * (3 + 1 + 2)
            assert len({(run.split, run.seed) for run in runs}) == 1
            seen.add((runs[0].split, runs[0].seed))
    assert len({split for split, _ in seen}) == len({seed for _, seed in seen}) == 5 * 4


def test_every_contender_of_a_replicate_has_the_same_shifted_grid():
    study = replace(TINY, seed=5)
    grids = [[run.lr for run in own] for r in range(10) for own in every_run(study, r).values()]
    assert grids[::2] == grids[1::2]
    assert len({grid[0] for grid in map(tuple, grids)}) == 10
    other = replace(study, seed=6)
    assert not {lr for r in range(10) for lr in other.rates_of(r)} & {lr for grid in grids for lr in grid}


@pytest.mark.parametrize("rates", [(0.01, 0.1, 1.0), (0.001, 0.01, 0.5), Study().rates])
def test_the_shift_of_the_grid_is_a_fraction_of_a_step_drawn_evenly(rates):
    """One factor for all rates; in steps, evenly between -1/2 and 1/2 (Kolmogorov and Smirnov's test)."""
    study = replace(TINY, rates=rates)
    step = (math.log(rates[-1]) - math.log(rates[0])) / (len(rates) - 1)
    shifts = []
    for replicate in range(400):
        moved = np.log(study.rates_of(replicate)) - np.log(rates)
        np.testing.assert_allclose(moved, moved[0], atol=1e-9)
        shifts.append(moved[0] / step)
    assert min(shifts) >= -0.5
    assert max(shifts) <= 0.5
    assert stats.kstest(shifts, "uniform", (-0.5, 1)).pvalue > 1e-3


@pytest.mark.parametrize("rates", [(1e-300, 1e-299, 1e-298), (1e297, 1e298, 9.9e299), (1e-300, 1.0, 9e299)])
def test_shifted_rates_stay_numbers(rates):
    for replicate in range(20):
        shifted = replace(TINY, rates=rates).rates_of(replicate)
        assert all(1e-300 <= lr < 1e300 for lr in shifted)
        assert list(shifted) == sorted(shifted)


def test_random_settings_differ_between_replicates_and_studies_and_depend_on_the_contender_alone():
    study = replace(TINY, search=5)
    drawn = {
        (seed, r): [(run.lr, run.hyperparameters) for run in replace(study, seed=seed).random(study.contenders[1], r)]
        for seed in (0, 1)
        for r in range(5)
    }
    rates = [lr for settings in drawn.values() for lr, _ in settings]
    assert len(set(rates)) == len(rates) == 50
    turned = replace(study, optimizers=("lion", "adam", "sgd"))
    assert [(run.lr, run.hyperparameters) for run in turned.random(turned.contenders[1], 3)] == drawn[0, 3]
    first = random_settings(Contender("adam"), 5)
    assert first == random_settings(Contender("adam"), 8)[:5]
    assert first != random_settings(Contender("adamw"), 5)
    fixed = random_settings(Contender("adam", hyperparameters={"beta1": 0.5}), 50)
    assert all("beta1" not in dict(rest) for _, rest in fixed)
    for lr, rest in fixed:
        assert 1e-5 <= lr <= 100
        assert 0.9 <= dict(rest)["beta2"] < 1


@pytest.fixture(scope="module")
def centres(tmp_path_factory):
    """Each row is its class's centre: whichever are drawn, the training rows are the same but for their order."""
    centre = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    arrays = {}
    for part, rows in (("train", 48), ("val", 24), ("test", 24)):
        arrays[f"y_{part}"] = np.arange(rows) % 3
        arrays[f"x_{part}"] = centre[arrays[f"y_{part}"]]
    path = tmp_path_factory.mktemp("data") / "centres.npz"
    np.savez(path, **arrays)
    return Problem(str(path), hidden=(8,), epochs=1, batch_size=48, target=0.5)


def first_loss(problem, seed=0, split=0, lr=0.1):
    record = execute(Run(problem, Contender("sgd"), lr, seed, split))
    assert record.status == "ok", record.error
    return record.curves.train_loss[0]


def test_the_seed_of_a_run_draws_its_initial_weights(centres):
    """In one batch of all rows neither the order nor the split matters, but for rounding."""
    assert first_loss(centres, 0, 0) == pytest.approx(first_loss(centres, 0, 1), rel=1e-5)
    assert first_loss(centres, 0) != pytest.approx(first_loss(centres, 1), rel=1e-3)


def test_the_seed_of_a_run_draws_the_order_of_its_rows(centres, monkeypatch):
    """From equal weights, in batches of few rows: the last epoch's loss depends on the order alone."""
    equal = centres.network(0).parameters.data.copy()
    real = Problem.network

    def network(self, seed):
        made = real(self, seed)
        made.parameters.data[...] = equal
        return made

    monkeypatch.setattr(Problem, "network", network)
    whole, batches = replace(centres, epochs=1), replace(centres, batch_size=3)
    assert first_loss(whole, 0) == pytest.approx(first_loss(whole, 1), rel=1e-5)
    assert first_loss(batches, 0) != pytest.approx(first_loss(batches, 1), rel=1e-3)


def test_the_seed_of_a_run_draws_its_dropout(centres, monkeypatch):
    equal = centres.network(0).parameters.data.copy()
    dropping = replace(centres, dropout=0.5)
    real = Problem.network

    def network(self, seed):
        made = real(self, seed)
        made.parameters.data[...] = equal
        return made

    monkeypatch.setattr(Problem, "network", network)
    assert first_loss(dropping, 0) != pytest.approx(first_loss(dropping, 1), rel=1e-3)


def test_the_split_of_a_run_draws_its_rows():
    """With a rate of 0 the validation accuracy is that of the first weights on the rows drawn."""
    problem = replace(TINY.problem, hidden=(16,), epochs=1)
    accuracies = [execute(Run(problem, Contender("sgd"), 0.0, 0, split)).val_score for split in range(4)]
    assert len(set(accuracies)) > 1


def test_contenders_that_compute_the_same_have_the_same_results(tmp_path):
    """Trained: a rule under two names, by whatever name and in whatever order, has equal runs in every replicate."""

    def twin(w, g, *, lr=0.01):
        return sgd(w, g, lr=lr)

    study = replace(TINY, optimizers=("sgd", "adam", Contender("twin", rule=twin)), extensions=1, defaults=True)
    study = study.with_epochs(1)
    with warnings.catch_warnings(action="ignore"):
        result = compare(study, tmp_path, jobs=1)
    rows = {row.label: row for row in result.rows}
    for suffix in ("", ", default"):
        one, other = rows[f"sgd{suffix}"].replicates, rows[f"twin{suffix}"].replicates
        assert [replace(r, key="", fast_key=None) for r in one] == [replace(r, key="", fast_key=None) for r in other]
    pair = result.summary.pair("sgd", "twin", "test_score")
    assert (pair.p, pair.difference) == (1.0, (0.0, 0.0, 0.0))
    seeds = {(r["run"]["seed"], r["run"]["split"]) for r in lines(tmp_path)}
    assert len(seeds) == len({split for _, split in seeds}) == 3


def test_the_order_of_the_optimizers_does_not_matter(tmp_path):
    study = replace(TINY, defaults=True, search=2)
    score = lambda run: random.Random(run.key).random()  # noqa: E731
    with planted(lambda run: "ok", score):
        one = compare(study, tmp_path / "a")
        other = compare(replace(study, optimizers=("adam", "sgd")), tmp_path / "b")
    assert {row.label: row for row in one.rows} == {row.label: row for row in other.rows}


# --- what is chosen by what


def by_place(run, study):
    """The place of the run's rate in its replicate's grid."""
    return study.rates_of(run.seed).index(run.lr)


def only(study, tmp_path, record_of):
    """The one row of a comparison of SGD with these records."""
    with executed_by(record_of):
        return compare(replace(study, optimizers=("sgd",)), tmp_path).rows[0]


def test_the_rate_is_chosen_by_validation_and_judged_by_test(tmp_path):
    """The test accuracies would choose the last rate; in replicate 1 the validation chooses the first."""
    validation = {0: (0.7, 0.9, 0.8), 1: (0.9, 0.8, 0.7), 2: (0.7, 0.9, 0.8)}
    test = (0.3, 0.4, 0.99)
    row = only(
        TINY,
        tmp_path,
        lambda run: made(run, score=validation[run.seed][by_place(run, TINY)], test=test[by_place(run, TINY)]),
    )
    assert [by_place_of(one, TINY) for one in row.replicates] == [1, 0, 1]
    assert [one.test_score for one in row.replicates] == [0.4, 0.3, 0.4]
    assert row.test_score.mean == pytest.approx(1.1 / 3)


def by_place_of(one, study):
    return study.rates_of(one.number).index(one.lr)


@pytest.mark.parametrize(
    ("scores", "losses", "place"),
    [
        ((0.9, 0.9, 0.8), (0.3, 0.2, 0.1), 1),  # equal accuracies: the lower loss
        ((0.9, 0.9, 0.9), (0.2, 0.2, 0.2), 0),  # all equal: the lowest rate
        ((0.8, 0.9, 0.9), (0.1, 0.2, 0.2), 1),
        ((0.8, 0.81, 0.8), (0.1, 9.0, 0.1), 1),  # the accuracy comes first
    ],
)
def test_ties_go_to_the_lower_loss_then_to_the_lower_rate(tmp_path, scores, losses, place):
    def record_of(run):
        k = by_place(run, TINY)
        return made(run, score=scores[k], loss=losses[k])

    assert {by_place_of(one, TINY) for one in only(TINY, tmp_path, record_of).replicates} == {place}


def test_a_diverged_run_is_the_worst_score_and_never_chosen(tmp_path):
    """It had reached 0.99, and the target, before it diverged."""

    def record_of(run):
        k = by_place(run, TINY)
        return made(run, "diverged" if k == 1 else "ok", (0.2, 0.99, 0.1)[k])

    row = only(TINY, tmp_path, record_of)
    assert {by_place_of(one, TINY) for one in row.replicates} == {0}
    assert (row.hits, row.diverged_share, row.finished) == (0, 1 / 3, 3)
    gone = only(TINY, tmp_path / "gone", lambda run: made(run, "diverged", 0.99))
    assert (gone.test_score.mean, gone.val_score.mean, gone.finished, gone.hits) == (0, 0, 0, 0)
    assert gone.epochs.mean == TINY.problem.epochs + 1


def test_speed_is_judged_at_the_rate_that_is_fastest(tmp_path):
    """The middle rate is the most accurate, the last the fastest."""
    curves = ((0.1, 0.1, 0.1, 0.5), (0.1, 0.1, 0.5, 0.9), (0.1, 0.6, 0.6, 0.6))
    row = only(TINY, tmp_path, lambda run: made(run, curve=curves[by_place(run, TINY)]))
    for one in row.replicates:
        rates = TINY.rates_of(one.number)
        assert (one.lr, one.fast_lr, one.epochs) == (rates[1], rates[2], 2)
        assert [trial.epochs for trial in one.grid] == [4, 3, 2]
    assert (row.epochs.mean, row.hits) == (2, 3)


def test_the_default_row_is_at_the_default_rate_and_untuned(tmp_path):
    study = replace(TINY, defaults=True)
    with planted(lambda run: "ok"):
        rows = compare(study, tmp_path).rows
    assert [row.label for row in rows] == ["sgd", "adam", "sgd, default", "adam, default"]
    for row in rows[2:]:
        assert (row.kind, row.trials, row.usable_decades) == ("default", (1, 1), None)
        assert {one.lr for one in row.replicates} == {Contender(row.optimizer).defaults()["lr"]}
        assert [one.at_edge for one in row.replicates] == [False] * 3


def test_the_full_protocol_searches_all_hyperparameters_with_the_same_budget(tmp_path):
    study = replace(TINY, search=4)
    assert study.protocol == "full"
    with planted(lambda run: "ok", lambda run: random.Random(run.key).random()):
        result = compare(study, tmp_path)
    rows = {row.label: row for row in result.rows}
    for name in ("sgd", "adam"):
        assert rows[f"{name}, searched"].trials == (4, 4)
        assert len(rows[f"{name}, searched"].best_after) == 4
    assert all("beta1" in one.hyperparameters for one in rows["adam, searched"].replicates)
    assert all(not one.hyperparameters for one in rows["adam"].replicates)
    runs = [line["run"] for line in lines(tmp_path)]
    assert sum(run["optimizer"] == "adam" and bool(run["hyperparameters"]) for run in runs) == 4 * 3


# --- the edges of the grid


def peak(at):
    """Validation accuracy that falls with the distance from a rate; test accuracy that rises without end."""

    def record_of(run):
        score = 0.9 - 0.05 * abs(math.log10(run.lr / at(run)))
        return made(run, score=max(0.0, score), test=min(1.0, max(0.0, 0.5 + 0.01 * math.log10(run.lr))))

    return record_of


def test_each_replicate_extends_its_own_grid_where_its_best_lies_at_the_edge(tmp_path):
    """In replicate 0 upwards, in 1 not at all, in 2 downwards: by the grid's own ratio, from the shifted rates."""
    study = replace(TINY, extensions=4)
    tops = {0: 31.6, 1: 0.1, 2: 1e-3}
    row = only(study, tmp_path, peak(lambda run: tops[run.seed]))
    for one in row.replicates:
        steps = round(math.log10(tops[one.number] / study.rates_of(one.number)[0]))  # from the lowest rate to the best
        assert len(one.grid) == {0: steps + 2, 1: 3, 2: 4 - steps}[one.number]
        assert not one.at_edge
        assert abs(math.log10(one.lr / tops[one.number])) <= 0.5 + 1e-9
        tried = [trial.lr for trial in one.grid]
        np.testing.assert_allclose(np.diff(np.log10(tried)), 1.0, rtol=1e-9)
        assert set(study.rates_of(one.number)) <= set(tried)


def test_extensions_have_an_end_which_is_told(tmp_path):
    study = replace(TINY, extensions=2, optimizers=("sgd",))
    record_of = peak(lambda run: 1e9 if run.seed != 1 else 0.1)
    with executed_by(record_of), pytest.warns(UserWarning, match="sgd: the best learning rate, such.*in 2 of 3 repl"):
        result = compare(study, tmp_path)
    (row,) = result.rows
    assert [len(one.grid) for one in row.replicates] == [5, 3, 5]
    assert [one.at_edge for one in row.replicates] == [True, False, True]
    assert row.edges == 2
    assert any("at the edge of the grid in some replicates: sgd (2 of 3)" in text for text in result.verdict)


def test_where_every_run_diverges_lower_rates_are_tried(tmp_path):
    study = replace(TINY, extensions=3)
    row = only(study, tmp_path, lambda run: made(run, "ok" if run.lr < 1e-3 else "diverged at once"))
    assert row.finished == 3
    for one in row.replicates:
        assert one.lr < 1e-3 <= one.grid[1].lr * 10
        assert len(one.grid) >= 5
    failed = only(study, tmp_path / "failed", lambda run: made(run, "error"))
    assert failed.trials == (3, 3)


@pytest.mark.parametrize("rates", [(1e-300, 1e-299, 1e-298), (1e297, 1e298, 1e299), (1e-300, 1.0, 9e299)])
def test_a_grid_is_not_extended_to_rates_that_are_no_numbers(tmp_path, rates):
    study = replace(TINY, rates=rates, extensions=5)
    row = only(study, tmp_path, lambda run: made(run, score=min(1.0, 0.5 + 0.001 * abs(math.log10(run.lr)))))
    assert all(1e-300 <= trial.lr < 1e300 for one in row.replicates for trial in one.grid)
    assert read_comparison(tmp_path).rows[0] == row


# --- one study in one folder


def test_the_whole_protocol_on_a_tiny_study(tmp_path):
    """Trained; the folder holds each planned run once, and the summary as it was returned."""
    study = replace(TINY, defaults=True, search=1).with_epochs(1)
    seen = []
    with warnings.catch_warnings(action="ignore"):
        result = compare(study, tmp_path, on_run=lambda run, record, done, total: seen.append((run.key, done, total)))
    found = lines(tmp_path)
    assert len(found) == len({line["key"] for line in found}) == study.planned() == 2 * 3 * (3 + 1 + 1)
    assert [done for _, done, _ in seen] == list(range(1, 31))
    assert {total for _, _, total in seen} == {30}
    assert {key for key, _, _ in seen} == {line["key"] for line in found}
    again = read_comparison(tmp_path)
    assert again.summary == result.summary
    assert again.records == result.records
    for row in result.rows:
        assert 1 < row.microseconds_per_step.low <= row.microseconds_per_step.median < 1e6
        assert [record.key for record in result.chosen(row)] == [one.key for one in row.replicates]
    assert {"processor", "cores", "blas"} <= set(result.summary.host)


def without_times(rows):
    return [replace(row, microseconds_per_step=None, seconds_to_target=None) for row in rows]


def test_finished_runs_are_never_run_again(tmp_path):
    study = replace(TINY, extensions=2, defaults=True, search=1)
    with executed_by(peak(lambda run: 100.0)) as runs:
        first = compare(study, tmp_path)
    content, number = (tmp_path / "runs.jsonl").read_bytes(), len(runs)
    assert number > study.planned()
    with executed_by(lambda run: pytest.fail("ran again")):
        again = compare(study, tmp_path)
    assert without_times(again.rows) == without_times(first.rows)
    assert again.verdict == first.verdict
    assert (tmp_path / "runs.jsonl").read_bytes() == content


def test_a_run_that_failed_is_tried_again(tmp_path):
    failures = []

    def flaky(run):
        if not failures:
            failures.append(run.key)
            return run.failed("OSError: bad luck")
        return made(run)

    with executed_by(flaky) as runs:
        first = compare(TINY, tmp_path)
        assert first.rows[0].errors == ("OSError: bad luck",)
        assert (first.rows[0].failed, first.rows[1].failed) == (1, 0)
        second = compare(TINY, tmp_path)
    assert second.rows[0].errors == ()
    assert [run.key for run in runs].count(failures[0]) == 2
    assert len(runs) == TINY.planned() + 1
    assert Store(tmp_path).records[failures[0]].status == "ok"


@pytest.mark.slow
def test_one_process_or_two_give_the_same_curves(tmp_path):
    study = replace(TINY, optimizers=("sgd", "adam", "lars"), extensions=1).with_epochs(1)

    def curves(jobs):
        with warnings.catch_warnings(action="ignore"):
            found = compare(study, tmp_path / str(jobs), jobs=jobs)
        records = {k: replace(r, seconds=0, curves=replace(r.curves, seconds=())) for k, r in found.records.items()}
        return records, without_times(found.rows), found.verdict

    assert curves(1) == curves(2)


def test_all_cores_are_used_where_that_pays(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: range(6), raising=False)
    assert usual_jobs(TINY) == 1, "a second of work"
    assert usual_jobs(replace(Study(), replicates=100)) == 6
    assert usual_jobs(replace(TINY, replicates=10_000)) == 6
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert usual_jobs(replace(TINY, replicates=10_000)) == 1


def test_without_jobs_the_usual_number_is_taken(tmp_path, monkeypatch):
    asked, real = [], compare_module.workers

    def workers(jobs, dask):
        asked.append((jobs, dask))
        return real(1)

    monkeypatch.setattr(compare_module, "workers", workers)
    monkeypatch.setattr(compare_module, "usual_jobs", lambda study: 7)
    with planted(lambda run: "ok"):
        compare(TINY, tmp_path)
        compare(TINY, tmp_path, jobs=3)
        compare(TINY, tmp_path, dask="somewhere")
    assert asked == [(7, None), (3, None), (1, "somewhere")]


# --- growing


def test_a_study_that_grows_uses_its_runs_again_and_changes_none(tmp_path):
    """From 5 to 10 replicates: the first five stay as they were, and only the others are run."""
    few, many = (replace(TINY, replicates=n, defaults=True, search=2, extensions=1) for n in (5, 10))
    record_of = peak(lambda run: 10.0 ** (run.seed % 3 - 1))
    with executed_by(record_of) as runs:
        before = compare(few, tmp_path / "grown")
        first = len(runs)
        assert first > few.planned() == 2 * 5 * 6
        after = compare(many, tmp_path / "grown")
        assert {run.seed for run in runs[first:]} == {5, 6, 7, 8, 9}
        fresh = compare(many, tmp_path / "fresh")
    assert [row.replicates for row in before.rows] == [row.replicates[:5] for row in after.rows]
    assert after.rows == fresh.rows
    assert len(lines(tmp_path / "grown")) == len(lines(tmp_path / "fresh"))
    grown = "The study was planned with 5 replicates and grew to 10."
    assert [text for text in after.verdict if text.startswith(grown)]
    assert not any("grew" in text for text in [*before.verdict, *fresh.verdict])
    assert (after.summary.replicates, after.summary.planned_replicates) == (10, 5)


def test_more_optimizers_and_rates_use_the_runs_again(tmp_path):
    with planted(lambda run: "ok") as runs:
        compare(TINY, tmp_path)
        content = (tmp_path / "runs.jsonl").read_bytes()
        count = len(runs)
        compare(replace(TINY, optimizers=("sgd", "adam", "lion")), tmp_path)
    assert {run.contender.name for run in runs[count:]} == {"lion"}
    assert (tmp_path / "runs.jsonl").read_bytes().startswith(content)


def test_a_smaller_study_is_refused_where_its_summary_would_replace_a_larger_one(tmp_path):
    with planted(lambda run: "ok"):
        compare(replace(TINY, defaults=True, search=2), tmp_path)
        before = files(tmp_path)
        for change, told in (
            ({"replicates": 2}, "it also has 3 replicates"),
            ({"optimizers": ("sgd",)}, "it also has adam"),
            ({"rates": (0.01, 0.1, 10.0)}, "it also has the learning rate 1.0"),
            ({"defaults": False}, "it also has the default rates"),
            ({"search": 1}, "it also has 2 random settings of each"),
        ):
            with pytest.raises(ol.InputError, match=f"would overwrite: {told}; name another folder"):
                compare(replace(TINY, **{"defaults": True, "search": 2, **change}), tmp_path)
            assert files(tmp_path) == before


# --- another target


def test_another_target_needs_no_new_run_and_is_called_exploratory(tmp_path):
    """At 0.5 both need two epochs; at 0.8 SGD needs four and Adam misses."""
    curves = {"sgd": (0.1, 0.5, 0.7, 0.9), "adam": (0.1, 0.6, 0.6, 0.7)}
    with executed_by(lambda run: made(run, curve=curves[run.contender.name])):
        first = compare(TINY, tmp_path)
    content = (tmp_path / "runs.jsonl").read_bytes()
    assert [(row.epochs.mean, row.hits) for row in first.rows] == [(2, 3), (2, 3)]
    harder = replace(TINY, problem=replace(TINY.problem, target=0.8))
    with executed_by(lambda run: pytest.fail("ran again")):
        second = compare(harder, tmp_path)
        assert [(row.epochs.mean, row.hits) for row in second.rows] == [(4, 3), (5, 0)]
        assert (second.summary.target.value, second.summary.target.planned) == (0.8, 0.5)
        assert any("was 50% when the runs were made, and was changed to 80%" in text for text in second.verdict)
        assert read_comparison(tmp_path).summary == second.summary
        back = compare(TINY, tmp_path)
    assert back.verdict == first.verdict
    assert not any("exploratory" in text for text in first.verdict)
    assert (tmp_path / "runs.jsonl").read_bytes() == content
    tested = [[row.test_score for row in one.rows] for one in (first, second)]
    assert tested[0] == tested[1]


def test_the_target_of_a_study_without_runs_may_be_changed(tmp_path):
    with Store(tmp_path) as store:
        compare_module.claim(TINY, store)
    harder = replace(TINY, problem=replace(TINY.problem, target=0.8))
    with planted(lambda run: "ok"):
        assert compare(harder, tmp_path).summary.target.planned == 0.8


# --- the folder's claim


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"problem": replace(TINY.problem, epochs=3)}, "epochs 4 there, 3 now"),
        ({"problem": replace(TINY.problem, train_rows=500)}, "train_rows None there, 500 now"),
        ({"problem": replace(TINY.problem, redraw="train")}, "redraw 'auto' there, 'train' now"),
        ({"seed": 3}, "seed 0 there, 3 now"),
    ],
    ids=str,
)
def test_a_folder_of_another_study_is_refused_and_left_alone(tmp_path, change, told):
    with planted(lambda run: "ok"):
        compare(TINY, tmp_path)
        before = files(tmp_path)
        with pytest.raises(ol.InputError, match=rf"holds another study \({told}\); name another folder"):
            compare(replace(TINY, **change), tmp_path)
    assert files(tmp_path) == before


def test_runs_of_another_optimlab_are_not_taken_for_those_of_this_one(tmp_path, monkeypatch):
    """A rule, or a default, may have changed since: the key of a run would not tell."""
    with planted(lambda run: "ok"):
        compare(TINY, tmp_path)
        before = files(tmp_path)
        monkeypatch.setattr("optimlab.study.folder.__version__", "9.9")
        with pytest.raises(ol.InputError, match=rf"another study \(optimlab '{ol.__version__}' there, '9.9' now\)"):
            compare(TINY, tmp_path)
    assert files(tmp_path) == before


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"problem": 1}', "{"])
def test_a_study_json_that_is_none_is_refused(tmp_path, content):
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(ol.InputError, match="not the description of a study"):
        compare(TINY, tmp_path)


# --- folders of the earlier protocol, as it wrote them

OLD_PROBLEM = {
    **{"dataset": "digits", "hidden": [2], "activation": "relu", "initializer": "he_normal", "batch_norm": False},
    **{"dropout": 0.0, "batch_size": 64, "epochs": 4, "target": 0.5, "dtype": "float32", "backend": "auto"},
    "data": "0773b5a7013a67cd",
}
OLD_RUN = {"problem": OLD_PROBLEM, "optimizer": "sgd", "convention": "textbook", "lr": 0.01, "hyperparameters": {}}
OLD_RECORD = {
    **{"versions": {"optimlab": "0.1.0"}, "host": {"cores": 2}, "status": "ok", "best_epoch": 1},
    **{"val_score": 0.0638, "val_loss": 2.5185, "epochs_to_target": None, "steps": 17, "diverged_step": None},
    **{"seconds": 0.009, "state_arrays": 0, "engine": "numpy"},
    "curves": {"train_loss": [2.55], "train_score": [0.0677], "val_loss": [2.5185], "val_score": [0.0638]},
}
OLD_STUDY = {
    "problem": OLD_PROBLEM,
    "optimizers": [{"optimizer": "sgd", "convention": "textbook", "hyperparameters": {}, "label": "sgd"}],
    **{"rates": [0.01, 0.1, 1.0], "tuning_seeds": [0], "confirmation_seeds": [100, 101], "extensions": 0},
    **{"defaults": False, "search": 0},
}


def old_folder(folder, kept):
    """A folder with these of its files."""
    from optimlab.study.digests import key_of

    records = []
    for run in ({**OLD_RUN, "seed": 0, "test": False}, {**OLD_RUN, "seed": 100, "test": True}):
        tested = {"test_loss": 2.5, "test_score": 0.07} if run["test"] else {}
        records.append({"key": key_of(run), "run": run, **OLD_RECORD, **tested})
    contents = {
        "runs.jsonl": "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records),
        "study.json": json.dumps({"optimlab": "0.1.0", **OLD_STUDY}, indent=2),
        "summary.json": json.dumps({"study": OLD_STUDY, "protocol": "quick", "reference": "sgd", "optimizers": []}),
    }
    folder.mkdir()
    for name in kept:
        (folder / name).write_text(contents[name])
    return folder


EARLIER = "it was made by an earlier protocol, whose numbers have another meaning: name another folder"


@pytest.mark.parametrize(
    "kept",
    [
        ("runs.jsonl", "study.json", "summary.json"),
        ("runs.jsonl", "study.json"),  # killed before its end
        ("runs.jsonl",),
        ("study.json",),
        ("summary.json",),
    ],
    ids="+".join,
)
def test_a_folder_of_the_earlier_protocol_is_refused_with_one_sentence(tmp_path, kept):
    folder = old_folder(tmp_path / "old", kept)
    before = files(folder)
    readers = [lambda: compare(TINY, folder)]
    if "summary.json" in kept:
        readers.append(lambda: read_comparison(folder))
    if "runs.jsonl" in kept:
        readers.append(lambda: export(folder, tmp_path / "runs.csv"))
    for reader in readers:
        with pytest.raises(ol.InputError, match=EARLIER) as error:
            reader()
        assert len(str(error.value).splitlines()) == 1
        assert str(folder) in str(error.value)
        assert files(folder) == before
    assert not (tmp_path / "runs.csv").exists()


@pytest.mark.parametrize("version", [2, 4, None, "3"])
def test_a_folder_of_another_optimlab_is_refused_too(tmp_path, version):
    with planted(lambda run: "ok"):
        compare(TINY, tmp_path)
        summary = json.loads((tmp_path / "summary.json").read_text())
        (tmp_path / "summary.json").write_text(json.dumps({**summary, "version": version}))
        with pytest.raises(
            ol.InputError, match=r"does not hold a finished comparison: .*it was made by another version of optimlab"
        ):
            read_comparison(tmp_path)
        study = json.loads((tmp_path / "study.json").read_text())
        (tmp_path / "study.json").write_text(json.dumps({**study, "version": version}))
        with pytest.raises(ol.InputError, match="it was made by another version of optimlab"):
            compare(TINY, tmp_path)


# --- planted rules, trained: what is the same is told so, and what is slower too


def every_second_step(w, g, *, t, lr=0.01):
    """SGD that sleeps through every odd step: it needs twice the epochs at any learning rate."""
    awake = (t + 1) % 2
    return w - awake * lr * g


@pytest.mark.slow
def test_a_rule_planted_twice_as_slow_is_told_slower(tmp_path):
    def twin(w, g, *, lr=0.01):
        return sgd(w, g, lr=lr)

    study = Study(
        problem=Problem(hidden=(), epochs=20, target=0.85),
        optimizers=("sgd", Contender("twin", rule=twin), Contender("sleepy", rule=every_second_step)),
        rates=(0.03, 0.1, 0.3),
        replicates=6,
        extensions=0,
        defaults=False,
    )
    with warnings.catch_warnings(action="ignore"):
        result = compare(study, tmp_path, jobs=1)
    slow, fast = (result.summary.row(name) for name in ("sleepy", "sgd"))
    assert slow.hits == fast.hits == 6
    assert 1.5 < slow.epochs.mean / fast.epochs.mean < 2.5
    claimed = {(c.better, c.worse) for s in result.summary.verdict.sentences for c in s.claims if c.measure == "epochs"}
    assert claimed == {("sgd", "sleepy"), ("twin", "sleepy")}


def test_a_study_in_which_nothing_finishes_has_no_best(tmp_path):
    linear = Problem(hidden=(8, 8), activation="identity", epochs=2)
    study = replace(TINY, problem=linear, rates=(1e25, 1e26, 1e27))
    with pytest.warns(UserWarning, match=r"no run finished at any learning rate from \S+e\+2\d to \S+e\+2\d") as warned:
        found = compare(study, tmp_path)
    assert not any("best" in str(warning.message) for warning in warned)
    assert found.verdict[0] == "No run finished: there is nothing to compare."
    assert not found.finished
    assert all(record.status == "diverged" for record in found.records.values())


def test_the_best_of_trials_is_a_function_of_the_records_alone():
    runs = [TINY.run(TINY.contenders[0], 0, lr) for lr in (0.1, 0.2, 0.3)]
    records = [made(run, score=score) for run, score in zip(runs, (0.5, 0.9, 0.7), strict=True)]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        assert best([records[k] for k in order]).run["lr"] == 0.2
