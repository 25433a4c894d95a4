"""Scenes to teach with: each an address of the page, with three sentences and a question."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """A scene. ``address`` is the page's address after ``#``; ``#scene=NAME`` abbreviates it."""

    name: str
    title: str
    text: str
    question: str
    address: str


_DEEP = "data=circles&noise=0.1&widths=8,8,8,8,8,8&activation=sigmoid&optimizer=sgd,textbook,lr:0.1&speed=100&play=1"
_OVERLAP = "data=moons&noise=0.4&widths=32,32&activation=relu&optimizer=adam,textbook,lr:0.01&speed=60&play=1"

SCENES = (
    Scene(
        "bend",
        "Sixteen units bend a line",
        "Each small square is a unit, and its picture shows what the unit outputs at every point of the plane. A unit "
        "of layer 1 draws one straight edge, and layer 2 mixes these edges. The boundary stays nearly straight for "
        "about 200 steps, with nine points in ten on the right side, and then it bends.",
        "Which unit of layer 2 looks most like the result, and how thick is its line to the output?",
        "data=moons&widths=8,8&activation=tanh&optimizer=adam,textbook,lr:0.01&speed=40&play=1",
    ),
    Scene(
        "dead-units",
        "Units that die",
        "A rate of 5 throws the weights far away in the first steps. Soon nearly every ReLU unit in layer 2 of A "
        "outputs zero for all points (it is crossed out): its gradient is zero too, so it can never come back. B "
        "differs only in its activation: below zero a leaky ReLU still has a small slope, and no unit dies.",
        "How low must the rate be for A to keep its units alive?",
        "data=moons&widths=8,8&activation=relu&optimizer=sgd,textbook,lr:5"
        "&versus=activation:leaky_relu&speed=10&play=1",
    ),
    Scene(
        "vanishing",
        "A signal that vanishes",
        "Both networks have six hidden layers. The slope of a sigmoid is at most a quarter, so in A the gradient "
        "shrinks from layer to layer on its way back, and in layer 1 it is about ten thousand times smaller than at "
        "the output. After 1,000 steps A still guesses, while B, with ReLU, has every training point right.",
        "Take layers away from A. With how many does it begin to learn?",
        f"{_DEEP}&versus=activation:relu",
    ),
    Scene(
        "too-high",
        "A rate too high",
        "Both networks use plain gradient descent, A at a rate of 0.3 and B at 10. The first steps of B drive nearly "
        "all its tanh units to −1 or 1, where they have no slope. From then on only its output layer moves, and its "
        "loss jumps above where it began.",
        "What is the highest rate at which B still learns?",
        "data=moons&widths=8,8&activation=tanh&optimizer=sgd,textbook,lr:0.3"
        "&versus=optimizer:sgd,textbook,lr:10&speed=30&play=1",
    ),
    Scene(
        "too-low",
        "A rate too low",
        "The rate of B is a hundred times lower than that of A. Nothing looks broken, since the loss of B falls all "
        "the time. But each update changes its weights by less than a thousandth (the dashed line), and after 1,000 "
        "steps its boundary is still straight.",
        "How many steps would B need? Guess, then press Play again after step 1,000.",
        "data=moons&widths=8,8&activation=tanh&optimizer=sgd,textbook,lr:0.3"
        "&versus=optimizer:sgd,textbook,lr:0.003&speed=100&play=1",
    ),
    Scene(
        "batch-norm",
        "Batch norm to the rescue",
        "A is the deep sigmoid network that still guesses after 1,000 steps. B normalizes what enters each activation,"
        " over the batch, so every sigmoid works where it has a slope. The gradients of all its layers have about the "
        "same size, and B learns.",
        "Would it be better to normalize after the activation?",
        f"{_DEEP}&versus=norm:before",
    ),
    Scene(
        "overfitting",
        "Learning by heart, and a remedy",
        "The moons overlap, and a network with more than 1,000 weights can learn 200 points nearly by heart. In A the "
        "training loss keeps falling while the validation loss turns and rises. B pays an L2 penalty for large "
        "weights, so its boundary stays smooth and its validation loss stays down.",
        "How large can the penalty be before B learns too little?",
        f"{_OVERLAP}&versus=l2:0.01",
    ),
    Scene(
        "dropout",
        "Half the units at random",
        "In every step B switches off half of its hidden units at random, and the others must do without them. Nothing"
        " is switched off where the picture is drawn. The training loss of B stays higher than that of A, and its "
        "validation loss rises less.",
        "Which dropout rate gives the lowest validation loss here?",
        f"{_OVERLAP}&versus=dropout:0.5",
    ),
    Scene(
        "scaling",
        "One input a hundred times larger",
        "The input x₂ runs to 190 and x₁ only to 1.9, so the gradients of the two differ a hundredfold as well. A uses "
        "plain gradient descent: one rate is too high for some weights and too low for others, and it stays below 90 % "
        "of the training points. B uses Adam, which scales the step of each weight by itself, and gets above 95 %.",
        "Set the stretch back to 1. Which of the two gains more?",
        "data=moons&scale=100&widths=8,8&activation=tanh&optimizer=sgd,textbook,lr:0.1"
        "&versus=optimizer:adam,textbook,lr:0.01&speed=100&play=1",
    ),
    Scene(
        "zeros",
        "All weights alike",
        "A begins with all weights at zero, B with random ones. The hidden units of A output zero, so no weight ever "
        "gets a gradient: only the bias of the output moves. In B no two units are alike at the start, and each finds "
        "work of its own.",
        "Start A with ones instead. Which units stay alike?",
        "data=moons&widths=8,8&activation=tanh&initializer=zeros&optimizer=adam,textbook,lr:0.01"
        "&versus=initializer:auto&speed=40&play=1",
    ),
    Scene(
        "momentum",
        "Steps that remember",
        "Both networks have a rate of 0.05 and see the same batches. B adds nine tenths of its last step to each new "
        "one: where the steps agree, it soon goes ten times as far. After 200 steps the boundary of B has bent, and "
        "that of A is still nearly straight.",
        "Which rate makes A as fast as B?",
        "data=moons&widths=8,8&activation=tanh&optimizer=sgd,textbook,lr:0.05"
        "&versus=optimizer:momentum,textbook,lr:0.05&speed=30&play=1",
    ),
    Scene(
        "schedule",
        "Turning the rate down",
        "With two points in a batch every gradient is a poor guess, and a rate of 1 keeps the boundary jumping. B "
        "begins with the same rate and lowers it to zero along a cosine. A jumps until the end, while B comes to rest, "
        "well below the usual loss of A.",
        "What happens if A has a low rate from the first step on?",
        "data=moons&widths=8,8&activation=tanh&batch=2&optimizer=sgd,textbook,lr:1"
        "&versus=schedule:cosine&speed=60&play=1",
    ),
    Scene(
        "digits",
        "What a network sees in a digit",
        "Each small picture shows the weights from the 64 pixels to one unit: orange pixels speak for it, blue ones "
        "against it. B has no hidden layer, and its ten pictures come to show what sets each digit apart from the "
        "others. The pictures of A are harder to read, but A makes fewer errors on the training images.",
        "Which digits does B confuse?",
        "data=digits&widths=64&activation=relu&optimizer=adam,textbook,lr:0.003&l2=0.01&versus=widths:none"
        "&speed=30&play=1",
    ),
)

OPENING = f"scene={SCENES[0].name}"
"""The scene that the page shows by default."""
