"""k-means, hierarchies, principal components, t-SNE and measures of clusters against scikit-learn and SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn import cluster, decomposition, manifold, metrics
from sklearn.datasets import load_digits
from sklearn.manifold import _t_sne

from groundup.core.errors import DataError
from groundup.foundations.cluster_measures import adjusted_rand_index, contingency, purity, silhouette
from groundup.foundations.hierarchical import linkage
from groundup.foundations.kmeans import KMeans, plus_plus
from groundup.foundations.pca import covariance_spectrum, fit_pca
from groundup.foundations.tsne import TSNE, joint_affinities, kl_gradient, trustworthiness

pytestmark = pytest.mark.row("0.6")


def test_kmeans_from_the_same_start(draw: np.random.Generator) -> None:
    x = draw.normal(size=(150, 3))
    start = x[draw.choice(150, 5, replace=False)]
    ours = KMeans(num_clusters=5, tolerance=0.0).fit(x, start)
    theirs = cluster.KMeans(5, init=start, n_init=1, tol=0.0, algorithm="lloyd").fit(x)
    np.testing.assert_array_equal(ours.labels, theirs.labels_)
    np.testing.assert_allclose(ours.centres, theirs.cluster_centers_, atol=1e-10)
    assert ours.inertia == pytest.approx(theirs.inertia_, rel=1e-10)
    new = draw.normal(size=(40, 3))
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))


def test_kmeans_keeps_every_cluster(draw: np.random.Generator) -> None:
    x = np.concatenate([draw.normal(size=(30, 2)), draw.normal(size=(3, 2)) + 50])
    start = np.array([[0.0, 0.0], [1e6, 1e6], [50.0, 50.0]])  # nothing is near the second
    found = KMeans(num_clusters=3).fit(x, start)
    assert np.bincount(found.labels, minlength=3).min() >= 1
    assert KMeans(num_clusters=2).fit(np.ones((5, 2))).inertia == 0.0
    with pytest.raises(DataError, match="7 clusters of 5 points"):
        KMeans(num_clusters=7).fit(np.ones((5, 2)))


def test_kmeans_plus_plus_draws_by_squared_distance() -> None:
    """A second centre falls on the far point with probability d² / sum d²."""
    draw = np.random.default_rng(0)
    x = np.array([[0.0], [1.0], [3.0]])
    counts = np.zeros((3, 3))
    for _ in range(3000):
        first, second = plus_plus(x, 2, draw)[:, 0]
        counts[np.flatnonzero(x[:, 0] == first)[0], np.flatnonzero(x[:, 0] == second)[0]] += 1
    shares = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, [[0, 0.1, 0.9], [0.2, 0, 0.8], [9 / 13, 4 / 13, 0]], atol=0.05)


@pytest.mark.parametrize("method", ["single", "complete", "average", "ward"])
def test_hierarchies(draw: np.random.Generator, method: str) -> None:
    n = int(draw.integers(2, 90))
    x = draw.normal(size=(n, 3))
    ours, theirs = linkage(x, method), hierarchy.linkage(x, method)  # type: ignore[arg-type]
    np.testing.assert_allclose(ours.merges, theirs, atol=1e-9)
    k = int(draw.integers(1, n + 1))
    assert adjusted_rand_index(ours.cut(k), hierarchy.fcluster(theirs, k, "maxclust")) == pytest.approx(1.0)
    assert len(np.unique(ours.cut(k))) == k
    assert ours.leaves() == hierarchy.leaves_list(theirs).tolist()


def test_principal_components(draw: np.random.Generator) -> None:
    x = draw.normal(size=(60, 5)) @ draw.normal(size=(5, 5)) + 4
    ours, theirs = fit_pca(x, 3), decomposition.PCA(3).fit(x)
    np.testing.assert_allclose(ours.variances, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours.shares, theirs.explained_variance_ratio_, rtol=1e-9)
    signs = np.sign((ours.directions * theirs.components_).sum(axis=1))
    np.testing.assert_allclose(ours.directions * signs[:, None], theirs.components_, atol=1e-7)
    np.testing.assert_allclose(ours.project(x) * signs, theirs.transform(x), atol=1e-6)
    np.testing.assert_allclose(ours.back(ours.project(x)), theirs.inverse_transform(theirs.transform(x)), atol=1e-6)
    np.testing.assert_allclose(covariance_spectrum(x), fit_pca(x, 5).variances, rtol=1e-8)
    with pytest.raises(DataError, match="6 components"):
        fit_pca(x, 6)


def test_tsne_affinities_and_gradient(draw: np.random.Generator) -> None:
    x, places = draw.normal(size=(80, 4)), draw.normal(size=(80, 2))
    perplexity = float(draw.uniform(3, 20))
    ours = joint_affinities(x, perplexity)
    squares = metrics.pairwise_distances(x, squared=True).astype(np.float32)
    # scikit-learn works in float32 and ends its search at an entropy within 1e-5.
    np.testing.assert_allclose(ours, squareform(_t_sne._joint_probabilities(squares, perplexity, 0)), atol=1e-6)
    conditional_entropy = -np.sum(ours * np.log(np.maximum(ours, 1e-300)))
    assert conditional_entropy > np.log(perplexity)
    divergence, gradient = kl_gradient(ours, places, 1.0)
    packed = squareform(ours, checks=False)
    wanted, wanted_gradient = _t_sne._kl_divergence(places.ravel(), packed, 1.0, 80, 2)
    assert divergence == pytest.approx(wanted, abs=1e-6)
    np.testing.assert_allclose(gradient.ravel(), wanted_gradient, atol=1e-10)
    step = draw.normal(size=places.shape) * 1e-5
    ahead, behind = (kl_gradient(ours, places + s, 1.0)[0] for s in (step, -step))
    assert (ahead - behind) / 2 == pytest.approx(float((gradient * step).sum()), rel=1e-4, abs=1e-12)


def test_tsne_of_digits_is_as_trustworthy() -> None:
    x = load_digits().data[:250] / 16
    ours = TSNE(num_steps=300).fit(x)
    theirs = manifold.TSNE(method="exact", max_iter=300, init="pca").fit_transform(x)
    scores = [manifold.trustworthiness(x, places, n_neighbors=10) for places in (ours.places, theirs)]
    assert trustworthiness(x, ours.places) == pytest.approx(scores[0], abs=1e-4)  # whole numbers: distances tie
    assert scores[0] > scores[1] - 0.01 and scores[0] > 0.95
    assert ours.history[-1] < ours.history[5]


def test_measures_of_clusters(draw: np.random.Generator) -> None:
    x = draw.normal(size=(70, 3))
    found, known = draw.integers(0, 4, 70), draw.integers(2, 5, 70)
    found[0] = 9  # alone
    assert silhouette(x, found) == pytest.approx(metrics.silhouette_score(x, found), abs=1e-10)
    assert adjusted_rand_index(found, known) == pytest.approx(metrics.adjusted_rand_score(known, found), abs=1e-12)
    np.testing.assert_array_equal(contingency(found, known), metrics.cluster.contingency_matrix(found, known))
    assert purity(np.arange(70), known) == 1.0
    assert adjusted_rand_index(known, known) == 1.0
