"""The examples show what they say, here on small settings, and leave their figures."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

EXAMPLES = Path(__file__).parent.parent / "examples"
PNG = b"\x89PNG\r\n\x1a\n"


def run(name, folder, **settings):
    """Return what the example's ``main`` returns; its figure must lie in a folder that it made."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = module.main(folder=folder / "figures", **settings)
    assert [path.name for path in (folder / "figures").iterdir()] == [f"{name}.png"]
    assert (folder / "figures" / f"{name}.png").read_bytes().startswith(PNG)
    return result


@pytest.mark.slow
def test_average_weights(tmp_path, capsys):
    losses = run("average_weights", tmp_path, epochs=8, seeds=range(2))
    last = {kind: values[:, -1] for kind, values in losses.items()}
    assert len(last) == 5
    for kind in set(last) - {"last"}:
        assert (last[kind] < 0.7 * last["last"]).all()
    assert np.isnan(losses["mean"][:, :4]).all()
    assert np.isfinite(losses["mean"][:, 4:]).all()
    assert "mean of second half" in capsys.readouterr().out


@pytest.mark.slow
def test_mc_dropout(tmp_path, capsys):
    found = run("mc_dropout", tmp_path, epochs=15, seeds=range(2), samples=20)
    mean = {kind: found[kind].mean() for kind in ("right", "wrong", "upside down", "noise", "quarter")}
    assert len(found["right"]) + len(found["wrong"]) == len(found["noise"])
    assert min(mean["wrong"], mean["upside down"], mean["noise"]) > 1.5 * mean["right"]
    assert mean["quarter"] < mean["noise"] / 2  # sure, and wrong
    assert found["caught"] > 0.5
    assert "taken for a 4" in capsys.readouterr().out


@pytest.mark.slow
def test_ensembles(tmp_path, capsys):
    scores = run("ensembles", tmp_path, epochs=20, repeats=2)
    assert scores["single"].shape == scores["initialisations"].shape == scores["snapshots"].shape == (2, 5, 2)
    single, members = scores["single"].mean(axis=(0, 1)), scores["initialisations"].mean(axis=0)
    assert members[-1, 0] < 0.9 * single[0]
    assert members[-1, 1] > single[1]
    assert scores["snapshots"].mean(axis=0)[-1, 0] < single[0]
    # both ways begin from networks of the same kind: one member is a single network
    np.testing.assert_array_equal(scores["initialisations"][:, 0], scores["single"][:, 0])
    assert "5 initialisations" in capsys.readouterr().out
