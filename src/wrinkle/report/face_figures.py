"""Figures of one run's faces and of its network: where it looks, how it sorts faces, where it errs.

The network is that of the first fold that is done, and so are the faces, from its test part.
"""

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from wrinkle.evaluation.predictions import Predictions
from wrinkle.models.base import Prediction
from wrinkle.report.sources import Run
from wrinkle.report.style import canvas
from wrinkle.serving.explain import store_inputs
from wrinkle.serving.explainers import (
    explain_face,
    explain_many,
    has_gallery,
    has_own_figure,
)

GALLERY = 8
WORST = 12
MAPPED = 1000
"""Faces that are sorted by their features at most."""
ENOUGH = 200
"""Test faces from which on no training faces are needed beside them."""
BATCH = 50


def spread_out(ages: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `rows`, evenly over them in the order of their ages."""
    order = rows[np.argsort(ages[rows], kind="stable")]
    count = min(count, len(order))
    return order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]


@torch.inference_mode()
def looks(run: Run) -> Figure | None:
    """What a network with regions, maps or patches looks at in faces of its test part."""
    fold, model = run.fold(run.results[0].fold), run.model
    many = has_gallery(model)
    if run.store is None or fold is None or not (many or has_own_figure(model)):
        return None
    rows = spread_out(run.store.ages, fold.test, GALLERY if many else 1)
    pixels, points, ages = store_inputs(run.store, rows, run.spec)
    if many:
        return explain_many(model, pixels, ages, model.predict(pixels, points).age)
    found = model.predict_all(pixels, points)
    return explain_face(model, pixels, points, Prediction(*(part[0] for part in found)))


@torch.inference_mode()
def features(run: Run, rows: np.ndarray) -> np.ndarray:
    """(N, d): what the network's own classifier is given of each face."""
    assert run.store is not None
    kept: list[torch.Tensor] = []
    hook = run.model.head.register_forward_pre_hook(
        lambda _, given: kept.append(given[0].flatten(1))
    )
    try:
        for start in range(0, len(rows), BATCH):
            part = rows[start : start + BATCH]
            pixels, points, _ = store_inputs(run.store, part, run.spec)
            run.model(pixels, points)
    finally:
        hook.remove()
    return torch.cat(kept).float().numpy()


def feature_map(run: Run) -> Figure | None:
    """t-SNE of the features of test faces, coloured by age; where they are few, of training faces
    as well, drawn smaller (van der Maaten, Hinton, JMLR 2008)."""
    fold = run.fold(run.results[0].fold)
    if run.store is None or fold is None:
        return None
    ages = run.store.ages
    test = spread_out(ages, fold.test, MAPPED)
    few = len(test) < ENOUGH
    train = spread_out(ages, fold.train, MAPPED - len(test)) if few else test[:0]
    rows = np.concatenate([test, train])
    if len(rows) < 5:
        return None
    found = features(run, rows)
    small = PCA(min(50, *found.shape), random_state=0).fit_transform(found)
    perplexity = min(30.0, (len(rows) - 1) / 4)
    places = TSNE(2, init="pca", perplexity=perplexity, random_state=0).fit_transform(small)
    figure, axes = canvas(4.6, 3.8)
    limits = {"cmap": "viridis", "vmin": float(ages.min()), "vmax": float(ages.max())}
    if few:
        axes.scatter(*places[len(test) :].T, c=ages[train], s=5, lw=0, alpha=0.5, **limits)
    edge = {"edgecolors": "black", "linewidths": 0.5} if few else {"lw": 0}
    dots = axes.scatter(*places[: len(test)].T, c=ages[test], s=14, **edge, **limits)
    figure.colorbar(dots, label="true age, years")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    return figure


def largest_errors(run: Run, predictions: Predictions) -> Figure | None:
    """The faces whose age is missed by most, with both ages."""
    if run.store is None:
        return None
    place = {name: row for row, name in enumerate(run.store.columns["name"].to_pylist())}
    error = np.abs(predictions.predicted - predictions.actual)
    worst = np.argsort(-error, kind="stable")[:WORST]
    figure, axes = canvas(7.2, 4.4, 2, WORST // 2)
    for panel in axes.flat:
        panel.axis("off")
    for panel, index in zip(axes.flat, worst, strict=False):
        name = predictions.rows["name"][int(index)].as_py()
        panel.imshow(run.store.image(place[name]))
        panel.set_title(
            f"{predictions.actual[index]:.0f} years\nsays {predictions.predicted[index]:.0f}",
            fontsize=8,
        )
    return figure
