"""Where the points lie: numbers against scikit-learn, and the same picture for the same rows."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, trustworthiness
from threadpoolctl import threadpool_info, threadpool_limits

from undertow.core.errors import Refused
from undertow.view import project as project_module
from undertow.view.project import project


@pytest.fixture(scope="module")
def groups():
    rng = np.random.default_rng(3)
    return (rng.normal(size=(120, 6)) + np.repeat(np.eye(3, 6) * 12, 40, axis=0)).astype(np.float32)


def test_shares_and_distances_are_those_of_scikit_learn(groups):
    found = project(groups, most_neighbours=20)
    plain = PCA(n_components=2, svd_solver="full").fit(groups.astype(float))
    np.testing.assert_allclose(found.shares, plain.explained_variance_ratio_, rtol=1e-6)
    np.testing.assert_allclose(np.abs(found.pca), np.abs(plain.transform(groups.astype(float))), rtol=1e-5, atol=1e-5)


def test_an_axis_points_the_same_way_whatever_the_order_of_the_rows(groups):
    found = project(groups, most_neighbours=20).pca
    order = np.random.default_rng(0).permutation(len(groups))
    np.testing.assert_allclose(project(groups[order], most_neighbours=20).pca, found[order], rtol=1e-5, atol=1e-5)
    mirrored = project(-groups, most_neighbours=20).pca
    np.testing.assert_allclose(mirrored, -found, rtol=1e-5, atol=1e-5)


def test_t_sne_keeps_neighbours_is_the_same_each_time_and_only_of_the_first_rows(groups):
    mixed = groups[np.random.default_rng(0).permutation(len(groups))]
    found = project(mixed, most_neighbours=100)
    assert (found.pca.shape, found.tsne.shape) == ((120, 2), (100, 2))
    assert trustworthiness(mixed[:100], found.tsne) > 0.85
    np.testing.assert_array_equal(project(mixed, most_neighbours=100).tsne, found.tsne)


def test_t_sne_works_in_one_thread_and_leaves_the_limits_of_others_as_they_were(groups, monkeypatch):
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}

    class Watched(TSNE):
        def fit_transform(self, points):
            seen.append(threads())
            return super().fit_transform(points)

    seen = []
    monkeypatch.setattr(project_module, "TSNE", Watched)
    with threadpool_limits(limits=2):
        project(groups, most_neighbours=20)
        assert (seen, threads()) == ([{1}], {2})


@pytest.mark.parametrize("shape", [(5, 3), (7, 1), (6, 80)])
def test_few_rows_and_one_dimension_can_be_drawn(shape):
    found = project(np.random.default_rng(0).normal(size=shape), most_neighbours=3000)
    assert np.isfinite(found.pca).all()
    assert np.isfinite(found.tsne).all()
    assert sum(found.shares) <= 1 + 1e-9


def test_too_few_rows_and_equal_vectors_are_refused():
    with pytest.raises(Refused, match="at least 5 rows to project, found 4"):
        project(np.eye(4), most_neighbours=3000)
    with pytest.raises(Refused, match="all 9 vectors are the same"):
        project(np.full((9, 3), 0.1, np.float32), most_neighbours=3000)
