"""Learning rate, batch size, plateau: an MLP 784-800-10 with Adam on MNIST, document 004, after Keras.

python benchmarks/mnist_tuning.py [--torch]     # the settings that the document found, several seeds
"""

from __future__ import annotations

import common
import wide_mlp
from wide_mlp import Document, Printed

MNIST = Document(
    data="mnist", lr=0.00168, batch=256, factor=0.379, patience=10,
    epochs=20, again_lr=0.001, again_epochs=10,
    plain=Printed(val=0.9847, test=0.9845, again=0.9848),
    plateau=Printed(val=0.9850, test=0.9835, again=0.9841),
    rates=(0.0015, 0.0019), batches=(64, 128, 256),
)  # fmt: skip


@common.command(data="mnist", epochs=20, torch=True)
def main(settings: common.Settings) -> None:
    data = wide_mlp.load(settings)
    found = wide_mlp.settings_rows(settings, MNIST, data)
    wide_mlp.report(settings, MNIST, "MNIST, MLP 784-800-10, Adam", found, [])


if __name__ == "__main__":
    main()
