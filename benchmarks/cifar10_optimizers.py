"""SGD, momentum, RMSProp and Adam on 5,000 images of CIFAR-10: document 000, "Comparativa".

    python benchmarks/cifar10_optimizers.py                 # CIFAR-10 from the data folder, about 5 minutes
    python benchmarks/cifar10_optimizers.py --torch         # and the same in PyTorch
    python benchmarks/cifar10_optimizers.py --data my.npz --quick

The document: the variants of SGD converge much faster; given time, SGD reaches the same results and may exceed them.
RMSProp is PyTorch's, whose beta is 0.99; the document's text says 0.9. The document gives all four the same rate; SGD
at ten times that rate is a control that it lacks.
"""

from __future__ import annotations

import cifar10
import common
import twins
from cifar10 import row
from twins import Printed

ROWS = (
    row("SGD 0.001", "sgd", 0.001, document=Printed(
        0.3365, 100,
        (2.2655, 2.1766, 2.0673, 1.9985, 1.9517, 1.9156, 1.8865, 1.8600, 1.8342, 1.8126),
        (0.1696, 0.2168, 0.2799, 0.2974, 0.3028, 0.3199, 0.3302, 0.3410, 0.3491, 0.3557),
        (0.1617, 0.2160, 0.2574, 0.2783, 0.2841, 0.2974, 0.3122, 0.3226, 0.3287, 0.3365))),
    row("momentum 0.001", "momentum", 0.001, document=Printed(
        0.4192, 86,
        (1.8245, 1.6725, 1.5317, 1.4151, 1.3071, 1.1680, 1.0486, 0.9351, 0.8399, 0.7260),
        (0.3471, 0.4057, 0.4562, 0.4918, 0.5372, 0.5898, 0.6316, 0.6744, 0.7066, 0.7490),
        (0.3329, 0.3720, 0.3691, 0.4000, 0.3995, 0.4096, 0.4073, 0.3749, 0.3915, 0.4040))),
    row("RMSProp 0.001", "rmsprop", 0.001, document=Printed(
        0.3943, 54,
        (1.6600, 1.4591, 1.2927, 1.1535, 1.0369, 0.9394, 0.8376, 0.7668, 0.6836, 0.6165),
        (0.4025, 0.4763, 0.5306, 0.5806, 0.6196, 0.6576, 0.6927, 0.7164, 0.7528, 0.7814),
        (0.3018, 0.3364, 0.3545, 0.3647, 0.3685, 0.3690, 0.3699, 0.3859, 0.3243, 0.3645))),
    row("Adam 0.001", "adam", 0.001, document=Printed(
        0.4122, 21,
        (1.5681, 1.3585, 1.1361, 0.9529, 0.8271, 0.7074, 0.5780, 0.5044, 0.4198, 0.3544),
        (0.4389, 0.5133, 0.5936, 0.6569, 0.6970, 0.7548, 0.7962, 0.8223, 0.8547, 0.8698),
        (0.3491, 0.4058, 0.4053, 0.3920, 0.3900, 0.3973, 0.3896, 0.3788, 0.3791, 0.3728))),
    row("SGD 0.01", "sgd", 0.01),
)  # fmt: skip


@common.command(data="cifar10", epochs=100, torch=True)
def main(settings: common.Settings) -> None:
    data = cifar10.load(settings.data)
    records = twins.measure(settings, ROWS, lambda r: data)
    cifar10.report(settings, data, "Four optimizers", ROWS, records)


if __name__ == "__main__":
    main()
