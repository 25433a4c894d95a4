"""Several problems, one answer: ranks with their tests, the paragraph, the file."""

import json
import math
import os
import random
import re
import subprocess
import sys
from html import escape
from html.parser import HTMLParser
from itertools import combinations, permutations

import numpy as np
import pytest
from click.testing import CliRunner
from made_comparisons import made_comparison
from run_files import planted

import optimlab as ol
from optimlab.study import Contender, Problem, Study, compare
from optimlab.study.joint import check_joint_folder, joint, read_joint, write_joint
from optimlab.study.joint_table import joint_table
from optimlab.study.latex import joint_latex
from optimlab.study.ranks import average_ranks, critical_difference, fewest_problems, friedman
from optimlab.study.results import Joint, decoded, encoded

# Demsar (2006), table 6: areas under the curve of C4.5, with m, with cf, with both, on 14 data sets
DEMSAR = [
    [0.763, 0.768, 0.771, 0.798],
    [0.599, 0.591, 0.590, 0.569],
    [0.954, 0.971, 0.968, 0.967],
    [0.628, 0.661, 0.654, 0.657],
    [0.882, 0.888, 0.886, 0.898],
    [0.936, 0.931, 0.916, 0.931],
    [0.661, 0.668, 0.609, 0.685],
    [0.583, 0.583, 0.563, 0.625],
    [0.775, 0.838, 0.866, 0.875],
    [1.000, 1.000, 1.000, 1.000],
    [0.940, 0.962, 0.965, 0.962],
    [0.619, 0.666, 0.614, 0.669],
    [0.972, 0.981, 0.9751, 0.975],  # printed as 0.975, ranked 2 and 3
    [0.957, 0.978, 0.946, 0.970],
]


def test_the_ranks_and_the_critical_difference_of_demsar():
    ranks = average_ranks(DEMSAR, highest_first=True)
    assert ranks.mean(axis=0) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    assert critical_difference(4, 14, 0.05) == pytest.approx(1.25, abs=0.005)
    assert critical_difference(4, 14, 0.10) == pytest.approx(1.12, abs=0.005)
    means = ranks.mean(axis=0)
    assert means[0] - means[3] < critical_difference(4, 14, 0.05)  # as the paper finds: not powerful enough
    assert means[0] - means[3] > critical_difference(4, 14, 0.10)


def test_the_critical_values_of_demsar():
    """Table 5a: the critical values of the two-tailed Nemenyi test."""
    table = {
        0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
        0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
    }
    for level, values in table.items():
        for contenders, value in enumerate(values, 2):
            found = critical_difference(contenders, 1, level) / math.sqrt(contenders * (contenders + 1) / 6)
            assert found == pytest.approx(value, abs=1e-3)


def by_hand(ranks):
    """Friedman's statistic with the correction for ties, from sums of ranks, and the tail of chi-squared (k = 3, 4)."""
    n, k = len(ranks), len(ranks[0])
    sums = [sum(column) for column in zip(*ranks, strict=True)]
    plain = 12 / (n * k * (k + 1)) * sum(total**2 for total in sums) - 3 * n * (k + 1)
    ties = sum(row.count(value) ** 3 - row.count(value) for row in map(list, ranks) for value in set(row))
    statistic = plain / (1 - ties / (n * k * (k * k - 1)))
    x = statistic / 2
    if k == 3:
        return statistic, math.exp(-x)
    return statistic, math.erfc(math.sqrt(x)) + 2 * math.sqrt(x / math.pi) * math.exp(-x)


def test_friedman_by_hand_with_ties():
    ranks = average_ranks(DEMSAR, highest_first=True)
    assert friedman(ranks) == pytest.approx(by_hand(ranks.tolist())[1], rel=1e-9)
    # without the correction for ties it is the paper's 9.28
    sums = ranks.mean(axis=0)
    assert 12 * 14 / 20 * ((sums**2).sum() - 4 * 25 / 4) == pytest.approx(9.28, abs=0.005)


def test_friedman_and_nemenyi_of_a_published_example():
    """Reaction times of ten patients to three drugs; p-values as SciPy and scikit-posthocs gave them in the tutorial
    "How to perform the Nemenyi test in Python" (statology.org)."""
    drugs = [[4, 6, 3, 4, 3, 2, 2, 7, 6, 5], [5, 6, 8, 7, 7, 8, 4, 6, 4, 5], [2, 2, 5, 3, 2, 2, 1, 4, 3, 2]]
    ranks = average_ranks(list(zip(*drugs, strict=True)), highest_first=False)
    assert friedman(ranks) == pytest.approx(0.00126122012, rel=1e-6)
    means = ranks.mean(axis=0)
    published = {(0, 1): 0.437407, (0, 2): 0.065303, (1, 2): 0.001533}
    for (one, other), p in published.items():
        # at the level of its own p-value a difference is critical; that version approximated the p-values
        assert critical_difference(3, 10, p) == pytest.approx(abs(means[one] - means[other]), rel=5e-3)


def test_two_contenders_are_tested_by_signs():
    ranks = average_ranks([[1, 2]] * 6 + [[2, 1]] + [[3, 3]], highest_first=False)
    assert friedman(ranks) == pytest.approx(2 * (1 + 7) / 2**7)  # 6 of 7, the tie dropped
    assert friedman(average_ranks([[1, 1]] * 5, highest_first=False)) == 1


def test_equal_ranks_everywhere_are_no_difference():
    assert friedman(average_ranks([[0.5, 0.5, 0.5]] * 4, highest_first=True)) == 1


def test_rounding_makes_no_rank():
    assert average_ranks([[0.1 + 0.2, 0.3, 0.2]], highest_first=True).tolist() == [[1.5, 1.5, 3]]


@pytest.mark.quick_each("contenders", "ties")
@pytest.mark.parametrize("contenders", [2, 3, 4, 9])
@pytest.mark.parametrize("ties", [False, True])
def test_equal_contenders_are_seldom_told_apart(contenders, ties):
    """The whole decision, over random ranks: at most the level, whatever the number of problems, with ties or not."""
    draws, level = np.random.default_rng(contenders), 0.05
    for problems in (3, 5, 10, 20):
        again, critical = 400, critical_difference(contenders, problems, level)
        values = draws.integers(0, 3 if ties else 10**9, (again * problems, contenders))
        ranks = average_ranks(values, highest_first=True).reshape(again, problems, contenders)
        told = sum(friedman(own) <= level for own in ranks if np.ptp(own.mean(axis=0)) >= critical)
        assert told <= again * level + 3 * math.sqrt(again * level)


@pytest.mark.parametrize("contenders", range(2, 13))
@pytest.mark.parametrize("level", [0.025, 0.05])
def test_fewest_problems_are_enough_and_one_less_is_not(contenders, level):
    """All problems rank alike."""

    def told(problems):
        ranks = average_ranks([list(range(contenders))] * problems, highest_first=False)
        return friedman(ranks) <= level and contenders - 1 >= critical_difference(contenders, problems, level)

    fewest = fewest_problems(contenders, level)
    assert told(fewest)
    assert fewest == 2 or not told(fewest - 1)


# --- the joint answer

NAMES = ("sgd", "momentum", "adam")


def study(k=0, names=NAMES, **changes):
    problem = Problem(hidden=(4 + k,), epochs=6, target=0.5)
    return Study(problem, names, **{"rates": (0.01, 0.1, 1.0), "replicates": 2, "defaults": False} | changes)


def compared(accuracies, epochs=None, **changes):
    """A comparison by label: the accuracy, or how the runs ended; and the epochs to the target, None for a miss."""

    def outcome(label, kind, replicate, trial):
        value = accuracies[label]
        if isinstance(value, str):
            return {"fate": value}
        needed = 5 if epochs is None else epochs[label]
        # one that misses stays below the target in validation
        curve = [0.0] * ((needed or 6) - 1) + [0.4 if needed is None else 0.9] * (7 - (needed or 6))
        return {"test": value + 0.01 * replicate, "curve": curve}

    names = changes.pop("names", tuple(accuracies))
    return made_comparison(study(names=names, **changes), outcome)


def several(*tables, epochs=None):
    return {f"p{k}": compared(table, epochs[k] if epochs else None, k=k) for k, table in enumerate(tables)}


def table(*values):
    return dict(zip(NAMES, values, strict=True))


def test_ranks_by_hand():
    found = joint(
        several(
            table(0.9, 0.8, 0.7),
            table(0.9, 0.7, 0.8),
            table(0.6, 0.6, 0.7),
            epochs=[table(1, 2, 3), table(2, 2, 4), table(None, 4, None)],
        )
    )
    accuracy, epochs = found.rankings
    assert accuracy.ranks == {"sgd": (1, 1, 2.5), "momentum": (2, 3, 2.5), "adam": (3, 2, 1)}
    assert accuracy.mean_ranks == pytest.approx({"sgd": 1.5, "momentum": 2.5, "adam": 2.0})
    assert epochs.ranks == {"sgd": (1, 1.5, 2.5), "momentum": (2, 1.5, 1), "adam": (3, 3, 2.5)}
    assert (accuracy.ties, epochs.ties) == (1, 2)
    # a miss costs infinity: two of three problems solved
    assert found.profile["sgd"] == ((1.0, pytest.approx(2 / 3)),)
    assert found.profile["momentum"] == ((1.0, pytest.approx(2 / 3)), (2.0, 1.0))
    assert found.profile["adam"] == ((1.0, 0.0), (2.0, pytest.approx(1 / 3)), (3.0, pytest.approx(2 / 3)))
    assert found.paragraph == (
        "By test accuracy, sgd has the best mean rank on 3 problems: 1.5 of 3. By epochs to the target, momentum has "
        "the best mean rank on 3 problems: 1.5 of 3. Averaged over replicates, sgd and momentum each need the "
        "fewest epochs to the target on 2 of 3 problems, and momentum needs at most 2 times the fewest on all 3 "
        "problems. Ranks on 3 problems cannot tell 3 optimizers apart, even if all agree: this takes at least 4 "
        "problems."
    )


def test_what_all_problems_agree_on_is_told():
    found = joint(several(*[table(0.9, 0.8, 0.7)] * 6, epochs=[table(3, 2, 1)] * 6))
    accuracy, epochs = found.rankings
    assert accuracy.apart == (("sgd", "adam"),)
    assert epochs.apart == (("adam", "sgd"),)
    claims = [(c.better, c.worse, c.measure) for sentence in found.sentences for c in sentence.claims]
    assert claims == [("sgd", "adam", "test_score"), ("adam", "sgd", "epochs")]
    assert "Ranked below sgd by test accuracy: adam." in found.paragraph
    assert "The 6 problems use one data set. They are dependent, so these tests are optimistic." in found.paragraph
    assert "Both rankings together are tested at 5%" in found.paragraph


@pytest.mark.parametrize("problems", [2, 3])
def test_too_few_problems_promise_nothing(problems):
    found = joint(several(*[table(0.9, 0.8, 0.7)] * problems))
    assert not any(sentence.claims for sentence in found.sentences)
    assert f"Ranks on {problems} problems cannot tell 3 optimizers apart" in found.paragraph
    assert "this takes at least 4 problems." in found.paragraph


def test_equal_contenders_share_the_first_rank():
    found = joint(several(*[table(0.9, 0.9, 0.7)] * 2))
    assert found.ranking("test_score").best == ("sgd", "momentum")
    assert "sgd and momentum share the best mean rank on 2 problems: 1.5 of 3." in found.paragraph
    assert "By epochs to the target, all 3 optimizers have the same mean rank on these 2 problems." in found.paragraph
    assert "all 3 optimizers each need the fewest epochs" in found.paragraph


def test_a_contender_that_failed_on_a_problem_is_excluded():
    found = joint(several(table(0.9, 0.8, 0.7), table(0.9, 0.8, "error")))
    assert found.contenders == ("sgd", "momentum")
    assert found.excluded == {"adam": "runs failed on p1"}
    assert "adam is excluded from ranks and profile: runs failed on p1." in found.paragraph
    assert set(found.profile) == set(found.rankings[0].ranks) == {"sgd", "momentum"}
    rows = {row[0]: row[1:] for row in joint_table(found).rows}
    assert rows["adam"][1:] == ["-", "-", "-"]
    assert rows["adam"][0].startswith("70.5")


def test_a_contender_that_is_not_compared_everywhere_is_excluded():
    found = joint({"a": compared(table(0.9, 0.8, 0.7)), "b": compared({"sgd": 0.9, "adam": 0.8})})
    assert found.excluded == {"momentum": "it is not compared on b"}


def test_a_problem_on_which_everyone_failed_is_not_ranked():
    found = joint(several(table(0.9, 0.8, 0.7), table(*["error"] * 3), table(0.9, 0.8, 0.7)))
    assert found.rankings[0].problems == ("p0", "p2")
    assert found.contenders == NAMES
    assert "Not ranked, because every optimizer has a failed run there: p1." in found.paragraph
    nothing = joint(several(table(0.9, 0.8, 0.7), table(*["error"] * 3)))
    assert (nothing.rankings, nothing.profile) == ((), {})
    assert "Fewer than two problems are left: there is no joint answer." in nothing.paragraph
    joint_table(nothing)


def test_one_contender_alone_is_not_ranked():
    found = joint(several(table(0.9, "error", "error"), table(0.9, 0.8, 0.7)))
    assert (found.contenders, found.rankings) == (("sgd",), ())
    assert "Only sgd was compared on every problem: there is nothing to rank." in found.paragraph
    joint_table(found)


def test_who_diverged_has_the_last_rank():
    found = joint(several(table(0.9, 0.1, "diverged at once"), table("diverged at once", 0.1, "diverged at once")))
    assert found.ranking("test_score").ranks == {"sgd": (1, 2.5), "momentum": (2, 1), "adam": (3, 2.5)}
    assert {row[0]: row[1] for row in joint_table(found).rows}["adam"] == "diverged"
    missed = joint(several(table(0.9, 0.8, 0.7), table(0.9, 0.8, 0.7), epochs=[table(None, None, None)] * 2))
    assert "No optimizer reached the target on any problem." in missed.paragraph


def test_one_problem_has_no_joint_answer():
    with pytest.raises(ol.InputError, match="at least two problems"):
        joint({"a": compared(table(0.9, 0.8, 0.7))})


def test_a_contender_that_was_not_compared_has_not_failed(tmp_path):
    """In page and LaTeX: ``momentum`` is not compared on ``b``, and failed on ``c``; ``adam`` failed on ``b``."""
    tables = {"a": table(0.9, 0.8, 0.7), "b": {"sgd": 0.9, "adam": "error"}, "c": table(0.9, "error", 0.8)}
    found, text = page_of({name: compared(own) for name, own in tables.items()}, tmp_path)
    assert found.excluded == {"momentum": "runs failed on c; it is not compared on b", "adam": "runs failed on b"}
    assert [problem.failed for problem in found.problems] == [(), ("adam",), ("momentum",)]
    shown = Cells(text)
    for name in ("accuracies", "epochs"):
        assert [cell for cell, _ in shown.of(name)["momentum"]][1:3] == ["–not compared", "–failed"]
        assert shown.of(name)["adam"][1][0] == "–failed"
    (line,) = (line for line in joint_latex(found).splitlines() if line.startswith("momentum &"))
    assert line.split(" & ")[2:4] == ["--", "failed \\\\"]
    (line,) = (line for line in joint_latex(found).splitlines() if line.startswith("adam &"))
    assert line.split(" & ")[2] == "failed"


@pytest.mark.slow
def test_the_order_of_contenders_and_problems_does_not_matter():
    tables = [table(0.9, 0.8, 0.7), table(0.6, 0.9, 0.7), table(0.9, 0.8, 0.85)]
    seen = set()
    for names in permutations(NAMES):
        done = {f"p{k}": compared({n: tables[k][n] for n in names}, k=k) for k in range(3)}
        for order in permutations(done):
            ranking = joint({name: done[name] for name in order}).rankings[0]
            seen.add((round(ranking.p, 12), *(round(ranking.mean_ranks[name], 12) for name in NAMES)))
    assert len(seen) == 1


def test_the_file_is_read_back(tmp_path):
    chance = random.Random(0)
    tables = [table(*(chance.choice([0.9, 0.8, "diverged at once"]) for _ in NAMES)) for _ in range(4)]
    found = joint(several(*tables))
    assert write_joint(found, tmp_path) == ["joint.json"]
    assert read_joint(tmp_path) == found
    assert decoded(Joint, encoded(found)) == found
    (tmp_path / "joint.json").write_bytes(encoded(found).replace(b'"version":3', b'"version":1'))
    with pytest.raises(ol.InputError, match="earlier protocol"):
        read_joint(tmp_path)
    (tmp_path / "joint.json").write_text("[")
    with pytest.raises(ol.InputError, match="not the joint answer"):
        read_joint(tmp_path)
    with pytest.raises(ol.InputError, match="cannot read"):
        read_joint(tmp_path / "nowhere")


def test_a_folder_that_holds_more_is_not_overwritten(tmp_path):
    found = joint(several(*[table(0.9, 0.8, 0.7)] * 3))
    check_joint_folder(["p0"], tmp_path)
    write_joint(found, tmp_path)
    check_joint_folder(["p0", "p1", "p2", "p3"], tmp_path)
    with pytest.raises(ol.InputError, match="it also has p1 and p2"):
        check_joint_folder(["p0"], tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(ol.InputError, match="a comparison on one problem"):
        check_joint_folder(["p0", "p1", "p2"], tmp_path)


def test_one_problem_does_not_overwrite_a_joint_answer(tmp_path):
    from optimlab.study.folder import check_folder

    check_folder(study(), tmp_path)
    write_joint(joint(several(*[table(0.9, 0.8, 0.7)] * 2)), tmp_path)
    with pytest.raises(ol.InputError, match="several problems"):
        check_folder(study(), tmp_path)


def test_the_table_marks_the_leader_and_those_not_told_from_it():
    found = joint(several(*[table(0.9, 0.8, 0.7)] * 2))
    marked = {
        (problem.name, label)
        for problem in found.problems
        for label, standing in problem.standings.items()
        if standing.leading
    }
    shown = joint_table(found)
    for row in shown.rows:
        for problem, cell in zip(found.problems, row[1:], strict=False):
            assert cell.endswith("*") == ((problem.name, row[0]) in marked)
    assert ("p0", "sgd") in marked
    assert [row[0] for row in shown.rows] == ["sgd", "momentum", "adam"]


def test_the_profile_is_drawn(tmp_path):
    from optimlab.plotting import profile_figure

    found = joint(several(*[table(0.9, 0.8, "diverged at once")] * 2, epochs=[table(1, 3, None), table(4, 2, None)]))
    figure = profile_figure(found)
    figure.savefig(tmp_path / "profile.png")
    titles = ["sgd; fewest on 50%", "momentum; fewest on 50%", "adam; fewest on 0%"]
    assert [axes.get_title() for axes in figure.axes] == titles


@pytest.mark.slow
def test_thirty_contenders():
    names = tuple(Contender("sgd", label=f"rule {k}") for k in range(30))
    labels = [name.label for name in names]
    chance = random.Random(1)
    found = joint({f"p{k}": compared({label: chance.random() for label in labels}, names=names, k=k) for k in range(3)})
    assert set(found.rankings[0].ranks) == set(labels)
    assert sum(found.rankings[0].mean_ranks.values()) == pytest.approx(30 * 31 / 2)
    for one, other in combinations(labels, 2):
        means = found.rankings[0].mean_ranks
        told = {(one, other), (other, one)} & set(found.rankings[0].apart)
        assert bool(told) <= (abs(means[one] - means[other]) >= found.rankings[0].critical_difference - 1e-9)


# --- the page


class Cells(HTMLParser):
    """The cells of every table by its id, row by row: what is shown in ``.value``, in bold or not."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.links, self.table, self.inside = [], [], None, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "table":
            self.table = given.get("id") or given.get("class")
        elif tag == "tr":
            self.rows.append((self.table, []))
        elif tag == "a":
            self.links.append(given["href"])
        self.inside = given.get("class") == "value" or (tag == "th" and given.get("scope") == "row") or self.inside
        if tag in ("td", "th"):
            self.rows[-1][1].append(["", False])
        if given.get("class") == "value" and tag == "b":
            self.rows[-1][1][-1][1] = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside and data.strip():
            self.rows[-1][1][-1][0] += data.strip()

    def of(self, table):
        return {cells[0][0]: cells[1:] for name, cells in self.rows if name == table and cells[0][0]}


def page_of(comparisons, folder):
    from optimlab.report.joint import write_joint_report

    found = joint(comparisons)
    path = write_joint_report(found, comparisons, folder)
    return found, path.read_text(encoding="utf-8")


def test_every_number_of_the_page_is_that_of_the_file(tmp_path):
    chance = random.Random(2)
    names = [Contender("sgd", label=f"rule {k}") for k in range(30)]
    tables = [{c.label: round(chance.random(), 3) for c in names} for _ in range(3)]
    tables[1] |= {"rule 3": "error", "rule 4": "diverged at once"}
    tables[2] |= {"rule 4": "error", "rule 5": "diverged at once"}
    epochs = [{c.label: chance.choice([1, 2, 5, 6, None]) for c in names} for _ in range(3)]
    found, text = page_of(
        {
            f"p{k}": compared(own, needed, names=tuple(names), k=k)
            for k, (own, needed) in enumerate(zip(tables, epochs, strict=True))
        },
        tmp_path,
    )
    write_joint(found, tmp_path)
    file = json.loads((tmp_path / "joint.json").read_text())
    shown = Cells(text)
    accuracies, needed = shown.of("accuracies"), shown.of("epochs")
    assert set(accuracies) == set(needed) == {c.label for c in names}
    assert set(found.excluded) == {"rule 3", "rule 4"}
    for k, problem in enumerate(file["problems"]):
        for label in accuracies:
            (accuracy, bold), own = accuracies[label][k], problem["standings"].get(label)
            if own is None or not own["finished"]:
                fate = tables[k][label]
                assert (accuracy, bold) == (f"–{'failed' if fate == 'error' else 'diverged'}", False)
                assert fate in ("error", "diverged at once")
                continue
            mean, half = map(float, accuracy.split(" ± "))
            assert mean == pytest.approx(100 * own["test_score"][0], abs=0.051)
            width = own["test_score"][2] - own["test_score"][1]
            assert half == pytest.approx(50 * width, abs=0.051)
            assert bold == own["leading"]
            epoch = needed[label][k][0]
            if not own["hits"]:
                assert epoch == "missed"
            else:
                assert float(epoch.removeprefix("≥ ").split(" [")[0]) == pytest.approx(own["epochs"][0], abs=0.051)
                assert epoch.startswith("≥") == (own["hits"] < problem["replicates"])
    for k, ranking in enumerate(file["rankings"]):
        for label, cells in accuracies.items():
            rank = cells[3 + k][0]
            expected = ranking["mean_ranks"].get(label)
            assert rank == "–" if expected is None else float(rank) == pytest.approx(expected, abs=0.051)
    for sentence in file["sentences"]:
        assert f"<p>{escape(sentence['text'])}</p>".replace("&#x27;", "&#39;") in text
    inside = re.search(r'<script type="application/json" id="summary">(.*?)</script>', text)[1]
    assert json.loads(inside) == file


def test_names_are_text_and_links_lead_to_the_problems(tmp_path):
    evil = """</script><script>x()</script>{{ 7*7 }}"'&"""
    names = (Contender("sgd", label=evil), Contender("adam"))
    _, text = page_of({name: compared({evil: 0.9, "adam": 0.8}, names=names) for name in ("käse", "b.c")}, tmp_path)
    assert "x()</script>" not in text
    assert "{{ 7*7 }}" in text
    assert text.count("<script") == 3  # two of data, one of code
    shown = Cells(text)
    assert evil in shown.of("accuracies")
    assert {"k%C3%A4se/report.html", "b.c/report.html"} <= set(shown.links)
    ids = set(re.findall(r'id="([^"]+)"', text))
    assert {link[1:] for link in shown.links if link.startswith("#")} <= ids


@pytest.mark.parametrize(
    "tables",
    [
        [table(0.9, 0.8, 0.7), table(*["error"] * 3)],
        [table(0.9, "error", "error"), table(0.9, 0.8, 0.7)],
        [table(*["diverged at once"] * 3)] * 2,
        [table(*["error"] * 3)] * 2,
    ],
)
def test_a_page_of_runs_that_went_wrong(tables, tmp_path):
    found, text = page_of(several(*tables), tmp_path)
    assert all(escape(s.text).replace("&#x27;", "&#39;") in text for s in found.sentences)
    joint_latex(found)
    assert decoded(Joint, encoded(found)) == found


def test_the_page_in_a_browser(browser, tmp_path):
    """Silent, as wide as a telephone, sorted by a click; bars that do not overlap are what is told apart."""
    found, _ = page_of(several(*[table(0.9, 0.8, 0.7)] * 6, epochs=[table(3, 2, 1)] * 6), tmp_path)
    heard = []
    page = browser.new_context(viewport={"width": 380, "height": 800}, offline=True).new_page()
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    page.click("#accuracies thead th:nth-child(2) button")
    assert page.evaluate("[...document.querySelectorAll('#accuracies tbody th')].map(e => e.textContent.trim())") == [
        "adam",
        "momentum",
        "sgd",
    ]
    bars = page.evaluate(
        """[...document.querySelectorAll('table.ranks')].map(table => [...table.tBodies[0].rows].map(row => [
            row.cells[0].textContent, row.querySelector('.interval').getAttribute('d')]))"""
    )
    for ranking, drawn in zip(found.rankings, bars, strict=True):
        ends = {name: tuple(map(float, re.fullmatch(r"M(\S+) 50H(\S+)", d).groups())) for name, d in drawn}
        apart = {(one, other) for one in ends for other in ends if ends[one][1] <= ends[other][0]}
        assert apart == set(ranking.apart)
    assert heard == []
    page.context.close()


# --- killed


KILLED = """
import os, random, signal, sys, time
from pathlib import Path
from optimlab.report.joint import write_joint_report
from optimlab.study import compare, read_study
from optimlab.study.joint import joint, write_joint

sys.modules[compare.__module__].time_steps = lambda *_: {}  # takes longest here, and is compared with nothing

place, dice = Path(sys.argv[1]), random.Random(0)
studies = read_study(place / "study.toml")

def start(out):
    child = os.fork()
    if child:
        return child
    done = {name: compare(study, out / name, jobs=1) for name, study in studies.items()}
    write_joint_report(joint(done), done, out)
    write_joint(joint(done), out)
    os._exit(0)

began = time.perf_counter()
os.waitpid(start(place / "alone"), 0)
whole, killed = time.perf_counter() - began, 0
while killed < 3:
    child = start(place / "killed")
    time.sleep(whole * dice.uniform(0.05, 0.35))
    os.kill(child, signal.SIGKILL)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
print(os.waitpid(start(place / "killed"), 0)[1], killed)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_study_of_three_problems_that_is_killed_ends_as_if_nothing_had_been(tmp_path):
    """The long form, with the command itself, is tests/soak/ten_problems.py."""
    from soak.ten_problems import contents, differences, study_file

    (tmp_path / "study.toml").write_text(study_file(3, epochs=2))
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path], capture_output=True, text=True, check=False)
    assert (done.stdout.split(), done.returncode) == (["0", "3"], 0), done.stderr
    alone, killed = contents(tmp_path / "alone"), contents(tmp_path / "killed")
    assert {"joint.json", "report.html", "p0/runs.jsonl", "p2/summary.json"} <= set(alone)
    left = [name for name in killed if name.rpartition("/")[2].startswith(".")]  # of a write that was cut off
    assert differences(alone, {name: found for name, found in killed.items() if name not in left}) == []


def test_all_pages_are_made_again(tmp_path):
    """From the files of each problem, not from what joint.json says of them: it is checked, its names lead nowhere."""
    from optimlab.cli import main

    names = ("a", "b")
    done = {}
    for name in names:
        with planted(lambda run: "ok", lambda run: 0.5 + 0.04 * (run.key < "8")):
            done[name] = compare(study(k=names.index(name)), tmp_path / name)
    write_joint(joint(done), tmp_path)
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {"a/report.html", "b/report.html", "report.html"} <= {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")
    }
    assert escape(joint(done).sentences[0].text).replace("&#x27;", "&#39;") in (tmp_path / "report.html").read_text()
    (tmp_path / "joint.json").write_bytes(encoded(joint(done)).replace(b'"name":"a"', b'"name":"../a"'))
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "cannot be the name of a folder" in result.stderr


def test_the_joint_answer_is_that_of_the_present_results(tmp_path, monkeypatch):
    """Report, paper and LaTeX agree after one problem has grown on its own, by a contender."""
    from optimlab.cli import main

    monkeypatch.setattr("optimlab.paper.write.pdf", lambda draw, width: b"%PDF")

    def run(*arguments):
        result = CliRunner().invoke(main, [*map(str, arguments)])
        assert result.exit_code == 0, result.output

    with planted(lambda run: "ok", lambda run: 0.5 + 0.04 * (run.key < "8")):
        done = {name: compare(study(k), tmp_path / name, jobs=1) for k, name in enumerate(("a", "b"))}
        write_joint(joint(done), tmp_path)
        compare(study(names=(*NAMES, "lion"), replicates=4, rates=(0.01, 0.1, 1.0, 10.0)), tmp_path / "a", jobs=1)
    run("export", tmp_path, "--to", tmp_path / "table.tex")
    run("paper", tmp_path, "--widths", "3")
    shown = (tmp_path / "table.tex").read_text()
    assert shown == (tmp_path / "paper" / "table.tex").read_text()
    assert "over 2 to 4 replicates" in shown
    rows = [line.split(" & ") for line in shown.splitlines() if line.startswith((*NAMES, "lion"))]
    assert {row[0] for row in rows} == {*NAMES, "lion"}
    assert next(row for row in rows if row[0] == "lion")[2:] == ["--", "--", "-- \\\\"]
    said = (tmp_path / "paper" / "methods.txt").read_text()
    assert said.startswith("We compared 4 optimizers: ")
    assert "lion (Chen et al., 2023) (on a only)." in said
    assert "repeated in 2 to 4 replicates" in said
    assert "The study on problem a was planned with 2 replicates and grew." in said
    assert "lion is not ranked: it is not compared on b." in said
    assert re.search(
        r"on problem a, each optimizer was tuned in [\d to]+ runs at 4 learning rates from 0.01 to 10", said
    )
    assert re.search(
        r"on problem b, each optimizer was tuned in [\d to]+ runs at 3 learning rates from 0.01 to 1", said
    )
    run("report", tmp_path)
    summaries = {name: json.loads((tmp_path / name / "summary.json").read_text()) for name in done}
    file = read_joint(tmp_path)
    assert [problem.replicates for problem in file.problems] == [one["replicates"] for one in summaries.values()]
    assert [len(problem.standings) for problem in file.problems] == [4, 3]
    page = (tmp_path / "report.html").read_text()
    inside = re.search(r'<script type="application/json" id="summary">(.*?)</script>', page)[1]
    assert decoded(Joint, inside.encode()) == file
    assert {"profile.png", "profile.svg"} <= {path.name for path in tmp_path.iterdir()}
