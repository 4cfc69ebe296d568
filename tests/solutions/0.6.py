"""k-means, right."""


def kmeans(points, centres, steps):
    for _ in range(steps):
        labels = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
        for k in range(len(centres)):
            if (labels == k).any():
                centres[k] = points[labels == k].mean(0)
    labels = ((points[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
    return {"centres": centres, "labels": labels}
