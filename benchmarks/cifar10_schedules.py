"""A rate that falls in steps and one that rises and falls, on 5,000 images of CIFAR-10: document 000, "Scheduling".

    python benchmarks/cifar10_schedules.py [--torch]

The document steps both once an epoch, the cyclic one too, which PyTorch means to be stepped after each batch: five
"steps" up are five epochs. PyTorch's CyclicLR also lowers the momentum from 0.9 to 0.8 while the rate rises, and
raises it again, which the document does not say; this is kept. The constant rate is a control that the document lacks.
"""

from __future__ import annotations

import cifar10
import common
import twins
from cifar10 import row
from twins import Printed

from optimlab.schedules import CyclicLR, StepLR

ROWS = (
    row("step", "momentum", 0.01, schedule=StepLR(0.01, step_size=10, gamma=0.1),
        torch_schedule=lambda torch, opt: torch.optim.lr_scheduler.StepLR(opt, 10, 0.1),
        document=Printed(0.4117, 26, (1.6238, 1.3871, 1.3489), (0.4190, 0.5006, 0.5209), (0.3661, 0.4036, 0.4107))),
    row("cyclic", "momentum", 0.01, schedule=CyclicLR(0.0001, 0.01, up=5, down=25, per="epoch"),
        torch_schedule=lambda torch, opt: torch.optim.lr_scheduler.CyclicLR(opt, 0.0001, 0.01, 5, 25),
        document=Printed(0.4267, 30, (1.6772, 1.3994, 1.1116), (0.3929, 0.4899, 0.6156), (0.3019, 0.4128, 0.4267))),
    row("constant 0.01", "momentum", 0.01),
)  # fmt: skip


@common.command(data="cifar10", epochs=30, torch=True)
def main(settings: common.Settings) -> None:
    data = cifar10.load(settings.data)
    records = twins.measure(settings, ROWS, lambda r: data)
    cifar10.report(settings, data, "Two schedules of the learning rate, momentum 0.9", ROWS, records)


if __name__ == "__main__":
    main()
