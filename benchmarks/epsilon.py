"""What epsilon inside the root does to a real run: the measurement behind the textbook rules' defaults.

    python benchmarks/epsilon.py

Trains the digits MLP 64-256-10 (batch 64, 100 epochs, 3 seeds) with each rule that has an epsilon inside the root, for
several epsilons. "eps rules" is the share of weights, after training, whose second moment is smaller than epsilon:
there epsilon and not the gradient decides the step. (One weight in ten has no gradient at all: its pixel is always
blank.) All figures are medians over the seeds.
"""

from __future__ import annotations

from statistics import median

from rich.console import Console
from rich.table import Table

import optimlab as ol

RULES = {"adagrad": 1e-2, "rmsprop": 1e-3, "adam": 1e-3, "nadam": 1e-3}
EPSILONS = (1e-7, 1e-10, 1e-12, 1e-14, 1e-16)
SEEDS = 3
EPOCHS = 100


def one_run(rule: str, lr: float, eps: float, seed: int) -> tuple[float, float, float]:
    """Final training loss, validation accuracy, and the share of second moments below epsilon."""
    data = ol.datasets.load("digits")
    net = ol.MLP([64, 256, 10], seed=seed)
    opt = ol.optimizers.get(rule)(net.parameters, lr=lr, eps=eps)
    history = ol.fit(net, opt, data, epochs=EPOCHS, seed=seed, progress=False)
    s = opt.state["s"]
    if "beta2" in opt.hyperparameters:
        s = s / (1 - opt.hyperparameters["beta2"] ** opt.t)
    return history.train_loss[-1], history.val_accuracy[-1], float((s < eps).mean())


def main() -> None:
    table = Table(title=f"digits, MLP 64-256-10, batch 64, {EPOCHS} epochs, medians of {SEEDS} seeds")
    for name in ("rule", "lr", "eps (inside)", "acts outside like", "train loss", "val accuracy", "eps rules"):
        table.add_column(name, justify="left" if name == "rule" else "right")
    for rule, lr in RULES.items():
        for eps in EPSILONS:
            runs = [one_run(rule, lr, eps, seed) for seed in range(SEEDS)]
            loss, accuracy, share = (median(values) for values in zip(*runs, strict=True))
            cells = (f"{lr:g}", f"{eps:g}", f"{eps**0.5:.1e}", f"{loss:.5f}", f"{accuracy:.2%}", f"{share:.1%}")
            table.add_row(rule, *cells)
        table.add_section()
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
