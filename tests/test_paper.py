"""What a comparison gives to a paper: every number of the methods paragraph is the JSON's, figures fit their column."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import made_up_summaries
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from made_comparisons import made_comparison
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.text import Text
from run_files import planted
from test_export import any_outcome
from test_figures import check, labels

import optimlab as ol
from optimlab.cli import main
from optimlab.common.version import __version__
from optimlab.optim.optimizers import CLASSIC, OPTIMIZERS
from optimlab.paper import methods, write_paper
from optimlab.paper.figures import ONE_COLUMN, SIZE, STYLE, TWO_COLUMNS, figures, joint_figures, pdf
from optimlab.paper.methods import cited
from optimlab.paper.references import OPTIMIZERS as WORKS
from optimlab.paper.references import _entries, bibliography, citation, short
from optimlab.study import Contender, Problem, Study, compare
from optimlab.study.joint import joint, joint_of
from optimlab.study.latex import escaped
from optimlab.study.results import encoded

ROOT = Path(__file__).parents[1]
RATES = (0.01, 0.1, 1.0)


def mine(w, g, *, lr=0.1, warmth=1.0):
    """A rule of one's own."""
    return w - lr * warmth * g


OWN = Contender("mine", rule=mine, label="our 2nd rule, 50% #1")
EVERY = (
    "sgd",
    "adam:keras",
    OWN,
    Contender("adam", "torch", {"beta2": 0.9999, "eps": 1e-7}),
    Contender("adamw", hyperparameters={"weight_decay": [0, 0.01, 0.1]}, schedule="cosine(warmup=0.1)"),
    Contender("rmsprop", hyperparameters={"beta": "0.8:0.99"}, label="RMSProp of 2012"),
    Contender("momentum", hyperparameters={"beta": "cosine(0.9)"}),
)


def study(names=("sgd", "adam"), rates=RATES, replicates=3, **values):
    problem = {key: values.pop(key) for key in list(values) if key in Problem.__dataclass_fields__}
    return Study(Problem(**{"target": 0.7, **problem}), names, rates=rates, replicates=replicates, **values)


STUDIES = {
    "usual": study(),
    "nine": study(names=CLASSIC, replicates=12, seed=7),
    "full": study(search=11, replicates=4),
    "bare": study(defaults=False, extensions=0),
    "alone": study(names=("adam",), defaults=False),
    "shared": study(redraw="train", train_rows=700, val_rows=200, test_rows=150),
    "everything": study(names=EVERY, search=5),
    "deep": study(hidden=(33, 21, 1200), batch_norm=True, dropout=0.15, dtype="float64", batch_size=96, epochs=17),
    "linear": study(hidden=(), backend="numpy", epochs=1, activation="tanh", initializer="auto"),
    "uneven": study(rates=(0.003, 0.1, 0.2, 2.5)),
    "regression": study(dataset="sklearn:diabetes", target=0.3, hidden=(9,)),
    "binary": study(dataset="sklearn:breast_cancer"),
    "labelled": study(label="Table 3: 100 runs"),
}
FATES = {"lost": lambda *_: {"fate": "diverged at once"}, "failed": lambda *_: {"fate": "error"}}


def summary_of(name):
    if name in FATES:
        return made_comparison(study(), FATES[name]).summary
    found = made_comparison(STUDIES[name], any_outcome(len(name))).summary
    if name == "bare":  # the target was changed, and the study grew
        found = replace(found, target=replace(found.target, planned=0.85), planned_replicates=2)
    return found


# ---- the paragraph: read number by number, without the code that wrote it ----

NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?")
CITATION = re.compile(r" \([A-ZÀ-Ž][^()\d]*, (?:19|20)\d\d\)")


def read(text, expected, told=()):
    """Hold each pattern's numbers against what is expected, and see that no number is left over.

    ``told`` are texts of the JSON that the paragraph repeats as they are, such as labels.
    """
    text = CITATION.sub("", text)
    for part in sorted(map(str, told), key=len, reverse=True):
        text = text.replace(part, "")
    for pattern, numbers in expected:
        found = re.search(pattern.replace("N", r"(\d[\d,]*(?:\.\d+)?)"), text)
        assert found, (pattern, text)
        assert [float(part.replace(",", "")) for part in found.groups()] == pytest.approx(numbers), found[0]
        text = text[: found.start()] + NUMBER.sub("", found[0]) + text[found.end() :]
    assert not NUMBER.findall(text), text


def ends(values):
    """Return the pattern of ``5`` or ``5 to 7`` that tells of several numbers, and the numbers."""
    low, high = min(values), max(values)
    return ("N", [low]) if low == high else ("N to N", [low, high])


def rounded(value, digits=2):
    return float(f"{value:.{digits}g}")


def expected_of(file):
    """Patterns and numbers of one problem's paragraph, from the JSON."""
    plan, problem, rows = file["study"], file["study"]["problem"], file["rows"]
    tuned = [row for row in rows if row["kind"] == "tuned"]
    runs = {row["label"]: sum(len(one["grid"]) for one in row["replicates"]) for row in rows}
    diverged = sum(
        sum(trial["val_score"] is None for one in row["replicates"] for trial in one["grid"]) for row in rows
    ) - sum(row["failed"] for row in rows)
    trials, counts = ends([len(one["grid"]) for row in tuned for one in row["replicates"]])
    rates, numbers = ends([len(row["grid"]) for row in tuned])
    found = [
        ("with batches of N in float", [problem["batch_size"]]),
        ("trained for N epoch", [file["epochs"]]),
        ("N training, N validation and N test rows", list(file["sizes"])),
        ("repeated in N replicates", [file["replicates"]]),
        ("seed of the study: N", [plan["seed"]]),
        (f"tuned in {trials} runs", counts),
        (r"These are N training runs", [sum(runs.values())]),
        ("to a validation (?:accuracy|R²) of N%", [100 * file["target"]["value"]]),
        ("never reaches it counts as N epochs", [file["epochs"] + 1]),
        ("with N% confidence intervals", [95]),
        ("counts as (?:accuracy|R²) N", [0]),
    ]
    if len(tuned) > 1:
        found.append(("We compared N optimizers", [len(tuned)]))
    if diverged:
        found.append(("N diverged", [diverged]))
    if sum(row["failed"] for row in rows):
        found.append(("N failed with an error", [sum(row["failed"] for row in rows)]))
    if problem["hidden"]:
        pattern = {1: "N", 2: "N and N", 3: "N, N and N"}[len(problem["hidden"])]
        found.append((f"hidden layers? of {pattern} units", problem["hidden"]))
    if problem["dropout"]:
        found.append(("dropout rate of N", [problem["dropout"]]))
    if plan["rates"] == list(RATES):
        found.append((f"at {rates} learning rates from N to N", [*numbers, RATES[0], RATES[-1]]))
    else:
        found.append((f"at {rates} learning rates, spaced as N, N, N and N", [*numbers, *plan["rates"]]))
    if plan["extensions"]:
        found.append(("grew by up to N rates", [plan["extensions"]]))
    if plan["search"]:
        found.append(("tried N random settings", [plan["search"]]))
    if file["test_rows"]:
        found.append(("one set of test rows: N", [file["test_rows"]]))
    if file["target"]["planned"] != file["target"]["value"]:
        found.append(("The target was N%", [100 * file["target"]["planned"]]))
    if file["replicates"] > file["planned_replicates"]:
        found.append(("planned with N replicates", [file["planned_replicates"]]))
    if file["verdict"]["family"]:
        found += [("for all N tests", [file["verdict"]["family"]]), ("significant at N%", [5])]
    if file["verdict"]["detectable"]:
        points = rounded(100 * file["verdict"]["detectable"])
        found += [("a power of N%", [80]), ("a difference of N points", [points])]
    if file["host"]["cores"]:
        found.append(("N cores?", [file["host"]["cores"]]))
    return found


def told_by(file):
    """Texts that the paragraph repeats: names, settings of the optimizers, versions, the machine."""
    told = [file["study"]["problem"]["dtype"], *file["left_out"], file["host"]["processor"]]
    told += [f"{name} {value}" for name, value in (("NumPy", file["versions"]["numpy"]),)]
    told += [f"Python {file['versions']['python']}", f"optimlab {file['versions']['optimlab']}"]
    for one in file["study"]["optimizers"]:
        told += [one["label"], *one.get("searched", {}).values()]
        for shape in (one.get("schedule", ""), *one.get("scheduled", {}).values()):
            told += [f"{key or 'peak'} = {value}" for key, value in re.findall(r"(?:(\w+)=|\()([\d.]+)", shape)]
        told += [f"{name} = {value:g}" for name, value in one["hyperparameters"].items()]
        told += [f"{name} searched" for name in one.get("searched", {})]
    return [text for text in told if re.search(r"\d", text)]


@pytest.mark.parametrize("name", [*STUDIES, *FATES])
def test_every_number_of_the_paragraph_is_that_of_the_json(name):
    summary = summary_of(name)
    file = json.loads(encoded(summary))
    text = methods({"": summary}).replace("float32", "float").replace("float64", "float")
    text = text.replace(" dtype ", " ")
    told = told_by(file)
    read(text, expected_of(file), told)
    for one in file["study"]["optimizers"]:
        assert all(part in text for part in one.get("searched", {}).values())
        for key, value in one["hyperparameters"].items():
            assert f"{key} = {value:g}" in text
    assert file["study"]["problem"]["initializer"] in text


def test_biases_that_are_drawn_are_told():
    summary = summary_of("usual")
    assert "biases" not in methods({"": summary})
    problem = {**summary.study["problem"], "bias_initializer": "glorot_uniform"}
    drawn = replace(summary, study={**summary.study, "problem": problem})
    text = methods({"": drawn})
    assert "initial weights by he_normal, biases by glorot_uniform and the softmax cross-entropy as loss" in text


def test_the_sentences_of_other_kinds_of_study_differ():
    said = {name: methods({"": summary_of(name)}) for name in (*STUDIES, *FATES)}
    assert "ran once at its default learning rate" in said["usual"]
    assert "ran once at its default learning rate" not in said["bare"]
    assert "its own split of the rows" in said["usual"]
    assert "its own training and validation rows" in said["shared"]
    assert "fixed before the first run" in said["usual"]
    assert "is exploratory" in said["bare"]
    assert "paired t-tests" not in said["alone"]
    assert said["alone"].startswith("We trained adam (Kingma and Ba, 2015). ")
    assert "mine (a rule of our own)" in said["everything"]
    assert "adam (Kingma and Ba, 2015) in Keras's convention" in said["everything"]
    assert "with beta2 = 0.9999 and eps = 1e-07" in said["everything"]
    cosine = "and the learning rate following a cosine schedule (warmup = 0.1)"
    assert f"with weight_decay searched in {{0, 0.01, 0.1}} {cosine};" in said["everything"]
    assert "“RMSProp of 2012”, that is rmsprop (Tieleman and Hinton, 2012)" in said["everything"]
    assert "beta following a cosine schedule (peak = 0.9)" in said["everything"]
    assert "a linear model" in said["linear"]
    assert "by plain NumPy" in said["linear"]


def test_a_number_that_is_changed_would_be_seen():
    summary = summary_of("usual")
    file = json.loads(encoded(summary))
    text = methods({"": summary}).replace("float32", "float")
    read(text, expected_of(file), told_by(file))
    for place in NUMBER.finditer(CITATION.sub("", text)):
        wrong = CITATION.sub("", text)
        wrong = f"{wrong[: place.start()]}{int(place[0][0]) ^ 1}{wrong[place.start() + 1 :]}"
        with pytest.raises(AssertionError):
            read(wrong, expected_of(file), told_by(file))


def test_the_paragraph_of_several_problems():
    plans = {"first": study(), "second-2": study(hidden=(8, 7), train_rows=300, epochs=9), "third": study(target=0.6)}
    found = {name: made_comparison(plan, any_outcome(3)) for name, plan in plans.items()}
    together, summaries = joint(found), {name: one.summary for name, one in found.items()}
    file, files = json.loads(encoded(together)), [json.loads(encoded(s)) for s in summaries.values()]
    text = methods(summaries, together).replace("float32", "float")
    for name, own in zip(summaries, files, strict=True):
        (sentence,) = re.findall(rf"Problem {name} was (.*?) in float\.", text)
        units = " and ".join(map(str, own["study"]["problem"]["hidden"]))
        assert f"({own['sizes'][0]:,} training, {own['sizes'][1]:,} validation and {own['sizes'][2]:,} test" in sentence
        assert f"{units} units" in sentence
        assert f"trained for {own['epochs']} epochs with batches of {own['study']['problem']['batch_size']}" in sentence
    runs = sum(len(one["grid"]) for own in files for row in own["rows"] for one in row["replicates"])
    assert f"These are {runs:,} training runs" in text
    assert "There were 3 problems." in text
    assert "to a validation accuracy of 70% (first and second-2) and 60% (third)" in text
    assert "counts as 21 (first and third) and 10 (second-2) epochs" in text
    critical = file["rankings"][0]["critical_difference"]
    assert f"the sign test on 3 problems, at {100 * file['rankings'][0]['level']:g}% for each" in text
    many = {name: made_comparison(study(names=("sgd", "adam", "lion")), any_outcome(k)) for k, name in enumerate("abc")}
    text = methods({name: one.summary for name, one in many.items()}, joint(many))
    critical = json.loads(encoded(joint(many)))["rankings"][0]["critical_difference"]
    assert f"({critical:.2f} for 3 optimizers on 3 problems)" in text


@pytest.mark.parametrize("name", ["usual", "everything"])
def test_latex_is_the_same_text(name):
    plain, latex = (methods({"": summary_of(name)}, latex=latex) for latex in (False, True))
    for key in cited({"": summary_of(name)}):
        assert f"~\\cite{{{key}}}" in latex
        latex = latex.replace(f"~\\cite{{{key}}}", escaped(f" ({short(key)})"))
    assert latex == escaped(plain)


def test_a_study_that_is_not_described_is_refused():
    with pytest.raises(ol.InputError, match="the study is not described as optimlab compare describes one"):
        methods({"": made_up_summaries.summary([made_up_summaries.row("sgd")])})


# ---- works ----


def test_every_optimizer_has_its_work():
    assert set(OPTIMIZERS) <= set(WORKS)
    assert set(WORKS.values()) <= set(_entries())
    for key in _entries():
        assert re.fullmatch(r"[a-z]+\d{4}", key)
        surname, year = re.fullmatch(r"(\S+).*, (\d{4})", short(key)).groups()
        assert key.endswith(year)
        assert surname.lower().replace("š", "s") == key.removesuffix(year)
    text = bibliography(["holm1979", "optimlab", "holm1979"], "0.1.0")
    assert re.findall(r"@\w+{(\w+),", text) == ["optimlab", "holm1979"]


def test_the_ways_to_cite_optimlab_agree():
    assert (ROOT / "CITATION.bib").read_text() == citation(__version__)
    found = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {__version__}\n" in found
    title = re.search(r"title = {(.*?)},\n", citation())[1]
    assert f'\ntitle: "{title}"\n' in found
    assert "authors:\n  - name: The optimlab developers\n" in found


# ---- figures ----


def comparison_of(count):
    names = [Contender("adam", label=label) for label in labels(count)]
    return made_comparison(study(names=names), any_outcome(1))


@pytest.mark.quick("1-3.25")
@pytest.mark.parametrize(("count", "width"), [(1, ONE_COLUMN), (6, ONE_COLUMN), (7, ONE_COLUMN), (2, TWO_COLUMNS)])
def test_figures_fit_their_column_in_letters_of_eight_points(count, width):
    comparison = comparison_of(count)
    for name, (draw, caption) in figures(comparison).items():
        with rc_context(STYLE):
            figure = draw(width)
            assert figure.get_size_inches()[0] == width
            assert figure.get_size_inches()[1] <= 9
            check(figure)
            shown = [text for text in figure.findobj(Text) if text.get_text().strip()]
        assert {text.get_fontsize() for text in shown} == {SIZE}
        assert not any(re.search(r"\^|_{", text.get_text()) for text in shown if "$" in text.get_text()), name
        assert caption.endswith(".")


def test_lines_are_told_apart_without_colours():
    """By dash and marker; and by colours that are far apart for everyone, which Okabe and Ito chose."""
    draw, _ = figures(comparison_of(6))["loss"]
    (axes,) = draw(ONE_COLUMN).axes
    lines = [line for line in axes.lines if line.get_label().strip("_")]
    looks = [(str(line.get_linestyle()), str(line._dash_pattern)) for line in lines]
    assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == len(lines) == 6
    assert len(set(looks)) == 6
    assert all(to_rgb(line.get_color()) for line in lines)


@pytest.mark.slow
def test_a_map_of_a_searched_hyperparameter():
    found = figures(made_comparison(STUDIES["everything"], any_outcome(1)))
    assert "map" not in figures(comparison_of(1))
    draw, caption = found["map"]
    content = pdf(draw, ONE_COLUMN)
    assert b"/Subtype /Image" not in content
    with rc_context(STYLE):
        figure = draw(ONE_COLUMN)
        check(figure)
    assert {text.get_fontsize() for text in figure.findobj(Text) if text.get_text().strip()} == {SIZE}
    assert caption.endswith(".")


@pytest.mark.slow
def test_a_pdf_has_its_size_its_fonts_and_no_pixels():
    draw, _ = figures(comparison_of(3))["validation"]
    content = pdf(draw, ONE_COLUMN)
    box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+) ([\d.]+) ?\]", content)
    assert float(box[1]) == 72 * ONE_COLUMN
    assert b"/FontFile2" in content
    assert b"/CIDFontType2" in content
    assert b"/Type3" not in content
    assert b"/Subtype /Image" not in content
    assert content == pdf(draw, ONE_COLUMN)


@pytest.mark.parametrize("width", [0, 1.9, 21, float("nan"), "wide"])
def test_a_width_that_is_none_of_a_page(width):
    with pytest.raises(ol.InputError, match="the width of a figure in inches must"):
        pdf(figures(comparison_of(1))["loss"][0], width)


def test_there_must_be_a_width(tmp_path):
    with pytest.raises(ol.InputError, match="at least one width"):
        write_paper(finished(tmp_path), widths=[])


@pytest.mark.slow
def test_any_name_is_drawn():
    names = [Contender("adam", label=label) for label in ("数", "$a_b^c$", "_hidden", "a & b", "\N{GRINNING FACE}")]
    found = made_comparison(study(names=names), any_outcome(1))
    for name in ("loss", "test"):
        assert pdf(figures(found)[name][0], ONE_COLUMN).startswith(b"%PDF")
    figure = figures(found)["loss"][0](ONE_COLUMN)
    assert [text.get_text().strip("\N{ZERO WIDTH SPACE}") for text in figure.legends[0].get_texts()] == [
        c.label for c in names
    ]


@pytest.mark.slow
def test_a_comparison_in_which_nothing_finished_has_figures():
    for draw, _ in figures(made_comparison(study(), FATES["lost"])).values():
        assert pdf(draw, ONE_COLUMN).startswith(b"%PDF")


# ---- the command ----


def run(*arguments):
    return CliRunner().invoke(main, ["paper", *map(str, arguments)])


def finished(folder, plan=STUDIES["usual"]):
    with planted(lambda run: "ok", lambda run: 0.5 + 0.4 * (run.contender.name == "sgd")):
        compare(plan, folder)
    return folder


FILES = {"table.tex", "methods.tex", "methods.txt", "figures.tex", "references.bib", "paper.tex"}


@pytest.mark.slow
def test_the_command_writes_what_is_needed_and_changes_nothing_else(tmp_path):
    folder = finished(tmp_path / "study")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = run(folder, "--widths", "3.5", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    pdfs = {f"{name}-3.5in.pdf" for name in ("validation", "loss", "sensitivity", "test")}
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES | pdfs
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    shown = (tmp_path / "out" / "figures.tex").read_text()
    assert set(re.findall(r"includegraphics{(.*?)}", shown)) == pdfs
    keys = set(re.findall(r"cite{(.*?)}", (tmp_path / "out" / "methods.tex").read_text()))
    assert keys == set(re.findall(r"@\w+{(\w+),", (tmp_path / "out" / "references.bib").read_text()))


def test_several_problems_have_a_folder_each(tmp_path, monkeypatch):
    monkeypatch.setattr("optimlab.paper.write.pdf", lambda draw, width: b"%PDF")
    from optimlab.study.compare import read_comparison
    from optimlab.study.joint import write_joint

    for name, plan in (("a", STUDIES["usual"]), ("b", study(hidden=(8,)))):
        finished(tmp_path / name, plan)
    write_joint(joint({name: read_comparison(tmp_path / name) for name in ("a", "b")}), tmp_path)
    written = {str(path.relative_to(tmp_path / "paper")) for path in write_paper(tmp_path)}
    assert {f"{where}{name}" for where in ("", "a/", "b/") for name in FILES} <= written
    assert {"profile-3.25in.pdf", "profile-6.75in.pdf", "a/loss-6.75in.pdf"} <= written
    assert all((tmp_path / "paper" / name).exists() for name in written)


def test_a_profile_is_drawn():
    many = {name: made_comparison(study(names=("sgd", "adam", "lion")), any_outcome(k)) for k, name in enumerate("abc")}
    ((draw, _),) = joint_figures(joint(many)).values()
    with rc_context(STYLE):
        check(draw(ONE_COLUMN))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "name a folder that optimlab compare has finished"),
        (["study", "--widths", "30"], "the width of a figure in inches must"),
        (["study", "--widths", "wide"], "expected numbers separated by commas, got 'wide'"),
        (["study", "--widths", ""], "expected numbers separated by commas"),
        (["study", "--out", "file"], "cannot write to the output folder"),
    ],
)
def test_what_cannot_be_written_is_one_clear_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished(tmp_path / "study")
    (tmp_path / "file").write_text("kept")
    result = run(*arguments)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert message in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "study"]
    assert not (tmp_path / "study" / "paper").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex")
def test_the_document_compiles(tmp_path, monkeypatch):
    finished(tmp_path, study(names=(OWN, EVERY[4], EVERY[5]), replicates=2))
    picture = pdf(figures(comparison_of(1))["test"][0], 2.0)
    monkeypatch.setattr("optimlab.paper.write.pdf", lambda draw, width: picture)
    write_paper(tmp_path, widths=[3.25])
    for command in ("pdflatex", "bibtex", "pdflatex", "pdflatex"):
        done = subprocess.run([command, "paper"], cwd=tmp_path / "paper", capture_output=True, check=False, input=b"")
        assert done.returncode == 0, done.stdout[-2000:]
    assert b"undefined" not in done.stdout


@pytest.mark.filterwarnings("ignore:sgd. the best learning rate")
def test_the_paragraph_names_every_column_that_was_not_used(tmp_path):
    table = tmp_path / "table.csv"
    rows = [f"P{k},{k % 7},{k % 5},{k % 3},{k % 2}" for k in range(40)]
    table.write_text("\n".join(["patient,a,b,c,y", *rows]))
    problem = Problem(str(table), target_column="y", missing="drop", leave_out=["b"], batch_size=8, epochs=1)
    study = Study(problem, [Contender("sgd")], rates=[0.1, 0.3, 1], replicates=2, extensions=0)
    said = methods({"": compare(study, tmp_path / "out").summary})
    assert "Rows with missing values were left out. Of the other columns, b and patient were not used." in said


@pytest.mark.filterwarnings("ignore:sgd. the best learning rate")
def test_columns_that_were_not_used_have_their_own_names(tmp_path):
    names = ["it's", "back\\slash", 'say "hi"', 'it\'s "both"', "a' is left out: b", "id"]
    table = pd.DataFrame({"x": np.arange(40) % 7, "y": np.arange(40) % 2} | dict.fromkeys(names[:-1], 1))
    table.assign(id=range(40)).to_csv(tmp_path / "table.csv", index=False)
    problem = Problem(str(tmp_path / "table.csv"), target_column="y", batch_size=8, epochs=1)
    plan = Study(problem, [Contender("sgd")], rates=[0.1, 0.3, 1], replicates=2, extensions=0)
    said = methods({"": compare(plan, tmp_path / "out", jobs=1).summary})
    assert f"Of the other columns, {', '.join(names[:-1])} and id were not used." in said


# ---- texts of the user that look like a citation ----

LIKE_CITATIONS = ("[@home]", "mine [@holm1979]", "[@kingma2015,home] \\cite{home}", "]")


@pytest.mark.parametrize("latex", [False, True])
def test_no_text_of_the_user_is_a_citation(latex, tmp_path):
    rows = [f"{k % 7},{k % 5},{k % 3},{'[@no]' if k % 2 else '[@yes]'}" for k in range(40)]
    (tmp_path / "data [@file].csv").write_text("\n".join(["a,[@column],[@unused],y [@target]", *rows]))
    problem = Problem(
        str(tmp_path / "data [@file].csv"),
        target_column="y [@target]",
        leave_out=["[@unused]"],
        batch_size=8,
        epochs=1,
    )
    optimizers = [Contender("adam", label=label) for label in LIKE_CITATIONS]
    plan = Study(problem, optimizers, rates=[0.1, 0.3, 1], replicates=2, label="[@title]")
    summary = made_comparison(plan, any_outcome(1)).summary
    host = {"processor": "CPU [@host]", "cores": 2}
    summary = replace(summary, host=host, versions={**summary.versions, "python": "3 [@python]"})
    usual = made_comparison(replace(plan, optimizers=("sgd", "adam")), any_outcome(1)).summary
    summaries = {"[@one]": summary, "two": usual}
    together = joint_of(summaries)
    text = methods(summaries, together, latex=latex)
    shown = [f"“{label}”" for label in LIKE_CITATIONS]
    shown += ["Problem [@one] was data [@file].csv", "column y [@target] is predicted", "[@unused] was not used"]
    shown += ["Python 3 [@python]", "CPU [@host]"]
    for part in shown:
        assert (escaped(part) if latex else part) in text
    works = {*_entries(), "optimlab"}
    assert set(cited(summaries, together)) <= works
    if latex:
        keys = re.findall(r"~\\cite{(.*?)}", text)
        assert set(keys) == set(cited(summaries, together))


def test_a_label_like_a_citation_gives_a_paper(tmp_path, monkeypatch):
    monkeypatch.setattr("optimlab.paper.write.pdf", lambda draw, width: b"%PDF")
    finished(tmp_path, study(names=(Contender("sgd", label="mine [@home]"), "adam"), replicates=2))
    result = run(tmp_path)
    assert result.exit_code == 0, result.output
    assert "“mine [@home]”, that is sgd (Robbins" in (tmp_path / "paper" / "methods.txt").read_text()
    assert "home" not in (tmp_path / "paper" / "references.bib").read_text()


# ---- problems that are not alike ----


def test_the_paragraph_says_where_problems_differ():
    plans = {
        "a": study(names=("sgd", "adam", "lion"), search=7, rates=(0.01, 0.1, 1.0, 10.0)),
        "b": study(names=("sgd", Contender("adam", hyperparameters={"beta2": 0.9})), defaults=False),
        "c": study(names=("sgd", "adam"), search=5, seed=5, backend="numpy"),
    }
    found = {name: made_comparison(plan, any_outcome(3)).summary for name, plan in plans.items()}
    found["b"] = replace(found["b"], host={"processor": "another", "cores": 3})
    text = methods(found, joint_of(found))
    labels = {row["contender"] for one in found.values() for row in json.loads(encoded(one))["rows"]}
    assert text.startswith(f"We compared {len(labels)} optimizers: sgd (Robbins and Monro, 1951); adam (")
    assert "adam (Kingma and Ba, 2015) (on a and c only); lion (Chen et al., 2023) (on a only); and adam (" in text
    assert "with beta2 = 0.9 (on b only)." in text
    tuned = "each optimizer was tuned in"
    assert f"In each replicate on problem a, {tuned} 4 runs at 4 learning rates from 0.01 to 10, evenly" in text
    assert f"In each replicate on problems b and c, {tuned} 3 runs at 3 learning rates from 0.01 to 1, evenly" in text
    assert text.count("the grid grew by up to") == 2
    assert "Each optimizer on problems a and c also ran once at its default learning rate" in text
    assert "each replicate on problem a tried 7 random settings" in text
    assert "each replicate on problem c tried 5 random settings" in text
    assert "All runs on problem c were made with" in text
    assert re.search(r"All runs on problem b were made with ((?!All runs).)*, on another \(3 cores\)\.", text)
    assert "seed of the study: 0 (a and b) and 5 (c)" in text
