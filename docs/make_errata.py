"""Write docs/errata.md and its figures: the errors of the source documents, each run beside the right form.

python docs/make_errata.py
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from errata import initial_weights, layers, measures, schedules, update_rules
from errata.section import Section

HERE = Path(__file__).parent

DOCUMENTS = {
    "000": "a post on optimization with PyTorch: update rules, schedules, normalization, batch norm, on CIFAR-10",
    "001": "an article on learning-rate schedulers in PyTorch, on MNIST",
    "002": "slides on the techniques of training, with Keras: initialization, activations, rules, schedules",
    "003": "a post on the speed of training",
    "004": "a notebook on tuning the learning rate with Keras, on MNIST and Fashion-MNIST",
}

ERRATA: list[Callable[[], Section]] = [
    update_rules.adam,
    update_rules.adagrad,
    initial_weights.glorot,
    initial_weights.he,
    initial_weights.deviation,
    initial_weights.random_weights,
    schedules.power,
    schedules.own_schedule,
    schedules.legacy_decay,
    update_rules.clip,
    layers.monte_carlo,
    layers.batch_norm,
    layers.normalization,
    update_rules.one_rate,
    schedules.cyclic,
    schedules.cycled_momentum,
    layers.softmax,
    measures.batch_means,
    update_rules.rmsprop,
    schedules.step_lr,
    schedules.exponential_lr,
    measures.printed_loss,
    update_rules.momentum_rate,
    schedules.kinds_of_decay,
    update_rules.update_ratio,
    layers.activation_range,
    measures.held_out,
    measures.ranking,
]


def page(sections: Sequence[Section]) -> str:
    parts = [
        "<!-- made by docs/make_errata.py; edit that -->",
        "# Errors found in the source documents",
        """
        optimlab grew out of five teaching documents in Spanish. They are good reading, and most of what this
        laboratory can do is in them:
        """,
        "\n".join(f"- **{number}**, {what}" for number, what in DOCUMENTS.items()),
        f"""
        Texts of this length hold slips, and a slip in a formula is worth a lesson: it shows what the term is for. Here
        are {len(sections)}, told in our own words, from all five documents. Each is run beside the right form, and the
        numbers are those of that run: `python docs/make_errata.py` writes this page. Wrong update rules are written as
        rules and run by `ol.Optimizer`, like any rule of yours. The data are the bundled digits; runs on CIFAR-10 or
        MNIST come from a script in `benchmarks/`, which is named.
        """,
        "In the figures the right form is blue and solid, the other orange and dashed.",
    ]
    rows = [
        f"| [{s.document}](#{s.key}) | [{s.title}](#{s.key}) | {s.says} | {s.right} | {s.shows} |" for s in sections
    ]
    parts.append(
        "\n".join(["| | what | it says | right is | how it shows |", "| --- | --- | --- | --- | --- |", *rows])
    )
    for s in sections:
        parts += [f'<a id="{s.key}"></a>', f"## {s.title}", f"Document {s.document}: {s.says}. Right: {s.right}."]
        parts += s.body
        if s.figure:
            parts.append(f"![{s.title}. {s.caption}](figures/errata-{s.key}.png)")
            parts.append(f"*{s.caption}*")
    return "\n\n".join(" ".join(p.split()) if p.startswith("\n") else p for p in parts) + "\n"  # prose on one line


def main() -> None:
    sections = [make() for make in ERRATA]
    (HERE / "errata.md").write_text(page(sections), encoding="utf-8")
    (HERE / "figures").mkdir(exist_ok=True)
    for s in sections:
        if s.figure:
            # without the version of Matplotlib in it the file is the same each time
            s.figure.savefig(HERE / "figures" / f"errata-{s.key}.png", dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main()
