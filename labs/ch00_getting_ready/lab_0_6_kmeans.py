"""Lab 0.6: k-means and luck. How often one start finds the clusters that anybody sees."""

import marimo

app = marimo.App(width="medium", app_title="Lab 0.6")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("0.6", title="k-means and luck", seconds=5)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Sixteen clusters that a child would circle. Of 200 runs of k-means from k-means++ starts, how many find them?",
        low=0, high=100, step=1, unit="% of the runs",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            k-means looks for $K$ centres $\mu_k$ that make the *inertia* least, the sum of squared distances of $N$ points to their
            nearest centre:

            $$J = \sum_{i=1}^{N} \min_{k} \lVert x_i - \mu_k \rVert^2 .$$

            Lloyd's iteration gives each point to its nearest centre, moves each centre to the mean of its points, and repeats. $J$ never
            rises, so it ends; but where it ends depends on where it began. *k-means++* draws the first centres far apart: each further
            one with a probability in proportion to its squared distance from those already drawn.

            The points below are 16 round clouds on a grid, ten times as far apart as they are wide.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import numpy as np

    from groundup.foundations.kmeans import KMeans, plus_plus

    runs = lab.scaled(200, 150)

    def clouds(side):
        """(points [40 side², 2], true centres [side², 2])"""
        centres = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 1.0
        rng = np.random.default_rng(3)
        return np.concatenate([c + 0.1 * rng.standard_normal((40, 2)) for c in centres]), centres

    def fits(side, seeding):
        """Every run, and its inertia as a multiple of the best."""
        points, centres = clouds(side)
        kmeans = KMeans(num_clusters=len(centres))
        best = kmeans.fit(points, start=centres).inertia
        found = []
        for run in range(runs):
            draw = np.random.default_rng([9, run])
            if seeding == "k-means++":
                start = plus_plus(points, len(centres), draw)
            else:
                start = points[draw.choice(len(points), len(centres), replace=False)]
            found.append(kmeans.fit(points, start=start))
        return points, found, np.array([run.inertia / best for run in found])

    def percent_right(multiples):
        return 100 * float((multiples < 1.05).mean())

    points, found, multiples = fits(4, "k-means++")
    _, _, from_points = fits(4, "random points")
    return fits, found, from_points, multiples, np, percent_right, points


@app.cell
def _(found, from_points, guess, lab, mo, multiples, np, percent_right, points):
    import matplotlib.pyplot as plt

    _usual = found[int(np.argsort(multiples)[len(multiples) // 2])]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    left.scatter(*points.T, c=_usual.labels, cmap="tab20", s=6)
    left.scatter(*_usual.centres.T, marker="X", c="black", s=60)
    left.set(title="the middle one of all runs", xlabel="x", ylabel="y", aspect="equal")
    _bins = np.arange(0.9, 9, 0.2)
    right.hist(multiples, _bins, label="k-means++", alpha=0.7)
    right.hist(from_points, _bins, label="random points", alpha=0.7)
    right.set(xlabel="inertia, multiple of the best", ylabel="runs")
    right.legend(fontsize=8)
    seen = lab.compare(
        "percent_right_of_k_means_pp", percent_right(multiples), band=(20, 46), guess=guess, unit="%",
        below="Squared distances make k-means++: drawing by plain distance, or evenly, finds the clouds more rarely.",
        above="Were several starts made for each run, and the best kept?",
    )  # fmt: skip
    bare = lab.compare(
        "percent_right_of_random_points", percent_right(from_points), band=(0, 5), unit="%",
        below="Impossible: a share is not negative.",
        above="Are the clouds still ten times as far apart as they are wide? Closer ones forgive a bad start.",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, bare, mo.md(r"""
        Look for a centre that serves two clouds, and a cloud that is cut in two. No iteration mends it: to get across, a centre would have to
        leave its points and pass over ground where $J$ is higher. Random points fall one into each of 16 clouds with probability
        $16!/16^{16} \approx 10^{-6}$.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    count = lab.choose("Change how many clusters there are (k-means++):", [9, 16, 25])
    mo.vstack([mo.md("## Change"), count])
    return (count,)


@app.cell
def _(count, fits, lab, percent_right):
    _, _, _multiples = fits(round(count.value**0.5), "k-means++")
    lab.compare(
        f"percent_right_of_{count.value}_clusters", percent_right(_multiples),
        band={9: (57, 82), 16: (20, 46), 25: (4, 25)}[count.value], unit="%",
        below="Each further cluster is one more chance to draw two centres in one cloud.",
        above="Were several starts made for each run, and the best kept?",
    )  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "starts", "One start is right about a third of the time. How many starts, the best kept, are right 99 times in 100?",
        right="12", wrong=["3", "100"],
        why="All of n starts fail with probability (2/3)ⁿ, which is below 0.01 from n = 12 on. And you can tell which start was best, "
        "because J says so: keep it, as `KMeans(num_starts=12)` does.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(starts=asked)
    return


if __name__ == "__main__":
    app.run()
