"""Every table that is printed, at any width and in any encoding: no number is broken, no line too long."""

import io
import json
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_summaries import around, row, summary
from rich.cells import cell_len
from rich.console import Console
from run_files import kept

import optimlab as ol
import optimlab.study
import optimlab.tuning
from optimlab.cli import live
from optimlab.common.errors import concise
from optimlab.common.spelling import spelled
from optimlab.common.tables import Column, Table, shortened, width
from optimlab.lab.schedule_preview import preview
from optimlab.race import race
from optimlab.race.table import table as race_table
from optimlab.schedules import CyclicLR
from optimlab.study import table as study_table
from optimlab.study.results import Baseline
from optimlab.tuning import table as tuning_table

LONG = "a_rule_of_my_own_with_a_name_" + "that_goes_on_and_on_" * 6
NAMES = ["sgd", "adam (torch, beta2=0.9999999)", LONG, LONG + "x", "x" + LONG, "[bold] 中文 é"]
EXTREME = [0.0, 1e-300, 0.1, 1.0, 12345.678, 1e30, 1e300, float("inf"), float("nan")]

numbers = st.sampled_from(EXTREME) | st.floats(allow_nan=True)
names = st.sampled_from(NAMES) | st.text(st.characters(codec="utf-8", categories=("L", "N", "P")), min_size=1)
widths = st.integers(40, 120)
encodings = st.sampled_from(["utf-8", "ascii", "latin-1"])


def check(made, most, encoding="utf-8"):
    """No line is longer than ``most``, and what stands in a column of numbers is there, each between spaces."""
    text = made.text(most, encoding)
    text.encode(encoding)
    assert max(map(cell_len, text.split("\n"))) <= most
    expected = [
        spelled(cell, encoding)
        for row in made.rows
        for cell, column in zip(row, made.columns, strict=True)
        if column.kind == "number"
    ]
    assert Counter(" ".join(expected).split()) <= Counter(text.split())
    assert text.count("\x1b") == 0
    return text


# --- the layout


cells = st.sampled_from(
    ["100.00 ±0.00", "-20.75*", "1e-300!", "missed (2/10)", "nan", "-", "", "99.5 +-0.5", "1234567"]
)
headings = st.sampled_from(["lr", "validation\naccuracy %", "epochs to 97%", "µs a\nstep", LONG])


@given(st.data(), widths, encodings)
@settings(max_examples=40, deadline=None)
def test_any_table_fits_and_keeps_its_numbers(data, most, encoding):
    columns = [Column("optimizer", "name"), *map(Column, data.draw(st.lists(headings, min_size=1, max_size=12)))]
    body = st.lists(cells, min_size=len(columns) - 1, max_size=len(columns) - 1)
    rows = [[data.draw(names), *row] for row in data.draw(st.lists(body, max_size=30))]
    made = Table(columns, rows, *data.draw(st.tuples(names, names)))
    text = check(made, most, encoding)
    console = Console(width=most, file=io.StringIO(), color_system=None)
    console.print(made, crop=False)
    if encoding == "utf-8":
        assert console.file.getvalue().split() == text.split()


@given(st.lists(names, unique=True), st.integers(6, 60))
@settings(max_examples=40, deadline=None)
def test_shortened_names_fit_and_stay_apart(some, most):
    made = shortened(some, most)
    assert len(set(made)) == len(some)
    for name, short in zip(some, made, strict=True):
        assert cell_len(short) <= most
        assert short == name or "…" in short
        assert cell_len(name) > most or short == name


def test_what_cannot_be_told_apart_is_numbered_and_told_below():
    some = ["a" * 90, "a" * 95, "a" * 99]
    text = Table([Column("optimizer", "name"), Column("lr")], [[name, "0.1"] for name in some]).text(40)
    assert "#1" in text.splitlines()[2]
    for k, name in enumerate(some):
        assert f"#{k + 1}:{name}" in "".join(text.split())


def test_a_table_is_parted_before_a_name_says_nothing():
    made = Table(
        [Column("optimizer", "name"), *map(Column, "abcdef")], [["schedule_free_adamw", *["100.00 ±0.00"] * 6]]
    )
    assert made.text(100).count("schedule_free_adamw") == 1
    assert made.text(80).count("schedule_free_adamw") == 2
    assert made.text(44).count("schedule_…ee_adamw") == 3
    assert made.text(40).count("100.00") == 6


def test_a_width_that_no_number_fits_in_breaks_the_line_not_the_number():
    made = Table([Column("optimizer", "name"), Column("x")], [["adam", "1.2345678901234567e-300"]])
    assert "1.2345678901234567e-300" in made.text(10).split()
    console = Console(width=10, file=io.StringIO())
    console.print(made, crop=False)
    assert "1.2345678901234567e-300" in console.file.getvalue().split()


@pytest.mark.parametrize(("columns", "expected"), [("60", 60), ("", 80), ("0", 80), ("-3", 80), ("wide", 80)])
def test_the_width_of_a_pipe(monkeypatch, columns, expected):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert width() == expected


# --- the tables


def comparison(some, values):
    """A row of each name and kind, with numbers as they come."""
    rows = [
        row(
            name,
            kind,
            lr=values[k % len(values)],
            hits=k % 4,
            test=0.5 + 0.01 * (k % 5),
            step=None if k % 4 == 0 else 123456.0,
        )
        for kind in ("tuned", "default")
        for k, name in enumerate(some)
    ]
    return summary(rows, baseline=Baseline(some[0], around(0.1), around(0.1)), left_out=("9,000 of 10,000 test rows",))


@given(st.lists(names, min_size=1, max_size=30, unique=True), st.lists(numbers, min_size=1), widths, encodings)
@settings(max_examples=12, deadline=None)
def test_a_comparison(some, values, most, encoding):
    compared = comparison(some, values)
    tuned, untuned = study_table.tables(compared)
    for made in (tuned, untuned):
        check(made, most, encoding)
    assert len(tuned.rows) == len(some) + 1
    seen = {name: live._Seen() for name in some}
    study = ol.study.Study(rates=(0.1, 0.2, 0.3), defaults=False)
    for so_far, lr in zip(seen.values(), values, strict=False):
        so_far.trials[0] = [kept("sgd"), kept("sgd"), kept("sgd")]
        for record in so_far.trials[0]:
            record.run["lr"] = lr
    check(live._table(study, seen), most, encoding)


@given(st.decimals(0, 10, places=5).filter(bool) | st.sampled_from(["0.125", "0.9999999", "1e-300", "1234"]))
@settings(max_examples=30, deadline=None)
def test_a_number_of_a_users_own_is_shown_as_it_was_given(given):
    rate = float(given)
    assert float(concise(rate)) == float(concise(rate * (1 + 1e-15))) == rate
    tuned, _ = study_table.tables(comparison(["sgd"], [rate]))
    assert float(tuned.rows[0][1]) == rate
    assert f"lr {concise(rate)} " in str(ol.study.Run(ol.study.Problem(), ol.study.Contender("sgd"), rate, 0))


def test_a_rate_of_the_grid_has_two_digits():
    assert [concise(rate) for rate in ol.study.Study().rates] == [
        "0.001",
        "0.0032",
        "0.01",
        "0.032",
        "0.1",
        "0.32",
        "1",
        "3.2",
        "10",
    ]


@given(st.lists(numbers, min_size=7, max_size=7), widths, encodings)
@settings(max_examples=12, deadline=None)
def test_a_search(values, most, encoding):
    search = ol.tuning.Search(
        spaces={"lr": "1e-5:10:log", "momentum_decay": "0.001:0.9"}, optimizer="nadam", convention="torch"
    )
    check(tuning_table.plan_table(search), most, encoding)
    record = {"number": 123, "hyperparameters": dict.fromkeys(search.searched, values[0]), "best_epoch": 100}
    record |= {"val_score": 1.0, "val_loss": values[1]}
    tuned = SimpleNamespace(search=search, records=[record], ranked=lambda: [record] * 5)
    check(tuning_table.results_table(tuned), most, encoding)
    measured = {"score": 1.0, "low": 0.0, "high": 1.0, "epochs": 100}
    summary = {
        "measure": "R²",
        "best": record,
        "rows": {"val": 10**7, "test": 10**7},
        "test": measured,
        "retrained": measured,
    }
    check(tuning_table.measures_table(summary), most, encoding)


@given(st.lists(names, min_size=1, max_size=30, unique=True), st.lists(numbers, min_size=1), widths, encodings)
@settings(max_examples=12, deadline=None)
def test_a_race(some, values, most, encoding):
    outcome = race("rosenbrock", ["sgd"], steps=3, rates=[1e-3])
    row = outcome.rows()[0]

    def rows():
        return [
            {
                **row,
                "optimizer": name,
                "lr": values[k % len(values)],
                "score": None if k % 5 == 4 else -9.99,
                "final_gap": values[-1],
                "final_point": [values[0], -1e77],
                "steps_to_tolerance": None if k % 2 else 20000.0,
                "hits": 2,
                "runs": 10,
                "unfinished": {"diverged": 0.0, "error": 0.0},
            }
            for k, name in enumerate(some)
        ]

    object.__setattr__(outcome, "rows", rows)
    check(race_table(outcome), most, encoding)


@pytest.mark.parametrize("most", [40, 60, 80, 100])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1"])
def test_an_explanation_and_a_preview(monkeypatch, most, encoding):
    monkeypatch.setenv("COLUMNS", str(most))
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(io.BytesIO(), encoding))
    explained = ol.explain("adam", convention="keras", steps=30, gradients=[1e-300, 0.1, -1e300])
    text = str(explained)
    text.encode(encoding)
    table = [line for block in text.split("\n\n")[2:-1] for line in block.splitlines()]
    assert max(map(cell_len, table)) <= most
    found = Counter(text.split())
    for step in explained.steps:
        for value in (*step.terms.values(), step.move):
            assert found[f"{value:.6g}"] >= 1
    looked = preview(CyclicLR(0.01234567, 0.1234567, 5), 30)
    text = str(looked)
    assert max(map(cell_len, text.splitlines()[2:])) <= most
    assert {f"{row.lr:.6g}" for row in looked.table} <= set(text.split())


def test_the_data_sets(monkeypatch, tmp_path):
    from click.testing import CliRunner

    from optimlab.cli import main

    folder = tmp_path / ("deep" * 30)
    folder.mkdir()
    listed = json.loads(CliRunner().invoke(main, ["datasets", "--json"]).stdout)["datasets"]
    for most in (40, 60, 80):
        monkeypatch.setenv("COLUMNS", str(most))
        text = CliRunner().invoke(main, ["datasets", "--root", str(folder)]).stdout
        assert max(map(len, text.partition("Looked")[0].splitlines())) <= most
        for described in listed:
            assert Counter(map(str, [*described["rows"], described["features"]])) <= Counter(text.split())
