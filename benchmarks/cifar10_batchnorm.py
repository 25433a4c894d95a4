"""Batch norm on 5,000 images of CIFAR-10: document 000, "Batch Norm".

    python benchmarks/cifar10_batchnorm.py [--torch]

The document: batch norm accelerates training very much, and makes the network overfit much sooner.
"""

from __future__ import annotations

import cifar10
import common
import twins
from cifar10 import row
from cifar10_optimizers import ROWS as OPTIMIZERS
from twins import Printed

ROWS = (
    OPTIMIZERS[1],
    row("momentum + batch norm", "momentum", 0.001, batch_norm=True, document=Printed(
        0.3884, 4,
        (1.1536, 0.6629, 0.4162, 0.2286, 0.2279, 0.1000, 0.1340, 0.0707, 0.0754, 0.0883),
        (0.6182, 0.7960, 0.8730, 0.9359, 0.9349, 0.9783, 0.9618, 0.9821, 0.9809, 0.9755),
        (0.3615, 0.3199, 0.3378, 0.3410, 0.3209, 0.3745, 0.3532, 0.3617, 0.3802, 0.3593))),
)  # fmt: skip


@common.command(data="cifar10", epochs=100, torch=True)
def main(settings: common.Settings) -> None:
    data = cifar10.load(settings.data)
    records = twins.measure(settings, ROWS, lambda r: data)
    cifar10.report(settings, data, "Momentum 0.001 with and without batch norm", ROWS, records)


if __name__ == "__main__":
    main()
