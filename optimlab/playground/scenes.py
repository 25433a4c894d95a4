"""Scenes to teach with: each an address of the page, with three sentences, a question and its answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """A scene. ``address`` is the page's address after ``#``; ``#scene=NAME`` abbreviates it."""

    name: str
    title: str
    text: str
    question: str
    answer: str
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
        "Nearly all of them look like it. After 500 steps seven of the eight pictures follow the result, in its "
        "colours or in the opposite ones. Where the colours are opposite, the line to the output is blue: a negative "
        "weight turns them round. The unit that looks most like the result does not have the thickest line.",
        "data=moons&widths=8,8&activation=tanh&optimizer=adam,textbook,lr:0.01&speed=40&play=1",
    ),
    Scene(
        "dead-units",
        "Units that die",
        "A rate of 5 throws the weights far away in the first steps. Soon nearly every ReLU unit in layer 2 of A "
        "outputs zero for all points (it is crossed out): its gradient is zero too, so it can never come back. B "
        "differs only in its activation: below zero a leaky ReLU still has a small slope, and no unit dies.",
        "How low must the rate be for A to keep its units alive?",
        "About 1. At a rate of 3 all units of layer 2 still die, and at 2 up to half of them. At 1 at most one of the "
        "eight is dead after 1,000 steps, and A has 99 % of the training points right.",
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
        "With one, and slowly. After 5,000 steps a network with one hidden layer has every training point right. With "
        "two it stays below 70 %, and with three it still guesses.",
        f"{_DEEP}&versus=activation:relu",
    ),
    Scene(
        "too-high",
        "A rate too high",
        "Both networks use plain gradient descent, A at a rate of 0.3 and B at 10. The first steps of B drive nearly "
        "all its tanh units to −1 or 1, where they have no slope. From then on only its output layer moves, and its "
        "loss jumps above where it began.",
        "What is the highest rate at which B still learns?",
        "About 4. With it B has 99 % of the training points right after 1,000 steps. At 6 it stays below 90 %, and "
        "which points it loses depends on the seed.",
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
        "About a hundred times as many as A, because each of its steps is a hundred times smaller. After 3,000 steps "
        "the training loss of B is where that of A was after 30. Even after 5,000 steps B has less than 90 % of the "
        "points right.",
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
        "Here it is better at first: after 200 steps the training loss is lower. After 1,000 steps both have every "
        "training point right.",
        f"{_DEEP}&versus=norm:before",
    ),
    Scene(
        "overfitting",
        "Learning by heart, and a remedy",
        "The moons overlap, and a network with more than 1,000 weights can learn 200 points nearly by heart. In A the "
        "training loss keeps falling while the validation loss turns and rises. B pays an L2 penalty for large "
        "weights, so its boundary stays smooth and its validation loss stays down.",
        "How large can the penalty be before B learns too little?",
        "About 0.01. With 0.003 or 0.01 the validation loss is lower than without a penalty. With 0.1 it is higher "
        "again, and with 0.3 the penalty wins: the network gives every point the same probability.",
        f"{_OVERLAP}&versus=l2:0.01",
    ),
    Scene(
        "dropout",
        "Half the units at random",
        "In every step B switches off half of its hidden units at random, and the others must do without them. Nothing"
        " is switched off where the picture is drawn. The training loss of B stays higher than that of A, and its "
        "validation loss rises less.",
        "Which dropout rate gives the lowest validation loss here?",
        "There is no sharp best rate. From 0.4 to 0.7 the validation loss is about the same, and lower than without "
        "dropout. At 0.9 it is higher again, because too few units are left.",
        f"{_OVERLAP}&versus=dropout:0.5",
    ),
    Scene(
        "scaling",
        "One input a hundred times larger",
        "The input x₂ runs to 190 and x₁ only to 1.9, so the gradients of the two differ a hundredfold as well. A uses "
        "plain gradient descent: one rate is too high for some weights and too low for others, and it stays below 90 % "
        "of the training points. B uses Adam, which scales the step of each weight by itself, and gets above 95 %.",
        "Set the stretch back to 1. Which of the two gains more?",
        "A gains more: from below 90 % of the training points to above 98 %. B hardly changes, because Adam scales "
        "the step of each weight by itself, whatever the size of its gradient.",
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
        "All units of a layer. They start alike, so they get the same gradient in every step and stay alike for ever. "
        "Each layer works like a single unit, and A stays below 80 % of the training points.",
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
        "Between 0.5 and 0.7, which is about ten times its own. Where all steps agree, the steps of B add up to 1/(1 "
        "− 0.9) = 10 times the gradient. At 0.7 both have about the same training loss after 200 steps, and at 0.5 A "
        "is still behind.",
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
        "Then it does not jump, but it arrives late. At a rate of 0.03 the loss jumps less than a tenth as far, and "
        "after 1,000 steps it is still more than four times that of B.",
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
        "Mostly 1, 8 and 9. More than half of its errors on the training images are made on these three. It reads a 1 "
        "as a 9 and an 8 as a 1. It hardly ever misreads a 0.",
        "data=digits&widths=64&activation=relu&optimizer=adam,textbook,lr:0.003&l2=0.01&versus=widths:none"
        "&speed=30&play=1",
    ),
)

OPENING = f"scene={SCENES[0].name}"
"""The scene that the page shows by default."""
