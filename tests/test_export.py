"""Exports of a study: every run as a flat table, and the comparison's table in LaTeX."""

import csv
import json
import random
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from conftest import require
from made_comparisons import made_comparison
from run_files import kept, planted

import optimlab as ol
from optimlab.cli import main
from optimlab.study import Contender, Problem, Store, Study, compare
from optimlab.study.export import export
from optimlab.study.joint import joint, write_joint
from optimlab.study.latex import escaped, joint_latex, latex
from optimlab.study.results import Baseline, Interval, encoded

pyarrow_parquet = require("pyarrow.parquet")


def mine(w, g, *, lr=0.1, warmth=1.0):
    """A rule of one's own."""
    return w - lr * warmth * g


STUDY = Study(
    Problem(hidden=(4,), epochs=3, target=0.5),
    ("sgd", Contender("adam", hyperparameters={"beta2": 0.99}), Contender("mine", rule=mine)),
    rates=(0.01, 0.1, 1.0),
    replicates=2,
    extensions=0,
)


def fill(folder, study=STUDY, seed=0):
    """A finished comparison of runs of every fate, and one run that failed with an awkward text."""
    chance = random.Random(seed)
    with planted(lambda run: chance.choice(["ok", "ok", "diverged", "error"]), lambda run: chance.random()):
        compare(study, folder)
    Store(folder).append([kept("failed", "error", error='a "bad", bad\nday')])
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return fill(tmp_path_factory.mktemp("finished"))


def read_table(path):
    if path.suffix == ".parquet":
        return pyarrow_parquet.read_table(path).to_pylist()
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def same(value, cell):
    """Return True if a cell that was read back is the value, of its type; CSV has only text, and nothing is empty."""
    if isinstance(cell, str) and not isinstance(value, str):
        cell = json.loads(cell or "null")
    return cell == value and (isinstance(cell, type(value)) or (type(value), type(cell)) == (int, float))


def lines_of(folder):
    """The records as the file has them, read by nothing of ours."""
    return [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]


def leaf(record, name):
    """The value of a column: a path into what was run, else into the record."""
    for value in (record["run"], record):
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is not None:
            return value
    return None


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_has_every_run_and_every_number_exactly(kind, finished, tmp_path):
    rows = export(finished, tmp_path / f"runs.{kind}")
    table, records = read_table(tmp_path / f"runs.{kind}"), lines_of(finished)
    assert len(table) == len(rows) == len(records) == STUDY.planned() + 1
    for row, record in zip(table, records, strict=True):
        for name, cell in row.items():
            assert same(leaf(record, name), cell), name
    wanted = {"key", "optimizer", "lr", "seed", "split", "status", "error", "problem.epochs", "test_score"}
    assert wanted <= set(table[0])
    assert {row["status"] for row in table} == {"ok", "diverged", "error"}
    assert not any(name.startswith("curves") for name in table[0])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_table_of_curves_has_a_row_for_each_epoch(kind, finished, tmp_path):
    export(finished, tmp_path / f"curves.{kind}", curves=True)
    table, counted = read_table(tmp_path / f"curves.{kind}"), 0
    for record in lines_of(finished):
        rows, curves = [row for row in table if row["key"] == record["key"]], record["curves"]
        assert [int(row["epoch"]) for row in rows] == list(range(1, len(curves["train_loss"]) + 1))
        counted += len(rows)
        for k, row in enumerate(rows):
            assert same(record["run"]["lr"], row["lr"])
            for name in ("train_loss", "train_score", "val_loss", "val_score", "lr", "seconds"):
                assert same(curves[name][k], row[f"curves.{name}"])
            for layer, ratio in curves["update_ratio"].items():
                assert same(ratio[k], row[f"curves.update_ratio.{layer}"])
    assert counted == len(table) > 0


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("curves", [False, True])
def test_several_problems_are_one_table(kind, curves, tmp_path):
    for k, name in enumerate(("b", "a.1", "c")):
        fill(tmp_path / "all" / name, seed=k)
    (tmp_path / "all" / "figures").mkdir()
    export(tmp_path / "all", tmp_path / f"all.{kind}", curves=curves)
    together, apart = read_table(tmp_path / f"all.{kind}"), []
    for name in ("a.1", "b", "c"):
        export(tmp_path / "all" / name, tmp_path / f"{name}.{kind}", curves=curves)
        apart += [{"problem": name, **row} for row in read_table(tmp_path / f"{name}.{kind}")]
    empty = "" if kind == "csv" else None
    assert [{k: v for k, v in row.items() if v != empty} for row in together] == [
        {k: v for k, v in row.items() if v != empty} for row in apart
    ]
    assert next(iter(together[0])) == "problem"


def test_a_table_can_be_made_while_the_study_runs_and_leaves_the_folder_alone(finished, tmp_path):
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    with Store(finished):
        result = CliRunner().invoke(main, ["export", str(finished), "--to", str(tmp_path / "runs.csv")])
    assert result.output == f"Written: {tmp_path / 'runs.csv'} ({STUDY.planned() + 1} rows)\n"
    result = CliRunner().invoke(main, ["export", str(finished), "--to", str(tmp_path / "table.tex")])
    assert result.output == f"Written: {tmp_path / 'table.tex'} (6 rows)\n"
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


@pytest.mark.parametrize(
    ("folder", "to", "message"),
    [
        ("", "runs.xlsx", "unknown kind of table '.xlsx'. Known: .csv, .parquet, .tex"),
        ("", "runs", "unknown kind of table ''. Known: .csv, .parquet, .tex"),
        ("nowhere", "runs.csv", "cannot read"),
        ("empty", "runs.csv", "has no finished run yet"),
        ("", "nowhere/runs.csv", "cannot write"),
        ("", "nowhere/table.tex", "cannot write"),
        ("nowhere", "table.tex", "name a folder that optimlab compare has finished"),
        ("empty", "table.tex", "name a folder that optimlab compare has finished"),
    ],
)
def test_what_cannot_be_exported_is_one_clear_line(folder, to, message, finished, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "runs.jsonl").touch()
    result = CliRunner().invoke(
        main, ["export", str(tmp_path / folder if folder else finished), "--to", str(tmp_path / to)]
    )
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert message in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_latex_table_has_no_curves(finished, tmp_path):
    with pytest.raises(ol.InputError, match="has no curves"):
        export(finished, tmp_path / "table.tex", curves=True)


def test_without_pyarrow_the_extra_is_named_and_no_file_is_left(finished, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ol.InputError, match=r"a Parquet file needs pyarrow: .* run pip install '\.\[parquet\]'"):
        export(finished, tmp_path / "runs.parquet")
    assert not list(tmp_path.iterdir())


# --- LaTeX


SHOWN = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textasciigrave{}": "`",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    r"\char34{}": '"',
    r"\textendash{}": "–",
    r"\textemdash{}": "—",
    r"\dots{}": "…",
    r"\ensuremath{\pm}": "±",
    r"\ensuremath{^2}": "²",
    r"\ensuremath{\geq}": "≥",
    r"\ensuremath{\beta}": "β",
    r"\ensuremath{\Omega}": "Ω",
    "-{}": "-",
    **{f"\\{letter}": letter for letter in "_%$#&{}"},
}


def seen(text):
    """Return what LaTeX prints of escaped text, with its braces checked; only these commands are known."""
    shown, at = "", 0
    while at < len(text):
        command = next((c for c in sorted(SHOWN, key=len, reverse=True) if text.startswith(c, at)), None)
        if command:
            shown, at = shown + SHOWN[command], at + len(command)
        else:
            assert text[at] not in "\\{}$#%&_^~", text[at : at + 20]
            shown, at = shown + text[at], at + 1
    return shown


def group(text, at):
    """The contents of the braces that open at ``at``, and the place after them."""
    assert text[at] == "{"
    depth, k = 0, at
    while True:
        if text[k] == "\\":
            k += 2
            continue
        depth += {"{": 1, "}": -1}.get(text[k], 0)
        k += 1
        if depth == 0:
            return text[at + 1 : k - 1], k


def split(text, mark):
    """At a mark outside of braces."""
    parts, depth, k, start = [], 0, 0, 0
    while k < len(text):
        if depth == 0 and text.startswith(mark, k):
            parts.append(text[start:k])
            k = start = k + len(mark)
        elif text[k] == "\\":
            k += 2
        else:
            depth += {"{": 1, "}": -1}.get(text[k], 0)
            k += 1
            assert depth >= 0
    assert depth == 0
    return [*parts, text[start:]]


def parsed(text):
    """Caption, heads and rows of a table; environments must nest, rows have as many cells as there are columns."""
    lines = [line for line in text.splitlines() if not line.startswith("%")]
    stack = []
    for line in lines:
        for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", line):
            if kind == "begin":
                stack.append(name)
            else:
                assert stack.pop() == name
    assert not stack
    body = "\n".join(lines)
    caption, _ = group(body, body.index("\\caption{") + len("\\caption"))
    columns, start = group(body, body.index("\\begin{tabular}") + len("\\begin{tabular}"))
    columns = re.sub(r"^p\{[^}]*\}", "p", columns)
    table = body[start : body.index("\\end{tabular}")]
    table = re.sub(r"\\(top|mid|bottom)rule\n", "", table)
    *rows, rest = [row.strip() for row in split(table, "\\\\")]
    assert rest == ""
    cells = [[cell.strip() for cell in split(row, "&")] for row in rows]
    cells = [row for row in cells if not row[0].startswith("\\multicolumn")]
    assert {len(row) for row in cells} == {len(columns)}
    return seen(caption.replace("$p$", "p")), cells[0], cells[1:]


def plain(cell):
    """A cell of numbers as text, and whether it is bold."""
    bold = cell.startswith("\\textbf{\\boldmath ")
    if bold:
        inside, end = group(cell, len("\\textbf"))
        cell = inside.removeprefix("\\boldmath ") + cell[end:]
    return cell.replace("$\\pm$", "±").replace("$\\geq$", "≥").replace("$<$", "<").replace("$", ""), bold


def numbers(text):
    """The numbers of a text, each with half a unit of its last digit."""
    return [(float(n), 0.5001 * 10 ** -len(n.partition(".")[2])) for n in re.findall(r"[+-]?\d+(?:\.\d+)?", text)]


def agree(text, *values):
    found = numbers(text)
    assert len(found) == len(values), (text, values)
    assert all(number == pytest.approx(value, abs=room) for (number, room), value in zip(found, values, strict=True))


LABELS = ("my_rule", "50% off", "{a}", "$x$", "#1 & more", "~^\\`", "β and Ω", "naïve", "a--b <c> |d|", 'say "hi"', "…")


def study(number=30, **changes):
    names = [*LABELS, *(f"rule {k}" for k in range(number))][:number]
    optimizers = tuple(Contender("sgd" if k % 2 else "adam", label=name) for k, name in enumerate(names))
    return Study(
        Problem(hidden=(4,), epochs=4, target=0.5),
        optimizers,
        **{"rates": (0.01, 0.1, 1.0), "replicates": 3, "extensions": 0} | changes,
    )


def any_outcome(seed):
    """Scores that tell some apart; some runs diverge, some contenders fail, and some never reach the target."""
    chance = random.Random(seed)
    level = {}

    def outcome(label, kind, replicate, trial):
        own = level.setdefault(label, chance.uniform(0.3, 0.95))
        fate = chance.choice(["ok"] * 20 + ["diverged", "diverged at once"])
        if label in ("rule 10", "naïve"):
            fate = chance.choice(["ok", "error"])
        if label == "rule 11":
            fate = "diverged at once"
        return {"fate": fate, "score": min(1.0, own + chance.gauss(0, 0.01)), "test": own + chance.gauss(0, 0.004)}

    return outcome


@pytest.mark.parametrize("search", [0, 3])
def test_every_number_in_latex_is_that_of_the_json(search):
    """At 30 optimizers, with runs that diverged, failed, or missed the target."""
    summary = made_comparison(study(search=search), any_outcome(search)).summary
    file = json.loads(encoded(summary))
    caption, _, rows = parsed(latex(summary))
    assert len(rows) == len(file["rows"]) == 30 * (3 if search else 2)
    verdict = file["verdict"]
    kinds = list(dict.fromkeys(row["kind"] for row in file["rows"]))
    found = {(kinds[k // 30], seen(row[0])): row[1:] for k, row in enumerate(rows)}
    fates = set()
    for own in file["rows"]:
        rate, epochs, accuracy, difference, p = found[own["kind"], own["contender"]]
        assert float(rate) == pytest.approx(own["lr"][0], rel=0.05)
        tuned = own["kind"] == "tuned"
        text, bold = plain(epochs)
        mean, low, high = own["epochs"]
        if not own["hits"]:
            assert (text, bold) == ("missed", False)
        elif own["hits"] < 3:
            assert text.startswith("≥")
            agree(text, mean, low, high, own["hits"], 3)
        else:
            agree(text, mean, low, high)
        assert bold == (tuned and bool(own["hits"]) and own["label"] in [verdict["fastest"], *verdict["fast_with"]])
        text, bold = plain(accuracy)
        fates.add(text if not own["finished"] else "ok")
        if not own["finished"]:
            assert text == ("failed" if own["failed"] else "diverged")
            assert (difference, p) == ("--", "--")
            continue
        mean, low, high = own["test_score"]
        agree(text, 100 * mean, 50 * (high - low))
        assert bold == (tuned and own["label"] in [verdict["leader"], *verdict["level_with"]])
        other = verdict["leader"] if tuned else own["contender"]
        pair = [
            pair
            for pair in file["pairs"]
            if {pair["first"], pair["second"]} == {own["label"], other} and pair["measure"] == "test_score"
        ]
        if not pair:
            assert (difference, p) == ("--", "--")
            assert own["label"] == other or own["failed"] or other == "naïve" or other == "rule 10"
            continue
        sign = 1 if pair[0]["first"] == own["label"] else -1
        mean, low, high = pair[0]["difference"]
        agree(plain(difference)[0], 100 * sign * mean, 50 * (high - low))
        if pair[0]["adjusted"] < 0.001:
            assert plain(p)[0] == "< 0.001"
        else:
            agree(p, pair[0]["adjusted"])
    assert {"ok", "diverged"} <= fates
    assert f"Holm's correction for a family of {verdict['family']} tests" in caption
    assert "3 replicates" in caption
    assert file["data"] in caption
    assert f"Difference: from {verdict['leader']} if tuned" in caption


def test_missing_runs_change_no_number(tmp_path):
    """The table is made from the summary: lines that are lost from the runs' file do not change it."""
    fill(tmp_path)
    export(tmp_path, tmp_path / "before.tex")
    lines = (tmp_path / "runs.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "runs.jsonl").write_bytes(b"".join(lines[::2]))
    export(tmp_path, tmp_path / "after.tex")
    assert (tmp_path / "before.tex").read_text() == (tmp_path / "after.tex").read_text()


def test_nothing_finished_is_a_table_too():
    summary = made_comparison(study(4), lambda *_: {"fate": "diverged at once"}).summary
    _, _, rows = parsed(latex(summary))
    assert [row[3] for row in rows] == ["diverged"] * 8


def test_the_majority_class_has_a_row():
    baseline = Baseline("50% #1", Interval(0.2, 0.2, 0.2), Interval(0.3, 0.28, 0.32))
    summary = replace(made_comparison(study(2), any_outcome(0)).summary, baseline=baseline)
    _, _, rows = parsed(latex(summary))
    row = next(row for row in rows if seen(row[0]) == "always 50% #1")
    agree(plain(row[3])[0], 30.0, 2.0)


def test_every_number_of_the_joint_table_is_that_of_the_json(tmp_path):
    comparisons = {f"p_{k}": made_comparison(study(), any_outcome(10 + k)) for k in range(3)}
    found = joint(comparisons)
    write_joint(found, tmp_path)
    for name, comparison in comparisons.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_bytes(encoded(comparison.summary))
    export(tmp_path, tmp_path / "table.tex")
    file, text = json.loads((tmp_path / "joint.json").read_text()), (tmp_path / "table.tex").read_text()
    caption, heads, rows = parsed(text)
    assert [seen(head) for head in heads[1:4]] == ["p_0", "p_1", "p_2"]
    assert {seen(row[0]) for row in rows} == {*file["contenders"], *file["excluded"]}
    assert {"rule 10", "naïve"} <= set(file["excluded"])
    for name, *cells in rows:
        label = seen(name)
        for problem, cell in zip(file["problems"], cells, strict=False):
            (shown, bold), own = plain(cell), problem["standings"].get(label)
            if own is None or not own["finished"]:
                assert (shown, bold) == ("failed" if own is None else "diverged", False)
                continue
            mean, low, high = own["test_score"]
            agree(shown, 100 * mean, 50 * (high - low))
            assert bold == own["leading"]
        for ranking, cell in zip(file["rankings"], cells[3:], strict=True):
            if label in file["excluded"]:
                assert cell == "--"
            else:
                agree(plain(cell)[0], ranking["mean_ranks"][label])
    difference = re.search(r"critical difference at 2.5% for each ranking is (\S+)\.", caption)[1]
    agree(difference, file["rankings"][0]["critical_difference"])
    for ranking, words in zip(file["rankings"], ("test accuracy", "epochs to the target"), strict=True):
        shown = re.search(rf"by {words}: Friedman's test, p = (\S+)\.", caption)[1]
        assert float(shown) == pytest.approx(ranking["p"], abs=5.1e-4)


@pytest.mark.parametrize("label", ["[1ex]", "[x] mine", "*", "* mine"])
def test_no_label_is_an_option_of_the_line_before(label):
    r"""In LaTeX, ``\\\\`` and ``\\midrule`` take a star or brackets that follow, also on the next line."""
    names = (Contender("sgd", label="first"), Contender("adam", label=label))
    comparison = made_comparison(Study(STUDY.problem, names, (0.01, 0.1, 1.0), 2), any_outcome(0))
    for text in (latex(comparison.summary), joint_latex(joint({"a": comparison, "b": comparison}))):
        assert f"{label} &" in text
        assert not re.search(r"(\\\\|rule)\s*[\[*]", text)


@pytest.mark.parametrize("text", [*LABELS, "R² 3", "\\{}_%$#&~^`-", "--- -- -", "\\textbf{x}", "{", "}}", "%"])
def test_any_text_is_printed_as_it_is(text):
    assert seen(escaped(text)) == text


def test_letters_that_pdflatex_lacks_are_announced():
    names = (Contender("sgd", label="Ж"), Contender("adam", label="β"))
    summary = made_comparison(Study(STUDY.problem, names, (0.01, 0.1, 1.0), 2), any_outcome(0)).summary
    assert "use LuaLaTeX or XeLaTeX" in latex(summary)
    assert "LuaLaTeX" not in latex(made_comparison(study(4), any_outcome(0)).summary)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_the_tables_compile(tmp_path):
    comparisons = {f"p_{k}": made_comparison(study(12), any_outcome(k)) for k in range(2)}
    tables = [latex(comparisons["p_0"].summary), joint_latex(joint(comparisons))]
    text = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n" + "\n".join(tables)
    (tmp_path / "paper.tex").write_text(text + "\\end{document}\n", encoding="utf-8")
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:]
