from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from tests.conftest import EXAMPLES
from wrinkle import AgeEstimator, Face, WrinkleError
from wrinkle.serving import annotate as module
from wrinkle.serving.annotate import BOX, annotate, save_annotated
from wrinkle.serving.prediction import Prediction

GREY = (128, 128, 128)


def face(x: float, y: float, side: float, age: float = 34.4) -> Face:
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Face(
        np.array([x, y, x + side, y + 1.3 * side], np.float32),
        0.9,
        (points * side + [x, y]).astype(np.float32),
        age,
        (27.3, 42.6),
        np.full(101, 1 / 101, np.float32),
        np.arange(101),
    )


def labels(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], faces: list[Face]
) -> tuple[Image.Image, list[tuple[float, ...]]]:
    """The annotated picture and the places of its labels."""
    places: list[tuple[float, ...]] = []
    original = module._label

    def noted(*args: object) -> tuple[float, ...]:
        places.append(original(*args))  # type: ignore[arg-type]
        return places[-1]

    monkeypatch.setattr(module, "_label", noted)
    return annotate(Image.new("RGB", size, GREY), faces), places


@pytest.mark.parametrize("side", [3, 20, 150, 900])
@pytest.mark.parametrize(
    ("x", "y"), [(-60, -40), (350, 260), (100, -100), (-1000, 50), (30, 500), (100, 80)]
)
def test_labels_stay_in_the_picture(
    monkeypatch: pytest.MonkeyPatch, side: float, x: float, y: float
) -> None:
    _, (place,) = labels(monkeypatch, (400, 300), [face(x, y, side)])
    x1, y1, x2, y2 = place
    assert 0 <= x1 < x2 <= 400
    assert 0 <= y1 < y2 <= 300


def test_box_points_and_label_are_where_they_should_be() -> None:
    picture = annotate(Image.new("RGB", (400, 300), GREY), [face(100, 80, 120)])
    for corner in [(100, 80), (220, 80), (100, 236), (220, 236)]:
        assert picture.getpixel(corner) == BOX
    for point in face(100, 80, 120).key_points:
        assert picture.getpixel((int(point[0]), int(point[1]))) == BOX
    assert picture.getpixel((160, 150 + 20)) == GREY  # within the box, beside the points
    above = np.asarray(picture)[:79]
    assert (above == BOX).all(-1).sum() > 500
    assert (above == module.INK).all(-1).sum() > 20


def test_a_box_beyond_the_border_is_drawn_along_it() -> None:
    picture = np.asarray(annotate(Image.new("RGB", (60, 90), GREY), [face(-10, -10, 100)]))
    for edge in (picture[:, 0], picture[:, -1], picture[0], picture[-1]):
        assert (edge == BOX).all(-1).mean() > 0.5


def test_labels_of_a_crowd_do_not_cover_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    crowd = [
        face(40 + 160 * i + random.uniform(-15, 15), 60 + 170 * j, random.uniform(30, 90))
        for i in range(9)
        for j in range(6)
    ]
    crowd += [face(f.box[0] + 25, f.box[1] + 4, 40) for f in crowd[:6]]
    _, places = labels(monkeypatch, (1600, 1200), crowd)
    for number, a in enumerate(places):
        for b in places[:number]:
            assert not (a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3])


def test_labels_can_be_read_on_small_and_large_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (small,) = labels(monkeypatch, (200, 200), [face(30, 40, 24)])
    assert small[3] - small[1] >= 10
    assert small[2] - small[0] < 36  # the age alone
    _, (large,) = labels(monkeypatch, (4000, 3000), [face(1000, 900, 60)])
    assert large[3] - large[1] >= 40
    _, (portrait,) = labels(monkeypatch, (4000, 3000), [face(1000, 900, 1200)])
    assert portrait[3] - portrait[1] >= 120
    assert portrait[2] - portrait[0] > 500


def test_only_letters_that_the_font_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow draws a crossed box for what its own font lacks, a dash for instance."""
    written = []
    original = module.ImageDraw.ImageDraw.text

    def noted(self: object, xy: object, text: str, **more: object) -> None:
        written.append(text)
        original(self, xy, text, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module.ImageDraw.ImageDraw, "text", noted)
    annotate(Image.new("RGB", (400, 300)), [face(100, 80, 120), face(300, 80, 15)])
    assert written == ["34 (27-43)", "34"]
    assert all(text.isascii() for text in written)


def test_the_picture_itself_stays(estimator: AgeEstimator) -> None:
    original = Image.open(EXAMPLES / "joe_biden_2010.jpg").convert("RGB")
    before = original.copy()
    result = annotate(original, estimator.predict(original)[0])
    assert result.size == original.size
    assert ImageChops.difference(original, before).getbbox() is None
    assert ImageChops.difference(original, result).getbbox() is not None
    assert ImageChops.difference(annotate(original, []), original).getbbox() is None


def test_saved_pictures_never_replace_each_other(tmp_path: Path) -> None:
    image = np.full((200, 300, 3), 128, np.uint8)
    faces = [face(100, 60, 80)]
    sources = [Path("a/x.png"), "b/x.jpg", tmp_path / "x.jpg", image, b"..."]
    paths = [save_annotated(Prediction(s, faces, None, image), tmp_path) for s in sources]
    assert [p.name for p in paths] == ["x.jpg", "x-2.jpg", "x-3.jpg", "face.jpg", "face-2.jpg"]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.size == (300, 200)


def test_what_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction = Prediction("x.jpg", [], None, np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(WrinkleError, match=r"cannot write .*x\.jpg: No such file or directory"):
        save_annotated(prediction, tmp_path / "missing")

    def full(self: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(WrinkleError, match="No space left on device"):
        save_annotated(prediction, tmp_path)
    assert list(tmp_path.iterdir()) == []
