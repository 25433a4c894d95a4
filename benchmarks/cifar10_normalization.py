"""Normalised inputs on 5,000 images of CIFAR-10: document 000, "Normalización", as published and as it was meant.

    python benchmarks/cifar10_normalization.py [--torch]

The document standardises each channel, but then builds the loader called ``dataloader_norm`` from the data set that is
not normalised, trains, and finds "no considerable effect": it had compared one run with another of the same kind. Here
is its run as published, beside the run that was meant.
"""

from __future__ import annotations

import cifar10
import common
import numpy as np
import twins
from cifar10 import row
from cifar10_optimizers import ROWS as OPTIMIZERS
from twins import Printed, Row

import optimlab as ol

PLAIN = OPTIMIZERS[1]
# its second run differed from its first by the weights it began with
PUBLISHED = row("as published", "momentum", 0.001, first_seed=100, document=Printed(
    0.4187, 81,
    (1.8333, 1.6912, 1.5618, 1.4354, 1.3297, 1.2084, 1.0882, 0.9698, 0.8389, 0.7511),
    (0.3424, 0.3989, 0.4512, 0.4936, 0.5291, 0.5768, 0.6224, 0.6658, 0.7060, 0.7389),
    (0.3287, 0.3546, 0.3839, 0.3866, 0.3858, 0.3906, 0.4016, 0.4103, 0.4110, 0.4044)))  # fmt: skip
MEANT = row("really normalised", "momentum", 0.001)


def normalised(data: ol.Dataset) -> ol.Dataset:
    """Each channel with mean 0 and standard deviation 1, by the numbers of the training rows alone.

    (The document's come from all 50,000 images, those it validates on among them.)
    """
    return ol.Standardize.fit(data.x_train, channels=3).dataset(data)


def sooner(records: twins.Records) -> list[str]:
    """How much faster the normalised runs fit, in words."""
    loss = {r.name: np.mean([run["curves"]["train_loss"] for run in records[r.name, "optimlab"]], axis=0)
            for r in (PLAIN, MEANT)}  # fmt: skip
    last = loss[PLAIN.name][-1]
    reached = np.flatnonzero(loss[MEANT.name] <= last)
    if not len(reached):
        return []
    epochs, at = len(loss[PLAIN.name]), int(reached[0]) + 1
    return [
        f"Really normalised, the training loss that took {epochs} epochs without ({last:.3f}) is reached after {at}: "
        f"{epochs / at:.1f} times sooner. The document's 'no considerable effect' was a comparison of like with like."
    ]


@common.command(data="cifar10", epochs=100, torch=True)
def main(settings: common.Settings) -> None:
    data = cifar10.load(settings.data)
    really = normalised(data)
    rows = (PLAIN, PUBLISHED, MEANT)

    def given(r: Row) -> ol.Dataset:
        return really if r is MEANT else data

    records = twins.measure(settings, rows, given)
    cifar10.report(settings, data, "Normalised inputs, momentum 0.001", rows, records, sooner(records))


if __name__ == "__main__":
    main()
