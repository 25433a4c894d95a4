"""Studies from TOML files: what they say, and errors told by line and key."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

import optimlab as ol
from optimlab.cli import main
from optimlab.study import PROBLEMS, Problem, read_study
from optimlab.study.plan import FULL


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


FILE = """\
optimizers = ["sgd", "adam:torch"]
rates = [0.001, 0.1, 1]
replicates = 3

[problem]
hidden = [32, 16]
epochs = 4
batch_norm = true

[[contenders]]
name = "adam"
label = "long memory"
hyperparameters = { beta2 = 0.9999 }
"""


def written(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


def test_a_study_file_says_everything(tmp_path):
    (study,) = read_study(written(tmp_path, FILE)).values()
    assert study.problem == Problem(hidden=(32, 16), epochs=4, batch_norm=True)
    assert [c.label for c in study.contenders] == ["sgd", "adam (torch)", "long memory"]
    assert study.rates == (0.001, 0.1, 1.0)
    assert study.replicates == 3
    (full,) = read_study(written(tmp_path, 'protocol = "full"')).values()
    assert (full.rates, full.search, full.replicates) == (FULL["rates"], FULL["search"], FULL["replicates"])
    (mnist,) = read_study(written(tmp_path, '[problem]\ndataset = "mnist"\nepochs = 1')).values()
    assert mnist.problem == replace(PROBLEMS["mnist"].quick(), epochs=1)
    for text, options in (('protocol = "full"\n', {}), ("", {"full": True})):
        (mnist,) = read_study(written(tmp_path, text + '[problem]\ndataset = "mnist"\n'), **options).values()
        assert mnist.problem == PROBLEMS["mnist"]
    text = "seed = 4\n[problem]\ntrain_rows = 500\nval_rows = 200\ntest_rows = 100\nredraw = 'train'\n"
    (small,) = read_study(written(tmp_path, text)).values()
    assert small.seed == 4
    assert small.problem.sizes() == (500, 200, 100)
    assert small.problem.shares_test


def test_a_study_file_with_several_problems(tmp_path):
    studies = read_study(written(tmp_path, FILE + '[[problems]]\nname = "a"\n[[problems]]\nname = "b"\nhidden = [8]\n'))
    assert list(studies) == ["a", "b"]
    assert [s.problem.hidden for s in studies.values()] == [(32, 16), (8,)]
    assert all(s.problem.batch_norm for s in studies.values())


def test_a_variant_on_other_data_has_the_usual_values_of_these_data(tmp_path):
    """What neither ``[problem]`` nor the variant sets, such as the target and the limits of the rows."""
    text = (
        "[problem]\nepochs = 3\n[[problems]]\nname = 'a'\n[[problems]]\nname = 'b'\ndataset = 'mnist'\nhidden = [8]\n"
    )
    studies = read_study(written(tmp_path, text))
    assert studies["a"].problem == Problem(epochs=3)
    assert studies["b"].problem == replace(PROBLEMS["mnist"].quick(), epochs=3, hidden=(8,))


def test_an_option_names_the_data_before_the_usual_values_are_chosen(tmp_path):
    file = written(tmp_path, "[problem]\ndataset = 'mnist'\nepochs = 3\n")
    (study,) = read_study(file, dataset="digits").values()
    assert study.problem == Problem(epochs=3)
    (study,) = read_study(file, full=True, dataset="cifar10", target=0.3).values()
    assert study.problem == replace(PROBLEMS["cifar10"], epochs=3, target=0.3)
    with pytest.raises(ol.InputError, match=r"^unknown data set 'digit'"):
        read_study(file, dataset="digit")
    result = run("compare", "--study", file, "--dataset", "digits", "--batch-size", 0, "--out", tmp_path / "out")
    assert result.stderr == "optimlab: --batch-size must be a whole number of at least 1, got 0\n"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rates = [", "rates = ", r"not TOML: .*line 2"),
        ("rates", "rate", r"line 2, key 'rate': unknown key 'rate'; did you mean 'rates'"),
        ("0.001, 0.1, 1", "0.1, 0.01, 1", r"line 2, key 'rates': .*must rise"),
        ("0.001, 0.1, 1", "0.001, 'x'", r"line 2, key 'rates': expected a list of numbers"),
        ('"sgd"', '"sdg"', r"line 1, key 'optimizers': unknown optimizer 'sdg'; did you mean 'sgd'"),
        ('"sgd"', "3", r"line 1, key 'optimizers': expected names"),
        ("replicates = 3", "replicates = 1", r"line 3, key 'replicates': replicates must be at least 2"),
        ("replicates = 3", "seeds = 3", r"line 3, key 'seeds': unknown key 'seeds'"),
        ("epochs = 4", "epochs = 0", r"line 7, key 'epochs': epochs must be a whole number of at least 1"),
        ("epochs = 4", "epochs = 4.5", r"line 7, key 'epochs': expected a whole number, got 4.5"),
        ("epochs = 4", "epoch = 4", r"line 7, key 'epoch': unknown key 'epoch'; did you mean 'epochs'"),
        ("epochs = 4", "target = 2", r"line 7, key 'target': target must be a validation score"),
        ("epochs = 4", 'dataset = "mnits"', r"line 7, key 'dataset': unknown data set 'mnits'; did you mean 'mnist'"),
        ("epochs = 4", 'leave_out = "x"', r"line 7, key 'leave_out': expected a list of texts"),
        ("epochs = 4", 'missing = "fill"', r"line 7, key 'missing': unknown way to treat missing values 'fill'"),
        ("epochs = 4", 'activation = "rellu"', r"line 7, key 'activation': unknown activation 'rellu'"),
        ("epochs = 4", 'dtype = "float16"', r"line 7, key 'dtype': unknown dtype"),
        ("epochs = 4", "dropout = 1.5", r"line 7, key 'dropout': the dropout rate must lie"),
        ("= true", '= "yes"', r"line 8, key 'batch_norm': expected true or false"),
        ("beta2", "beta9", r"unknown hyperparameter of adam 'beta9'"),
        ('name = "adam"', 'title = "adam"', r"key 'contenders': expected a name"),
        ("label", "lable", r"line 12, key 'lable': unknown key 'lable'; did you mean 'label'"),
    ],
)
def test_a_malformed_study_file_is_told_by_line_and_key(tmp_path, old, new, message):
    with pytest.raises(ol.InputError, match=message):
        read_study(written(tmp_path, FILE.replace(old, new)))


MANY = (
    FILE
    + """\

[[contenders]]
name = "nadam"
[contenders.hyperparameters]
beta1 = 0.8

[[problems]]
name = "first"

[[problems]]
name = "second"
hidden = [8]

[[problems]]  # the third
name = "third"
epochs = 7
"""
)


def line_of(text, part):
    """The number of the last line with ``part``."""
    return max(k for k, line in enumerate(text.splitlines(), 1) if part in line)


@pytest.mark.parametrize(
    ("old", "new", "key", "message"),
    [
        ("replicates = 3", "replicates = -1", "replicates", "got -1"),
        ("replicates = 3", "replicates = 1.5", "replicates", "expected a whole number, got 1.5"),
        ("replicates = 3", "replicates = [100, 101]", "replicates", "expected a whole number"),
        ("replicates = 3", "replicates = 10001", "replicates", "at most 10,000"),
        ("replicates = 3", "seed = -1", "seed", "seed must be"),
        ("replicates = 3", "seed = true", "seed", "expected a whole number"),
        ("replicates = 3", "defaults = 1", "defaults", "expected true or false"),
        ("replicates = 3", "tuning_seeds = [1, 2]", "tuning_seeds", "unknown key 'tuning_seeds'"),
        ("replicates = 3", "confirmation_seeds = 3", "confirmation_seeds", "unknown key 'confirmation_seeds'"),
        ("replicates = 3", "extensions = -1", "extensions", "extensions must be"),
        ("replicates = 3", "search = -1", "search", "search must be"),
        ("replicates = 3", 'protocol = "fast"', "protocol", "expected"),
        ("0.001, 0.1, 1]", "0.1, 1]", "rates", "at least three"),
        ("0.001, 0.1, 1]", "-0.1, 0.1, 1]", "rates", "positive learning rates"),
        ("hidden = [32, 16]", "hidden = [32, 0]", "hidden", "each hidden layer's size must be"),
        ("hidden = [8]", "hidden = [0]", "hidden", "each hidden layer's size must be"),
        ("hidden = [8]", "hiden = [8]", "hiden", "did you mean 'hidden'"),
        ("hidden = [8]", 'dataset = "mnits"', "dataset", "did you mean 'mnist'"),
        ("epochs = 7", "epochs = 0", "epochs", "epochs must be"),
        ("epochs = 7", "epochs = true", "epochs", "expected a whole number"),
        ("epochs = 7", "dropout = inf", "dropout", "dropout must be a finite number"),
        ("epochs = 7", "train_rows = 0", "train_rows", "train_rows must be"),
        ("epochs = 7", "val_rows = 1.5", "val_rows", "expected a whole number"),
        ("epochs = 7", "test_rows = 'all'", "test_rows", "expected a whole number"),
        ("epochs = 7", "redraw = 'none'", "redraw", "unknown redraw 'none'"),
        ('name = "third"', 'name = "first"', "name", "it is taken"),
        ('name = "third"', 'name = "FIRST"', "name", "the same as 'first'"),
        ('name = "third"', 'name = ".."', "name", "begins with a letter or digit"),
        ('name = "third"', "name = 3", "name", "expected a unique name"),
        ('name = "nadam"', 'name = "nadm"', "name", "did you mean 'nadam'"),
        ('name = "nadam"', 'name = "nadam"\nconvention = "jax"', "convention", "unknown convention 'jax'"),
        ("beta1 = 0.8", "beta1 = 8", "hyperparameters", "beta1 must lie"),
        ('label = "long memory"', "label = 3", "label", "expected a text"),
        ('label = "long memory"', 'label = "x, default"', "label", "a label cannot end"),
    ],
)
def test_an_error_is_told_at_the_line_that_makes_it(tmp_path, old, new, key, message):
    """Every key of a study, a problem and a contender, in whichever of several tables it stands."""
    assert MANY.count(old) == 1
    text = MANY.replace(old, new)
    with pytest.raises(ol.InputError) as error:
        read_study(written(tmp_path, text))
    where = line_of(text, "[contenders.hyperparameters]" if key == "hyperparameters" else new.splitlines()[-1])
    assert f"study.toml, line {where}, key '{key}': " in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("problem.hidden = [4]\nproblem.epochs = 0\n", 2),
        ("rates = [0.1, 1, 10]\nproblem = { epochs = 0 }\n", 2),
        ("[problem] # epochs = 3\n'epochs' = 0\n", 2),
        ('rates = [\n  0.1, 1, 10,\n]\n[[problems]]\nname = "a"\n[[problems]]\nname = "b"\n"epochs" = 0\n', 8),
        ("[[problems]]\nname = 'a'\n[[problems]]\nhidden = [3]\n", 3),
    ],
)
def test_a_line_is_found_however_the_table_is_written(tmp_path, text, line):
    with pytest.raises(ol.InputError, match=f"line {line}, key '(epochs|name)'"):
        read_study(written(tmp_path, text))


@pytest.mark.parametrize(
    "name",
    ["..", ".", "", "a/b", "/tmp/x", "a\\b", "C:", "a ", "a.", ".hidden", "-rf", "con", "NUL.txt", "COM1", "a\tb"],
)
def test_a_problem_whose_name_is_no_folder_writes_nowhere(tmp_path, name):
    assert_no_folder(tmp_path, name)


@pytest.mark.parametrize("name", ["x" * 101, "é" * 51, "profile.png", "a\x00b", "\u202eb"])
def test_a_name_too_long_or_reserved_writes_nowhere(tmp_path, name):
    assert_no_folder(tmp_path, name)


def assert_no_folder(tmp_path, name):
    text = f"[[problems]]\nname = {json.dumps(name)}\n[[problems]]\nname = 'fine'\n"
    out = tmp_path / "deep" / "out"
    result = run("compare", "--study", written(tmp_path, text), "--out", out)
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "line 2, key 'name': " in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize(("one", "other"), [("a", "a"), ("a", "A"), ("ﬁ", "fi"), ("straße", "STRASSE")])
def test_two_problems_that_would_share_a_folder_are_refused(tmp_path, one, other):
    text = f'[[problems]]\nname = "{one}"\n[[problems]]\nname = "{other}"\n'
    with pytest.raises(ol.InputError, match=r"line 4, key 'name': .* cannot be the name of a folder"):
        read_study(written(tmp_path, text))


def test_full_as_an_option_and_in_the_file_are_the_same(tmp_path):
    """Neither overrides what the file says of rates and replicates."""
    own = "rates = [0.01, 0.1, 1]\nreplicates = 2\nsearch = 3\n"
    for said in ("", own, "rates = [0.01, 0.1, 1]\n", "replicates = 4\n", "search = 2\n"):
        plain = written(tmp_path, said)
        (by_option,) = read_study(plain, full=True).values()
        (by_file,) = read_study(written(tmp_path, f'protocol = "full"\n{said}')).values()
        assert by_option.config() == by_file.config()
    assert (by_option.rates, by_option.search) == (FULL["rates"], 2)
    (study,) = read_study(written(tmp_path, own), full=True).values()
    assert (study.rates, study.replicates, study.search) == ((0.01, 0.1, 1.0), 2, 3)
    options = ("--study", written(tmp_path, own), "--full", "--out", tmp_path / "out", "--dry-run", "--json")
    options += ("--optimizers", "sgd", "--epochs", "1")
    assert json.loads(run("compare", *options).stdout)["rates"] == [0.01, 0.1, 1.0]


def test_no_study_file(tmp_path):
    with pytest.raises(ol.InputError, match="cannot read the study file"):
        read_study(tmp_path / "none.toml")
