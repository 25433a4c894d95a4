"""Output in notebooks and at the prompt: figures, short texts, HTML forms, lines of a run, and a progress line."""

import io
import math
import sys
import types
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_comparisons import made_comparison

import optimlab as ol
from optimlab.common import progress, views
from optimlab.common.markup import sparkline, tag
from optimlab.common.tables import Column, Table
from optimlab.race import race
from optimlab.study import Problem, Study
from optimlab.training import History

VOID = ("meta", "br", "img", "input")


class Balanced(HTMLParser):
    """Checks that every element is closed, and collects the texts and the names of the elements."""

    def __init__(self):
        super().__init__()
        self.open, self.texts, self.names = [], [], []

    def handle_starttag(self, name, attributes):
        self.names.append(name)
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, text):
        self.texts.append(text)


def read(content):
    parser = Balanced()
    parser.feed(content)
    parser.close()
    assert not parser.open
    return parser


def blobs(rows=200, regression=False):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 4))
    y = x[:, 0] * 2.0 if regression else (x[:, 0] > 0).astype(int)
    half = rows // 2
    return ol.Dataset(x[:half], y[:half], x[half:], y[half:], classes=() if regression else ("no", "yes"))


def trained(epochs=4, regression=False, **options):
    net = ol.MLP([4, 9, 1], seed=0)
    return net, ol.fit(net, ol.SGD(net.parameters, lr=0.05), blobs(regression=regression), epochs=epochs, **options)


# ------------------------------------------------------------------------------------------------------------ markup


def test_every_text_is_escaped_and_html_is_not_escaped_twice():
    evil = '<script>alert("x")</script>'
    made = tag("p", evil, tag("b", evil), title=evil)
    assert read(made).names == ["p", "b"]
    assert "".join(read(made).texts) == 2 * evil
    table = Table([Column(evil, "name"), Column("x")], [[evil, "1"]], evil, evil)._repr_html_()
    assert "script" not in read(table).names
    assert read(table).texts.count(evil) == 4


def test_a_table_shows_itself_at_a_prompt_and_in_a_notebook():
    table = Table([Column("name", "name"), Column("two\nlines")], [["adam", "1"], ["sgd", "2"]])
    assert repr(table) == str(table)
    found = read(table._repr_html_())
    assert found.texts == ["name", "two lines", "adam", "1", "sgd", "2"]
    assert 'scope="row"' in table._repr_html_()


def test_the_text_of_a_table_leaves_no_empty_output_in_a_notebook(monkeypatch):
    shown = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda *segments: shown.append(segments))
    table = Table([Column("name", "name"), Column("number")], [["a", "1"]])
    assert "a" in str(table)
    assert not shown


@pytest.mark.parametrize("values", [[1.0, 1.0], [0.0, 1e300], [-1e308, 1e308], list(range(5000))])
def test_a_sparkline_stays_inside_its_drawing(values):
    drawn = sparkline(values, "loss")
    points = [tuple(map(float, p.split(","))) for p in drawn.split('points="')[1].split('"')[0].split()]
    assert 2 <= len(points) <= 201
    assert (points[0][0], points[-1][0]) == (0, 100)
    assert all(0 <= x <= 100 and 0 <= y <= 24 for x, y in points)


# ------------------------------------------------------------------------------------------------------------ views


@pytest.mark.parametrize("name", views.VIEWS)
def test_every_view_has_its_function(name):
    module, _, function = views.VIEWS[name].partition(":")
    assert callable(getattr(__import__(module, fromlist=[function]), function))


def test_an_unknown_view_is_refused():
    with pytest.raises(ol.InputError, match="unknown view 'history figur'; did you mean 'history figure'"):
        views.view("history figur")


# ----------------------------------------------------------------------------------------------------------- history


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_a_history_draws_its_curves_with_names_and_the_best_epoch():
    _, history = trained(12)
    figure = history.plot()
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss, mean of the rows", "accuracy", "learning rate"]
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch"] * 3
    assert sorted(texts(figure)) == ["training", "training", "validation", "validation"]
    value, epoch = history.best("val_loss")
    assert value == min(history.val_loss) == history.val_loss[epoch - 1]
    ring = figure.axes[0].lines[0]
    assert (ring.get_xdata()[0], ring.get_ydata()[0]) == (epoch, value)
    assert f"best at epoch {epoch}" in figure.axes[0].get_title()
    drawn = [line.get_ydata() for line in figure.axes[1].lines]
    assert any(np.array_equal(line, history.train_accuracy) for line in drawn)
    assert any(np.array_equal(line, history.val_accuracy) for line in drawn)


def test_a_history_of_a_regression_draws_r2():
    _, history = trained(3, regression=True)
    assert [axes.get_ylabel() for axes in history.plot().axes] == ["loss, mean of the rows", "R²", "learning rate"]
    assert history.best("val_r2")[0] == max(history.val_r2)


@pytest.mark.quick("lists0")
@pytest.mark.parametrize(
    "lists",
    [
        {"train_loss": [0.5]},
        {"train_loss": [0.5, 0.0], "lr": [0.0, 0.0]},
        {"train_loss": [1e30, 1e-30], "train_accuracy": [0.0, 1.0], "val_loss": [1.0, 2.0], "val_accuracy": [0.5, 0.5]},
        {"train_loss": [0.5] * 3, "penalty": [0.0, 0.1, 0.1], "val_loss": [0.0, 0.1, 50.0], "lr": [1e-5, 1.0, 1e-5]},
    ],
)
def test_odd_histories_are_drawn(lists):
    history = History(**lists)
    history.plot().savefig(io.BytesIO())
    read(history._repr_html_())


def test_a_history_without_an_epoch_says_so():
    empty = History(status="diverged", steps=3, diverged_step=3)
    with pytest.raises(ol.InputError, match="the run diverged at step 3, after 0 epochs"):
        empty.plot()
    assert read(empty._repr_html_()).texts == ["Run diverged at step 3, after 0 epochs, 3 steps."]
    with pytest.raises(ol.InputError, match="no val_loss"):
        empty.best("val_loss")
    with pytest.raises(ol.InputError, match="unknown measure 'val_los'"):
        empty.best("val_los")


def test_the_html_of_a_history_has_last_and_best():
    _, history = trained(5)
    found = read(history._repr_html_())
    row = found.texts[found.texts.index("val_loss") :]
    value, epoch = history.best("val_loss")
    assert row[1:4] == [f"{history.val_loss[-1]:.4g}", f"{value:.4g}", f"{epoch}"]
    assert found.names.count("svg") == 5  # two measures on two splits, and the rate


# ------------------------------------------------------------------------------------------------------- print_every


def test_every_so_many_epochs_a_line_is_printed_and_the_last_one(capsys):
    _, history = trained(7, print_every=3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  loss")[0] for line in lines] == ["epoch 3/7", "epoch 6/7", "epoch 7/7"]
    assert lines[-1] == history.line(7)
    assert f"val_acc {history.val_accuracy[-1]:.4f}" in lines[-1]
    assert max(map(len, lines)) <= 80
    assert lines[-1].endswith("lr 0.05")


def test_lines_of_a_run_that_ends_early_say_how(capsys):
    trained(9, print_every=5, callbacks=[lambda net, opt, history: history.epochs == 2])
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("epoch 2/9")
    assert last == "stopped after 2 epochs"
    data, net = blobs(regression=True), ol.MLP([4, 1], seed=0)
    history = ol.fit(net, ol.SGD(net.parameters, lr=1e30), data, epochs=3, batch_size=30, print_every=1)
    assert history.status == "diverged"
    assert capsys.readouterr().out.splitlines()[-1] == history.ending()


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "1"])
def test_print_every_is_a_whole_number(wrong):
    with pytest.raises(ol.InputError, match="print_every must be a whole number of at least 1"):
        trained(1, print_every=wrong)


def test_nothing_is_printed_unasked(capsys):
    trained(2)
    assert capsys.readouterr() == ("", "")


# ------------------------------------------------------------------------------------------------------ progress line


@contextmanager
def kernel(monkeypatch, seconds=1.0):
    """A kernel as far as it matters here: a shell, and a display that remembers. Each look at the clock takes time."""
    shown = []

    class Handle:
        def update(self, content, raw):
            assert raw
            shown.append(content)

    def display(content, raw, display_id):
        assert (raw, display_id, shown) == (True, True, [])
        shown.append(content)
        return Handle()

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    screen = types.ModuleType("IPython.display")
    screen.display = display
    clock = iter(np.arange(0, 1e6, seconds))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "IPython", ipython)
        patch.setitem(sys.modules, "IPython.display", screen)
        patch.setattr(progress, "time", types.SimpleNamespace(monotonic=lambda: float(next(clock))))
        yield shown


def test_a_notebook_has_one_line_that_is_replaced(monkeypatch, capsys):
    with kernel(monkeypatch) as shown, progress.progress_bar("training <b>", 2) as advance:
        advance("loss 0.5")
        advance("loss 0.25")
    assert [one["text/plain"] for one in shown] == [
        "training <b>: 1 of 2  loss 0.5",
        "training <b>: 2 of 2  loss 0.25",
        "training <b>: 2 of 2 in 3.0 s  loss 0.25",
    ]
    assert ["progress" in read(one["text/html"]).names for one in shown] == [True, True, False]
    assert all('<div data-progress="training &lt;b&gt;">' in one["text/html"] for one in shown)  # the site hides it
    assert "b" not in read(shown[0]["text/html"]).names
    assert capsys.readouterr() == ("", "")


@pytest.mark.slow
def test_a_short_run_and_a_silent_one_leave_nothing_in_a_notebook(monkeypatch):
    with kernel(monkeypatch, seconds=0.01) as shown:
        trained(3)
    assert shown == []
    with kernel(monkeypatch) as shown:
        trained(3, progress=False)
    assert shown == []


def test_a_line_is_not_replaced_more_often_than_one_can_see(monkeypatch):
    with kernel(monkeypatch, seconds=0.02) as shown, progress.progress_bar("training", 1000) as advance:
        for _ in range(1000):
            advance("")
    assert 100 < len(shown) < 300


def test_an_error_ends_the_line_and_goes_on(monkeypatch):
    def fail():
        with progress.progress_bar("training", 2) as advance:
            advance("")
            raise ZeroDivisionError

    with kernel(monkeypatch) as shown, pytest.raises(ZeroDivisionError):
        fail()
    assert shown[-1]["text/plain"].startswith("training: 1 of 2 in")


def test_a_download_shows_megabytes_in_a_notebook(monkeypatch):
    with kernel(monkeypatch) as shown, progress.download_bar("mnist") as show:
        show(1_500_000, None)
        show(1_500_000, 3_000_000)
    assert [one["text/plain"] for one in shown[:2]] == ["mnist: 1.5 MB", "mnist: 1.5 of 3.0 MB"]
    assert 'value="1500000" max="3000000"' in shown[1]["text/html"]


def test_a_terminal_shell_of_ipython_is_no_notebook(monkeypatch):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert not progress.in_notebook()


@pytest.mark.slow
def test_a_figure_made_without_pyplot_is_drawn_in_a_notebook(monkeypatch):
    from matplotlib.figure import Figure

    from optimlab.plotting import notebooks

    drawn, printers = trained(2)[1].plot(), {}
    formatter = types.SimpleNamespace(type_printers=printers, for_type=printers.__setitem__)
    shell = types.SimpleNamespace(
        kernel=object(), display_formatter=types.SimpleNamespace(formatters={"image/png": formatter})
    )
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    notebooks.show_figures()
    content, size = printers[Figure](drawn)
    assert content.startswith(b"\x89PNG")
    assert size["width"] > size["height"]
    printers[Figure] = "pyplot's"
    notebooks.show_figures()
    assert printers[Figure] == "pyplot's"


# ------------------------------------------------------------------------------------------------------- diagnostics


def test_diagnostics_are_drawn_and_short():
    watch = ol.Diagnostics(every=2)
    _, history = trained(6, callbacks=[watch], batch_size=10)
    assert watch.gaps == pytest.approx(np.subtract(history.train_accuracy, history.val_accuracy))
    assert watch.gap == watch.gaps[-1]
    figure = watch.plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["step", "step", "epoch"]
    assert sorted(texts(figure)) == ["activation1", "dense1", "dense2"]
    lines = figure.axes[0].lines
    assert list(lines[0].get_ydata()) == [1e-3, 1e-3]
    assert list(lines[1].get_ydata()) == [m.update_ratio["dense1.W"] for m in watch.measurements]
    assert list(figure.axes[2].lines[1].get_ydata()) == pytest.approx([100 * gap for gap in watch.gaps])
    assert len(repr(watch)) < 600
    assert watch.verdict().splitlines()[0] in repr(watch)
    found = read(watch._repr_html_())
    assert {"dense1", "dense2", "activation1"} <= set(found.texts)


@pytest.mark.quick("1e+18")
@pytest.mark.parametrize("lr", [0.0, 100.0, 1e18])
def test_diagnostics_of_runs_that_go_wrong_are_drawn(lr):
    net, watch = ol.MLP([4, 9, 1], seed=0), ol.Diagnostics(every=2)
    ol.fit(net, ol.SGD(net.parameters, lr=lr), blobs(regression=True), epochs=2, batch_size=10, callbacks=[watch])
    for worst in (0.0, math.inf, math.nan):
        for m in watch.measurements[-1:]:
            m.update_ratio["dense2.W"] = worst
        if watch.measurements:
            watch.plot().savefig(io.BytesIO(), dpi=40)
        read(watch._repr_html_())
    net.parameters.data[:5] = math.nan
    net.plot_weights(shape=(2, 2)).savefig(io.BytesIO(), dpi=40)


def test_diagnostics_of_a_network_that_is_not_trained_say_so():
    net, watch = ol.MLP([4, 1], seed=0), ol.Diagnostics(every=2)
    net.parameters.freeze("dense1")
    ol.fit(net, ol.SGD(net.parameters), blobs(regression=True), epochs=1, batch_size=10, callbacks=[watch])
    with pytest.raises(ol.InputError, match="there is nothing to draw: no weight is trained"):
        watch.plot()


@pytest.mark.slow
def test_diagnostics_of_a_regression_and_of_too_short_a_run():
    watch = ol.Diagnostics(every=2)
    trained(2, regression=True, callbacks=[watch], batch_size=10)
    assert [axes.get_xlabel() for axes in watch.plot().axes] == ["step", "step"]
    watch = ol.Diagnostics(every=500)
    trained(1, callbacks=[watch])
    with pytest.raises(ol.InputError, match="shorter than 500 steps"):
        watch.plot()
    assert "nothing was measured" in repr(watch)
    assert read(watch._repr_html_()).texts == ["nothing was measured"]


# ----------------------------------------------------------------------------------------------------------- network


def test_a_network_is_summarized():
    net = ol.MLP([4, 9, 1], batch_norm=True, dropout=0.5)
    net.parameters.freeze("dense1")
    table = net.summary()
    assert [row[0] for row in table.rows] == [layer.name for layer in net.layers]
    assert sum(int(row[-1].replace(",", "")) for row in table.rows) == net.parameters.data.size
    assert ["frozen" in row[2] for row in table.rows] == [True, False, False, False, False]
    assert "dense1" in read(net._repr_html_()).texts


def test_weights_are_drawn_as_images_unit_by_unit():
    net = ol.MLP([6, 5, 2], seed=0)
    picture = net.plot_weights(shape=(2, 3)).axes[0].images[0].get_array().filled(np.nan)
    weights = net.parameters["dense1.W"].data
    assert np.array_equal(picture[:2, :3], weights[:, 0].reshape(2, 3))
    assert np.array_equal(picture[:2, 4:7], weights[:, 1].reshape(2, 3))
    assert np.array_equal(np.sort(picture[np.isfinite(picture)]), np.sort(weights, axis=None))
    assert "2 of 5 units" in net.plot_weights(shape=(2, 3), most=2).get_suptitle()
    assert "2 units" in net.plot_weights("dense2", shape=(1, 5)).get_suptitle()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"the 6 inputs of dense1 make no square image: write shape=\(rows, columns\)"),
        ({"shape": (2, 2)}, "product is 6"),
        ({"shape": (6,)}, "product is 6"),
        ({"shape": (2, -3)}, "at least 1"),
        ({"layer": "dense3", "shape": (2, 3)}, "unknown Dense layer 'dense3'"),
        ({"shape": (2, 3), "most": 0}, "most must be a whole number"),
    ],
)
def test_weights_that_are_no_images_are_refused(arguments, message):
    with pytest.raises(ol.InputError, match=message):
        ol.MLP([6, 5, 2]).plot_weights(**arguments)


# ----------------------------------------------------------------------------------------------------------- results


def comparison(label="", **fates):
    """``fates``: what becomes of an optimizer's runs; its score rises with the trial."""
    study = Study(Problem(epochs=4), ("sgd", "adam", "lion"), replicates=3, label=label)
    return made_comparison(
        study, lambda name, kind, r, k: {"fate": fates.get(name, "ok"), "score": 0.9 + 0.002 * k + 0.001 * r}
    )


@pytest.mark.quick("fates0")
@pytest.mark.parametrize("fates", [{}, {"adam": "error"}, {"sgd": "diverged", "lion": "diverged at once"}])
def test_a_comparison_is_short_at_a_prompt_and_a_table_in_a_notebook(fates):
    made = comparison("<b>mine</b>", **fates)
    assert len(repr(made)) < 1500
    assert made.verdict[0] in repr(made)
    assert all(len(repr(one)) < 300 for one in (made.summary, *made.rows, *made.records.values()))
    found = read(made._repr_html_())
    assert {"sgd", "adam", "lion", *made.verdict} <= set(found.texts)
    assert "b" not in found.names
    for what in ("score", "loss", "sensitivity"):
        made.plot(what).savefig(io.BytesIO(), dpi=40)


def test_a_comparison_draws_what_it_has():
    with pytest.raises(ol.InputError, match="unknown figure 'acuracy'"):
        comparison().plot("acuracy")


def test_a_race_is_a_sentence_a_table_and_a_map():
    made = race("quadratic", ["sgd", "momentum"], steps=60)
    assert len(repr(made)) < 200
    assert "momentum took" in repr(made)
    assert len(repr(made.racers[0])) < 100
    assert {"sgd", "momentum"} <= set(read(made._repr_html_()).texts)
    assert [text for text in (axes.get_title() for axes in made.plot().axes) if "steps" in text]


def test_a_preview_is_short_and_has_a_table():
    made = ol.preview(ol.schedules.StepLR(0.1, 30), 100)
    assert repr(made).endswith("100 epochs, lr from 0.1 to 0.0001, 3 abrupt changes>")
    assert read(made._repr_html_()).texts.count("jump") == 3
    assert "lowest 0.5, highest 2" in repr(ol.preview(lambda k: [1.0, 0.5, 2.0, 1.0][k], 4))
    assert made.plot().axes


def test_a_range_of_rates_is_short():
    net = ol.MLP([4, 9, 1], seed=0)
    found = ol.find_lr(net, ol.SGD(net.parameters), blobs(), high=1e4)
    assert len(repr(found)) < 150
    assert f"suggestion {found.suggestion:.2g}" in repr(found)
    assert "svg" in read(found._repr_html_()).names
    empty = type(found)((), (), (), None, 1e-6)
    assert repr(empty) == "<LearningRateRange: 0 steps, no suggestion, diverged at 1e-06>"
    read(empty._repr_html_())


def test_an_optimizer_and_a_data_set_are_tables_in_a_notebook():
    net = ol.MLP([4, 1])
    opt = ol.AdamW(net.parameters, lr=ol.schedules.StepLR(0.1, 5), groups={"biases": {"weight_decay": 0.0}})
    found = read(opt._repr_html_())
    assert {"lr", "beta1", "beta2", "eps", "weight_decay", "of biases"} <= set(found.texts)
    assert read(ol.Optimizer(net.parameters, lambda w, g, *, lr=0.1: w - lr * g)._repr_html_()).names
    found = read(blobs()._repr_html_())
    assert found.texts[-1] == "2 classes: no, yes"
    assert "training" in found.texts
    assert "test" not in found.texts


def test_an_explanation_shows_itself_at_a_prompt():
    for told in (
        ol.explain("adam"),
        ol.explain("relu"),
        ol.explain("mean_squared_error"),
        ol.first_parting("adam", "textbook", "keras"),
    ):
        assert repr(told) == str(told)


def test_the_page_on_notebooks_runs():
    page = (Path(__file__).parents[1] / "docs" / "notebooks.md").read_text()
    names = {}
    for block in page.split("```python\n")[1:]:
        exec(compile(block.split("```")[0], "docs/notebooks.md", "exec"), names)
    error = page.split("InputError: ")[1].splitlines()[0]
    with pytest.raises(ol.InputError) as caught:
        ol.Adam(names["net"].parameters, learning_rate=0.01)
    assert str(caught.value) == error
