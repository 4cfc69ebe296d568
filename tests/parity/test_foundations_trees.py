"""Decision trees, forests and nearest neighbours against scikit-learn, on fresh random tables."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from groundup.core.errors import ConfigError
from groundup.foundations.neighbours import Neighbours, nearest
from groundup.foundations.tree import DecisionTree, RandomForest, TreeModel, tree_arrays, trees_of

pytestmark = pytest.mark.row("0.6")


def table(draw: np.random.Generator) -> np.ndarray:
    # scikit-learn's trees round their features to float32
    return draw.normal(size=(150, 4)).astype(np.float32).astype(np.float64)


def assert_same_tree(ours: TreeModel, theirs: DecisionTreeRegressor | DecisionTreeClassifier) -> None:
    tree = theirs.tree_
    np.testing.assert_array_equal(np.where(ours.feature < 0, -2, ours.feature), tree.feature)
    inner = ours.feature >= 0
    np.testing.assert_allclose(ours.threshold[inner], tree.threshold[inner], rtol=1e-12)
    np.testing.assert_array_equal(ours.left[inner], tree.children_left[inner])
    np.testing.assert_array_equal(ours.right[inner], tree.children_right[inner])
    np.testing.assert_array_equal(ours.samples, tree.n_node_samples)
    np.testing.assert_allclose(ours.impurity, tree.impurity, atol=1e-10)
    np.testing.assert_allclose(ours.value, tree.value[:, 0, :], atol=1e-10)
    assert (ours.depth, ours.num_leaves) == (tree.max_depth, tree.n_leaves)


def test_a_tree_of_numbers_is_the_same_tree(draw: np.random.Generator) -> None:
    """Leaves of five at least: among fewer rows two features often split equally well, and either is right."""
    x = table(draw)
    y = x[:, 0] * x[:, 1] + draw.normal(size=150)
    for depth in (1, 3, 5):
        ours = DecisionTree(max_depth=depth, min_samples_leaf=5).fit(x, y)
        theirs = DecisionTreeRegressor(max_depth=depth, min_samples_leaf=5).fit(x, y)
        assert_same_tree(ours, theirs)
        np.testing.assert_allclose(ours.importances(4), theirs.feature_importances_, atol=1e-10)
        new = table(draw)
        np.testing.assert_allclose(ours.outputs(new)[:, 0], theirs.predict(new), atol=1e-10)


@pytest.mark.parametrize("criterion", ["gini", "entropy"])
def test_a_tree_of_classes_is_as_pure(draw: np.random.Generator, criterion: str) -> None:
    """Counts tie often, so the trees may differ; on one feature there is one best split, and the trees are the same."""
    x, y = table(draw)[:, :1], draw.integers(0, 3, 150)
    ours = DecisionTree(max_depth=1, criterion=criterion).fit(x, y, 3)  # type: ignore[arg-type]
    theirs = DecisionTreeClassifier(max_depth=1, criterion=criterion).fit(x, y)
    np.testing.assert_allclose(
        (ours.samples * ours.impurity)[1:].sum(),
        (theirs.tree_.n_node_samples * theirs.tree_.impurity)[1:].sum(),
        atol=1e-8,
    )
    np.testing.assert_allclose(ours.impurity[0], theirs.tree_.impurity[0], atol=1e-12)
    whole = DecisionTree(criterion=criterion).fit(x, y, 3)  # type: ignore[arg-type]
    np.testing.assert_array_equal(whole.outputs(x).argmax(axis=1), y)


def test_classes_that_can_be_told_apart_give_the_same_tree(draw: np.random.Generator) -> None:
    x = table(draw)
    y = (x[:, 2] > 0.3).astype(int) + (x[:, 2] > 1.0)
    ours, theirs = DecisionTree().fit(x, y, 3), DecisionTreeClassifier().fit(x, y)
    new = table(draw)
    np.testing.assert_array_equal(ours.outputs(new), theirs.predict_proba(new))


def test_where_a_tree_stops(draw: np.random.Generator) -> None:
    x, y = table(draw), draw.normal(size=150)
    assert DecisionTree(min_samples_leaf=20).fit(x, y).samples.min() >= 20
    split = DecisionTree(min_samples_split=60).fit(x, y)
    assert split.samples[split.feature >= 0].min() >= 60
    assert len(DecisionTree().fit(np.ones((9, 2)), np.arange(9.0)).feature) == 1  # nothing to split by
    assert len(DecisionTree().fit(x, np.full(150, 0.1)).feature) == 1  # nothing to gain
    with pytest.raises(ConfigError, match="max_depth"):
        DecisionTree(max_depth=0)


def test_neighbouring_floats_are_split(draw: np.random.Generator) -> None:
    low = float(draw.uniform(1, 2))
    x = np.array([[low], [np.nextafter(low, 3)]])
    np.testing.assert_array_equal(DecisionTree().fit(x, np.array([0.0, 1.0])).outputs(x)[:, 0], [0.0, 1.0])


def test_a_forest_of_all_features_is_bagging() -> None:
    """The draws differ from scikit-learn's, so what they promise is compared: the error on new rows."""
    draw = np.random.default_rng(3)
    x, new = draw.normal(size=(400, 5)), draw.normal(size=(400, 5))
    y, wanted = (np.sin(2 * v[:, 0]) + v[:, 1] * v[:, 2] for v in (x, new))
    ours = RandomForest(num_trees=40).fit(x, y).outputs(new)[:, 0]
    theirs = RandomForestRegressor(40, max_features=1 / 3, random_state=0).fit(x, y).predict(new)
    alone = DecisionTree().fit(x, y).outputs(new)[:, 0]
    errors = [float(np.square(wanted - given).mean()) for given in (ours, theirs, alone)]
    assert errors[0] < 1.1 * errors[1] and errors[0] < errors[2]
    again = RandomForest(num_trees=40).fit(x, y).outputs(new)[:, 0]
    np.testing.assert_array_equal(ours, again)


def test_trees_come_back_from_their_arrays(draw: np.random.Generator) -> None:
    x, y = table(draw), draw.integers(0, 3, 150)
    forest = RandomForest(num_trees=3).fit(x, y, 3)
    again = trees_of(tree_arrays(forest.trees))
    for a, b in zip(forest.trees, again, strict=True):
        np.testing.assert_array_equal(a.outputs(x), b.outputs(x))


@pytest.mark.parametrize("weights", ["uniform", "distance"])
def test_nearest_neighbours(draw: np.random.Generator, weights: str) -> None:
    x, y, labels, new = table(draw), draw.normal(size=150), draw.integers(0, 3, 150), table(draw)
    new[0] = x[7]  # a distance of 0
    k = int(draw.integers(1, 12))
    theirs = KNeighborsRegressor(k, weights=weights, algorithm="brute").fit(x, y)
    ours = Neighbours(k=k, weights=weights)  # type: ignore[arg-type]
    np.testing.assert_allclose(ours.fit(x, y).outputs(new)[1:, 0], theirs.predict(new)[1:], atol=1e-7)
    classes = KNeighborsClassifier(k, weights=weights, algorithm="brute").fit(x, labels)
    np.testing.assert_allclose(ours.fit(x, labels, 3).outputs(new)[1:], classes.predict_proba(new)[1:], atol=1e-7)
    if weights == "distance":
        assert ours.fit(x, y).outputs(new)[0, 0] == y[7]
    distances, which = theirs.kneighbors(new)
    found, apart = nearest(new, x, k)
    np.testing.assert_array_equal(found, which)
    np.testing.assert_allclose(apart, distances, atol=1e-6)
