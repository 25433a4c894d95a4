"""Records of runs as the store keeps them, made up: nothing is trained."""

from optimlab.study.record import key_of

SCORES = {"val_accuracy": 0.9, "val_loss": 0.3}


def kept(name, status="ok", **values):
    """The record of a run that is known by ``name`` alone."""
    run = {"optimizer": name}
    return {"key": key_of(run), "run": run, "status": status, **(SCORES if status == "ok" else {}), **values}


def names(store):
    """What the runs in a store are known by, in their order."""
    return [record["run"]["optimizer"] for record in store.records.values()]


FATES = ("ok", "diverged", "diverged at once", "error")


def made(run, fate, score=0.9):
    """The record of ``run``, as if it had been trained: it may end in its second epoch, in its first, or fail."""
    start = {"key": run.key, "run": run.config(), "versions": {}, "host": {}}
    if fate == "error":
        return {**start, "status": "error", "error": "MemoryError: made up"}
    epochs = {"ok": run.problem.epochs, "diverged": 1, "diverged at once": 0}[fate]
    falling, rising = [1.0 / (k + 1) for k in range(epochs)], [score * (k + 1) / epochs for k in range(epochs)]
    curves = {"train_loss": falling, "train_accuracy": rising, "val_loss": falling, "val_accuracy": rising}
    curves |= {"lr": [run.lr] * epochs, "seconds": [0.01] * epochs}
    if run.test:
        curves["update_ratio"] = dict.fromkeys(("dense1.W", "dense2.W"), falling) if epochs else {}
    best = {"best_epoch": epochs, "val_accuracy": score, "val_loss": falling[-1]} if epochs else {}
    best = best or dict.fromkeys(("best_epoch", "val_accuracy", "val_loss"))
    tested = {"test_loss": 0.5, "test_accuracy": score} if run.test and epochs else {}
    reached = [k + 1 for k, value in enumerate(rising) if value >= run.problem.target]
    return {
        **start,
        "status": fate.split()[0],
        **best,
        **tested,
        "epochs_to_target": reached[0] if reached else None,
        "steps": 17 * epochs,
        "diverged_step": None if fate == "ok" else 17 * epochs + 1,
        "seconds": 0.01 * epochs,
        "state_arrays": 0,
        "engine": "numpy",
        "curves": curves,
    }
