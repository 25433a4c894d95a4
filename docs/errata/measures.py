"""The loss of an epoch, what a test set is for, and what a difference of two runs is worth."""

from __future__ import annotations

from math import ceil
from typing import Any

import numpy as np
from scipy import stats

import optimlab as ol

from .section import (
    DIGITS,
    RIGHT,
    WRONG,
    Section,
    label,
    measured,
    num,
    pair,
    panels,
    percent,
    table,
    title,
    train,
)


def row_losses(epochs: int = 3) -> Any:
    """Cross-entropy of each training row, for a network trained a little."""
    net, _ = train(ol.rules.textbook.adam, epochs=epochs, lr=0.01)
    p = net.predict_proba(DIGITS.x_train)
    return -np.log(p[np.arange(len(p)), DIGITS.y_train])


def batches_of(rows: Any, batch_size: int) -> list[Any]:
    return [rows[k : k + batch_size] for k in range(0, len(rows), batch_size)]


def mean_of_means(rows: Any, batch_size: int) -> float:
    return float(np.mean([b.mean() for b in batches_of(rows, batch_size)]))


def typical_error(rows: Any, count: int = 5_000, batch_size: int = 32, draws: int = 200) -> float:
    """Median relative error of the mean of means over ``count`` rows drawn from these."""
    generator = np.random.default_rng(0)
    drawn = (generator.choice(rows, count) for _ in range(draws))
    return float(np.median([abs(mean_of_means(r, batch_size) / r.mean() - 1) for r in drawn]))


def batch_means() -> Section:
    rows = row_losses()
    usual = typical_error(rows)
    sizes = np.arange(16, 301)
    errors = np.array([mean_of_means(rows, b) / rows.mean() - 1 for b in sizes])
    worst = int(sizes[np.argmax(np.abs(errors))])
    left = len(rows) % worst
    share, error = 1 / len(batches_of(rows, worst)), float(np.abs(errors).max())
    figure, (a,) = panels()
    a.axhline(0, color=RIGHT, linewidth=2)
    a.plot(sizes, 100 * errors, ".", color=WRONG, markersize=4)
    a.set(xlabel="batch size (rows)", ylabel="error of the epoch's loss (%)")
    title(a, f"One network, {len(rows):,} rows, cut into batches")
    top = 100 * errors[worst - sizes[0]]
    a.annotate(
        f"batches of {worst}: the last holds {left} row" + ("s" if left > 1 else ""),
        xy=(worst, top),
        xytext=(worst - 14, top),
        ha="right",
        va="center",
        fontsize=9,
        color=WRONG,
        arrowprops={"arrowstyle": "-", "color": WRONG, "lw": 0.8},
    )
    label(a, 20, 0.4 * abs(top), "line: mean over rows", RIGHT)
    label(a, 20, 0.55 * abs(top), "dots: mean of batch means", WRONG)
    weight = 32 / (5_000 % 32)
    return Section(
        "batch-means",
        "000",
        "The loss of an epoch is a mean of batch means",
        "the mean over batches of each batch's mean",
        "the mean over rows: a short last batch weighs less",
        f"{percent(usual)} off on 5,000 rows in batches of 32, as in the post; {percent(error)} at worst, on "
        f"{len(rows):,} rows in batches of {worst}",
        [
            f"""
            If the batch size does not divide the number of rows, the last batch is short, and its rows count for more.
            In the post, 5,000 rows in batches of 32 leave {5_000 % 32}, each of which weighs {weight:g} times as much
            as the others. Loss and accuracy of its training curves are of this kind (its validation rows divide
            evenly). It matters little there: 5,000 losses drawn from those of a trained network, in batches of 32,
            give a mean of means that is {percent(usual)} off in the median.
            """,
            f"""
            On fewer rows and in larger batches it can matter more. The {len(rows):,} training digits, cut into batches
            of {sizes[0]} to {sizes[-1]}: the mean of means errs by {percent(float(np.median(np.abs(errors))))} in the
            median and by {percent(error)} at worst, for batches of {worst}, where {left} rows hold
            {percent(share, 0)} of the weight. It costs nothing to get right: add up sums, divide by the rows. So does
            `ol.fit`.
            """,
        ],
        figure,
        "Each dot is a batch size; the network and its rows are the same throughout.",
    )


def sum_over_batches(rows: Any, batch_size: int = 32) -> float:
    """Each batch's mean times its size, added up, over the number of batches."""
    parts = batches_of(rows, batch_size)
    return float(sum(b.mean() * len(b) for b in parts) / len(parts))


def undefined_name() -> str:
    """What Python says to the name the article gives its second loader."""
    try:
        eval("test", {"train": "training rows", "valid": "validation rows"})
    except NameError as error:
        return str(error)
    return ""


def printed_loss() -> Section:
    rows = row_losses()
    wrong = sum_over_batches(rows)
    train_factor, valid_factor = 60_000 / ceil(60_000 / 32), 10_000 / ceil(10_000 / 32)
    return Section(
        "printed-loss",
        "001",
        "The loss printed is 32 times the loss",
        "sum of loss × batch size, divided by the number of *batches*",
        "divided by the number of rows",
        f"prints {num(wrong)} for a loss of {num(float(rows.mean()))}, {wrong / rows.mean():.1f} times as much",
        [
            """
            Multiplying by the batch size turns means into sums, which is right; then the sum has to be divided by what
            was counted, rows. (Batches are what one divides by when adding up means.)
            """,
            table(
                ["digits, batches of 32", "loss"],
                [
                    ["mean over rows", num(float(rows.mean()))],
                    ["sum over rows / number of batches", num(wrong)],
                ],
            ),
            f"""
            With MNIST's 60,000 and 10,000 rows the factors are {train_factor:g} for training and {valid_factor:.2f}
            for validation, so that not even the two printed curves can be compared exactly. The schedule is not
            harmed: PyTorch's plateau scheduler asks by default for a *relative* improvement; with an absolute
            threshold it would be.
            """,
            f"The code also gives its second loader a name that it never assigns: `NameError: {undefined_name()}`.",
        ],
    )


def candidates(rows: int, seeds: int = 10, epochs: int = 20) -> Any:
    """Whether each candidate is right on each held-out row: shape ``(seeds * epochs, rows held out)``.

    A candidate is a network after an epoch: what one chooses among when keeping "the best checkpoint".
    """
    x, y = np.concatenate([DIGITS.x_val, DIGITS.x_test]), np.concatenate([DIGITS.y_val, DIGITS.y_test])
    small = ol.Dataset(DIGITS.x_train[:rows], DIGITS.y_train[:rows])
    hits: list[Any] = []
    for seed in range(seeds):
        watch = [lambda net, opt, history: hits.append(net.predict(x) == y)]
        train(ol.rules.textbook.adam, small, epochs=2 * epochs, seed=seed, lr=0.01, callbacks=watch)
        del hits[-2 * epochs : -epochs]  # the first half of training: never the best
    return np.array(hits, float)


def optimism(hits: Any, count: int, splits: int = 1000) -> tuple[float, float]:
    """Accuracy of the best of ``count`` candidates on the rows that chose it, and on as many fresh rows.

    Means over random candidates and random halves of the rows, each half once the one and once the other.
    """
    generator = np.random.default_rng(0)
    models, rows = hits.shape
    halves = generator.permuted(np.tile(np.arange(rows) < rows // 2, (splits, 1)), axis=1).T
    some = generator.permuted(np.tile(np.arange(models), (splits, 1)), axis=1)[:, :count].T
    halves, some = np.hstack([halves, ~halves]), np.hstack([some, some])
    chosen_on, fresh = (hits @ half.astype(float) / half.sum(axis=0) for half in (halves, ~halves))
    each = np.arange(2 * splits)
    best = some[chosen_on[some, each].argmax(axis=0), each]
    return float(chosen_on[best, each].mean()), float(fresh[best, each].mean())


def held_out() -> Section:
    trained_on = 300
    hits = candidates(trained_on)
    counts = (1, 2, 5, 10, 20, 50, 100, 200)
    scores = [optimism(hits, n) for n in counts]
    chosen_on, fresh = (100 * np.array(v) for v in zip(*scores, strict=True))
    figure, (a,) = panels()
    pair(a, counts, fresh, chosen_on, marker="o", markersize=4)
    a.set(xscale="log", xlabel="candidates looked at", ylabel="accuracy of the best one (%)")
    a.set_xticks(counts, [str(n) for n in counts])
    a.minorticks_off()
    title(a, "Best checkpoint of several, digits")
    label(a, counts[4], chosen_on[4] + 0.25, "on the rows it was chosen by", WRONG, ha="right")
    label(a, counts[-1], fresh[-2] - 0.3, "on fresh rows: what it is worth", RIGHT, ha="right")
    rows = [[str(n), f"{c:.1f}%", f"{f:.1f}%"] for n, c, f in zip(counts, chosen_on, fresh, strict=True)]
    return Section(
        "test-set",
        "004",
        "The test set stands where validation data belong",
        "the last training is given the test set as validation data",
        "choose by validation rows; look at the test rows once",
        f"the best of {counts[-1]} checkpoints scores {chosen_on[-1]:.1f}% on the rows that chose it, {fresh[-1]:.1f}% "
        "on fresh ones",
        [
            f"""
            In the notebook nothing is chosen by these figures: training runs for a fixed number of epochs and ends.
            But a test curve on the screen is an invitation: to stop where it is highest, to keep that checkpoint, to
            try once more. (Document 001 goes a step further: it takes MNIST's test rows for validation, and the
            learning rate follows them.) What it costs, measured: networks trained on {trained_on} digits, each epoch a
            candidate; the best one by one half of the held-out rows is scored on that half and on the other.
            """,
            table(["candidates", "accuracy where it was chosen", "accuracy on fresh rows"], rows),
            """
            With one candidate the two agree. The more candidates there are, the more of the best one's lead is luck
            with those rows, and that luck does not carry over to other rows. Choose by validation rows instead. The
            choice is as good, and the test score is then the right-hand column: unbiased.
            """,
        ],
        figure,
        "Mean over random halves of the held-out rows.",
    )


def standard_error(accuracy: float, rows: int) -> float:
    return (accuracy * (1 - accuracy) / rows) ** 0.5


def chance_of_a_gap(differing: int, gap: int) -> float:
    """Probability that two equally good networks are at least ``gap`` right answers apart.

    Exactly one of the two is right on each of ``differing`` rows.
    """
    first = np.arange(differing + 1)  # right answers of the first network there
    return float(stats.binom.pmf(first, differing, 0.5)[np.abs(2 * first - differing) >= gap].sum())


def ranking() -> Section:
    rows = 10_000
    tuned = measured("mnist_tuning", "Adam 0.00168, early stopping")
    plateau = measured("mnist_tuning", "plateau x0.379, patience 10, early stopping")["document"]["again"]
    before, after = tuned["document"]["test"], tuned["document"]["again"]
    error, images = standard_error(before, rows), round((after - before) * rows)
    first, again = tuned["test_accuracy"]["runs"], tuned["again_accuracy"]["runs"]
    changes = [round((b - a) * rows) for a, b in zip(first, again, strict=True)]
    odds = {d: chance_of_a_gap(d, images) for d in (10, 30, 100)}
    return Section(
        "ranking",
        "004",
        "Single runs are ranked that differ by three images",
        f"{percent(before, 2)} before and {percent(after, 2)} after ten more epochs, from one run",
        f"a tie: the standard error of each is {100 * error:.2f} points",
        f"{images} images of {rows:,}; the same step, repeated with {len(changes)} seeds, changes "
        f"{', '.join(f'{c:+d}'.replace('-', '−') for c in changes)} images",
        [
            f"""
            An accuracy of {percent(before, 2)} on {rows:,} images has a standard error of √(p(1 − p)/n) =
            {100 * error:.2f} points, as a sample of all the images there could be. The two networks were measured on
            the same images, which helps: what counts then is the number of images on which exactly one of the two is
            right. Two equally good networks are still {images} or more images apart with these probabilities:
            """,
            table(
                ["images on which they differ", f"chance of a gap of {images} or more"],
                [[str(d), percent(p, 0)] for d, p in odds.items()],
            ),
            f"""
            And the next seed brings another network. `benchmarks/mnist_tuning.py` repeats the notebook's step: from
            {", ".join(percent(v, 2) for v in first)} to {", ".join(percent(v, 2) for v in again)}. The notebook's
            summary compares {percent(after)} with {percent(plateau)} in the same way. To say that one setting is better
            takes several seeds of each, and an interval of the difference: `optimlab compare` prints it, and declares
            a tie where the interval contains zero.
            """,
        ],
    )
