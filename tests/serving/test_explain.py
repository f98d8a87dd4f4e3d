from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image

from tests.conftest import EXAMPLES, write_dhaa
from wrinkle import AgeEstimator
from wrinkle.errors import ImageError
from wrinkle.models import create_model
from wrinkle.serving.explain import explain, visible

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
    assert titles(figure)[0].startswith("the face")
    entries = legends(figure)
    assert [entry.split(":")[0] for entry in entries] == ["DHAA", "L-1", "L-2", "L-3"]
    path = write_dhaa(tmp_path / "quiet.safetensors", sub_losses=False)
    assert len(legends(explain(AgeEstimator.load(path), PORTRAIT))) == 1


def test_a_plain_network(small_model: Path) -> None:
    estimator = AgeEstimator.load(small_model)
    figure = explain(estimator, PORTRAIT)
    age = estimator.predict(PORTRAIT)[0][0].age
    assert legends(figure) == [f"age: {age:.1f} years"]


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
