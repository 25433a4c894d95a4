"""Planted mistakes in the protocol and in the summary: what each puts in place of what, and the tests that must see it.

An entry is ``(what, file, text, mistake, tests)``; the text stands once in the file. ``python tests/mutation.py
--study`` plants one after the other.
"""

from __future__ import annotations

Mutant = tuple[str, str, str, str, str]
"""What the mistake is, the file, its text, the text in its place, and the tests that must fail."""

PLAN, RUN, SUMMARY = "optimlab/study/plan.py", "optimlab/study/run.py", "optimlab/study/summary.py"
COMPARE, PROBLEM, RESULTS = "optimlab/study/compare.py", "optimlab/study/problem.py", "optimlab/study/results.py"
VERDICT, SPLITS, CONTENDER = "optimlab/study/verdict.py", "optimlab/datasets/splits.py", "optimlab/study/contender.py"

PROTOCOL = "tests/test_protocol.py"
ROWS = "tests/test_summary.py::test_a_row_is_what_its_records_say"
PAIRS = "tests/test_summary.py::test_pairs_are_paired_and_corrected_together"
CHOICE = f"{PROTOCOL}::test_the_rate_is_chosen_by_validation_and_judged_by_test"
SEEDS = f"{PROTOCOL}::test_replicates_and_studies_share_no_seed_and_the_contenders_of_a_replicate_all"
GRID = f"{PROTOCOL}::test_every_contender_of_a_replicate_has_the_same_shifted_grid"
SHIFT = f"{PROTOCOL}::test_the_shift_of_the_grid_is_a_fraction_of_a_step_drawn_evenly"
EXTENDED = f"{PROTOCOL}::test_each_replicate_extends_its_own_grid_where_its_best_lies_at_the_edge"
GROWS = f"{PROTOCOL}::test_a_study_that_grows_uses_its_runs_again_and_changes_none"
TARGET = f"{PROTOCOL}::test_another_target_needs_no_new_run_and_is_called_exploratory"
TASKS = "tests/test_tasks.py"
BEST_EPOCH = "tests/test_study.py::test_the_scores_are_those_of_the_epoch_with_the_best_validation_accuracy"
SPLIT = f"{PROTOCOL}::test_the_split_of_a_run_draws_its_rows"
SHARES = "tests/test_splits.py::test_sets_are_disjoint_of_their_sizes_and_hold_the_share_of_each_class"

STUDY: list[Mutant] = [
    # --- what is chosen by what
    (
        "the rate chosen by test",
        SUMMARY,
        "return record.val_counted, -(inf",
        "return record.test_counted, -(inf",
        CHOICE,
    ),
    (
        "the row judged by validation",
        SUMMARY,
        "test_score=chosen.test_counted",
        "test_score=chosen.val_counted",
        CHOICE,
    ),
    ("ties to the higher loss", SUMMARY, "return record.val_counted, -(inf", "return record.val_counted, (inf", ROWS),
    (
        "a diverged run keeps its validation score",
        RESULTS,
        'return self.val_score or 0.0 if self.status == "ok" else 0.0',
        "return self.val_score or 0.0",
        ROWS,
    ),
    (
        "a diverged run keeps its test score",
        RESULTS,
        'return self.test_score or 0.0 if self.status == "ok" else 0.0',
        "return self.test_score or 0.0",
        ROWS,
    ),
    (
        "a diverged run has reached the target",
        RESULTS,
        'return next(reached, None) if self.status == "ok" else None',
        "return next(reached, None)",
        ROWS,
    ),
    (
        "diverged replicates left out of the mean",
        SUMMARY,
        "test_score=t_interval([r.test_score for r in replicates])",
        'test_score=t_interval([r.test_score for r in replicates if r.status == "ok"] or [0.0, 0.0])',
        ROWS,
    ),
    # --- speed
    (
        "epochs at the rate chosen for accuracy",
        SUMMARY,
        "reached = best(trials), [r for r in trials if r.epochs_to(target)]",
        "reached = best(trials), [r for r in [best(trials)] if r.epochs_to(target)]",
        f"{PROTOCOL}::test_speed_is_judged_at_the_rate_that_is_fastest",
    ),
    (
        "misses left out of the mean",
        SUMMARY,
        "epochs = epochs_interval([_restricted(r.epochs, problem.epochs) for r in replicates]",
        "epochs = epochs_interval([float(r.epochs) for r in replicates if r.epochs] or [1.0, 1.0]",
        ROWS,
    ),
    ("a miss counts as the budget", SUMMARY, "float(budget + 1 if", "float(budget if", ROWS),
    (
        "epochs counted from 0",
        RESULTS,
        "enumerate(self.curves.val_score, 1)",
        "enumerate(self.curves.val_score)",
        ROWS,
    ),
    (
        "the target to be exceeded",
        RESULTS,
        "value is not None and value >= target",
        "value is not None and value > target",
        "tests/test_study.py::test_the_target_is_reached_in_the_first_epoch_at_or_above_it",
    ),
    (
        "the training curve reaches the target",
        RESULTS,
        "enumerate(self.curves.val_score, 1)",
        "enumerate(self.curves.train_score, 1)",
        "tests/test_study.py::test_the_target_is_reached_in_the_first_epoch_at_or_above_it",
    ),
    # --- what the replicates share and what they do not
    (
        "one seed for all replicates",
        PLAN,
        "return self.seed * MOST_REPLICATES + replicate",
        "return self.seed * MOST_REPLICATES",
        SEEDS,
    ),
    (
        "two studies share seeds",
        PLAN,
        "return self.seed * MOST_REPLICATES + replicate",
        "return self.seed + replicate",
        SEEDS,
    ),
    ("one split for all replicates", PLAN, "lr, seed, seed, hyperparameters)", "lr, seed, 0, hyperparameters)", SEEDS),
    (
        "one weights' seed for all replicates",
        PLAN,
        "lr, seed, seed, hyperparameters)",
        "lr, 0, seed, hyperparameters)",
        SEEDS,
    ),
    (
        "a seed of its own for each contender",
        PLAN,
        "seed = self.seed_of(replicate)\n        return Run",
        "seed = self.seed_of(replicate) + len(contender.label)\n        return Run",
        SEEDS,
    ),
    (
        "one shift for all replicates",
        PLAN,
        "SeedSequence((self.seed_of(replicate), 0x0FF5E7))",
        "SeedSequence((self.seed, 0x0FF5E7))",
        GRID,
    ),
    (
        "a shift of its own for each contender",
        PLAN,
        "self._shifted(self.planned_rates(contender), replicate)",
        "self._shifted(self.planned_rates(contender), replicate + len(contender.name))",
        GRID,
    ),
    (
        "fewer trials for who searches less",
        PLAN,
        "if not contender.draws:",
        "if False:",
        "tests/test_contenders.py::test_all_contenders_have_the_same_number_of_trials",
    ),
    (
        "a schedule is not in the run's key",
        CONTENDER,
        '{"schedule": self.schedule.text} if self.schedule else {}',
        "{}",
        "tests/test_contenders.py::test_equal_runs_have_equal_keys_and_others_have_others",
    ),
    (
        "a schedule of another length",
        RUN,
        "steps, per_epoch = problem.steps()",
        "per_epoch, steps = problem.steps()",
        "tests/test_contenders.py::test_a_schedules_contender_trains_exactly_as_fit_with_that_schedule",
    ),
    (
        "an extended grid with the defaults of what is searched",
        COMPARE,
        'return tuple((name, record.run["hyperparameters"][name]) for name in contender.searched)',
        "return ()",
        "tests/test_contenders.py::test_rates_beyond_the_grid_do_not_shift_the_map",
    ),
    (
        "one draw of a range for all rates",
        "optimlab/study/draws.py",
        "    return [[setting(choice) for choice in choices for _ in range(draws)] for _ in range(rates)]",
        "    return [[setting(choice) for choice in choices for _ in range(draws)]] * rates",
        "tests/test_contenders.py::test_a_list_is_tried_at_every_rate_and_a_range_is_drawn_anew",
    ),
    ("a shift of a whole step to both sides", PLAN, "step ** (drawn - 0.5)", "step ** (2 * drawn - 1)", SHIFT),
    ("a shift upwards alone", PLAN, "step ** (drawn - 0.5)", "step**drawn", SHIFT),
    ("the shift does not shift", PLAN, "step ** (drawn - 0.5)", "step**0.0", GRID),
    (
        "one draw of random settings for all replicates",
        PLAN,
        "random_settings(contender, self.search, self.seed_of(replicate))",
        "random_settings(contender, self.search, self.seed)",
        f"{PROTOCOL}::test_random_settings_differ_between_replicates_and_studies_and_depend_on_the_contender_alone",
    ),
    (
        "the split of a run is not looked at",
        RUN,
        "run.problem.replicate(run.split)",
        "run.problem.replicate(0)",
        SPLIT,
    ),
    (
        "the weights do not depend on the seed",
        RUN,
        "net = problem.network(run.seed)",
        "net = problem.network(0)",
        f"{PROTOCOL}::test_the_seed_of_a_run_draws_its_initial_weights",
    ),
    (
        "the order of the rows does not depend on the seed",
        RUN,
        "        seed=run.seed,\n        callbacks",
        "        seed=0,\n        callbacks",
        f"{PROTOCOL}::test_the_seed_of_a_run_draws_the_order_of_its_rows",
    ),
    (
        "the split is one for all seeds",
        SPLITS,
        "SeedSequence((seed, 0x5917))",
        "SeedSequence((0, 0x5917))",
        "tests/test_splits.py::test_another_seed_draws_other_rows",
    ),
    (
        "the first rows of each class",
        SPLITS,
        "rows = rng.permutation(np.flatnonzero(classes == number))",
        "rows = np.flatnonzero(classes == number)",
        "tests/test_splits.py::test_every_row_is_drawn_as_often_as_any_other",
    ),
    (
        "the larger remainder is always rounded up",
        SPLITS,
        "rng.random() * (rise + fall) < fall",
        "rise < fall",
        "tests/test_splits.py::test_every_row_is_drawn_as_often_as_any_other",
    ),
    ("classes are not looked at", SPLITS, "y = np.asarray(labels)", "y = np.zeros(len(labels))", SHARES),
    (
        "a shared test set is drawn anew",
        PROBLEM,
        "split_rows(_strata(data, data.y_test), (test,), 0)[0]",
        "split_rows(_strata(data, data.y_test), (test,), split)[0]",
        "tests/test_splits.py::test_limits_take_fewer_rows_and_a_shared_test_set_the_same_ones",
    ),
    (
        "published test rows are trained on",
        PROBLEM,
        'return self.redraw == "train" or (self.redraw == "auto" and published)',
        'return self.redraw == "train"',
        "tests/test_splits.py::test_a_test_set_apart_is_kept_and_the_others_are_drawn_anew",
    ),
    # --- which epoch counts
    (
        "tested at the last epoch",
        RUN,
        "        restore(net, kept)\n        loss, score",
        "        loss, score",
        BEST_EPOCH,
    ),
    (
        "the last of equal epochs",
        RUN,
        "if (score, -loss) <= (self.score, -self.loss):",
        "if score < self.score:",
        BEST_EPOCH,
    ),
    # --- classes and numbers to predict
    ("a negative R² counts", RUN, "[max(0.0, r2) for r2", "[r2 for r2", TASKS),
    ("a negative test R² counts", RUN, "max(0.0, score or 0.0)}", "score}", TASKS),
    (
        "two classes are two outputs",
        PROBLEM,
        '"binary": "binary_cross_entropy"',
        '"binary": "softmax_cross_entropy"',
        TASKS,
    ),
    ("the loss is not in the key", PROBLEM, ', "loss": self.loss_function.name}', "}", TASKS),
    ("any loss suits the classes", PROBLEM, 'if loss.classifies != (task != "regression")', "if False", TASKS),
    # --- the edges of the grid
    (
        "extended by test",
        COMPARE,
        "chosen, rates = best(trials), [",
        "chosen, rates = max(trials, key=lambda r: r.test_counted), [",
        EXTENDED,
    ),
    (
        "extended downwards by the wrong step",
        COMPARE,
        "ratio = study.rates[0] / study.rates[1]",
        "ratio = study.rates[-1] / study.rates[-2]",
        EXTENDED,
    ),
    (
        "all replicates extended where the first is",
        COMPARE,
        'for lr in _beyond(study, found["tuned"][c.label][r])',
        'for lr in _beyond(study, found["tuned"][c.label][0])',
        EXTENDED,
    ),
    (
        "an edge that is none",
        SUMMARY,
        'chosen.run["lr"] in (min(rates), max(rates))',
        'chosen.run["lr"] == max(rates)',
        ROWS,
    ),
    # --- other rows
    (
        "the default row at a tuned rate",
        PLAN,
        'self.run(contender, replicate, contender.defaults()["lr"])',
        "self.run(contender, replicate, self.rates_of(replicate)[0])",
        f"{PROTOCOL}::test_the_default_row_is_at_the_default_rate_and_untuned",
    ),
    (
        "a search with half the budget",
        PLAN,
        "random_settings(contender, self.search,",
        "random_settings(contender, self.search // 2,",
        f"{PROTOCOL}::test_the_full_protocol_searches_all_hyperparameters_with_the_same_budget",
    ),
    # --- pairs
    (
        "unpaired for paired",
        SUMMARY,
        "difference, p = paired_difference(values, others",
        "difference, p = paired_difference(values, others[1:] + others[:1]",
        PAIRS,
    ),
    (
        "half of the page corrected by itself",
        SUMMARY,
        "adjusted = holm([p for *_, p in tested])",
        "k = len(tested) // 2; adjusted = [*holm([p for *_, p in tested[:k]]), *holm([p for *_, p in tested[k:]])]",
        PAIRS,
    ),
    ("not corrected", SUMMARY, "adjusted = holm([p for *_, p in tested])", "adjusted = [p for *_, p in tested]", PAIRS),
    ("pairs of failed rows", SUMMARY, "sound = [row for row in table if not row.failed]", "sound = list(table)", PAIRS),
    (
        "more epochs are better",
        RESULTS,
        'return self.first if higher == (self.measure == "test_score") else self.second',
        "return self.first if higher else self.second",
        PAIRS,
    ),
    (
        "more epochs are ahead",
        SUMMARY,
        'share_ahead(values, others) if measure == "test_score" else share_ahead(others, values)',
        "share_ahead(values, others)",
        PAIRS,
    ),
    ("told apart before the correction", RESULTS, "return self.adjusted <= LEVEL", "return self.p <= LEVEL", PAIRS),
    # --- what is said
    (
        "the target of today taken for the planned one",
        COMPARE,
        'target = target_of(problem.target, planned["target"]',
        "target = target_of(problem.target, problem.target",
        TARGET,
    ),
    (
        "a target that makes other runs",
        PLAN,
        'if name != "target"}',
        'if name != "nothing"}',
        TARGET,
    ),
    (
        "the plan forgotten when a study grows",
        "optimlab/study/folder.py",
        'planned = before["planned"] if before and store.records and _is_plan(before.get("planned")) else now',
        "planned = now",
        GROWS,
    ),
    (
        "the leader alone",
        VERDICT,
        "return [row for row in rows if row is not first and row.label not in apart_labels]",
        "return []",
        "tests/test_verdict.py::test_none_can_be_told_apart",
    ),
    (
        "differences that are not told apart",
        VERDICT,
        "family, apart = len(pairs), [pair for pair in pairs if pair.told_apart]",
        "family, apart = len(pairs), list(pairs)",
        "tests/test_verdict.py::test_none_can_be_told_apart",
    ),
    (
        "failed rows in the verdict",
        VERDICT,
        "sound = [row for row in tuned if not row.failed]",
        "sound = tuned",
        "tests/test_verdict.py::test_an_error_is_no_result_of_the_optimizer",
    ),
]
"""Planted mistakes in what a replicate draws, what is chosen by what, and what is said."""
