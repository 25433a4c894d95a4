"""Made-up runs for callbacks that Keras has too: tests/golden/make_callbacks.py records them, test_callbacks.py reads.

A case is a list of callbacks, by class and options as optimlab names them, and the values of ``val_loss`` in one run
after another: the callbacks are used again. After epoch e every weight is e, so that they tell what was restored.
"""

LR = 0.5

SCHEDULES = {
    "falling": lambda epoch: LR / (1 + epoch),
    "halved from 2": lambda epoch, lr: lr / 2 if epoch == 2 else lr,
    "raised at 5": lambda epoch, lr: LR if epoch == 5 else lr,
    "raised at 4": lambda epoch, lr: LR if epoch == 4 else lr,
}

FALLS = [5.0, 4.0, 3.0, 2.0, 1.0, 0.5]
RISES = [3.0, 2.0, 4.0, 4.0, 4.0, 4.0, 4.0]
FLAT = [1.0] * 9
NAN = [2.0, float("nan"), 1.0, float("nan"), float("nan"), float("nan")]
LATE = [3.0, 2.0, 2.5]


def _stop(**options):
    return ["EarlyStopping", options]


def _cut(**options):
    return ["ReduceLROnPlateau", options]


def _follow(schedule):
    return ["LearningRateScheduler", {"schedule": schedule}]


CASES = {
    "early stopping": ([_stop(patience=2)], [RISES, FALLS, LATE, RISES, NAN]),
    "a patient one": ([_stop(patience=4, min_delta=0.5)], [LATE, RISES, FALLS, FLAT]),
    "without restoring": ([_stop(patience=1, restore_best=False)], [LATE, RISES]),
    "plateau": ([_cut(factor=0.5, patience=2)], [FLAT, FALLS, RISES]),
    "plateau with cool-down": ([_cut(factor=0.1, patience=1, cooldown=2, min_lr=0.01)], [FLAT, RISES]),
    "plateau and a schedule": ([_cut(factor=0.5, patience=2), _follow("halved from 2")], [FLAT, FLAT]),
    "the same in the other order": ([_follow("halved from 2"), _cut(factor=0.5, patience=2)], [FLAT, FLAT]),
    "plateau and a rate that rises": ([_follow("raised at 4"), _cut(factor=0.5, patience=1)], [FLAT, RISES]),
    "plateau at its lowest, and a rate that rises": (
        [_cut(factor=0.1, patience=2, min_lr=0.05), _follow("raised at 5")],
        [FLAT, RISES],
    ),
    "schedule": ([_follow("falling")], [FALLS, LATE]),
    "schedule and stop": ([_follow("falling"), _stop(patience=2)], [RISES, FALLS]),
}
