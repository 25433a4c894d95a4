"""Write optimlab/datasets/digits.npz from scikit-learn's copy of the digits data.

    python tests/golden/make_digits.py

The split is stored with the data, since neither NumPy nor scikit-learn promises the same random numbers for ever.
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

TARGET = Path(__file__).parents[2] / "optimlab" / "datasets" / "digits.npz"


def main() -> None:
    x, y = load_digits(return_X_y=True)
    rows = np.arange(len(x))
    train, rest = train_test_split(rows, test_size=720, stratify=y, random_state=0)
    val, test = train_test_split(rest, test_size=360, stratify=y[rest], random_state=0)
    split = np.zeros(len(x), np.uint8)
    split[val], split[test] = 1, 2
    np.savez_compressed(TARGET, x=x.astype(np.uint8), y=y.astype(np.uint8), split=split)
    print(f"{TARGET}: {len(train)} training, {len(val)} validation, {len(test)} test rows")


if __name__ == "__main__":
    main()
