"""Estimators for scikit-learn: networks trained by any optimizer, in pipelines, grid searches and cross-validation.

>>> from sklearn.datasets import load_iris
>>> from sklearn.model_selection import cross_val_score
>>> from sklearn.pipeline import make_pipeline
>>> from sklearn.preprocessing import StandardScaler
>>> from optimlab.sklearn import MLPClassifier
>>> model = MLPClassifier((32,), optimizer="adam:torch", learning_rate_init=0.01, tol=None, max_iter=50, random_state=0)
>>> bool(cross_val_score(make_pipeline(StandardScaler(), model), *load_iris(return_X_y=True)).mean() > 0.9)
True

Needs scikit-learn, the extra ``sklearn``.

Imports common, schedules, backends, nn, optim, datasets and training.
"""

from __future__ import annotations

from ..common.errors import lacks

try:
    from .estimators import MLPClassifier, MLPRegressor
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "sklearn":
        raise
    raise lacks("optimlab.sklearn", "scikit-learn", "sklearn") from None

__all__ = ["MLPClassifier", "MLPRegressor"]
