"""Figures of the faces and the network of one run.

The network is that of the first finished fold, and the faces are from the test part of that fold,
except for `largest_errors`, which takes them from all finished folds.
"""

from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from wrinkle.models.base import Prediction
from wrinkle.protocols import Fold
from wrinkle.report.sources import System
from wrinkle.report.style import LEGEND_LINE, WIDTH, canvas, wrapped
from wrinkle.serving.explain import draw_store_rows, gallery_size, store_inputs
from wrinkle.serving.explainers import (
    explain_face,
    has_gallery,
    has_own_figure,
)

GALLERY = 8
WORST, ACROSS = 12, 4
"""How many of the largest errors are shown, and how many in a row."""
MAPPED = 1000
"""Most faces in the map of features."""
ENOUGH = 200
"""With fewer test faces than this, the map of features shows training faces too."""
BATCH = 50


def spread_out(ages: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of `rows`, evenly spaced in the order of their ages."""
    order = rows[np.argsort(ages[rows], kind="stable")]
    count = min(count, len(order))
    chosen: np.ndarray = order[((np.arange(count) + 0.5) * len(order) / count).astype(int)]
    return chosen


@torch.inference_mode()
def attention(system: System) -> Figure | None:
    """The regions, attention maps or patches of a network that has them, on test faces."""
    run, model, fold = system.run, system.model, _first_fold(system)
    if run is None or run.store is None or fold is None or model is None:
        return None
    many = has_gallery(model)
    if not (many or has_own_figure(model)):
        return None
    rows = fold.test[run.store.exact[fold.test]]
    rows = spread_out(run.store.ages, rows if len(rows) else fold.test, GALLERY if many else 1)
    if many:
        figure = Figure(gallery_size(len(rows)), layout="constrained")
        draw_store_rows(model, system.spec, run.store, rows, figure)
        return figure
    pixels, points = store_inputs(run.store, rows, system.spec)
    found = model.predict_all(pixels, points)
    return explain_face(model, pixels, points, Prediction(*(part[0] for part in found)))


@torch.inference_mode()
def features(system: System, rows: np.ndarray) -> np.ndarray:
    """The input of the network's final classifier for rows of the run's store, (N, d)."""
    run, model = system.run, system.model
    assert run is not None
    assert run.store is not None
    assert model is not None
    kept: list[torch.Tensor] = []
    hook = model.head.register_forward_pre_hook(lambda _, given: kept.append(given[0].flatten(1)))
    try:
        for first in range(0, len(rows), BATCH):
            part = rows[first : first + BATCH]
            pixels, points = store_inputs(run.store, part, system.spec)
            model(pixels, points)
    finally:
        hook.remove()
    return torch.cat(kept).float().numpy()


def feature_maps(systems: Sequence[System]) -> Figure | None:
    """A panel for each run, as in Figure 7 of the DHAA paper: t-SNE (van der Maaten, Hinton, JMLR
    2008) of the features of test faces, coloured by age.

    Faces of which only a range is known are left out. Where there are few test faces, training
    faces are added as smaller dots.
    """
    maps = [(s.name, *found) for s in systems if (found := _feature_map(s)) is not None]
    if not maps:
        return None
    columns = min(len(maps), 2)
    rows = -(-len(maps) // columns)
    figure, panels = canvas(
        WIDTH, (2.4 if columns == 2 else 3.6) * rows, rows, columns, squeeze=False
    )
    every = np.concatenate([ages for *_, ages, _ in maps])
    limits = {"cmap": "viridis", "vmin": float(every.min()), "vmax": float(every.max())}
    for axes, (name, places, ages, tested) in zip(panels.flat, maps, strict=False):
        few = tested < len(ages)
        if few:
            axes.scatter(*places[tested:].T, c=ages[tested:], s=6, lw=0, alpha=0.6, **limits)
        size = 30 if few else 14 / columns
        dots = axes.scatter(*places[:tested].T, c=ages[:tested], s=size, lw=0, **limits)
        axes.set(xticks=[], yticks=[])
        axes.set_title(wrapped(name, LEGEND_LINE // columns))
        axes.grid(visible=False)
    for axes in panels.flat[len(maps) :]:
        axes.remove()
    figure.colorbar(dots, ax=figure.axes, label="true age, years")
    return figure


def _feature_map(system: System) -> tuple[np.ndarray, np.ndarray, int] | None:
    """Places (N, 2) and ages (N,) of faces of a run's first fold, and how many of them are its
    test faces, which are the first; None without a store or with too few faces."""
    run, fold = system.run, _first_fold(system)
    if run is None or run.store is None or fold is None:
        return None
    ages = run.store.ages
    known = [part[run.store.exact[part]] for part in (fold.test, fold.train)]
    test = spread_out(ages, known[0], MAPPED)
    train = spread_out(ages, known[1], MAPPED - len(test)) if len(test) < ENOUGH else test[:0]
    rows = np.concatenate([test, train])
    if len(rows) < 5:
        return None
    found = features(system, rows)
    small = PCA(min(50, *found.shape), random_state=0).fit_transform(found)
    perplexity = min(30.0, (len(rows) - 1) / 4)
    places = TSNE(2, init="pca", perplexity=perplexity, random_state=0).fit_transform(small)
    return places, ages[rows], len(test)


def largest_errors(system: System) -> Figure | None:
    """The test faces of known age with the largest errors, with true and predicted age."""
    run, predictions = system.run, system.predictions.exact()
    if run is None or run.store is None or not len(predictions.predicted):
        return None
    place = {name: row for row, name in enumerate(run.store.columns["name"].to_pylist())}
    error = np.abs(predictions.predicted - predictions.actual)
    worst = np.argsort(-error, kind="stable")[:WORST]
    figure, axes = canvas(WIDTH, 4.6, WORST // ACROSS, ACROSS)
    for panel in axes.flat:
        panel.axis("off")
    for panel, index in zip(axes.flat, worst, strict=False):
        name = predictions.rows["name"][int(index)].as_py()
        panel.imshow(run.store.image(place[name]))
        panel.set_title(
            f"true {predictions.actual[index]:.0f}\npredicted {predictions.predicted[index]:.0f}",
            fontsize=9,
        )
    return figure


def _first_fold(system: System) -> Fold | None:
    return None if system.run is None else system.run.fold(system.run.results[0].fold)
