"""MNIST, and Fashion-MNIST in the same layout."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from .dataset import Dataset
from .idx import Idx, check_idx, read_images, read_labels
from .sources import File, Source

VALIDATION = 10_000
"""Number of validation rows, taken from the end of the training rows."""


def source(
    name: str,
    classes: tuple[str, ...],
    mirrors: tuple[str, ...],
    digests: tuple[str | None, ...],
    rows: tuple[int, int] = (60_000, 10_000),
    validation: int = VALIDATION,
) -> Source:
    """Make the source of a data set in four files: training images and labels, test images and labels."""
    train, test = rows
    idx = (
        Idx((train, 28, 28), digests[0]),
        Idx((train,), digests[1]),
        Idx((test, 28, 28), digests[2]),
        Idx((test,), digests[3]),
    )
    stems = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

    def read(paths: tuple[Path, ...]) -> Dataset:
        # labels first: they are quick to check
        y, y_test = (read_labels(paths[k], idx[k], len(classes)) for k in (1, 3))
        x, x_test = (read_images(paths[k], idx[k]) for k in (0, 2))
        data = Dataset(x_train=x, y_train=y, x_test=x_test, y_test=y_test, classes=classes, name=name)
        return data.with_validation(validation)

    files = tuple(
        File(f"{stem}.gz", (stem, f"{stem}.gz"), i.limit, partial(check_idx, idx=i))
        for stem, i in zip(stems, idx, strict=True)
    )
    return Source(name, files, mirrors, (train - validation, validation, test), 784, classes, read)


MNIST = source(
    "mnist",
    classes=tuple("0123456789"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    digests=(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
)

FASHION = source(
    "fashion_mnist",
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    digests=(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
