"""What groups there are in a table or in images: principal components, t-SNE, k-means, hierarchical clustering (stage `explore`).

Nothing here looks at the target or the labels; they colour the maps and say afterwards how well the groups found agree with them. Numbers
are standardised and categories are 0/1 features (table_features.py), images are their pixels. What takes time or memory N² (t-SNE, the
hierarchy, silhouettes) is done on a sample of `max_points`. Left out: density-based clusters, UMAP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ...core.artifact import read_seal, write_json
from ...core.errors import ConfigError, DataError
from ...core.exhibits import Plot, Series, Table, plain
from ...core.recipe import StageContext
from ...data.images import read_images, read_label_names
from ...data.split import SPLITS
from ...data.table import Array, read_table
from ...foundations.cluster_measures import adjusted_rand_index, purity, silhouette
from ...foundations.hierarchical import Linkage, MergeTree, linkage
from ...foundations.kmeans import Clusters, KMeans
from ...foundations.pca import Components, covariance_spectrum, fit_pca
from ...foundations.statistics import quantile
from ...foundations.tsne import TSNE, trustworthiness
from .table_features import TableFeatures

_LINKAGES: tuple[Linkage, ...] = ("single", "complete", "average", "ward")
_SHOWN_BRANCHES = 24
_MAX_LABELS = 12
_NEIGHBOURS = 10
"""Of trustworthiness."""


@dataclass(frozen=True, kw_only=True)
class ExploreStage:
    """Maps and clusters of the rows of a table, or of images."""

    data: str = "data"
    """The stage that made the table or the images."""
    num_clusters: int | None = None
    """null: the number with the best silhouette, 2 .. max_clusters."""
    max_clusters: int = 12
    num_components: int = 10
    max_points: int = 1000
    perplexity: float = 30.0
    tsne_steps: int = 500
    type: Literal["explore"] = "explore"
    kind = "map"

    def __post_init__(self) -> None:
        for name in ("num_clusters", "max_clusters"):
            value = getattr(self, name)
            if value is not None and value < 2:
                raise ConfigError(f"must be at least 2, not {value}", path=name)
        if self.max_points < 10:
            raise ConfigError(f"must be at least 10, not {self.max_points}", path="max_points")

    def inputs(self) -> Sequence[str]:
        return (self.data,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        points = _points(context.inputs[self.data])
        if len(points.x) < 10:
            raise DataError(f"{len(points.x)} points are too few to look for groups among", hint="10 at least")
        x = points.x
        draw = np.random.default_rng(context.seed)
        sample = np.sort(draw.choice(len(x), min(self.max_points, len(x)), replace=False))
        pca = fit_pca(x, min(self.num_components, *x.shape))
        tried, clusters = self._kmeans(x, sample, context.seed)
        trees = {method: linkage(x[sample], method) for method in _LINKAGES}
        k = len(clusters.centres)
        context.progress.say(f"  t-SNE of {len(sample):,} points")
        tsne = TSNE(perplexity=self.perplexity, num_steps=self.tsne_steps).fit(x[sample])
        groups = {"k-means": clusters.labels[sample]} | {f"{m} linkage": tree.cut(k) for m, tree in trees.items()}
        flat = pca.project(x[sample])[:, :2]
        held = min(_NEIGHBOURS, (len(sample) - 1) // 2)
        trusted = {
            "PCA": trustworthiness(x[sample], flat, held),
            "t-SNE": trustworthiness(x[sample], tsne.places, held),
        }
        agreement = points.agreement(groups, sample)
        write_json(
            context.directory / "map.json",
            {
                "points": [
                    {
                        "number": int(i),
                        "cluster": int(clusters.labels[i]),
                        "x": round(float(a), 4),
                        "y": round(float(b), 4),
                    }
                    for i, (a, b) in zip(sample, tsne.places)
                ],
                "centres": clusters.centres.tolist(),
                "features": points.names,
            },
            indent=None,
        )
        by = f", by {points.label}" if points.label else ""
        exhibits = [
            *_component_exhibits(pca, points, x),
            _map(f"t-SNE{by}", tsne.places, points.labels[sample], points.label_names,
                 f"Near points stay near: {trusted['t-SNE']:.3f} of the neighbours on the map are ones (trustworthiness); "
                 f"{trusted['PCA']:.3f} with two principal components. Distances between groups mean nothing here."),
            _map("t-SNE, by cluster of k-means", tsne.places, clusters.labels[sample], [str(i) for i in range(k)],
                 "The clusters were found without the map."),
            _map(f"Two principal components{by}", flat, points.labels[sample], points.label_names, ""),
            Plot(title="t-SNE: divergence as it is lowered", kind="lines", x_label="step", y_label="KL divergence",
                 series=[Series(name="divergence", x=[25 * i for i in range(len(tsne.history))], y=tsne.history)]),
            *_number_of_clusters(tried, k),
            _clusters_table(clusters, points),
            *points.centre_pictures(clusters),
            *_dendrograms(trees["ward"], k, len(sample)),
            *_agreement_table(agreement, groups, x[sample], points),
        ]  # fmt: skip
        return {
            "points": len(x),
            "features": x.shape[1],
            "sample": len(sample),
            "num_clusters": k,
            "inertia": round(clusters.inertia, 4),
            "silhouette": round(silhouette(x[sample], clusters.labels[sample]), 4),
            "pca_shares": [round(float(v), 5) for v in pca.shares],
            "tsne_divergence": round(tsne.divergence, 4),
            "trustworthiness": {name: round(v, 4) for name, v in trusted.items()},
            "agreement": agreement,
            "exhibits": plain(*exhibits),
        }

    def _kmeans(self, x: Array, sample: Array, seed: int) -> tuple[list[tuple[int, float, float]], Clusters]:
        """([(k, inertia, silhouette of the sample)], the clusters of the chosen k)"""
        tried, found = [], {}
        for k in range(2, max(3, min(self.max_clusters, len(x) - 1) + 1)):
            found[k] = KMeans(num_clusters=k, seed=seed).fit(x)
            tried.append((k, found[k].inertia, silhouette(x[sample], found[k].labels[sample])))
        k = self.num_clusters or max(tried, key=lambda row: row[2])[0]
        return tried, found.get(k) or KMeans(num_clusters=k, seed=seed).fit(x)


@dataclass(frozen=True, eq=False)
class _Points:
    x: Array
    """[N, D]"""
    names: list[str]
    """[D]"""
    labels: Array
    """int64 [N]: what is known of the points, and not used to find groups"""
    label_names: list[str]
    label: str
    """What they are of; "" where nothing is known."""
    size: tuple[int, int] | None = None
    """Height and width, of grey images."""

    def agreement(self, groups: Mapping[str, Array], sample: Array) -> dict[str, dict[str, float]]:
        if len(self.label_names) < 2:
            return {}
        known = self.labels[sample]
        return {
            name: {"adjusted_rand_index": round(adjusted_rand_index(found, known), 4),
                   "purity": round(purity(found, known), 4)}
            for name, found in groups.items()
        }  # fmt: skip

    def centre_pictures(self, clusters: Clusters) -> list[Plot]:
        if self.size is None:
            return []
        return [
            Plot(
                title="Centres of the clusters",
                kind="images",
                matrices=clusters.centres.reshape(-1, *self.size).clip(0, 1).tolist(),
                captions=[f"{i}: {n} images" for i, n in enumerate(np.bincount(clusters.labels, minlength=len(clusters.centres)))],
                sentence="The mean of the images of each.",
            )
        ]  # fmt: skip


def _points(directory: Path) -> _Points:
    if read_seal(directory).kind == "images":
        return _image_points(directory)
    table = read_table(directory)
    features = TableFeatures.fit(table)
    if not features.columns:
        raise DataError(f"{table.source} has no column but the target, so there is nothing to group by")
    x, names = features.transform(table.features), features.names
    if table.target is None:
        return _Points(x, names, np.zeros(len(x), np.int64), ["points"], "")
    target = table.column(table.target)
    if target.kind == "category":
        return _Points(x, names, target.values.astype(np.int64), list(target.categories), target.name)
    cuts = sorted({quantile(target.values, share) for share in (0.25, 0.5, 0.75)})
    told = [f"up to {cuts[0]:,.6g}", *(f"up to {cut:,.6g}" for cut in cuts[1:]), f"above {cuts[-1]:,.6g}"]
    return _Points(x, names, np.searchsorted(cuts, target.values), told, target.name)


def _image_points(directory: Path) -> _Points:
    parts = [read_images(directory, split) for split in SPLITS]
    images = np.concatenate([images for images, _ in parts])
    labels = np.concatenate([labels for _, labels in parts]).astype(np.int64)
    size = (images.shape[1], images.shape[2]) if images.ndim == 3 else None
    x = images.reshape(len(images), -1) / 255.0
    named = list(read_label_names(directory))
    return _Points(x, [f"pixel {i}" for i in range(x.shape[1])], labels, named, "label", size)


def _component_exhibits(pca: Components, points: _Points, x: Array) -> list[Table | Plot]:
    c = len(pca.shares)
    spectrum = covariance_spectrum(x)
    shares = spectrum / spectrum.sum() if spectrum.sum() > 0 else spectrum
    made: list[Table | Plot] = [
        Plot(
            title="Variance that components explain",
            kind="lines",
            x_label="components",
            y_label="share of the variance",
            series=[Series(name="together", x=list(range(1, len(shares) + 1)), y=np.cumsum(shares).tolist())],
            sentence=f"The first two hold {pca.shares[:2].sum():.0%}, the first {c} {pca.shares.sum():.0%}; "
            f"{int(np.searchsorted(np.cumsum(shares), 0.9)) + 1} of {len(shares)} hold 90 %.",
        )
    ]
    if points.size is not None:
        shown = min(8, c)
        directions = pca.directions[:shown]
        scaled = 0.5 + 0.5 * directions / np.abs(directions).max(axis=1, keepdims=True)
        made.append(Plot(title="The first components, as images", kind="images",
                         matrices=scaled.reshape(-1, *points.size).tolist(),
                         captions=[f"{share:.0%}" for share in pca.shares[:shown]],
                         sentence="Grey is 0; white and black vary against each other. Captions: share of the variance."))  # fmt: skip
        few = pca.back(pca.project(x[:8])).clip(0, 1)
        both = np.concatenate([x[:8], few]).reshape(-1, *points.size)
        made.append(Plot(title=f"Images, and what {c} components keep of them", kind="images", matrices=both.tolist(),
                         captions=["as it is"] * len(few) + [f"{c} numbers"] * len(few)))  # fmt: skip
        return made
    rows = []
    for number in range(min(4, c)):
        strongest = np.argsort(-np.abs(pca.directions[number]))[:5]
        told = ", ".join(f"{pca.directions[number, i]:+.2f} {points.names[i]}" for i in strongest)
        rows.append([number + 1, round(float(pca.shares[number]), 4), told])
    made.append(
        Table(title="What the components are made of", columns=["component", "share of variance", "mostly"], rows=rows)
    )
    return made


def _map(title: str, places: Array, labels: Array, names: Sequence[str], sentence: str) -> Plot:
    """Points on a plane, a colour for each label; beyond _MAX_LABELS the rarest share one."""
    counts = np.bincount(labels, minlength=len(names))
    shown = [int(i) for i in np.argsort(-counts, kind="stable")[:_MAX_LABELS] if counts[i]]
    series = [
        Series(name=names[i], x=places[labels == i, 0].tolist(), y=places[labels == i, 1].tolist())
        for i in sorted(shown)
    ]
    rest = ~np.isin(labels, shown)
    if rest.any():
        series.append(Series(name="others", x=places[rest, 0].tolist(), y=places[rest, 1].tolist()))
    return Plot(title=title, kind="points", series=series, sentence=sentence)


def _number_of_clusters(tried: Sequence[tuple[int, float, float]], chosen: int) -> list[Plot]:
    numbers = [k for k, _, _ in tried]
    best = max(tried, key=lambda row: row[2])[0]
    return [
        Plot(title="k-means: squared distances to the centres", kind="lines", x_label="clusters", y_label="inertia",
             series=[Series(name="inertia", x=numbers, y=[i for _, i, _ in tried])],
             sentence="Always falls; a bend tells of a number that is there in the data."),
        Plot(title="k-means: silhouette", kind="lines", x_label="clusters", y_label="silhouette",
             series=[Series(name="silhouette", x=numbers, y=[s for _, _, s in tried])],
             sentence=f"Highest at {best}; {chosen} are used here."),
    ]  # fmt: skip


def _clusters_table(clusters: Clusters, points: _Points) -> Table:
    known, told = bool(points.label), points.size is None
    rows = []
    for number, centre in enumerate(clusters.centres):
        members = clusters.labels == number
        row: list[Any] = [number, int(members.sum())]
        if known:
            counts = np.bincount(points.labels[members], minlength=len(points.label_names))
            top = int(counts.argmax())
            row += [points.label_names[top], counts[top] / max(1, members.sum())]
        if told:
            apart = np.argsort(-np.abs(centre - points.x.mean(axis=0)))[:4]
            row.append(", ".join(f"{points.names[i]} {centre[i]:.2g}" for i in apart))
        rows.append(row)
    columns = ["cluster", "points"]
    columns += [f"most frequent {points.label}", "share of it"] if known else []
    columns += ["apart by (standardised)"] if told else []
    return Table(title="Clusters of k-means", columns=columns, rows=rows)


def _dendrograms(tree: MergeTree, k: int, num_points: int) -> list[Plot]:
    """The last joins as a dendrogram in one line, and the heights of the joins."""
    branches = min(_SHOWN_BRANCHES, num_points)
    labels = tree.cut(branches)
    x, y = _outline(tree, branches)
    heights = tree.merges[::-1, 2][: 2 * _SHOWN_BRANCHES]
    order = list(dict.fromkeys(int(labels[point]) for point in tree.leaves()))
    sizes = np.bincount(labels)[order]
    return [
        Plot(title="Ward's hierarchy: the last joins", kind="lines", y_label="height of the join", x_label="branch",
             series=[Series(name="joins", x=x, y=y)],
             sentence=f"From below, the {branches} branches hold {', '.join(map(str, sizes))} of the {num_points:,} points."),
        Plot(title="Ward's hierarchy: heights", kind="lines", x_label="clusters left", y_label="height of the next join",
             series=[Series(name="height", x=list(range(2, len(heights) + 2)), y=heights.tolist())],
             sentence=f"A drop after a number tells that so many groups are far apart. {k} are compared below."),
    ]  # fmt: skip


def _outline(tree: MergeTree, branches: int) -> tuple[list[float], list[float]]:
    """One line that goes down every branch and back up: a dendrogram of the last `branches` - 1 joins."""
    n, first = tree.num_points, tree.num_points - branches
    x: list[float] = []
    y: list[float] = []
    places = iter(range(branches))

    def walk(node: int, height: float) -> float:
        """Draw what is below `node` from `height` and return to there; its place."""
        if node < n + first:  # joined before the part that is shown
            place = float(next(places))
            x.extend([place, place, place])
            y.extend([height, 0.0, height])
            return place
        left, right = (int(v) for v in tree.merges[node - n, :2])
        own = float(tree.merges[node - n, 2])
        a = walk(left, own)
        b = walk(right, own)
        middle = (a + b) / 2
        x.extend([middle, middle])
        y.extend([own, height])
        return middle

    top = 2 * n - 2
    walk(top, float(tree.merges[-1, 2]))
    return x, y


def _agreement_table(
    agreement: Mapping[str, Mapping[str, float]], groups: Mapping[str, Array], x: Array, points: _Points
) -> list[Table]:
    rows = []
    for name, found in groups.items():
        beside = [agreement[name]["adjusted_rand_index"], agreement[name]["purity"]] if agreement else []
        rows.append([name, int(np.bincount(found).max()), round(silhouette(x, found), 4), *beside])
    columns = ["clusters by", "largest", "silhouette", *(["adjusted Rand index", "purity"] if agreement else [])]
    told = f" Beside {points.label}: the index is 1 where groups are equal, 0 for chance." if agreement else ""
    return [Table(title="Ways to cluster, compared", columns=columns, rows=rows,
                  sentence=f"As many clusters each, of the {len(x):,} points of the sample." + told)]  # fmt: skip
