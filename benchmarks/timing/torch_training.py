"""PyTorch as a competitor: a loop over the batches, eager or compiled."""

from __future__ import annotations

import copy
from typing import Any

from .clock import Turn, seconds
from .jobs import START, Job
from .rule_steps import TORCH

ACTIVATIONS = {
    "relu": "ReLU",
    "leaky_relu": "LeakyReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "swish": "SiLU",
    "mish": "Mish",
    "tanh": "Tanh",
    "sigmoid": "Sigmoid",
    "softplus": "Softplus",
}
"""PyTorch's classes by optimlab's names; GELU is the exact one."""


def torch_network(torch: Any, job: Job) -> Any:
    layers: list[Any] = []
    for inputs, outputs in zip(job.sizes, job.sizes[1:-1], strict=False):
        layers.append(torch.nn.Linear(inputs, outputs))
        layers += [torch.nn.BatchNorm1d(outputs)] if job.batch_norm else []
        layers.append(getattr(torch.nn, ACTIVATIONS[job.activation])())
        layers += [torch.nn.Dropout(job.dropout)] if job.dropout else []
    return torch.nn.Sequential(*layers, torch.nn.Linear(*job.sizes[-2:]))


def torch_epoch(torch: Any, job: Job, x: Any, y: Any, settings: dict[str, Any], compiled: bool = False) -> Turn:
    network = torch_network(torch, job)
    name, own = TORCH[job.rule]
    optimizer = getattr(torch.optim, name)(network.parameters(), **own, **settings)
    weights = copy.deepcopy(network.state_dict())
    x, y = torch.from_numpy(x), torch.from_numpy(y)

    def forward(inputs: Any, labels: Any) -> tuple[Any, Any]:
        logits = network(inputs)
        return torch.nn.functional.cross_entropy(logits, labels), (logits.argmax(dim=1) == labels).sum()

    if compiled:
        forward = torch.compile(forward)

    def epoch() -> tuple[float, int]:
        total, correct = 0.0, 0
        order = torch.randperm(len(x))
        for start in range(0, len(x), job.batch):
            index = order[start : start + job.batch]
            loss, right = forward(x.index_select(0, index), y.index_select(0, index))
            total, correct = total + loss.item() * len(index), correct + int(right)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return total / len(x), correct

    def turn(round_: int) -> float:
        torch.manual_seed(round_)
        network.load_state_dict(weights)
        for state in optimizer.state.values():
            for part, tensor in state.items():
                if tensor is not None:  # SGD has no momentum buffer
                    tensor.fill_(START if part == "step" else 0)
        return seconds(lambda: [epoch() for _ in range(job.epochs)])

    return turn
