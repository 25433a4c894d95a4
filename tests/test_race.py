"""The race: paths against formulas for one weight, the fairness of the tuning, the figures, the command."""

import io
import itertools
import json
import math
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.colors import to_rgb
from PIL import Image
from references import REFERENCES

import optimlab as ol
from optimlab.cli import main
from optimlab.common.errors import InputError
from optimlab.plotting.animation import frames, shown_steps, write_gif, write_mp4
from optimlab.plotting.comparison import PALETTE
from optimlab.plotting.race import race_figure
from optimlab.race import FUNCTIONS, Race, get, race, trajectories
from optimlab.race.run import RATES, TRIALS
from optimlab.race.words import conditions, sentence

# the gradients once more, in plain floats
GRADIENTS = {
    "rosenbrock": lambda x, y: (-2 * (1 - x) - 400 * x * (y - x**2), 200 * (y - x**2)),
    "saddle": lambda x, y: (x, -y),
    "himmelblau": lambda x, y: (
        4 * x * (x**2 + y - 11) + 2 * (x + y**2 - 7),
        2 * (x**2 + y - 11) + 4 * y * (x + y**2 - 7),
    ),
}


def scalar_path(formula, gradient, start, lr, steps, **settings):
    """A path by two formulas for one weight, one a coordinate, that ask for the gradient at the point they share."""
    point = list(start)

    def gradients(axis):
        while True:
            yield asked[axis]

    asked = gradient(*point)
    both = [formula(point[axis], gradients(axis), itertools.repeat(lr), **settings) for axis in (0, 1)]
    path = [tuple(point)]
    for _ in range(steps):
        asked = gradient(*point)
        point = [next(coordinate) for coordinate in both]
        path.append(tuple(point))
    return np.array(path)


@pytest.mark.parametrize("function", GRADIENTS)
@pytest.mark.parametrize(
    ("convention", "rule", "lr", "settings"),
    [
        ("textbook", "sgd", 1e-3, {}),
        ("textbook", "nesterov", 1e-3, {}),
        ("textbook", "adam", 0.05, {"eps": 1e-14}),
        ("textbook", "nadam", 0.05, {"eps": 1e-14}),
        ("torch", "momentum", 5e-4, {}),
        ("torch", "rmsprop", 0.01, {}),
        ("keras", "adamw", 0.05, {}),
    ],
)
def test_paths_equal_the_formula_for_one_weight(function, convention, rule, lr, settings):
    landscape = get(function)
    made = trajectories(landscape, rule, [lr / 2, lr], landscape.start, np.zeros((1, 60, 2)), convention=convention)
    expected = scalar_path(REFERENCES[convention][rule], GRADIENTS[function], landscape.start, lr, 60, **settings)
    np.testing.assert_allclose(made[1, 0], expected, rtol=1e-8, atol=1e-10)


def test_points_raced_together_do_not_touch_each_other():
    """A rate beside one that bursts, and a rule of whole tensors, which sees one point at a time."""
    noise = np.random.default_rng(0).standard_normal((3, 40, 2))
    for rule in ("adam", "lamb", "muon"):
        together = trajectories(get("rosenbrock"), rule, [1e-3, 1e200, 0.1], (-1.0, 2.0), noise)
        for k, lr in enumerate([1e-3, 1e200, 0.1]):
            for seed in range(3):
                alone = trajectories(get("rosenbrock"), rule, [lr], (-1.0, 2.0), noise[seed : seed + 1])
                np.testing.assert_array_equal(together[k, seed], alone[0, 0])


@pytest.fixture(scope="module")
def outcome():
    return race("rosenbrock", steps=60)


def test_every_optimizer_has_the_same_budget_and_the_same_start():
    budgets = set()
    for name in ("sgd", "adam", "lars"):
        asked = []

        def gradient(x, y, asked=asked):
            asked.append((x.shape, x[0].tolist()))
            return get("himmelblau").gradient(x, y)

        made = race(replace(get("himmelblau"), gradient=gradient), [name], steps=30)
        tuning, raced = asked[:30], asked[30:]
        assert {shape for shape, _ in tuning} == {(len(RATES), TRIALS)}
        assert {shape for shape, _ in raced} == {(1, 1)}
        assert raced[0][1] == [get("himmelblau").start[0]]
        budgets.add((len(tuning), len(raced), tuple(tuning[0][1])))  # the trials start where those of the others do
        assert made.rows()[0]["trials"] == len(RATES) * TRIALS
    assert len(budgets) == 1


def test_the_trials_start_close_by_and_not_all_at_one_point():
    seen = []

    def gradient(x, y):
        seen.append(np.stack([x[0], y[0]]))
        return get("beale").gradient(x, y)

    race(replace(get("beale"), gradient=gradient), ["sgd"], steps=1)
    offsets = np.abs(seen[0].T - get("beale").start)
    assert offsets.max() <= 0.02 * 9
    assert len(np.unique(offsets[:, 0])) == TRIALS


def test_the_chosen_rate_is_the_best_of_the_grid_by_its_definition():
    """SGD on the ill-conditioned valley, every trial done again in plain Python."""
    made = race("quadratic", ["sgd"], steps=40)
    starts = []

    def gradient(x, y):
        starts.append(np.stack([x[0], y[0]], axis=-1).tolist())
        return x, 50 * y

    race(replace(get("quadratic"), gradient=gradient), ["sgd"], steps=1)
    best = {}
    for lr in RATES:
        scores = []
        for x, y in starts[0]:
            first, logs, kept = (x * x + 50 * y * y) / 2, [], True
            for _ in range(41):
                gap = (x * x + 50 * y * y) / 2
                kept = kept and abs(x) <= 4 and abs(y) <= 3
                logs.append(math.log10(max(gap / first, 1e-10)))
                x, y = x - lr * x, y - lr * 50 * y
            scores.append(sum(logs) / 41 if kept else math.inf)
        best[lr] = sum(scores) / TRIALS
    np.testing.assert_allclose(made.racers[0].scores, list(best.values()), rtol=1e-9)
    assert made.racers[0].lr == min(best, key=best.get)
    assert sum(map(math.isinf, best.values())) > 3


def test_of_equal_scores_the_lower_rate_is_taken():
    made = race("saddle", ["sgd", "momentum"], steps=3, start=(1.0, 0.0), rates=[1e-300, 2e-300, 1e300])
    assert [racer.lr for racer in made.racers] == [1e-300, 1e-300]
    assert [row["optimizer"] for row in made.rows()] == ["sgd", "momentum"]


def test_the_seed_decides_everything_random():
    first, again, other = (race("noisy-valley", ["sgd", "adam"], steps=30, seed=s) for s in (1, 1, 2))
    assert first.record() == again.record()
    for one, same, different in zip(first.racers, again.racers, other.racers, strict=True):
        np.testing.assert_array_equal(one.paths, same.paths)
        assert (one.paths != different.paths).any()


def test_noise_is_fresh_in_the_race_and_the_same_for_all():
    steps = 25
    seen = {}

    def mine(w, g, *, lr=0.1):
        return w - lr * g

    made = race("noisy-valley", ["sgd", mine], steps=steps, lr={"sgd": 0.01, "mine": 0.01})
    np.testing.assert_array_equal(made.racers[0].paths, made.racers[1].paths)
    assert made.racers[0].paths.shape == (9, steps + 1, 2)
    landscape = get("noisy-valley")
    for seed, path in enumerate(made.racers[0].paths):
        slope = np.stack(landscape.gradient(*path[:-1].T), axis=-1)
        seen[seed] = (path[:-1] - path[1:]) / 0.01 - slope
    values = np.concatenate(list(seen.values()))
    assert abs(values.std() - landscape.noise) < 0.3
    assert len(np.unique(values[:, 0].round(9))) == len(values)
    from optimlab.race.run import _noise

    tuned_with = _noise(landscape, 0, 0, TRIALS, steps)
    assert not np.isclose(values[:, None], tuned_with.reshape(-1, 2)).all(axis=-1).any()


@pytest.mark.slow
def test_divergence_is_a_result(tmp_path):
    made = race("rosenbrock", ["sgd", "adam", "momentum"], steps=12, lr={"sgd": 10.0, "momentum": 1e300})
    rows = {row["optimizer"]: row for row in made.rows()}
    for name in ("sgd", "momentum"):
        assert rows[name]["diverged"] == 1
        assert rows[name]["final_value"] is None
        assert rows[name]["score"] is None
        assert not rows[name]["tuned"]
    assert made.rows()[0]["optimizer"] == "adam"
    json.dumps(made.record(), allow_nan=False)
    figure = race_figure(made)
    figure.savefig(tmp_path / "race.png")
    assert [panel.get_title() for panel in figure.axes[::2]] == ["sgd: diverged", "momentum: diverged"]
    assert [text.get_text() for text in figure.axes[-1].texts if "diverged" in text.get_text()] == [
        "sgd  lr 10 diverged",
        "momentum  lr 1e+300 diverged",
    ]
    assert len(frames(made)) == len(shown_steps(made))


def test_all_rates_may_diverge():
    made = race("rosenbrock", ["sgd"], steps=20, rates=[10.0, 100.0])
    assert made.racers[0].lr == 10.0
    assert made.rows()[0]["diverged"] == 1
    assert "none came within 0.1% of the start's gap. sgd, best by score, diverged" in sentence(made)
    race_figure(made).savefig(io.BytesIO())


def test_leaving_the_saddle_is_arriving():
    made = race("saddle", ["sgd", "momentum", "adam"])
    (x0, x1), (y0, y1) = made.landscape.bounds
    for racer in made.racers:
        inside = (racer.paths[0] >= (x0, y0)).all(axis=-1) & (racer.paths[0] <= (x1, y1)).all(axis=-1)
        first = int(np.argmin(inside))
        assert racer.reached == (first,)
        assert len(racer.path) == first + 1
        assert (racer.gaps[0, first:] == 0).all()
        strides = np.hypot(*np.diff(racer.path, axis=0).T)
        assert strides.max() < 0.06 * np.hypot(4, 4)  # 5% in every trial, which start close by
    steps = {row["optimizer"]: row["steps_to_tolerance"] for row in made.rows()}
    assert steps["adam"] < steps["sgd"]
    sideways = race("saddle", ["sgd"], steps=5, lr={"sgd": 30.0}, start=(1.0, 0.0))
    assert sideways.rows()[0]["diverged"] == 1  # it left, but uphill
    still = race("saddle", ["sgd"], steps=5, start=(0.0, 0.0))
    assert "none came away from the saddle" in sentence(still)


def test_the_rows_say_what_the_paths_do(outcome):
    assert isinstance(outcome, Race)
    first = 24.2  # (1 + 1.2)^2 + 100 (1 - 1.44)^2
    for row, racer in ((r, x) for r in outcome.rows() for x in outcome.racers if x.name == r["optimizer"]):
        values = [(1 - x) ** 2 + 100 * (y - x * x) ** 2 for x, y in racer.paths[0]]
        assert values[0] == pytest.approx(first)
        assert row["final_value"] == pytest.approx(values[-1])
        assert row["final_point"] == racer.paths[0, -1].tolist()
        reached = [k for k, value in enumerate(values) if value <= 1e-3 * first]
        assert row["steps_to_tolerance"] == (reached[0] if reached else None)
    scores = [row["score"] for row in outcome.rows()]
    assert scores == sorted(scores)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": "rosenbrok"}, "unknown function 'rosenbrok'; did you mean 'rosenbrock'"),
        ({"names": []}, "name at least one optimizer"),
        ({"names": ["sgd", "sgd"]}, "named twice"),
        ({"names": ["adan"], "convention": "torch"}, "has no rule 'adan'"),
        ({"names": ["lamb"], "convention": "keras"}, "lamb is the same in every convention"),
        ({"names": [lambda w, g: w - g]}, "<lambda> has no learning rate lr to tune"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"steps": 10**9}, "steps must be at most 20,000"),
        ({"start": (9.0, 0.0)}, r"lies outside the bounds of rosenbrock: x from -2 to 2, y from -1 to 3"),
        ({"start": (math.nan, 0.0)}, "the start's x must be a finite number"),
        ({"start": (1.0,)}, "a start has two coordinates, got 1"),
        ({"start": (1.0, 1.0)}, "is already a minimum of"),
        ({"lr": {"adam": -1.0}}, "the learning rate of adam must be a positive number"),
        ({"lr": {"lion": 1.0}}, "unknown optimizer in the race 'lion'"),
        ({"rates": [0.1, 0.1]}, "must rise"),
        ({"rates": []}, "must rise, and there must be at least one"),
        ({"tolerance": 0.0}, "tolerance must lie in"),
        ({"seed": -1}, "seed must be a finite number of at least 0"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        race(**arguments)


@pytest.mark.quick("saddle")
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_figure_of_every_function(function):
    """Without a warning; every optimizer has a map with its name and outcome, and a labelled curve."""
    names = ("sgd", "momentum", "adam")
    made = race(function, names, steps=40)
    figure = race_figure(made)
    figure.savefig(io.BytesIO(), dpi=40)
    *maps, beside = figure.axes
    for panel, name, racer in zip(maps, names, made.racers, strict=True):
        assert panel.get_title().startswith(f"{name}: ")
        drawn = [line.get_xydata() for line in panel.lines]
        assert any(points.shape == racer.path.shape and (points == racer.path).all() for points in drawn)
        (x0, x1), (y0, y1) = panel.get_xlim(), panel.get_ylim()
        (low_x, high_x), (low_y, high_y) = made.landscape.bounds
        assert low_x <= x0 < x1 <= high_x
        assert low_y <= y0 < y1 <= high_y
        assert (x1 - x0) / (high_x - low_x) == pytest.approx((y1 - y0) / (high_y - low_y))
        for x, y in (made.start, *made.landscape.minima):
            assert x0 <= x <= x1
            assert y0 <= y <= y1
        stars = [line for line in panel.lines if line.get_marker() == "*"]
        assert len(stars) == len(made.landscape.minima)
    assert [sum(t.get_text().startswith(f"{name}  lr") for t in beside.texts) for name in names] == [1, 1, 1]
    written = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert sentence(made) in written
    assert "the best of the same 29" in written


@pytest.mark.slow
def test_labels_of_nine_curves_do_not_overlap_and_fit():
    names = ("sgd", "schedule_free_adamw", "nesterov", "adagrad", "rmsprop", "adam", "adamax", "nadam", "amsgrad")
    figure = race_figure(race("rosenbrock", names, steps=40))
    figure.savefig(io.BytesIO(), dpi=72)
    boxes = [text.get_window_extent() for text in figure.axes[-1].texts]
    heights = sorted((box.y0 + box.y1) / 2 for box in boxes)
    assert len(boxes) == 9
    assert np.diff(heights).min() > 9  # points, at this resolution the size of the letters
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


@pytest.mark.slow
def test_the_animation_is_a_gif_and_a_film(tmp_path):
    made = race("rosenbrock", steps=15)
    pictures, steps = frames(made), shown_steps(made)
    assert len(pictures) == len(steps)
    assert (steps[0], steps[-1]) == (0, 15)
    assert all((a != b).any() for a, b in itertools.pairwise(pictures))
    write_gif(pictures, tmp_path / "race.gif")
    with Image.open(tmp_path / "race.gif") as gif:
        assert gif.n_frames == len(steps)
        gif.seek(gif.n_frames - 1)
        last = np.asarray(gif.convert("RGB")).reshape(-1, 3)
    colours = {tuple(c) for c in np.unique(last, axis=0).tolist()}
    for colour in PALETTE:  # pure, not a mixture of neighbours
        assert tuple(round(255 * part) for part in to_rgb(colour)) in colours
    assert (tmp_path / "race.gif").stat().st_size < 1_000_000
    filmed = write_mp4(pictures[:5], tmp_path / "race.mp4")
    assert filmed == (shutil.which("ffmpeg") is not None)
    assert not filmed or (tmp_path / "race.mp4").read_bytes()[4:8] == b"ftyp"


def test_without_ffmpeg_there_is_no_film(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    picture = np.zeros((20, 20, 3), np.uint8)
    assert not write_mp4([picture], tmp_path / "race.mp4")
    assert not (tmp_path / "race.mp4").exists()
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho no such codec >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(InputError, match=r"ffmpeg cannot make .*race\.mp4: no such codec"):
        write_mp4([picture], tmp_path / "race.mp4")


def run(*arguments):
    return CliRunner().invoke(main, ["race", *map(str, arguments)])


@pytest.fixture(scope="module")
def finished():
    with tempfile.TemporaryDirectory() as folder:
        arguments = ("--function", "beale", "--optimizers", "sgd, adam", "--steps", 30, "--lr", "sgd=0.01", "--no-gif")
        yield Path(folder), run(*arguments, "--out", folder), run(*arguments, "--out", folder, "--json")


@pytest.mark.slow
def test_the_command_prints_a_table_and_leaves_the_figure(finished):
    folder, result, _ = finished
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    rows = [line for line in result.stdout.splitlines() if line.startswith(("sgd ", "adam "))]
    assert len(rows) == 2
    assert max(map(len, rows)) <= 80
    assert "0.01*" in result.stdout
    assert "* given, not tuned" in result.stdout
    assert {p.name for p in folder.iterdir()} == {"beale.json", "beale.png", "beale.svg"}


def test_the_command_prints_json(finished):
    folder, _, result = finished
    printed = json.loads(result.stdout)
    assert {row["optimizer"]: row["lr"] for row in printed["optimizers"]}["sgd"] == 0.01
    kept = json.loads((folder / "beale.json").read_text())
    assert kept["optimizers"] == printed["optimizers"]
    assert len(kept["runs"]["adam"]["path"]) == 31
    assert len(kept["runs"]["adam"]["scores"]) == len(RATES)


@pytest.mark.slow
def test_the_command_leaves_an_animation(tmp_path):
    result = run("--function", "saddle", "--optimizers", "sgd", "--steps", 15, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    films = {"saddle.mp4"} if shutil.which("ffmpeg") else set()
    assert {p.name for p in tmp_path.iterdir()} == {f"saddle.{k}" for k in ("json", "png", "svg", "gif")} | films


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--function", "rosenbrok"], "unknown function 'rosenbrok'; did you mean 'rosenbrock'"),
        (["--optimizers", "adamm"], "unknown optimizer 'adamm'; did you mean 'adam'"),
        (["--optimizers", ","], "name at least one optimizer"),
        (["--optimizers", "adam:jax"], "unknown convention 'jax'"),
        (["--optimizers", "none.py:rule"], "there is no file none.py"),
        (["--optimizers", f"{__file__}:rule_of_mine"], "has no function 'rule_of_mine'"),
        (["--optimizers", __file__], "write your own rule as FILE.py:NAME"),
        (["--convention", "jax"], "unknown convention 'jax'"),
        (["--steps", "0"], "steps must be a whole number of at least 1, got 0"),
        (["--steps", "few"], "'few' is not a valid integer"),
        (["--start", "5,5"], "lies outside the bounds"),
        (["--start", "nan,0"], "must be a finite number"),
        (["--start", "0"], "a start has two coordinates"),
        (["--start", "here"], "expected numbers separated by commas"),
        (["--lr", "adam"], "--lr takes NAME=NUMBER, such as adam=0.1; got 'adam'"),
        (["--lr", "adam=inf"], "the learning rate of adam must be a positive number"),
        (["--tolerance", "2"], "tolerance must lie in"),
        (["--colour", "red"], "No such option"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(arguments, message, tmp_path):
    result = run(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("kept")
    for extra in ([], ["--playground"]):
        result = run("--optimizers", "sgd", "--steps", 2, "--out", tmp_path / "file" / "below", *extra)
        assert result.exit_code == 2
        assert result.stderr.startswith("optimlab: cannot write to the output folder")
    assert (tmp_path / "file").read_text() == "kept"


def test_the_playground_is_written(tmp_path):
    result = run("--playground", "--out", tmp_path / "new")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "new" / "playground.html").read_text().startswith("<!doctype html>")


def test_a_rule_of_your_own_races():
    def lazy(w, g, *, lr=0.1):
        return w - 0 * lr * g

    made = race("himmelblau", [lazy, "sgd"], steps=20)
    assert [row["optimizer"] for row in made.rows()] == ["sgd", "lazy"]
    assert ol.optimizers.CLASSIC[0] == "sgd"


def test_optimizers_are_named_as_for_a_comparison(tmp_path, without_figures):
    """In a convention, and from a file of the user's."""
    path = tmp_path / "my rules.py"
    path.write_text("def mine(w, g, *, lr=0.1):\n    return w - lr * g\n")
    result = run("--optimizers", f"sgd, adam:torch, adam:keras, {path}:mine", "--steps", 20, "--no-gif", "--json",
                 "--lr", "adam:torch=0.01", "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 0, result.output
    rows = {row["optimizer"]: row for row in json.loads(result.stdout)["optimizers"]}
    assert set(rows) == {"sgd", "adam:torch", "adam:keras", "mine"}
    assert rows["adam:torch"]["lr"] == 0.01
    assert {**rows["mine"], "optimizer": "sgd"} == rows["sgd"]
    noise = np.zeros((1, 20, 2))
    for convention in ("torch", "keras"):
        both = [
            trajectories(get("beale"), name, [0.1], (1.0, 1.5), noise, convention=other)
            for name, other in ((f"adam:{convention}", "textbook"), ("adam", convention))
        ]
        np.testing.assert_array_equal(*both)
    told = race("beale", ["adam:torch"], steps=2, lr={"adam:torch": 0.1})
    assert "textbook convention where no other is named" in conditions(told)


def test_a_schedule_races_as_the_same_schedule_given_by_hand():
    """Its peak is the rate of the grid, its lengths are shares of the steps or steps."""
    schedules, steps = ol.schedules, 40
    by_hand = {
        "sgd(schedule=cosine, warmup=0.1)": schedules.Warmup(schedules.CosineAnnealing(0.01, 36, per="step"), 4),
        "sgd(schedule=one_cycle)": schedules.OneCycle(0.01, steps),
        "sgd(schedule=step(step_size=10, gamma=0.5))": schedules.StepLR(0.01, 10, 0.5, per="step"),
    }
    for text, schedule in by_hand.items():
        found = trajectories(get("beale"), text, [0.01], (1.0, 1.5), np.zeros((1, steps, 2)))[0, 0]
        at, expected = np.array([1.0, 1.5]), [np.array([1.0, 1.5])]
        for k in range(steps):
            at = at - schedule(k) * np.array(get("beale").gradient(*at))
            expected.append(at)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_hyperparameters_race_as_the_same_ones_given_by_hand():
    noise = np.zeros((1, 40, 2))
    found = trajectories(get("beale"), "momentum(beta=0.5)", [0.01], (1.0, 1.5), noise)

    def halved(w, g, m, *, lr=0.01, beta=0.5):
        return ol.rules.textbook.momentum(w, g, m, lr=lr, beta=beta)

    np.testing.assert_array_equal(found, trajectories(get("beale"), halved, [0.01], (1.0, 1.5), noise))
    follows = trajectories(get("beale"), "momentum(beta=linear(0.5, end=1))", [0.01], (1.0, 1.5), noise)
    np.testing.assert_allclose(found, follows)


@pytest.mark.slow
def test_a_rule_of_whole_tensors_races_with_a_schedule(tmp_path):
    (tmp_path / "mine.py").write_text(
        "import numpy as np\nimport optimlab as ol\n@ol.rules.LayerRule\n"
        "def normed(w, g, *, lr=0.01):\n    return w - lr * g / np.linalg.norm(g)\n"
    )
    text = f"{tmp_path / 'mine.py'}:normed(schedule=linear)"
    result = run("--optimizers", f"sgd, {text}", "--steps", 20, "--no-gif", "--json", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert {row["optimizer"] for row in json.loads(result.stdout)["optimizers"]} == {"sgd", "normed (linear)"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sgd(schedule=plateau)", "a plateau follows the validation loss, but a race has none"),
        ("adam(beta1={0.5, 0.9})", "a race tunes only the learning rate; give beta1 one value"),
        ("sgd(schedule=cosine(warmup=300))", "the warm-up of .*, 300 steps, is as long as the run, 200 steps"),
        ("sgd(schedule=cosin)", "did you mean 'cosine'"),
    ],
)
def test_what_a_race_cannot_follow_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        race("beale", [text])


def test_muon_walks_along_the_gradient_of_a_point():
    """A point is a matrix of one column, whose orthogonal factor is its direction."""
    at = np.array([3.0, 0.06])  # the gradient is (3, 3)
    for lr in (0.1, 0.2):
        ended = trajectories(get("quadratic"), "muon", [lr], at, np.zeros((1, 1, 2)))[0, 0, 1]
        along, across = (at - ended) / lr
        assert along == pytest.approx(across)
        assert 0.65 < np.hypot(along, across) < 1.25  # Newton and Schulz stop short of one
