"""A multilayer perceptron as a classifier and as a regressor of scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from ..backends import dtype_name
from ..common.errors import InputError, count, number
from ..datasets import Dataset
from ..nn import activations, losses
from ..nn.initializers import Initializer, VarianceScaling
from ..nn.losses import Loss, Score
from ..nn.network import MLP
from ..nn.own_losses import known, own
from ..nn.regularization import L2
from ..optim import optimizers
from ..optim.optimizers import Optimizer
from ..schedules import Length, Shape
from ..training.callbacks import EarlyStopping, ReduceLROnPlateau
from ..training.history import History
from ..training.lifecycle import checked
from ..training.loop import fit as train

_PARAMETERS = """\
    Parameters
    ----------
    hidden_layer_sizes: a number, or a list of numbers, of units.
    activation: a name or an object of :mod:`optimlab.activations`; ``"logistic"`` is the sigmoid.
    optimizer: a name such as ``"adam"`` or ``"adam:torch"`` (:data:`optimlab.optimizers.OPTIMIZERS`, with a
        convention), a class such as ``ol.Adam``, or a rule of your own.
    optimizer_options: hyperparameters of the rule by name, such as ``{"beta1": 0.8}``, and ``groups``.
    learning_rate_init: the learning rate, the peak of the schedule; None for the rule's default.
    schedule: a name with options, such as ``"cosine"`` or ``"cosine(warmup=0.1)"``, see
        :mod:`optimlab.schedules.shapes`; it is as long as ``max_iter``. Or an object of :mod:`optimlab.schedules`, or a
        function of the step, each with a rate of its own.
    loss: a name in :mod:`optimlab.losses`; None for the usual one: a cross-entropy for classes, the mean squared error
        for numbers. Or a function of your own, see :func:`optimlab.fit`; it gets an output for each class.
    alpha: strength of the penalty ``alpha / (2 batch_size) * sum of squared weights``, which is added to the loss.
    initializer, bias_initializer: of the weights and biases, as in :class:`optimlab.MLP`; but ``"auto"`` draws both as
        scikit-learn does, from Glorot's uniform distribution, for the sigmoid with a third of the variance.
    batch_norm, dropout: as in :class:`optimlab.MLP`.
    batch_size: rows of a batch, at most all; ``"auto"`` is 200.
    max_iter: epochs at most.
    tol, n_iter_no_change: training ends after ``n_iter_no_change`` epochs without an improvement of more than ``tol``
        in the training loss; with ``early_stopping``, in the score (accuracy or R²) on the validation rows. With
        ``tol=None`` or a schedule, the training loss ends nothing.
    early_stopping: whether to set rows aside for validation, and to return to the best epoch on them.
    validation_fraction: the share of these rows; a classifier takes the same of every class.
    callbacks: as for :func:`optimlab.fit`. A clone has copies of them: after a search, look at those of
        ``best_estimator_``.
    random_state: decides the initial weights, the order of the rows, dropout, and the validation rows.
    dtype: ``"float32"``, ``"float64"``, or ``"auto"``: that of the inputs, and float64 for any other.
    backend: as in :class:`optimlab.MLP`.
    verbose: whether to show a progress bar.

    Attributes
    ----------
    network_, optimizer_: the trained :class:`optimlab.MLP`, and its optimizer.
    history_: the :class:`optimlab.History` of the training.
    n_iter_: epochs of training.
    n_features_in_, feature_names_in_: number of inputs; their names, if they had some.
"""


class _Perceptron(BaseEstimator):  # type: ignore[misc]
    """Base of the two estimators: the arguments, the network, and its training."""

    _score: ClassVar[Score]
    """The score that is measured beside the loss, and watched by ``early_stopping``."""

    def __init__(
        self,
        hidden_layer_sizes: int | Sequence[int] = (100,),
        activation: Any = "relu",
        *,
        optimizer: Any = "adam",
        optimizer_options: Mapping[str, Any] | None = None,
        learning_rate_init: float | None = None,
        schedule: str | Callable[[int], float] | None = None,
        loss: Any = None,
        alpha: float = 0.0001,
        initializer: str | Initializer = "auto",
        bias_initializer: str | Initializer = "auto",
        batch_norm: bool | str = False,
        dropout: float = 0.0,
        batch_size: int | str = "auto",
        max_iter: int = 200,
        tol: float | None = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        callbacks: Sequence[Any] = (),
        random_state: Any = None,
        dtype: str = "auto",
        backend: str = "auto",
        verbose: bool = False,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.optimizer = optimizer
        self.optimizer_options = optimizer_options
        self.learning_rate_init = learning_rate_init
        self.schedule = schedule
        self.loss = loss
        self.alpha = alpha
        self.initializer = initializer
        self.bias_initializer = bias_initializer
        self.batch_norm = batch_norm
        self.dropout = dropout
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.callbacks = callbacks
        self.random_state = random_state
        self.dtype = dtype
        self.backend = backend
        self.verbose = verbose

    def _targets(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Check the training data and return them as the network takes them."""
        raise NotImplementedError

    def _known(self, targets: Any) -> tuple[Loss | None, int]:
        """Return the loss, None for a function of your own, and the number of outputs that it needs."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any) -> Any:
        """Train a new network, and return the estimator.

        Parameters
        ----------
        X: shape ``(rows, features)``; sparse matrices are refused.
        y: shape ``(rows,)``; for several targets of a regression ``(rows, outputs)``.

        Raises
        ------
        ValueError: the data or a parameter cannot be used; or training diverged.
        """
        x, targets = self._targets(X, y)
        loss, outputs = self._known(targets)
        random = check_random_state(self.random_state)
        data = Dataset(x, targets)
        if self.early_stopping:
            data = self._split(x, targets, random)
        rows = len(data.x_train)
        batch_size = self._batch_size(rows)
        epochs = count("max_iter", self.max_iter)
        self.network_ = self._network(x.shape[1], outputs, x.dtype.name, _seed(random))
        self.optimizer_ = self._optimizer(self.network_)
        loss = loss or own(self.loss, self.network_, targets, self._score)
        plateau = self._follow(self.optimizer_, Length(epochs * -(-rows // batch_size), -(-rows // batch_size)))
        self.history_ = train(
            self.network_,
            self.optimizer_,
            data,
            epochs=epochs,
            batch_size=batch_size,
            loss=loss,
            penalties=[L2(number("alpha", self.alpha, low=0) / batch_size)] if self.alpha else [],
            seed=_seed(random),
            callbacks=[*plateau, *self._stopping(), *checked(self.callbacks)],
            progress=bool(self.verbose),
        )
        self.n_iter_ = self.history_.epochs
        self._tell()
        return self

    def _split(self, x: Any, targets: Any, random: np.random.RandomState) -> Dataset:
        """Return the data with a share of the rows for validation, the same share of every class."""
        share = number("validation_fraction", self.validation_fraction, above=0, below=1)
        classes = targets if self._score is losses.ACCURACY else None
        parts = train_test_split(x, targets, test_size=share, random_state=random, stratify=classes)
        x_train, x_val, y_train, y_val = parts
        return Dataset(x_train, y_train, x_val, y_val)

    def _dtypes(self) -> Sequence[str]:
        """Return the dtypes that inputs may have; others are converted to the first."""
        return ("float64", "float32") if self.dtype == "auto" else (dtype_name(self.dtype),)

    def _batch_size(self, rows: int) -> int:
        if self.batch_size != "auto":
            return min(count("batch_size", self.batch_size), rows)
        size = min(200, rows)
        while self.batch_norm and size > 2 and rows % size == 1:  # it cannot train on a last batch of one row
            size -= 1
        return size

    def _network(self, features: int, outputs: int, dtype: str, seed: int) -> MLP:
        given = self.hidden_layer_sizes
        hidden: Sequence[Any] = [given] if np.ndim(given) == 0 else list(given)  # type: ignore[arg-type]
        activation = activations.get("sigmoid" if self.activation == "logistic" else self.activation)
        usual = VarianceScaling(1 / 3 if activation == activations.get("sigmoid") else 1.0, "fan_avg", "uniform")
        weights, biases = (
            usual if isinstance(chosen, str) and chosen == "auto" else chosen
            for chosen in (self.initializer, self.bias_initializer)
        )
        return MLP(
            [features, *(count("a size in hidden_layer_sizes", n) for n in hidden), outputs],
            activation=activation,
            initializer=weights,
            bias_initializer=biases,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
            seed=seed,
            dtype=dtype,
            backend=self.backend,
        )

    def _optimizer(self, network: MLP) -> Optimizer:
        chosen, options = self.optimizer, self.optimizer_options or {}
        if not isinstance(options, Mapping):
            raise InputError(
                f"optimizer_options are hyperparameters by name, such as {{'beta1': 0.8}}; got {options!r}"
            )
        if "lr" in options:
            raise InputError("give the learning rate as learning_rate_init or as schedule, not in optimizer_options")
        values = dict(options)
        if self.learning_rate_init is not None:
            values["lr"] = number("learning_rate_init", self.learning_rate_init, low=0)
        if isinstance(chosen, str):
            name, _, convention = chosen.partition(":")
            chosen, values = optimizers.get(name), {**values, **({"convention": convention} if convention else {})}
        if isinstance(chosen, type) and issubclass(chosen, Optimizer) and chosen is not Optimizer:
            made: Optimizer = chosen(network.parameters, **values)
            return made
        if isinstance(chosen, Optimizer | type) or not callable(chosen):
            raise InputError(
                "optimizer takes a name such as 'adam:torch', a class such as ol.Adam, or a rule of your own; "
                f"got {chosen!r}"
            )
        return Optimizer(network.parameters, chosen, **values)

    def _follow(self, optimizer: Optimizer, run: Length) -> list[ReduceLROnPlateau]:
        """Give the optimizer its schedule; a plateau is a callback."""
        if callable(self.schedule):
            if self.learning_rate_init is not None:
                raise InputError(
                    f"{self.schedule!r} has its own rate: leave out learning_rate_init, or name a schedule whose peak "
                    "it is, such as 'cosine'"
                )
            optimizer.lr = self.schedule
            return []
        shape = Shape.of(self.schedule)
        if shape is None:
            return []
        if shape.listens:
            monitor = "val_loss" if self.early_stopping else "train_loss"
            return [ReduceLROnPlateau(monitor, **shape.plateau(run.steps // run.per_epoch))]
        optimizer.lr = shape.schedule(optimizer.lr, run)
        return []

    def _stopping(self) -> list[EarlyStopping]:
        """Return the callbacks that end training before ``max_iter``."""
        patience = count("n_iter_no_change", self.n_iter_no_change)
        least = 0.0 if self.tol is None else number("tol", self.tol, low=0)
        if self.early_stopping:
            return [EarlyStopping(f"val_{self._score.name}", patience, least)]
        if self.tol is None or self.schedule is not None:
            return []
        return [EarlyStopping("train_loss", patience, least, restore_best=False)]

    def _tell(self) -> None:
        """Raise an error if training diverged; warn if it ended too early."""
        history: History = self.history_
        if history.status == "diverged":
            raise InputError(
                f"training diverged at step {history.diverged_step}, in epoch {history.epochs + 1}: take a lower "
                "learning_rate_init, or scale the data, with StandardScaler for the inputs"
            )
        if history.status == "interrupted":
            warnings.warn("training was interrupted; the network is as it was then", ConvergenceWarning, stacklevel=3)
        elif history.status == "completed" and self.tol is not None and self.schedule is None:
            warnings.warn(
                f"training ended after max_iter={self.max_iter} epochs while it still improved; with tol=None it is "
                "meant to",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _numbers(self, method: str, X: Any) -> NDArray[Any]:
        """Return what a method of the network returns for checked inputs."""
        check_is_fitted(self)
        network: MLP = self.network_
        found = getattr(network, method)(validate_data(self, X, reset=False, dtype=network.dtype))
        numbers: NDArray[Any] = network.backend.to_numpy(found)
        return numbers


def _seed(random: np.random.RandomState) -> int:
    return int(random.randint(2**31 - 1))


class MLPClassifier(ClassifierMixin, _Perceptron):  # type: ignore[misc]
    __doc__ = f"""A multilayer perceptron that classifies, trained by any optimizer.

    Two classes have one output, a logit; more have one each.

{_PARAMETERS}    classes_: the classes, sorted.

    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = MLPClassifier((16,), batch_size=32, early_stopping=True, random_state=0)
    >>> make_pipeline(StandardScaler(), model).fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.95
    True
    """

    _score = losses.ACCURACY

    def _targets(self, x: Any, y: Any) -> tuple[Any, Any]:
        x, y = validate_data(self, x, y, dtype=self._dtypes())
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError(f"y has one class, {self.classes_.tolist()[0]!r}: a classifier needs two or more")
        return x, labels.astype("int64")

    def _known(self, targets: Any) -> tuple[Loss | None, int]:
        classes = len(self.classes_)
        usual = "binary_cross_entropy" if classes == 2 else "softmax_cross_entropy"
        loss = known(usual if self.loss is None else self.loss)
        if loss is not None and not loss.classifies:
            raise InputError(
                f"MLPClassifier needs a loss for classes, and {loss.name} has none; leave it out, or use {usual!r}"
            )
        return loss, 1 if loss is not None and loss.name == "binary_cross_entropy" else classes

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return the probability of each class, shape ``(rows, classes)``, in the order of ``classes_``."""
        return self._numbers("predict_proba", X)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most likely class of each row."""
        numbers = self._numbers("predict", X)
        classes: NDArray[Any] = self.classes_[numbers]
        return classes


class MLPRegressor(RegressorMixin, MultiOutputMixin, _Perceptron):  # type: ignore[misc]
    __doc__ = f"""A multilayer perceptron that predicts one number or several, trained by any optimizer.

    It learns targets of mean 0 and deviation 1 best: see :class:`sklearn.compose.TransformedTargetRegressor`.

{_PARAMETERS}
    >>> import numpy as np
    >>> X = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    >>> y = np.sin(3 * X[:, 0]) * X[:, 1]
    >>> model = MLPRegressor((32, 32), learning_rate_init=0.01, batch_size=32, tol=None, max_iter=50, random_state=0)
    >>> model.fit(X[:400], y[:400]).score(X[400:], y[400:]) > 0.95
    True
    """

    _score = losses.R2

    def _targets(self, x: Any, y: Any) -> tuple[Any, Any]:
        x, y = validate_data(self, x, y, dtype=self._dtypes(), multi_output=True, y_numeric=True)
        self._flat = y.ndim == 1
        return x, y.astype(x.dtype)

    def _known(self, targets: Any) -> tuple[Loss | None, int]:
        loss = known("mean_squared_error" if self.loss is None else self.loss)
        if loss is not None and loss.classifies:
            raise InputError(f"{loss.name} is a loss for classes: use MLPClassifier, or another loss")
        return loss, 1 if targets.ndim == 1 else targets.shape[1]

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the prediction for each row, in the shape of the training targets."""
        numbers = self._numbers("predict", X)
        return numbers[:, 0] if self._flat else numbers
