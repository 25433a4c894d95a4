"""Tables as data sets: every dialect is read back, bad cells are named, and nothing of the test rows leaks."""
# ruff: noqa: E501 - an error is one line

import csv
import io
import json
import pickle
import re
import warnings
from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import optimlab as ol
from optimlab.cli import main
from optimlab.cli.options import texts
from optimlab.datasets import load_table
from optimlab.datasets.columns import read_columns
from optimlab.datasets.table_files import read_sheet
from optimlab.report.reproduction import recipe
from optimlab.study import Contender, Problem, Run, Study, read_study
from optimlab.study.run import execute
from optimlab.study.usual_target import between, usual_target

ROWS = 30


def written(folder, content, name="a.csv"):
    path = Path(folder) / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def lines(row, header="x,y", rows=ROWS, end="\n"):
    """A file with this header and ``row(i)`` for each line."""
    return "".join(f"{line}{end}" for line in (header, *map(row, range(rows))))


def loaded(path, target="y", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ol.datasets.load(path, target_column=target, **options)


# reading: what pandas writes in any dialect is read back

NUMBERS = st.floats(-1e99, 1e99, allow_nan=False).map(lambda v: v + 0.0)
TEXTS = st.text("abcé ;,|\t\"'\n", max_size=6).map(lambda text: f"k{text}k")
DIALECTS = st.fixed_dictionaries(
    {
        "sep": st.sampled_from([",", ";", "\t", "|"]),
        "encoding": st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "utf-16"]),
        "lineterminator": st.sampled_from(["\n", "\r\n"]),
        "quoting": st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
        "decimal": st.sampled_from([".", ","]),
    }
).filter(lambda d: (d["sep"], d["decimal"]) != (",", ","))


@pytest.mark.slow
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), dialect=DIALECTS, rows=st.integers(1, 12))
def test_any_dialect_is_read_back(tmp_path, data, dialect, rows):
    def column(values):
        return data.draw(st.lists(values, min_size=rows, max_size=rows))

    frame = pd.DataFrame(
        {
            "a b": column(NUMBERS),
            "whole": column(st.integers(-(10**9), 10**9)),
            'q"ü': column(TEXTS),
            "gaps": column(st.none() | NUMBERS),
            "text": column(st.none() | TEXTS),
        }
    )
    path = tmp_path / "any.csv"
    frame.to_csv(path, index=False, **dialect)
    sheet = read_sheet(path)
    read, _ = read_columns(sheet)
    assert [column.name for column in read] == list(frame.columns)
    for column in read:
        expected = frame[column.name]
        if column.categories:
            texts = [None if code < 0 else column.categories[code] for code in column.values]
            assert texts == [None if text is None or pd.isna(text) else text.strip() for text in expected]
        else:
            np.testing.assert_array_equal(column.values, expected.astype("float64"))


def test_the_line_of_each_row_is_known(tmp_path):
    text = 'x,y\n1,"a\nb"\n\n2,c\n"3",d\n,\n4,e\n'
    assert read_sheet(written(tmp_path, text)).frame.index.tolist() == [2, 5, 6, 8]
    assert read_sheet(written(tmp_path, f"sep=;\n{text.replace(',', ';')}")).frame.index.tolist() == [3, 6, 7, 9]


def test_a_minus_sign_of_print_is_one(tmp_path):
    table = load_table(written(tmp_path, lines(lambda i: f"\N{MINUS SIGN}{i}.5,{i % 2}")), "y")
    assert table.numbers[:, 0].tolist() == [-i - 0.5 for i in range(ROWS)]


def test_spreadsheets_leave_empty_rows_and_columns(tmp_path):
    table = load_table(written(tmp_path, lines(lambda i: f"{i % 7};{i % 2};", "x;y;") + ";;\n;;\n"), "y")
    assert (len(table.target), table.features, table.warnings) == (ROWS, ("x",), ())


def test_declared_categories_and_pandas_types_are_taken_as_they_are():
    frame = pd.DataFrame(
        {
            "code": pd.Categorical([1, 2, 3] * 10),
            "flag": [True, False] * 15,
            "whole": pd.array([1, 2, None] * 10, "Int64"),
            "text": pd.array(["a", "b", None] * 10, "string"),
            7: ["1.5", "2.5", "-1"] * 10,
            "y": np.arange(30) % 2 == 0,
        },
        index=[f"row {k}" for k in range(30)],
    )
    data = ol.datasets.from_frame(frame, "y", missing="mean", name="mine")
    texts = ("code=1", "code=2", "code=3", "flag=False", "flag=True", "text=a", "text=b", "text=(missing)")
    assert data.features == ("whole", "7", *texts)
    assert (data.classes, data.task, repr(data)[:16]) == (("False", "True"), "binary", "<Dataset mine: 1")
    far = np.where(np.arange(300) == 7, 1e60, 1e-9 * np.arange(300))
    table = pd.DataFrame({"far": far, "y": np.arange(300) % 2})
    with pytest.raises(ol.InputError, match=r"column 'far' holds 1e\+60, which lies 1e\+67 standard deviations from"):
        [ol.datasets.from_frame(table, "y", seed=seed) for seed in range(20)]  # it is not always a training row
    codes = 1234567 + np.arange(30) % 3
    named = ol.datasets.from_frame(frame.assign(y=codes.astype(float)), "y", missing="mean")
    assert named.classes == ("1234567", "1234568", "1234569")
    frame.loc["row 3", "whole"] = None
    with pytest.raises(
        ol.InputError, match=r"^values are missing in 'whole' \(11 of 30\), 'text' \(10 of 30\): choose"
    ):
        ol.datasets.from_frame(frame, "y")
    frame[7] = frame[7].where(frame.index != "row 4", "2,5 or so")
    with pytest.raises(
        ol.InputError, match=r"column '7' holds numbers in \d+ cells, but '2,5 or so' in row row 4 is not a number"
    ):
        ol.datasets.from_frame(frame, "y", missing="drop")


def test_parquet_and_csv_of_the_same_frame_are_the_same(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=50), "c": rng.choice(["a", "b"], 50), "y": rng.normal(size=50)})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    one, other = (load_table(tmp_path / name, "y") for name in ("a.parquet", "a.csv"))
    for a, b in zip(one.arrays(), other.arrays(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("option", "columns"),
    [
        ("a,b", ("a", "b")),
        (" a , b ,", ("a", "b")),
        ('"price, total",a', ("price, total", "a")),
        ('a, "price, total"', ("a", "price, total")),
        ('2" pipe,"say ""hi"", you"', ('2" pipe', 'say "hi", you')),
        ("", ()),
    ],
)
def test_columns_with_commas_can_be_left_out(option, columns):
    assert texts(None, None, option) == columns


@pytest.mark.parametrize("option", ['"price, total', 'a,"price, total', '"a"b'])
def test_unclosed_quotes_of_an_option_are_refused(option):
    with pytest.raises(click.BadParameter, match="a double quote is not closed, or text follows one"):
        texts(None, None, option)


def test_a_column_with_a_comma_is_left_out_of_a_comparison(tmp_path):
    path = written(tmp_path, lines(lambda i: f"{i % 7},{i % 5},{i % 2}", '"price, total",x,y'))
    options = ["compare", "--dataset", path, "--target-column", "y", "--leave-out", '"price, total"', "--dry-run"]
    told = CliRunner().invoke(main, [*map(str, options), "--json", "--out", str(tmp_path / "out")])
    assert told.exit_code == 0, told.output
    assert "MLP 1-64-1" in json.loads(told.stdout)["problem"]


def test_control_characters_in_a_header_are_escaped_in_the_error(tmp_path):
    path = written(tmp_path, lines(lambda i: f"{i % 7},{i % 5},{i % 2}", "a,b\x1d5,y"))
    with pytest.raises(ol.InputError, match=r"unknown column 'z'. Known: a, 'b\\x1d5', y$"):
        load_table(path, "z")


def test_damaged_files_give_one_line_or_finite_numbers(tmp_path):
    """``python tests/soak/damaged_tables.py`` does the same with thousands."""
    from soak.damaged_tables import outcome, survey, tables

    assert [outcome(written(tmp_path, content), "refuse") for content in tables()] == ["loaded"] * 5
    counts = survey(60, 0, tmp_path)
    assert counts["loaded"] > 5
    assert counts["refused"] > 20


# encoding: scikit-learn's pipeline is the reference


@pytest.mark.slow
@settings(deadline=None, max_examples=15)
@given(seed=st.integers(0, 10**6), regression=st.booleans())
def test_arrays_are_those_of_scikit_learn(seed, regression):
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(20, 80))
    frame = pd.DataFrame(
        {
            "a": rng.normal(50, 20, rows),
            "b": rng.integers(0, 5, rows).astype(float),
            "c": rng.choice(["red", "green", "blue"], rows),
            "d": rng.choice(["yes", "no"], rows),
        }
    )
    frame.loc[rng.random(rows) < 0.2, "a"] = None
    y = rng.normal(1000, 3, rows) if regression else rng.integers(0, 2, rows)
    frame["y"] = y
    data = ol.datasets.from_frame(frame, "y", missing="mean", seed=seed)
    table = load_frame(frame)
    splits = table.split(seed)
    assert sorted(np.concatenate(splits).tolist()) == list(range(rows))
    texts = [sorted(frame[name].unique()) for name in "cd"]
    reference = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b"]),
            ("texts", OneHotEncoder(categories=texts, sparse_output=False), ["c", "d"]),
        ]
    ).fit(frame.iloc[splits[0]])
    names = reference.get_feature_names_out()
    assert data.features == tuple(n.split("__")[1].replace("c_", "c=").replace("d_", "d=") for n in names)
    for split, part in zip(("train", "val", "test"), splits, strict=True):
        expected = reference.transform(frame.iloc[part])
        np.testing.assert_allclose(getattr(data, f"x_{split}"), expected, rtol=1e-6, atol=1e-6)
        found = getattr(data, f"y_{split}")
        if regression:
            scaler = StandardScaler().fit(y[splits[0], None])
            np.testing.assert_allclose(found, scaler.transform(y[part, None])[:, 0], rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(data.in_units(found), y[part], rtol=1e-6)
        else:
            np.testing.assert_array_equal(found, y[part])


def load_frame(frame):
    from optimlab.datasets.table import Sheet, encoded

    return encoded(Sheet(frame, "row"), "y", missing="mean", task="auto", leave_out=(), name="")


def test_splits_are_60_20_20_and_stratified(tmp_path):
    path = written(tmp_path, lines(lambda i: f"{i % 7},{'ab'[i % 5 == 0]}", rows=100))
    one, again, other = loaded(path), loaded(path), loaded(path, seed=1)
    for split, rows in (("train", 60), ("val", 20), ("test", 20)):
        y = getattr(one, f"y_{split}")
        assert (len(y), y.mean()) == (rows, 0.2)
    np.testing.assert_array_equal(one.x_train, again.x_train)
    assert (one.x_train != other.x_train).any()


def test_missing_values(tmp_path):
    path = written(
        tmp_path, lines(lambda i: f"{'' if i % 3 == 0 else i},{'' if i % 5 == 0 else 'ab'[i % 2]},{i % 2}", "x,c,y")
    )
    dropped = load_table(path, "y", missing="drop")
    assert (len(dropped.target), dropped.warnings) == (16, ("14 of 30 rows are left out: a value is missing",))
    filled = load_table(path, "y", missing="mean")
    assert (len(filled.target), filled.features) == (30, ("x", "c=a", "c=b", "c=(missing)"))
    train, val, test = filled.split(3)
    gaps = np.isnan(filled.numbers[:, 0])
    data = filled.dataset(train, val, test)
    assert np.abs(data.x_train[gaps[train], 0]).max() < 1e-6  # the mean
    assert np.abs(data.x_test[gaps[test], 0]).max() < 1e-6


def test_a_number_that_no_training_row_has_is_0():
    frame = pd.DataFrame({"x": [np.nan] * 9 + [5.0, 6.0], "z": range(11), "y": [0, 1] * 5 + [0]})
    table = load_frame(frame)
    data = table.dataset(np.arange(8), np.arange(8, 10), np.arange(8, 11))
    assert data.x_train[:, 0].tolist() == [0.0] * 8
    assert np.isfinite(data.x_test).all()


# what is decided


@pytest.mark.parametrize(
    ("target", "task", "found"),
    [
        (lambda i: "ab"[i % 2], "auto", "binary"),
        (lambda i: i % 3, "auto", "classification"),
        (lambda i: f"{i % 2}.0", "auto", "binary"),
        (lambda i: ["False", "True"][i % 2], "auto", "binary"),
        (lambda i: i * 3, "auto", "regression"),
        (lambda i: f"{i % 3}.5", "auto", "regression"),
        (lambda i: f"{i % 3}.5", "classification", "classification"),
        (lambda i: i % 3, "regression", "regression"),
        (lambda i: f"{i % 3},5", "auto", "regression"),
    ],
)
def test_the_task_is_decided_by_the_target_and_said(tmp_path, target, task, found):
    table = load_table(written(tmp_path, lines(lambda i: f"{i % 7};{target(i)}", "x;y")), "y", task=task)
    data = table.dataset(*table.split())
    assert data.task == found
    assert table.notes[0].startswith("regression: 'y' has" if found == "regression" else "classification: 'y' has")
    assert ("--task" in table.notes[0]) == (task == "auto")
    assert (data.target_scale is None) == (found != "regression")
    if found == "regression":
        assert abs(float(data.y_train.mean())) < 1e-6
        assert data.y_train.dtype == np.float32


@pytest.mark.parametrize(
    ("header", "row", "warning"),
    [
        ("x,k,y", lambda i: f"{i % 7},5,{i % 2}", "column 'k' is left out: every row holds 5"),
        ("x,k,y", lambda i: f"{i % 7},,{i % 2}", "column 'k' is left out: it is empty"),
        ("x,Name,y", lambda i: f"{i % 7},n{i},{i % 2}", "column 'Name' is left out: 30 different texts in 30 rows: they name the rows"),
        ("x,PassengerId,y", lambda i: f"{i % 7},{i * 7 % 31},{i % 2}", "column 'PassengerId' is left out: a different whole number in every row: an identifier"),
        (",x,y", lambda i: f"{i},{i % 7},{i % 2}", "column 'unnamed 1' is left out: a different whole number in every row: an identifier"),
    ],
)  # fmt: skip
def test_useless_columns_are_left_out_with_a_warning(tmp_path, header, row, warning):
    path = written(tmp_path, lines(row, header))
    with pytest.warns(UserWarning, match=rf"^a: {warning}$"):
        data = ol.datasets.load(path, target_column="y")
    assert data.features == ("x",)


def test_a_column_that_counts_the_rows_is_kept_and_named(tmp_path):
    table = load_table(written(tmp_path, lines(lambda i: f"{i},{i * i}", rows=40)), "y")
    assert table.features == ("x",)
    assert table.notes[1] == "column 'x' counts the rows: leave it out if it is not an input"


def test_measurements_are_no_identifier_whatever_their_name(tmp_path):
    path = written(tmp_path, lines(lambda i: f"{i}.5,{i * i},{i % 2}", "nr,x,y"))
    assert load_table(path, "y").features == ("nr", "x")


def test_columns_of_the_same_name_are_told_apart(tmp_path):
    table = load_table(written(tmp_path, lines(lambda i: f"{i % 7},{i % 5},{i % 3},{i % 2}", "x,x,x (2),y")), "y")
    assert table.features == ("x", "x (3)", "x (2)")
    assert table.notes[1] == "another column 'x' was renamed 'x (3)'"


BAD = [
    ("", {}, "the file is empty"),
    ("\ufeff\r\n", {}, "the file is empty"),
    ("x,y\n", {}, "there are no rows below the names of the columns"),
    (b"PK\x03\x04\0\0", {}, "not a text file: it contains null bytes"),
    (pickle.dumps({"x": [1.0]}), {}, "not a text file: it contains null bytes"),
    ("1,2\n3,4\n", {}, "line 1 holds numbers: expected the names of the columns in the first line"),
    ("x\n1\n", {}, "the first line holds only one name: expected the names of at least two columns, separated by a comma, a semicolon, a tab or a vertical bar"),
    ("x,y\n1,2\n\n3\n", {}, "line 4 has 1 values, but the header has 2"),
    ('x,y\n"1\n2",2\n3,4,5\n', {}, "line 4 has 3 values, but the header has 2"),
    ('x,y\n1,2\n"3,4\n5,6\n', {}, "line 3: a quote is not closed, or text follows one (unexpected end of data)"),
    (lines(lambda i: f"{i % 7},{i % 2}"), {"target": ""}, "name the column to predict, target_column= or --target-column: one of x, y"),
    (lines(lambda i: f"{i % 7},{i % 2}", "x,kind"), {"target": "kinds"}, "unknown column 'kinds'; did you mean 'kind'? Known: x, kind"),
    (lines(lambda i: f"{i % 7},{i % 2},{i}", "x,y,y"), {}, "two columns are called 'y', but only one can be the target: rename the other"),
    (lines(lambda i: f"{i % 7},{i % 2}"), {"leave_out": ["z"]}, "unknown column to leave out 'z'. Known: x, y"),
    (lines(lambda i: f"{i % 7},{i % 2}"), {"leave_out": ["y"]}, "column 'y' is the target and cannot be left out"),
    (lines(lambda i: f"{i % 7},{i % 2}"), {"leave_out": "x"}, "leave_out takes a list of columns, got 'x'"),
    (lines(lambda i: f"{i % 7},{i % 2}"), {"leave_out": ["x"]}, "no column is left to learn from: there is only the target"),
    (lines(lambda i: f"5,{i % 2}"), {}, "no column is left to learn from: column 'x' is left out: every row holds 5"),
    (lines(lambda i: f"{i % 7},{i % 2}"), {"missing": "fill"}, "unknown way to treat missing values 'fill'. Known: refuse, mean, drop"),
    (lines(lambda i: f"{i % 7},{i % 2}"), {"task": "regresion"}, "unknown task 'regresion'; did you mean 'regression'? Known: auto, classification, binary, regression"),
    (lines(lambda i: f"{i % 7},a"), {}, "target column 'y' holds 'a' in every row: nothing to tell apart"),
    (lines(lambda i: f"{i % 7},n{i}"), {}, "target column 'y' has 30 classes in 30 rows: is it an identifier?"),
    (lines(lambda i: f"{i % 7},{i}.5"), {"task": "classification"}, "target column 'y' has 30 classes in 30 rows: for quantities, write task='regression' (--task)"),
    (lines(lambda i: f"{i % 7},{i % 3}"), {"task": "binary"}, "target column 'y' has 3 classes, but a binary task has two"),
    (lines(lambda i: f"{i % 7},{'ab'[i % 2]}"), {"task": "regression"}, "target column 'y' holds texts, such as 'a', but a regression needs numbers"),
    (lines(lambda i: f"{i % 7},{i % 2}", rows=4), {}, "only 4 rows have all values; a split needs at least 5"),
    (lines(lambda i: f"{i % 500}{'a' if i == 17 else ''},{i % 2}", rows=10_000), {}, "column 'x' holds numbers in 9,999 cells, but '17a' in line 19 is not a number; correct it or leave the cell empty"),
    (lines(lambda i: f"{['-', '.', i][min(i, 2)]},{i % 2}"), {}, "column 'x' holds numbers in 28 cells, but '-' in line 2 is not a number; correct it or leave the cell empty; 1 more cell is wrong"),
    (lines(lambda i: f"{i if i != 3 else 'inf'},{i % 2}"), {}, "column 'x' holds inf in line 5: numbers must lie within 1e+100"),
    (lines(lambda i: f"{i if i != 3 else '-1e400'},{i % 2}"), {}, "column 'x' holds -inf in line 5: numbers must lie within 1e+100"),
    (lines(lambda i: f"{i % 7},{i if i != 3 else '1e200'}"), {}, "column 'y' holds 1e+200 in line 5: numbers must lie within 1e+100"),
    (lines(lambda i: f"2020-01-{i + 1:02},{i % 2}"), {}, "column 'x' holds dates ('2020-01-01' in line 2): write a number instead, such as the year or the days since the first date, or leave the column out (leave_out=, --leave-out)"),
    (lines(lambda i: f"{i + 1}.1.20 13:0{i % 10},{i % 2}"), {}, "column 'x' holds dates ('1.1.20 13:00' in line 2): write a number instead, such as the year or the days since the first date, or leave the column out (leave_out=, --leave-out)"),
    (lines(lambda i: f'"1,{i:03}.5",{i % 2}'), {}, "column 'x' holds numbers with thousands separators ('1,000.5' in line 2): write 1234.5 for 1,234.5, or leave the column out (leave_out=, --leave-out)"),
    (lines(lambda i: f"{i + 1} 000,5;{i % 2}", "x;y"), {}, "column 'x' holds numbers with thousands separators ('1 000,5' in line 2): write 1234.5 for 1,234.5, or leave the column out (leave_out=, --leave-out)"),
    (lines(lambda i: f'"1,{i:03}",{i % 2}'), {}, "column 'x' can be read in two ways: '1,000' in line 2 may be a thousand or a decimal number"),
    (lines(lambda i: f"{i},5;{i % 3}.5;{i % 2}", "x;z;y"), {}, "column 'x' has decimal commas ('0,5' in line 2), but column 'z' has decimal points: use one of them for all numbers"),
    (lines(lambda i: f"{i} kg,{i % 2}"), {}, "column 'x' holds numbers with a unit ('0 kg' in line 2): write the number alone, or leave the column out (leave_out=, --leave-out)"),
    (lines(lambda i: f"{'' if i % 5 == 0 else i},{i % 2}"), {}, "values are missing in 'x' (6 of 30): choose missing='drop' to drop these rows, or missing='mean' to fill in the mean of the training rows (for texts, a category of its own); on the command line, --missing drop or --missing mean"),
    (lines(lambda i: f"k{i % 1200},{i % 2}", rows=2600), {}, "column 'x' has 1,200 categories, but at most 1,000 can be one-hot encoded: group them, or leave the column out (leave_out=, --leave-out)"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "options", "message"), BAD, ids=range(len(BAD)))
def test_bad_tables_get_one_line(tmp_path, content, options, message):
    path = written(tmp_path, content)
    with pytest.raises(ol.InputError) as caught:
        loaded(path, **options)
    assert str(caught.value) == f"{path}: {message}"


@pytest.mark.parametrize("values", [[[1], [2]], [b"a", b"b"], [1j, 2j], [(1,), (2,)]])
def test_frames_of_other_things_are_refused(values):
    frame = pd.DataFrame({"x": pd.Series(values * 5), "y": [0, 1] * 5})
    with pytest.raises(ol.InputError, match=r"^column 'x' holds "):
        ol.datasets.from_frame(frame, "y")
    with pytest.raises(ol.InputError, match=r"^expected a pandas DataFrame, got dict$"):
        ol.datasets.from_frame({"x": [1]}, "y")


def test_dates_of_pandas_are_refused():
    for values in (
        pd.date_range("2020", periods=10),
        pd.to_timedelta(range(10), unit="h"),
        pd.date_range("2020", periods=10).date,
    ):
        frame = pd.DataFrame({"x": values, "y": [0, 1] * 5})
        with pytest.raises(ol.InputError, match=r"^column 'x' holds dates"):
            ol.datasets.from_frame(frame, "y")


def test_nothing_is_run_or_unpickled(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return (pytest.fail, ("it ran",))

    for name in ("a.csv", "a.parquet", "a.txt"):
        with pytest.raises(ol.InputError, match=rf"{name}: not a "):
            loaded(written(tmp_path, pickle.dumps([Evil()]) + b"\0", name))
    path = written(tmp_path, lines(lambda i: f"=1+{i % 3},{i % 2}"))
    assert loaded(path).features == ("x==1+0", "x==1+1", "x==1+2")
    with pytest.raises(ol.InputError, match="cannot be read: No such file or directory"):
        loaded(tmp_path / "none.csv")
    with pytest.raises(ol.InputError, match=r"a\.xlsx is a spreadsheet: save its sheet as a CSV file"):
        loaded("a.xlsx", "")


def test_without_pandas_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(
        ol.InputError, match=r"a table needs pandas: in a checkout of optimlab, run pip install '\.\[data\]'$"
    ):
        loaded(written(tmp_path, "x,y\n1,2\n"))


@pytest.mark.parametrize(
    ("name", "task", "rows"),
    [("iris", "classification", 150), ("breast_cancer", "binary", 569), ("diabetes", "regression", 442)],
)
def test_the_sets_of_scikit_learn(name, task, rows):
    from sklearn import datasets

    data = ol.datasets.load(f"sklearn:{name}")
    found = getattr(datasets, f"load_{name}")()
    assert (data.task, data.features) == (task, tuple(found.feature_names))
    assert len(data.y_train) + len(data.y_val) + len(data.y_test) == rows == len(found.target)
    if task != "regression":
        assert data.classes == tuple(sorted(found.target_names))
    with pytest.raises(ol.InputError, match="unknown data set 'sklearn:irs'; did you mean 'sklearn:iris'"):
        ol.datasets.load("sklearn:irs")


# studies: each replicate by its own training rows


def noisy(i, rng):
    return f"{rng.normal(i % 3, 1):.3f},{'rgb'[i % 3 if rng.random() < 0.8 else 0]},{'abc'[i % 3]}"


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(1)
    return written(tmp_path, lines(lambda i: noisy(i, rng), "x,c,y", 120))


def test_each_replicate_is_scaled_by_its_own_training_rows(table):
    problem = Problem(str(table), target_column="y")
    known = np.sort(load_table(table, "y").numbers[:, 0])
    for redraw, split in product(("all", "train"), range(3)):
        data = replace(problem, redraw=redraw).replicate(split)
        assert (len(data.x_train), len(data.x_val), len(data.x_test)) == problem.sizes() == (72, 24, 24)
        assert abs(data.x_train[:, 0].mean()) < 1e-6
        assert data.x_train[:, 0].std() == pytest.approx(1, abs=1e-5)
        assert abs(data.x_test[:, 0].mean()) > 1e-6
        # every row is there once: the numbers in order are those of the table, scaled
        found = np.sort(np.concatenate([data.x_train, data.x_val, data.x_test])[:, 0].astype("float64"))
        np.testing.assert_allclose(np.polyval(np.polyfit(found, known, 1), found), known, atol=1e-5)
        np.testing.assert_array_equal(np.bincount(data.y_test), [8, 8, 8])
    assert not problem.shares_test
    one, other = (Problem(str(table), target_column="y", redraw="train").replicate(split) for split in (0, 1))
    assert (one.y_test == other.y_test).all()
    assert (one.x_test[:, 1:] == other.x_test[:, 1:]).all()
    assert (one.x_test[:, 0] != other.x_test[:, 0]).any()  # the same rows, each scaled by its training rows
    small = Problem(str(table), target_column="y", train_rows=30, test_rows=9).replicate(0)
    assert (len(small.x_train), len(small.x_val), len(small.x_test)) == (30, 24, 9)


@pytest.mark.parametrize("split", range(3))
def test_nothing_of_other_rows_leaks_into_the_training_rows(tmp_path, split):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=60), "c": rng.choice(["a", "b"], 60), "y": rng.normal(size=60)})
    frame.loc[5, "x"] = None
    table = load_frame(frame)
    rows = np.concatenate(ol.datasets.split_rows(table.labels(), table.sizes(), split)[1:])
    changed = frame.copy()
    changed.loc[rows, "x"] *= 1000
    changed.loc[rows, "y"] += 1e6
    for name, one in (("a", frame), ("b", changed)):
        one.to_csv(tmp_path / f"{name}.csv", index=False)
    a, b = (Problem(str(tmp_path / f"{name}.csv"), target_column="y", missing="mean").replicate(split) for name in "ab")
    np.testing.assert_array_equal(a.x_train, b.x_train)
    np.testing.assert_array_equal(a.y_train, b.y_train)
    assert a.target_scale == b.target_scale
    assert np.abs(b.x_test).max() > 10 * np.abs(a.x_test).max()


def test_the_key_of_a_run_is_that_of_the_cells(tmp_path, table):
    def key(path, **options):
        return Run(Problem(str(path), target_column="y", **options), "sgd", 0.1, 0).problem.config()

    text = table.read_text()
    (tmp_path / "other").mkdir()
    same, changed = (tmp_path / "other" / name for name in ("a.csv", "b.csv"))
    same.write_text(text)
    changed.write_text(text.replace(text[text.index("\n") + 1 : text.index("\n") + 6], "9.876", 1))
    assert key(table) == key(same)
    assert key(table)["data"] != key(changed)["data"]
    assert key(table)["data"] != key(table, leave_out=("c",))["data"]
    assert json.loads(json.dumps(key(table))) == key(table)


def test_a_study_file_reads_a_table(tmp_path, table):
    file = tmp_path / "study.toml"
    file.write_text('optimizers = ["sgd"]\n[problem]\ndataset = "a.csv"\ntarget_column = "y"\nleave_out = ["c"]\n')
    (study,) = read_study(file).values()
    assert study.problem.dataset == str(table)
    assert study.problem.target == usual_target(study.problem).value < 0.9
    assert study.problem.data().features == ("x",)
    file.write_text(f"{file.read_text()}target = 0.5\n")
    assert next(iter(read_study(file).values())).problem.target == 0.5
    file.write_text(file.read_text().replace("target_column = ", "target_colunm = "))
    with pytest.raises(
        ol.InputError, match=r"line 4, key 'target_colunm': unknown key .* did you mean 'target_column'"
    ):
        read_study(file)


# the target of data that come without one


def test_the_usual_target_lies_between_the_trivial_answer_and_a_linear_model(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 2))
    for name, y, low, high in (
        ("linear", x[:, 0] > 0, 0.9, 0.99),
        ("xor", (x[:, 0] > 0) ^ (x[:, 1] > 0), 0.7, 0.8),
        ("noise", rng.random(300) < 0.3, 0.8, 0.9),
    ):
        frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": y.astype(int)})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        found = usual_target(Problem(str(tmp_path / f"{name}.csv"), target_column="y"))
        assert low <= found.value <= high, name
        assert ("gains nothing" in found.reason) == (name != "linear")
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": 3 * x[:, 0] + rng.normal(size=300)})
    frame.to_csv(tmp_path / "numbers.csv", index=False)
    found = usual_target(Problem(str(tmp_path / "numbers.csv"), target_column="y"))
    assert found.value == pytest.approx(0.9 * 0.9, abs=0.03)
    assert found.reason == ("nine tenths of the way from always answering the mean (R² 0) to a linear model (R² 0.89)")


@pytest.mark.parametrize(("rare", "always", "digits"), [(5, 0.995, 3), (15, 0.985, 2), (50, 0.95, 2)])
def test_the_usual_target_of_very_unequal_classes_lies_above_the_trivial_answer(tmp_path, rare, always, digits):
    """The rare class has so many of 1,000 rows; two digits suffice for all but the rarest."""
    x = np.random.default_rng(0).normal(size=1000)
    y = np.where(np.arange(1000) < rare, "bad", "ok")
    pd.DataFrame({"x": x, "y": y}).to_csv(tmp_path / "rare.csv", index=False)
    problem = Problem(str(tmp_path / "rare.csv"), target_column="y")
    assert np.mean([(problem.replicate(k).y_val == 1).mean() for k in range(5)]) == pytest.approx(always)
    found = usual_target(problem)
    assert always < found.value < 1
    assert found.value == pytest.approx((always + 1) / 2, abs=0.51 / 10**digits)
    percent = re.search(r"halfway from always answering ok \((.*)%\) to 1; a linear model gains", found.reason)[1]
    assert float(percent) / 100 < found.value


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(0.1, 0.9))
def test_a_rounded_target_lies_between_the_two_scores(one, other, share):
    """Shares of 5,000 rows: those of five splits with 1,000 validation rows each."""
    low, high = sorted((one / 5000, other / 5000))
    value, digits = between(low, high, share)
    exact = Fraction(low) + Fraction(share) * (Fraction(high) - Fraction(low))
    assert abs(Fraction(value) - exact) <= Fraction(51, 100) / 10**digits
    assert (low < value < high) or low == high
    if high - low > 0.1:
        assert digits == 2


# the commands


def run(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_command_describes_a_table(tmp_path):
    text = lines(
        lambda i: f"{i},{'' if i % 7 == 0 else i % 3},{'ab'[i % 2]},9,{'no' if i % 3 else 'yes'}", "id,x,c,k,y"
    )
    path = written(tmp_path, text)
    result = run("datasets", path, "--target-column", "y", "--missing", "mean")
    assert result.exit_code == 0, result.stderr
    said = [line.split() for line in result.stdout.splitlines()]
    assert ["x", "number", "5", "0", "to", "2"] in said
    assert ["c", "category", "a,", "b"] in said
    assert "id left out a different whole number in every row: an identifier" in [" ".join(line) for line in said]
    assert "classes: no 20 (66.7%), yes 10 (33.3%)" in result.stdout
    assert "30 rows: 18 training, 6 validation, 6 test; 3 inputs" in result.stdout
    described = json.loads(run("datasets", path, "--target-column", "y", "--missing", "drop", "--json").stdout)
    assert (described["rows"], described["task"]) == ({"training": 15, "validation": 5, "test": 5}, "binary")
    assert described["rows_per_class"] == {"no": 17, "yes": 8}
    result = run("datasets", path, "--target-column", "y")
    assert (result.exit_code, result.stderr[:29]) == (2, f"optimlab: {path}"[:29])
    assert (
        run("datasets", "digits", "--target-column", "y").stderr
        == "optimlab: digits: target_column, missing, task and leave_out are for tables\n"
    )


@pytest.mark.slow
def test_compare_and_tune_take_a_table(tmp_path, table, without_figures):
    out = tmp_path / "out"
    options = ["--dataset", table, "--target-column", "y", "--leave-out", "c"]
    plan = json.loads(run("compare", *options, "--dry-run", "--json", "--out", out).stdout)
    assert plan["rows"] == {"training": 72, "validation": 24, "test": 24}
    assert plan["decided"][:1] == ["classification: 'y' has 3 classes (task= or --task overrides this)"]
    small = ["--epochs", 2, "--hidden", 4, "--replicates", 2, "--optimizers", "sgd", "--rates", "0.1,0.3,1"]
    result = run("compare", *options, *small, "--jobs", 1, "--out", out)
    assert result.exit_code == 0, result.stderr
    assert "a.csv: the target is" in result.stdout
    summary = json.loads((out / "summary.json").read_text())
    assert summary["study"]["problem"]["target_column"] == "y"
    assert summary["study"]["problem"]["leave_out"] == ["c"]
    assert run("compare", "--dataset", table, "--out", out).stderr.endswith(
        "target_column= or --target-column: one of x, c, y\n"
    )
    result = run("tune", *options, "--epochs", 2, "--trials", 2, "--search", "lr=0.1,1", "--out", tmp_path / "tuned")
    assert result.exit_code == 0, result.stderr
    assert "classification: 'y' has 3 classes" in result.stdout


def test_tune_splits_validation_rows_off(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {
        f"{part}_{split}": v
        for split in ("train", "test")
        for part, v in (("x", rng.normal(size=(40, 3))), ("y", np.arange(40) % 2))
    }
    content = io.BytesIO()
    np.savez(content, **arrays)
    path = written(tmp_path, content.getvalue(), "mine.npz")
    result = run(
        "tune", "--dataset", path, "--dry-run", "--batch-size", 8, "--search", "lr=0.1,1", "--out", tmp_path / "tuned"
    )
    assert result.exit_code == 0, result.stderr
    assert "mine.npz: the data have no validation rows, so 8 of 40 training rows were drawn" in result.stdout


def test_few_rows_make_smaller_batches(tmp_path):
    path = written(tmp_path, lines(lambda i: f"{i % 7},{i % 2}"))
    options = ["--dataset", path, "--target-column", "y"]
    plan = json.loads(run("compare", *options, "--dry-run", "--json", "--out", tmp_path / "out").stdout)
    assert "batch 16" in plan["problem"]  # 18 rows train
    result = run("compare", *options, "--batch-size", 19, "--out", tmp_path / "out")
    assert result.stderr == "optimlab: batch_size 19 is larger than the 18 rows of training data\n"
    result = run("tune", *options, "--dry-run", "--json", "--out", tmp_path / "out")
    space = json.loads(result.stdout)["spaces"]["batch_size"]
    assert (space["low"], space["high"], space["scale"]) == (2, 16, "pow2")
    file = written(tmp_path, 'optimizers = ["sgd"]\n[problem]\ndataset = "a.csv"\ntarget_column = "y"\n', "study.toml")
    study = read_study(file)["a.csv"]
    assert (study.problem.batch_size, study.problem.target) == (16, usual_target(study.problem).value)
    file.write_text(f"{file.read_text()}batch_size = 8\ntarget = 0.6\n[[problems]]\nname = 'one'\nepochs = 3\n")
    study = read_study(file)["one"]
    assert (study.problem.batch_size, study.problem.target, study.problem.epochs) == (8, 0.6, 3)
    file.write_text(file.read_text().replace("a.csv", "b.csv").replace("target = 0.6\n", ""))
    with pytest.raises(
        ol.InputError, match=r"study.toml, line 3, key 'dataset': .*b.csv: cannot be read: No such file"
    ):
        read_study(file)


def plan_of(*options):
    result = run("compare", *options, "--dry-run", "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("names_data", ["", "[problem]\ndataset = 'mnist'\n", "[problem]\ndataset = 'b.csv'\n"])
def test_own_data_beside_a_study_file_are_treated_as_without(tmp_path, names_data):
    """They get the usual target and batch size, unless the file or an option gives them; 18 rows train."""
    path = written(tmp_path, lines(lambda i: f"{i % 7},{i % 2}"))
    file = written(tmp_path, f"replicates = 2\n{names_data}", "study.toml")
    options = ["--dataset", path, "--target-column", "y", "--out", tmp_path / "out"]
    alone, beside = plan_of(*options), plan_of("--study", file, *options)
    assert [beside[key] for key in ("problem", "target")] == [alone[key] for key in ("problem", "target")]
    assert alone["target"] != Problem().target
    given = plan_of("--study", file, *options, "--target", 0.61, "--batch-size", 7)
    assert given["target"] == 0.61
    assert "batch 7" in given["problem"]
    file.write_text(f"{file.read_text()}{'' if names_data else '[problem]'}\ntarget = 0.62\nbatch_size = 8\n")
    given = plan_of("--study", file, *options)
    assert given["target"] == 0.62
    assert "batch 8" in given["problem"]
    result = run("compare", "--study", file, "--dataset", tmp_path / "no.csv", "--out", tmp_path / "out")
    assert result.stderr == f"optimlab: {tmp_path / 'no.csv'}: cannot be read: No such file or directory\n"


def test_the_usual_target_is_that_of_the_column_that_an_option_names(tmp_path):
    """Column y repeats x, and z is noise, so their targets differ."""
    noise = np.random.default_rng(0).integers(0, 2, 40)
    path = written(tmp_path, lines(lambda i: f"{i % 2},{noise[i]},{i % 2}", "x,z,y", rows=40))
    file = written(tmp_path, f"[problem]\ndataset = '{path.name}'\ntarget_column = 'y'\n", "study.toml")
    out = ["--out", tmp_path / "out"]
    alone = plan_of("--dataset", path, "--target-column", "z", *out)
    beside = plan_of("--study", file, "--target-column", "z", *out)
    assert beside["target"] == alone["target"] != plan_of("--study", file, *out)["target"]


def test_the_report_tells_the_study_again(table):
    """With the columns, so that the study file beside the table makes the same study."""
    problem = Problem(str(table), target_column="y", missing="drop", leave_out=("c",), target=0.6)
    study = Study(problem, ("sgd", "adam"))
    made = recipe(json.loads(json.dumps(study.config())))
    assert made.note == "a.csv is a file of your own: give its path."
    file = written(table.parent, made.file, "study.toml")
    assert read_study(file)["a.csv"].config() == study.config()


@pytest.mark.parametrize(("task", "outputs"), [("binary", 1), ("classification", 3), ("regression", 1)])
def test_a_run_learns_each_task(tmp_path, task, outputs):
    def row(i, rng=np.random.default_rng(0)):  # noqa: B008 - one generator for all rows
        x = rng.normal()
        return f"{x:.4f},{ {'binary': int(x > 0), 'classification': 'abc'[int(x > -0.4) + int(x > 0.4)], 'regression': f'{1000 + 50 * x:.3f}'}[task] }"

    path = written(tmp_path, lines(row, rows=200))
    problem = Problem(str(path), target_column="y", hidden=(16,), epochs=30, batch_size=16)
    assert problem.network(0).forward(problem.data().x_test).shape == (40, outputs)
    record = execute(Run(problem, Contender("adam"), 0.03, 0))
    assert record.status == "ok", record.error
    assert record.test_score > 0.85


@pytest.mark.parametrize("text", ["", "?", "NA", "NaN", "null", " "])
@pytest.mark.parametrize("missing", ["mean", "drop"])
def test_a_row_without_a_target_is_never_used(tmp_path, text, missing):
    path = written(tmp_path, lines(lambda i: f"{i % 7},{text if i % 10 == 3 else i % 2}"))
    with pytest.raises(ol.InputError, match=r"values are missing in 'y' \(3 of 30\): choose"):
        load_table(path, "y")
    table = load_table(path, "y", missing=missing)
    assert table.target.tolist() == [i % 2 for i in range(30) if i % 10 != 3]
    assert table.numbers[:, 0].tolist() == [i % 7 for i in range(30) if i % 10 != 3]
