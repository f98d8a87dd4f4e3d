from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from tests.conftest import EXAMPLES, write_adpf, write_dhaa
from wrinkle import AgeEstimator
from wrinkle.datasets.store import Store
from wrinkle.errors import ImageError, WrinkleError
from wrinkle.models import create_model
from wrinkle.models.adpf import ADPF
from wrinkle.models.base import AgeModel, Prediction
from wrinkle.serving.explain import explain, gallery
from wrinkle.serving.explainers.drawing import visible
from wrinkle.serving.explainers.occlusion import GRID, occlusion_map

PORTRAIT = EXAMPLES / "grace_hopper_1984.jpg"


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes]


def legends(figure: Figure) -> list[str]:
    boxes = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    return [text.get_text() for box in boxes for text in box.get_texts()]


@pytest.mark.parametrize("pooling", ["arp", "roi"])
def test_regions_points_and_every_classifier(tmp_path: Path, pooling: str) -> None:
    estimator = AgeEstimator.load(write_dhaa(tmp_path / "dhaa.safetensors", pooling=pooling))
    figure = explain(estimator, PORTRAIT)
    shown = [title.split("\n")[0] for title in titles(figure) if "source" in title]
    assert shown == ["G-2 face", "G-3 larger", "L-1 eye", "L-2 nose", "L-3 mouth"]
    below = [title for title in titles(figure) if title in ("aligned", "pooled")]
    assert below == ["aligned" if pooling == "arp" else "pooled"] * 5
    entries = legends(figure)
    assert [entry.split(":")[0] for entry in entries] == list(estimator.model.classifiers)
    age = estimator.predict(PORTRAIT)[0][0].age
    assert entries[0] == f"DHAA: {age:.1f} years"
    figure.savefig(tmp_path / "a.png")
    assert np.asarray(Image.open(tmp_path / "a.png")).std() > 20


def test_only_the_branches_there_are(tmp_path: Path) -> None:
    path = write_dhaa(tmp_path / "part.safetensors", branches="local")
    figure = explain(AgeEstimator.load(path), PORTRAIT)
    shown = [title.split("\n")[0] for title in titles(figure) if "source" in title]
    assert shown == ["L-1 eye", "L-2 nose", "L-3 mouth"]
    assert titles(figure)[0].startswith("input")
    entries = legends(figure)
    assert [entry.split(":")[0] for entry in entries] == ["DHAA", "L-1", "L-2", "L-3"]
    path = write_dhaa(tmp_path / "quiet.safetensors", sub_losses=False)
    assert len(legends(explain(AgeEstimator.load(path), PORTRAIT))) == 1


def test_a_plain_network(small_model: Path) -> None:
    estimator = AgeEstimator.load(small_model)
    figure = explain(estimator, PORTRAIT)
    age = estimator.predict(PORTRAIT)[0][0].age
    assert legends(figure) == [f"age: {age:.1f} years"]
    low, high = estimator.predict(PORTRAIT)[0][0].interval
    assert figure.get_suptitle() == f"{age:.0f} years; 90 % interval: {low:.0f} to {high:.0f} years"


def test_occlusion_finds_the_part_that_counts() -> None:
    """A network whose age is the mean brightness of the picture's upper left corner."""

    class Corner(AgeModel):
        def __init__(self) -> None:
            super().__init__(100, 40)
            self.create_final_head("softmax", 1)

        def predict(
            self, images: Tensor, key_points: Tensor, mirror: bool | None = None
        ) -> Prediction:
            age = images[..., :8, :8].mean((1, 2, 3))
            return Prediction(torch.zeros(len(images), 101), age)

    pixels = torch.zeros(1, 3, 40, 40)
    pixels[..., :8, :8] = 50
    change = occlusion_map(Corner(), pixels, torch.zeros(1, 5, 2))
    assert change.shape == (GRID, GRID)
    assert change[:2, :2].min() > 0
    assert torch.equal(change[4:], torch.zeros(GRID - 4, GRID))
    assert change.argmax() in (0, 1, GRID, GRID + 1)


@pytest.mark.parametrize("ranking", [True, False])
def test_ranked_maps_patches_and_ages(tmp_path: Path, ranking: bool) -> None:
    estimator = AgeEstimator.load(write_adpf(tmp_path / "adpf.safetensors", ranking=ranking))
    model = estimator.model
    assert isinstance(model, ADPF)
    scales = torch.tensor([0.1, 0.5, -0.3, 0.9, 0.2])
    with torch.inference_mode():
        model.attention.rmhha.scales.copy_(scales)
    figure = explain(estimator, PORTRAIT)
    order = [3, 1, 4, 0, 2] if ranking else [0, 1, 2, 3, 4]
    expected = [f"M{k + 1}, a = {scales[head]:.2f}" for k, head in enumerate(order)]
    assert titles(figure)[1:6] == expected
    assert titles(figure)[7:12] == ["P1", "P2", "P3", "P4", "P5"]
    age = estimator.predict(PORTRAIT)[0][0].age
    assert legends(figure) == [f"age: {age:.1f} years"]
    # The patch that is shown is the picture within the box that is drawn.
    face, patch = (np.asarray(figure.axes[i].images[0].get_array()) for i in (1, 7))
    x, y = figure.axes[1].lines[0].get_data()
    x1, x2, y1, y2 = (round(float(v)) for v in (min(x), max(x), min(y), max(y)))
    assert 0 <= x1 < x2 <= 64
    assert abs(face[y1:y2, x1:x2].mean() - patch.mean()) < 0.08


@pytest.mark.parametrize(("name", "first"), [("adpf_attention", "M1, a ="), ("bif_fusion", "P1")])
def test_attention_net_alone_and_fixed_patches(tmp_path: Path, name: str, first: str) -> None:
    estimator = AgeEstimator.load(write_adpf(tmp_path / "a.safetensors", name))
    figure = explain(estimator, PORTRAIT)
    assert titles(figure)[1].startswith(first)
    assert len(figure.axes[1].images) == (2 if name == "adpf_attention" else 1)  # heat or none


@pytest.mark.parametrize("name", ["adpf", "bif_fusion"])
def test_gallery_has_a_row_a_rank_and_a_column_a_face(
    tmp_path: Path, example_store: Path, name: str
) -> None:
    estimator = AgeEstimator.load(write_adpf(tmp_path / "a.safetensors", name))
    store = Store(example_store)
    figure = gallery({name: estimator}, store, 3)
    assert len(figure.axes) == 6 * 3
    ages = [float(title.split()[0]) for title in titles(figure) if title]
    assert len(ages) == 3
    assert ages == sorted(ages)
    assert set(ages) <= {round(age) for age in store.ages.tolist()}
    boxes = [axes.lines[0].get_xydata() for axes in figure.axes[3:]]
    assert all(((box >= 0) & (box <= 64)).all() for box in boxes)
    fixed = all(np.array_equal(boxes[0], box) for box in boxes[:3])
    assert fixed == (name == "bif_fusion")


def test_two_models_are_drawn_side_by_side(tmp_path: Path, example_store: Path) -> None:
    """Figures 9 and 10: with and without a part of the system, on the same faces."""
    files = [
        write_adpf(tmp_path / "with.safetensors", form="pooling"),
        write_adpf(tmp_path / "without.safetensors", heads=2),
    ]
    models = {path.stem: AgeEstimator.load(path) for path in files}
    figure = gallery(models, Store(example_store), 2)
    first, second = figure.subfigs
    assert [part.get_suptitle() for part in (first, second)] == ["with", "without"]
    assert [len(part.axes) for part in (first, second)] == [6 * 2, 3 * 2]
    shown = [np.asarray(part.axes[1].images[0].get_array()) for part in (first, second)]
    np.testing.assert_array_equal(*shown)
    assert figure.get_figheight() > 9


def test_gallery_of_what_has_no_patches(small_model: Path, example_store: Path) -> None:
    estimator, store = AgeEstimator.load(small_model), Store(example_store)
    with pytest.raises(WrinkleError, match="patches, and EfficientNetLite has none"):
        gallery({"plain": estimator}, store, 3)


@pytest.mark.parametrize("count", [0, 9])
def test_gallery_of_as_many_faces_as_there_are(
    tmp_path: Path, example_store: Path, count: int
) -> None:
    estimator = AgeEstimator.load(write_adpf(tmp_path / "adpf.safetensors"))
    with pytest.raises(WrinkleError, match=f"{count} faces of 5 in .*: give 1 to 5"):
        gallery({"adpf": estimator}, Store(example_store), count)


def test_what_is_shown_is_the_input_undone() -> None:
    model = create_model("resnet18")
    rgb = torch.rand(1, 3, 8, 8)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (model.mean, model.std))
    torch.testing.assert_close(visible((rgb - mean) / std, model), rgb)


def test_no_face_and_no_picture(small_model: Path, tmp_path: Path) -> None:
    estimator = AgeEstimator.load(small_model)
    with pytest.raises(ImageError, match="no face found: nothing to explain"):
        explain(estimator, np.zeros((200, 200, 3), np.uint8))
    with pytest.raises(ImageError):
        explain(estimator, tmp_path / "none.jpg")
