"""Learning rate, batch size, plateau: an MLP 784-800-10 with Adam on MNIST, document 004, after Keras.

python benchmarks/mnist_tuning.py               # the settings that the document found, several seeds
python benchmarks/mnist_tuning.py --search      # and its two searches: 3 and 10 trials, ten minutes on one core
python benchmarks/mnist_tuning.py --torch       # and 20 epochs in PyTorch
"""

from __future__ import annotations

import common
import wide_mlp
from wide_mlp import Document, Printed

MNIST = Document(
    data="mnist", lr=0.00168, batch=256, factor=0.379, patience=10, again_lr=0.001, again_epochs=10,
    plain=Printed(val=0.9847, test=0.9845, again=0.9848),
    plateau=Printed(val=0.9850, test=0.9835, again=0.9841),
    rates="0.0015:0.0019", batches="64:256:pow2", fixed=20,
)  # fmt: skip


@common.command(data="mnist", epochs=100, torch=True, search=True)
def main(settings: common.Settings) -> None:
    wide_mlp.experiment(settings, MNIST, "MNIST, MLP 784-800-10, Adam")


if __name__ == "__main__":
    main()
