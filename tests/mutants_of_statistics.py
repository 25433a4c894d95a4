"""Mistakes planted in the statistics of a comparison, each with the tests that must notice it.

A mistake is a file, a text in it, what is put in its place, and the test module that then fails.
"""

STATISTICS = "optimlab/study/statistics.py"
SUMMARY = "optimlab/study/summary.py"
TARGETS = "optimlab/study/targets.py"
ROWS = "optimlab/study/rows_score.py"
OWN, REPLICATION = "tests/test_statistics.py", "tests/test_replication.py"

MISTAKES = [
    # intervals
    (STATISTICS, "stdtrit(len(x) - 1, (1 + confidence) / 2)", "stdtrit(len(x), (1 + confidence) / 2)", OWN),
    (STATISTICS, "stdtrit(len(x) - 1, (1 + confidence) / 2)", "stdtrit(len(x) - 1, confidence)", OWN),
    (STATISTICS, "_standard_error(float(x.var(ddof=1))", "_standard_error(float(x.var())", OWN),
    (STATISTICS, "df * x.var(ddof=1)", "df * x.var()", OWN),
    (STATISTICS, "step**2 / 12) / count", "step**2 / 12)", OWN),
    (STATISTICS, "variance + step**2 / 12", "variance + step**2 / 3", OWN),
    (STATISTICS, "variance + step**2 / 12", "variance", OWN),
    # paired differences
    (STATISTICS, "t = interval.mean / _standard_error(float(differences.var(ddof=1)), n, step)",
     "t = interval.mean / math.sqrt((np.var(values, ddof=1) + np.var(others, ddof=1)) / n)", OWN),
    (STATISTICS, "differences = np.subtract(values, others)\n    n = len(differences)",
     "differences = np.subtract(np.sort(values), np.sort(others))\n    n = len(differences)", OWN),
    (STATISTICS, "float(2 * stdtr(n - 1, -abs(t)))", "float(stdtr(n - 1, -abs(t)))", OWN),
    (STATISTICS, "float(2 * stdtr(n - 1, -abs(t)))", "float(2 * stdtr(n - 1, -t))", OWN),
    (STATISTICS, "float(2 * stdtr(n - 1, -abs(t)))", "float(2 * stdtr(2 * n - 2, -abs(t)))", OWN),
    (STATISTICS, "2.0 ** (1 - n)", "2.0 ** (-n)", OWN),
    (STATISTICS, "2.0 ** (1 - n)", "0.0", OWN),
    # mean epochs
    (STATISTICS, "low, high = 0.5, budget + 1.5", "low, high = 0.0, budget + 2.0", OWN),
    (STATISTICS, "_standard_error(variance, len(x), 1)", "_standard_error(variance, len(x), 0)", OWN),
    (STATISTICS, "/ (df + WEIGHT)", "/ df", OWN),
    (STATISTICS, "prior = len(x) - 1, (mean - low) * (high - mean) / 3",
     "prior = len(x) - 1, (high - low) ** 2 / 12", OWN),
    (STATISTICS, "stdtrit(df, 0.975)", "stdtrit(df + WEIGHT, 0.975)", OWN),
    (STATISTICS, "for sign in (1, -1))\n    return Interval", "for sign in (-1, 1))\n    return Interval", OWN),
    (SUMMARY, "epochs_interval([_restricted(r.epochs, problem.epochs) for r in replicates], problem.epochs)",
     "t_interval([_restricted(r.epochs, problem.epochs) for r in replicates], step=1)", "tests/test_verdict.py"),
    # tests of all pairs
    (STATISTICS, "_prior(logs, d, (contenders - 2) * d)", "_prior(logs, d, len(logs) * d)", OWN),
    (STATISTICS, "shared = (prior * expected + d * np", "shared = (expected + 0 * np", OWN),
    (STATISTICS, "2 * stdtr(prior + d, -np", "2 * stdtr(math.inf, -np", OWN),
    (STATISTICS, "2 * stdtr(prior + d, -np", "2 * stdtr(d, -np", OWN),
    (STATISTICS, "stdtrit(prior + d, 0.975) * errors", "stdtrit(d, 0.975) * errors", OWN),
    (STATISTICS, "p_values[k], intervals[k] = max(p_values[k], own[k][1]), own[k][0]",
     "p_values[k] = max(p_values[k], own[k][1])", OWN),
    (SUMMARY, "difference if measure == \"epochs\" else test[1]", "difference", "tests/test_summary.py"),
    (SUMMARY, "difference if measure == \"epochs\" else test[1]", "test[1]", "tests/test_summary.py"),
    (STATISTICS, "- digamma(d / 2) + math.log(d / 2)\n", "\n", OWN),
    (STATISTICS, "logs.var(ddof=1) - polygamma(1, d / 2)", "logs.var(ddof=1)", OWN),
    (STATISTICS, "(middle, high) if short(middle) > 0", "(middle, high) if short(middle) < 0", OWN),
    (STATISTICS, "    if not prior:\n", "    if prior >= 0:\n", REPLICATION),
    (STATISTICS, "df = prior + replicates - 1", "df = replicates - 1", OWN),
    (SUMMARY, "pair_tests(values if measure == \"test_score\" else np.log(values).tolist())", "pair_tests(values)",
     "tests/test_summary.py"),
    # Holm
    (STATISTICS, "largest = max(largest, min(1.0, (m - k) * p_values[place]))",
     "largest = min(1.0, (m - k) * p_values[place])", OWN),
    (STATISTICS, "(m - k) * p_values[place]", "(m - k - 1) * p_values[place]", OWN),
    (STATISTICS, "(m - k) * p_values[place]", "m * p_values[place]", OWN),
    (STATISTICS, "min(1.0, (m - k) * p_values[place])", "(m - k) * p_values[place]", OWN),
    (STATISTICS, "        adjusted[place] = largest", "        adjusted[k] = largest", OWN),
    # P(ahead)
    (STATISTICS, "(differences > 0) + 0.5 * (differences == 0)", "(differences > 0) + 0.0", OWN),
    (STATISTICS, "(differences > 0) + 0.5 * (differences == 0)", "(differences >= 0) + 0.0", OWN),
    (STATISTICS, "variance = ((scores**2).sum() + z2 / 2) / n - middle**2", "variance = middle * (1 - middle)", OWN),
    (STATISTICS, "    z2 = 1.959963984540054**2\n    n = len(scores) + z2\n",
     "    z2 = 1.959963984540054**2\n    n = len(scores)\n", OWN),
    (STATISTICS, "z2 = 1.959963984540054**2", "z2 = 1.6448536269514722**2", OWN),
    # power
    (STATISTICS, "nctdtrinc(df, 1 - POWER, stdtrit(df, 1 - LEVEL / (2 * max(1, tests))))",
     "stdtrit(df, POWER) + stdtrit(df, 1 - LEVEL / (2 * max(1, tests)))", OWN),
    (STATISTICS, "1 - LEVEL / (2 * max(1, tests))", "1 - LEVEL / max(1, tests)", OWN),
    (STATISTICS, "nctdtrinc(df, 1 - POWER,", "nctdtrinc(df, POWER,", OWN),
    (STATISTICS, "(low, middle) if detectable(deviation, middle, tests, prior) <= difference else (middle + 1, high)",
     "(low, middle) if detectable(deviation, middle, tests, prior) <= difference else (middle, high - 1)", OWN),
    # usable decades, profiles, best of so many
    (STATISTICS, "(scores[edge] - target) / (scores[edge] - scores[lr])",
     "(target - scores[lr]) / (scores[edge] - scores[lr])", OWN),
    (STATISTICS, "return high - low, open_above or open_below", "return high - low, open_above and open_below", OWN),
    (STATISTICS, "int((solved <= r).sum()) / len(row)", "int((solved <= r).sum()) / len(solved)", OWN),
    (STATISTICS, "int((solved <= r).sum()) / len(row)", "int((solved < r).sum()) / len(row)", OWN),
    (STATISTICS, "np.sort(np.asarray(scores, float)), len(scores)", "np.asarray(scores, float), len(scores)", OWN),
    # the rows of the test set
    (ROWS, "difference.std(ddof=1) / math.sqrt(len(difference))", "difference.std(ddof=1)", OWN),
    (ROWS, "difference.std(ddof=1) / math.sqrt(len(difference))", "difference.std() / math.sqrt(len(difference))", OWN),
    (ROWS, "if len(content) != size or not stream.eof:", "if len(content) > size:", OWN),
    # targets
    (TARGETS, 'if record.status == "ok" else []', "if True else []", OWN),
    (TARGETS, "holm(pair_tests(np.log(table).tolist()).p_values)", "pair_tests(np.log(table).tolist()).p_values",
     OWN),
    (TARGETS, ".min()) + 1 for curves in replicates)", ".max()) + 1 for curves in replicates)", OWN),
    # what is chosen, and what counts, held against the known truth
    (SUMMARY, "test_score=t_interval([r.test_score for r in replicates])",
     "test_score=t_interval([r.val_score for r in replicates])", REPLICATION),
    (SUMMARY, "        return [r.test_score for r in row.replicates]",
     "        return [r.val_score for r in row.replicates]", REPLICATION),
    (SUMMARY, "return record.val_counted, -(", "return record.test_counted, -(", REPLICATION),
    (SUMMARY, "adjusted = holm([p for *_, p in tested])", "adjusted = [p for *_, p in tested]", REPLICATION),
    (SUMMARY, "return float(budget + 1 if epochs is None else epochs)",
     "return float(budget // 2 if epochs is None else epochs)", "tests/test_summary.py"),
    (SUMMARY, 'share_ahead(values, others) if measure == "test_score" else share_ahead(others, values)',
     "share_ahead(values, others)", REPLICATION),
    (SUMMARY, "epochs=fast.epochs_to(target) if fast else None", "epochs=chosen.epochs_to(target)", REPLICATION),
    ("optimlab/study/results.py", 'return self.first if higher == (self.measure == "test_score") else self.second',
     "return self.first if higher else self.second", REPLICATION),
]  # fmt: skip
"""Path, text, what is put in its place, test module."""
