"""Whatever became of the runs of a study: there is a table, a page, a verdict and an export, and they agree."""

import io
import json
import random
import re
import sys
import warnings
from dataclasses import replace
from unittest import mock

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from run_files import FATES, executed_by, kept, made, planted

import optimlab as ol
from optimlab.cli import main
from optimlab.plotting import accuracy_figure, loss_figure, sensitivity_figure
from optimlab.report import write_report
from optimlab.study import Contender, Problem, Store, Study, compare, execution, read_comparison
from optimlab.study import run as run_module
from optimlab.study.export import export
from optimlab.study.results import encoded
from optimlab.study.store import read
from optimlab.study.table import tables

SMALL = Study(
    problem=Problem(hidden=(4,), epochs=3, target=0.5),
    optimizers=("sgd", "adam"),
    rates=(0.01, 0.1, 1.0),
    replicates=3,
    extensions=0,
)


def strict(text):
    """JSON as any parser reads it."""
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    with mock.patch("os.fsync"):
        yield


def shown(comparison):
    console = Console(width=250, record=True, file=io.StringIO())
    for table in tables(comparison.summary):
        console.print(table)
    return console.export_text()


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(
    # often all of one kind, else each by itself
    kinds=st.sampled_from([*((fate,) for fate in FATES), FATES, FATES, FATES[:2], ("ok", "error")]),
    seed=st.integers(0, 1 << 32),
    search=st.sampled_from([0, 2]),
    defaults=st.booleans(),
)
def test_any_runs_may_have_diverged_failed_or_be_missing(tmp_path_factory, kinds, seed, search, defaults):
    folder = tmp_path_factory.mktemp("any")
    study = replace(SMALL, search=search, defaults=defaults)
    chance = random.Random(seed)
    with planted(lambda run: chance.choice(kinds), lambda run: chance.choice([0.2, 0.6, 0.9])):
        found = compare(study, folder)
    strict((folder / "summary.json").read_text())
    assert read_comparison(folder).summary == found.summary
    assert found.verdict
    records = read(folder)
    assert len(records) == study.planned()
    for row in found.rows:
        own = [records[one.key] for one in row.replicates]
        assert [one.status for one in row.replicates] == [record.status for record in own]
        assert [one.test_score for one in row.replicates] == [record.test_counted for record in own]
    text, page = shown(found), write_report(folder).read_text()
    nothing = not any(row.finished for row in found.rows if row.kind == "tuned")
    assert nothing == (not found.finished) == ("there is nothing to compare" in " ".join(found.verdict))
    for row in found.rows:
        assert row.optimizer in text
        if row.failed:
            assert "MemoryError: made up" in page
            assert "failed with an error, so this row is excluded" in " ".join(found.verdict)
    assert len(export(folder, folder / "runs.csv")) == len(records)
    epochs = export(folder, folder / "curves.csv", curves=True) if any(r.curves.lr for r in records.values()) else []
    assert all(row["epoch"] <= study.problem.epochs for row in epochs)

    # some lines are lost: the page tells how many that it needs
    lines = (folder / "runs.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "runs.jsonl").write_bytes(b"".join(line for line in lines if chance.random() < 0.8))
    left, page = read(folder), write_report(folder).read_text()
    lost = any({one.key, one.fast_key} - {None, *left} for row in found.rows for one in row.replicates)
    assert lost or "missing from runs.jsonl" not in page
    assert "have other scores than summary.json" not in page
    # and the same study goes on to the same end
    with planted(lambda run: chance.choice(kinds)):
        assert [row.label for row in compare(study, folder).rows] == [row.label for row in found.rows]


@pytest.mark.quick("ok-ok")
@pytest.mark.parametrize(
    ("tuning", "fresh"), [*(("ok", fate) for fate in FATES), *((fate, fate) for fate in FATES[1:])]
)
def test_figures_of_any_runs(tmp_path, tuning, fresh):
    with planted(lambda run: fresh if run.seed == 1 else tuning):
        found = compare(replace(SMALL, defaults=False), tmp_path)
    for draw in (loss_figure, accuracy_figure, sensitivity_figure):
        assert draw(found).axes


@pytest.mark.slow
def test_figures_draw_names_as_they_are_and_a_loss_of_zero(tmp_path):
    """Dollars are no formula: this one would not even parse."""
    name = r"$\adam$ ^2_$"
    study = replace(SMALL, optimizers=("sgd", Contender("adam", label=name)), defaults=False)

    def at_zero(run):
        record = made(run)
        return replace(record, curves=replace(record.curves, train_loss=(1.0, 0.5, 0.0)))

    with executed_by(at_zero):
        found = compare(study, tmp_path)
    for draw in (loss_figure, accuracy_figure, sensitivity_figure):
        figure = draw(found)
        figure.savefig(io.BytesIO(), dpi=20)
        texts = [text.get_text() for axes in figure.axes for text in (*axes.texts, axes.title)]
        assert any(text.startswith(name) for text in texts)


STUDY = """\
optimizers = ["sgd", "adam"]
rates = [0.01, 0.1, 1.0]
replicates = 2
extensions = 0

[problem]
hidden = [4]
epochs = 3
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """``command(fate, *options)``: optimlab compare, of which the runs end as ``fate`` says; no figure is drawn."""
    monkeypatch.setattr(sys.modules["optimlab.cli.compare"], "save_figure", lambda figure, path: [f"{path.name}.png"])
    (tmp_path / "study.toml").write_text(STUDY)

    def run(fate, *options, out="out"):
        with planted(fate if callable(fate) else lambda run: fate):
            arguments = ["compare", "--study", tmp_path / "study.toml", "--out", tmp_path / out, *options]
            return CliRunner().invoke(main, [str(a) for a in arguments])

    return run


@pytest.mark.quick("error")
@pytest.mark.parametrize("fate", FATES[1:])
def test_where_nothing_finished_the_exit_code_is_1_and_nothing_is_best(command, tmp_path, fate):
    result = command(fate)
    assert result.exit_code == 1
    assert result.stderr.endswith("optimlab: no run finished, so there is nothing to compare\n")
    cells = [line for line in result.stdout.split("•")[0].splitlines() if line.split()[:1] in (["sgd"], ["adam"])]
    assert len(cells) == 4
    assert not any(re.search(r"±|best|leader", line) for line in cells)
    assert all(("failed" if fate == "error" else "diverged") in line for line in cells)
    assert (tmp_path / "out" / "report.html").exists()
    as_json = command(fate, "--json")
    assert as_json.exit_code == 1
    assert "nothing to compare" in strict(as_json.stdout)["verdict"]["sentences"][0]["text"]


def test_a_study_in_which_runs_really_diverge_at_once_is_finished(tmp_path):
    """Trained: in some replicates SGD diverges in its first epoch, so that it has no curve at all."""
    study = Study(
        problem=Problem(hidden=(32,) * 6, epochs=2, train_rows=256),
        optimizers=("sgd",),
        rates=(3.0, 4.0, 5.0),
        replicates=6,
        extensions=0,
        defaults=False,
    )
    with warnings.catch_warnings(action="ignore"):
        found = compare(study, tmp_path)
    epochs = [len(record.curves.train_loss) for record in found.records.values()]
    assert 0 in epochs
    assert "sgd" in write_report(tmp_path).read_text()
    assert len(export(tmp_path, tmp_path / "runs.csv")) == 18


def test_numbers_that_json_has_not_are_null(tmp_path, without_figures):
    """In the printed JSON and in the file alike: the scores of runs that diverged at once."""
    (tmp_path / "rules.py").write_text(
        "import numpy as np\ndef capped(w, g, *, lr=0.01, cap=1e30):\n    return w - lr * np.minimum(g, cap)\n"
    )
    (tmp_path / "study.toml").write_text(STUDY)
    rule = f"{tmp_path / 'rules.py'}:capped"
    options = ["--study", tmp_path / "study.toml", "--rule", rule, "--out", tmp_path / "out"]
    with planted(lambda run: "diverged at once" if run.contender.name == "sgd" else "ok"):
        result = CliRunner().invoke(main, ["compare", *map(str, options), "--json"])
    assert result.exit_code == 0, result.output
    rows = strict(result.stdout)["rows"]
    assert {row["label"] for row in rows} >= {"sgd", "adam", "capped"}
    assert None in next(row for row in rows if row["label"] == "sgd").values()
    assert rows == strict((tmp_path / "out" / "summary.json").read_text())["rows"]
    for line in (tmp_path / "out" / "runs.jsonl").read_text().splitlines():
        strict(line)


def test_one_that_finished_is_a_success(command):
    result = command(lambda run: "ok" if run.contender.name == "sgd" else "error")
    assert result.exit_code == 0, result.output
    assert re.search(r"sgd .* 90\.00 ± ?0\.00", result.stdout)
    assert re.search(r"adam .* failed", result.stdout)


def test_the_table_is_printed_even_where_the_page_or_a_figure_fails(command, monkeypatch):
    def fails(*arguments):
        raise ol.InputError("cannot write report.html: No space left on device")

    monkeypatch.setattr("optimlab.report.write_report", fails)
    result = command("ok")
    assert result.exit_code == 2
    assert re.search(r"sgd .* 90\.00 ± ?0\.00", result.stdout)
    assert "• " in result.stdout
    assert result.stderr.endswith("optimlab: cannot write report.html: No space left on device\n")
    as_json = command("ok", "--json")
    assert (as_json.exit_code, strict(as_json.stdout)["rows"][0]["label"]) == (2, "sgd")


def test_of_several_problems_each_is_printed_as_it_finishes(command, tmp_path):
    (tmp_path / "study.toml").write_text(STUDY + '[[problems]]\nname = "a"\n[[problems]]\nname = "b"\nhidden = [5]\n')

    def fate(run):
        if run.problem.hidden == (5,):
            raise KeyboardInterrupt
        return "ok"

    result = command(fate)
    assert result.exit_code == 130
    assert re.search(r"sgd .* 90\.00 ± ?0\.00", result.stdout)
    result = command(lambda run: "error" if run.problem.hidden == (5,) else "ok")
    assert result.exit_code == 1
    assert "no run finished on b" in result.stderr


def test_a_step_whose_timing_fails_has_no_time(monkeypatch):
    """The runs are there already: what is not known is not printed, and nothing is lost."""
    study, real = replace(SMALL, problem=replace(SMALL.problem, epochs=1), defaults=False), run_module.fit

    def fit(net, opt, data, **options):
        if opt.__class__.__name__ == "Adam":
            raise MemoryError("none left")
        return real(net, opt, data, **options)

    runs = {c.label: study.run(c, 0, 0.1) for c in study.contenders}
    monkeypatch.setattr(run_module, "fit", fit)
    assert set(run_module.time_steps(study.problem, runs)) == {"sgd"}


# --- the folder


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.quick("options0-it also has adam;")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--optimizers", "sgd"], "it also has adam;"),
        (["--optimizers", "sgd,nadam"], "it also has adam;"),
        (["--rates", "0.01,0.1,10"], "it also has the learning rate 1.0;"),
    ],
)
def test_a_report_is_not_replaced_by_that_of_a_smaller_comparison(command, tmp_path, options, told):
    command("ok")
    before = files(tmp_path / "out")
    for dry in ([], ["--dry-run"]):
        result = command("ok", *options, *dry)
        assert result.exit_code == 2
        assert "holds a comparison that this one would overwrite: " in result.stderr
        assert f"{told} name another folder (--out FOLDER), or include these as well" in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert files(tmp_path / "out") == before
    assert command("ok", *options, out="another").exit_code == 0
    assert command("ok", "--optimizers", "sgd,adam,nadam", "--replicates", "3").exit_code == 0, "a study may grow"


@pytest.mark.parametrize("replicates", [2, 3])
def test_a_comparison_without_a_report_may_become_a_smaller_one(command, tmp_path, replicates, monkeypatch):
    """Ctrl-C, and other options: there is no report that would be lost; the runs stay."""
    monkeypatch.setattr(execution, "FASTER", 4)
    monkeypatch.setattr(Problem, "expected_seconds", lambda problem: 2.0)
    made = []

    def interrupted(run):
        made.append(run)
        if len(made) > 8:
            raise KeyboardInterrupt
        return "ok"

    (tmp_path / "study.toml").write_text(STUDY.replace("replicates = 2", f"replicates = {replicates}"))
    assert command(interrupted).exit_code == 130
    runs = (tmp_path / "out" / "runs.jsonl").read_bytes()
    assert runs.count(b"\n") == 5, "chunks of one and of four runs; the next was not finished"
    assert command("ok", "--optimizers", "sgd").exit_code == 0
    assert (tmp_path / "out" / "runs.jsonl").read_bytes().startswith(runs)


def spoilt(folder, how):
    """A folder that cannot be used: where it is, and what is said of it."""
    if how == "a file":
        folder.write_text("")
        return folder, "cannot write to the output folder"
    if how == "below a file":
        folder.write_text("")
        return folder / "below", "cannot write to the output folder"
    folder.mkdir()
    if how == "a search":
        (folder / "journal.log").write_text("")
        return folder, "holds a search, not a comparison: journal.log; name another folder (--out FOLDER)"
    if how == "another summary":
        (folder / "summary.json").write_text("{}")
        return folder, "summary.json is not the summary of a comparison; name another folder (--out FOLDER)"
    if how == "an edited line":
        (folder / "runs.jsonl").write_text("{}\n")
        return folder, "line 1: not a record of a run: Object missing required field `key`"
    if how == "another study":
        with planted(lambda run: "ok"):
            compare(SMALL.with_epochs(2), folder)
        return folder, "); name another folder (--out FOLDER), or delete"
    if how == "study.json":
        (folder / "study.json").write_text("[]")
        return folder, "study.json is not the description of a study; name another folder (--out FOLDER)"
    return None


HOWS = ["a file", "below a file", "a search", "another summary", "an edited line", "another study", "study.json"]


@pytest.mark.parametrize("how", HOWS)
def test_a_dry_run_refuses_what_the_run_refuses(command, tmp_path, how):
    folder, told = spoilt(tmp_path / "out", how)
    before = files(folder) if folder.is_dir() else None
    errors = []
    for dry in (["--dry-run"], []):
        result = command("ok", *dry, out=folder)
        assert result.exit_code == 2, result.output
        assert told in result.stderr
        errors.append(result.stderr)
        assert (files(folder) if folder.is_dir() else None) == before
    assert errors[0] == errors[1]


def test_a_dry_run_beside_a_running_study_is_refused_as_a_second_one_is(command, tmp_path, monkeypatch):
    monkeypatch.setattr("optimlab.study.store.GRACE", 0.05)
    with Store(tmp_path / "out"):
        for dry in (["--dry-run"], []):
            result = command("ok", *dry)
            assert (result.exit_code, "another process is writing to" in result.stderr) == (2, True)
    assert command("ok", "--jobs", "2", "--dask", "tcp://127.0.0.1:1", "--dry-run").exit_code == 2


# --- the lines of runs.jsonl


@pytest.fixture(scope="module")
def finished_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    fates = dict(enumerate(("ok", "diverged", "error")))
    with planted(lambda run: fates[run.seed] if run.contender.name == "adam" else "ok"):
        compare(SMALL, folder)
    return folder


def readers(folder):
    """The scores that each consumer sees, or its error."""
    seen = {}

    def by(name, answer):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message=".*incomplete last line")
                seen[name] = answer()
        except ol.InputError as error:
            seen[name] = str(error)

    by("store", lambda: {key: r.val_score for key, r in Store(folder).records.items()})
    by("export", lambda: {row["key"]: row.get("val_score") for row in export(folder, folder / "runs.csv")})
    by("page", lambda: bool(read_comparison(folder).rows))
    return seen


def edits(line):
    """A line as an editor, a script or a disk may leave it."""
    record = json.loads(line)

    def written(change):
        return json.dumps({**record, **change}).encode()

    yield from (written({name: value}) for name in record for value in (None, "x", -1, {"a": 1}))
    yield from (json.dumps({k: v for k, v in record.items() if k != name}).encode() for name in record)
    yield from (line[: len(line) // 2], line[1:], b"{}", b"[]", b"null", b"7", b"NaN", b"\xff\xfe", b"[" * 50_000)
    yield line.replace(b'"val_score":0.9', b'"val_score":NaN')
    yield line.replace(b'"val_score":0.9', b'"val_score":1e999')
    yield line.replace(b'"lr":', b'"lr":1', 1)
    yield line.replace(b'"seed":', b'"seed":1', 1)


@pytest.mark.slow
def test_an_edited_line_is_named_by_its_number_or_gives_one_number_everywhere(finished_folder, tmp_path):
    """Every field of one line of each kind, one after another; no other exception, and all readers agree."""
    content = (finished_folder / "runs.jsonl").read_bytes()
    lines = content.splitlines()
    (tmp_path / "summary.json").write_bytes((finished_folder / "summary.json").read_bytes())
    statuses = [json.loads(line)["status"] for line in lines]
    named = same = 0
    for number in {statuses.index(status) for status in ("ok", "diverged", "error")}:
        for edited in edits(lines[number]):
            (tmp_path / "runs.jsonl").write_bytes(b"\n".join([*lines[:number], edited, *lines[number + 1 :], b""]))
            seen = readers(tmp_path)
            if isinstance(seen["store"], str):
                assert f"runs.jsonl, line {number + 1}: not a record of a run: " in seen["store"]
                assert set(seen.values()) == {seen["store"]}
                assert len(seen["store"].splitlines()) == 1
                named += 1
            else:
                assert seen["store"] == seen["export"]
                assert seen["page"] is True
                same += 1
    assert min(named, same) > 20, (named, same)


def test_of_two_lines_of_one_run_the_last_counts_everywhere(finished_folder, tmp_path):
    lines = (finished_folder / "runs.jsonl").read_bytes().splitlines()
    (tmp_path / "summary.json").write_bytes((finished_folder / "summary.json").read_bytes())
    again = [line.replace(b'"train_loss":[1.0,', b'"train_loss":[9.0,') for line in lines]
    (tmp_path / "runs.jsonl").write_bytes(b"\n".join([*again, *lines, b"", *lines[::2], b"  ", b""]))
    assert read_comparison(tmp_path).records == read_comparison(finished_folder).records
    assert len(export(tmp_path, tmp_path / "runs.csv")) == len(lines)
    with planted(lambda run: "error"):  # those that failed are tried again, no other
        compare(SMALL, tmp_path)
    assert len(Store(tmp_path).records) == len(lines)


def test_a_whole_last_line_without_its_end_is_kept(tmp_path):
    """An editor took the newline away: the run is not run again, and the next line does not run into it."""
    line = encoded(kept("a"))
    (tmp_path / "runs.jsonl").write_bytes(line)
    with Store(tmp_path) as store:
        assert len(store.records) == 1
        store.append([kept("b")])
    assert (tmp_path / "runs.jsonl").read_bytes().splitlines()[0] == line
    assert len(read(tmp_path)) == 2


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_loses_only_its_last_line(tmp_path_factory, finished_folder, data):
    content = (finished_folder / "runs.jsonl").read_bytes()
    folder = tmp_path_factory.mktemp("cut")
    cut = data.draw(st.integers(0, len(content)))
    (folder / "runs.jsonl").write_bytes(content[:cut])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*incomplete last line")
        found = list(read(folder))
    whole = content[:cut].count(b"\n")
    assert found == list(read(finished_folder))[: len(found)]
    assert len(found) in (whole, whole + 1)
    assert len(found) == whole or content[cut : cut + 1] == b"\n"
