"""Learning rate, batch size, plateau: an MLP 784-800-10 with Adam on Fashion-MNIST, document 004's exercise.

    python benchmarks/fashion_tuning.py [--search] [--torch]

The same experiment as ``mnist_tuning.py`` at the settings that the document found for this data set.
"""

from __future__ import annotations

import common
import wide_mlp
from wide_mlp import Document, Printed

FASHION = Document(
    data="fashion_mnist", lr=0.00015, batch=256, factor=0.317, patience=5, again_lr=0.00015, again_epochs=20,
    plain=Printed(val=0.8960, test=0.8908, again=0.8977),
    plateau=Printed(val=0.9004, test=0.8945, again=0.8962),
    rates="0.00006:0.00026", batches="128:256:pow2", fixed=10, retrained=1,
)  # fmt: skip


@common.command(data="fashion_mnist", epochs=100, torch=True, search=True)
def main(settings: common.Settings) -> None:
    wide_mlp.experiment(settings, FASHION, "Fashion-MNIST, MLP 784-800-10, Adam")


if __name__ == "__main__":
    main()
