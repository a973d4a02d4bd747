"""Tell which exercise a window shows from several sets of features, to compare embeddings with what is simpler.

In: features and exercises of known and of unseen wearers. Out: accuracies. Knows neither how features were made nor
where they are kept.
"""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.floating]
Names = NDArray[np.object_]
"""(n,) of str: exercises, or wearers."""

FOLDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One set of features, and how well it tells the exercises of unseen wearers."""

    features: str
    size: int
    classifier: str
    accuracy: float


def feature_sets(observed: NDArray[np.float64], embeddings: Features) -> dict[str, Features]:
    """Return the four sets of features that are compared; `observed` is (n, steps, channels)."""
    statistics = np.concatenate([observed.mean(axis=1), observed.std(axis=1)], axis=1)
    return {
        "last observation": observed[:, -1],
        "mean and std of the window": statistics,
        "embedding": embeddings,
        "embedding, mean and std": np.concatenate([embeddings, statistics], axis=1),
    }


def compare(
    known: Mapping[str, Features], exercises: Names, wearers: Names, unseen: Mapping[str, Features], truth: Names
) -> Sequence[Score]:
    """Train on each set of features of the known wearers, and measure on the same set of the unseen ones."""

    def score(name: str) -> Score:
        kind, classifier = choose(known[name], exercises, wearers)
        accuracy = float(classifier.fit(known[name], exercises).score(unseen[name], truth))
        return Score(features=name, size=known[name].shape[1], classifier=kind, accuracy=accuracy)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # the solvers let other threads run
        return list(pool.map(score, known))


def choose(features: Features, exercises: Names, wearers: Names) -> tuple[str, Any]:
    """Return the classifier that does best on known wearers whom it was not trained with."""
    from sklearn.model_selection import GroupKFold, cross_val_score  # noqa: PLC0415 - the demo's alone

    def held_out(classifier: Any) -> float:
        return float(cross_val_score(classifier, features, exercises, groups=wearers, cv=GroupKFold(FOLDS)).mean())

    return max(_candidates().items(), key=lambda candidate: held_out(candidate[1]))


def _candidates() -> dict[str, Any]:
    """Make one linear classifier and one that is not: which is better depends on the features."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # noqa: PLC0415 - the demo's alone
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    from sklearn.svm import SVC  # noqa: PLC0415

    return {
        "LDA": make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3)),
        "SVM": make_pipeline(StandardScaler(), SVC(C=3.0)),
    }
