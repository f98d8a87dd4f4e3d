"""Drawing of boxes and ages on photographs."""

import os
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from wrinkle.errors import WrinkleError
from wrinkle.serving.prediction import Face, Prediction

BOX = (255, 196, 0)
INK = (20, 20, 20)

Place = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the picture."""


def annotate(image: Image.Image, faces: list[Face]) -> Image.Image:
    """Draw a box, key points and a label such as `34 (27-42)` for each face.

    Small faces are labelled `34` only. Labels are inside the picture and do not overlap if there is
    enough space.

    Args:
        image: RGB; not changed.
        faces: the most prominent first.

    Returns:
        The annotated copy.
    """
    result = image.copy()
    draw = ImageDraw.Draw(result)
    # Large pictures are usually displayed smaller.
    smallest = max(12.0, max(result.size) / 80)
    for face in reversed(faces):  # the most prominent last, on top
        _outline(draw, result.size, face, smallest)
    taken: list[Place] = []
    for face in faces:
        size = max(smallest, _side(face) / 8)
        taken.append(_label(draw, result.size, face, ImageFont.load_default(size), taken))
    return result


def _side(face: Face) -> float:
    x1, y1, x2, y2 = (float(v) for v in face.box)
    return min(x2 - x1, y2 - y1)


def _outline(draw: ImageDraw.ImageDraw, size: tuple[int, int], face: Face, font: float) -> None:
    """Draw box and key points; a box is clipped to the picture."""
    line = max(round(font / 6), round(_side(face) / 90))
    x1, x2 = (min(max(float(x), 0), size[0] - 1) for x in face.box[[0, 2]])
    y1, y2 = (min(max(float(y), 0), size[1] - 1) for y in face.box[[1, 3]])
    draw.rectangle([x1, y1, x2, y2], outline=BOX, width=line)
    dot = max(1.0, min(line, _side(face) / 40))
    for x, y in face.key_points:
        draw.ellipse([x - dot, y - dot, x + dot, y + dot], fill=BOX)


def _label(
    draw: ImageDraw.ImageDraw,
    size: tuple[int, int],
    face: Face,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    taken: list[Place],
) -> Place:
    """Write the age above the box or, without space there, below it or at its upper edge."""
    x1, y1, x2, y2 = (float(v) for v in face.box)
    # ASCII only: Pillow's default font has no dash.
    text = f"{face.age:.0f} ({face.interval[0]:.0f}-{face.interval[1]:.0f})"
    if draw.textlength(text, font) > min(1.5 * (x2 - x1), size[0]):
        text = f"{face.age:.0f}"
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    pad = round((bottom - top) * 0.3)
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    place = label_place((x1, y1, x2, y2), (width, height), size, taken)
    draw.rectangle(place, fill=BOX)
    draw.text((place[0] + pad - left, place[1] + pad - top), text, fill=INK, font=font)
    return place


def label_place(
    box: Place, label: tuple[float, float], picture: tuple[int, int], taken: list[Place]
) -> Place:
    """Where a label goes: above a box or, without space there, below it or at its upper edge.

    Args:
        box: of the face.
        label: width and height in pixels.
        picture: width and height in pixels.
        taken: places of other labels.
    """
    x = max(min(box[0], picture[0] - label[0]), 0)
    inside = max(min(box[1], picture[1] - label[1]), 0)
    places = [(x, y, x + label[0], y + label[1]) for y in (box[1] - label[1], box[3], inside)]
    free = [
        place
        for place in places
        if place[1] >= 0 and place[3] <= picture[1] and not any(_overlap(place, t) for t in taken)
    ]
    return (free or places[-1:])[0]


def _overlap(a: Place, b: Place) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def new_file(folder: Path, stem: str, suffix: str) -> Path:
    """A path in a folder at which there is no file: `stem`, shortened and numbered if needed."""
    # A file system's limit is 255 bytes; the rest is for the suffix and a number.
    if len(os.fsencode(stem)) > 200:
        stem = os.fsencode(stem)[:200].decode(errors="ignore")
    path = folder / f"{stem}{suffix}"
    number = 2
    while path.exists():
        path = folder / f"{stem}-{number}{suffix}"
        number += 1
    return path


def save_annotated(prediction: Prediction, folder: Path) -> Path:
    """Write the annotated picture as a JPEG file under a new name.

    Args:
        prediction: with its picture.
        folder: where to write.

    Returns:
        The written file.

    Raises:
        WrinkleError: it cannot be written.
    """
    assert prediction.image is not None
    named = isinstance(prediction.source, str | Path)
    path = new_file(folder, Path(str(prediction.source)).stem if named else "face", ".jpg")
    picture = annotate(Image.fromarray(prediction.image), prediction.faces)
    try:
        picture.save(path, quality=92)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise WrinkleError(f"cannot write {path}: {error.strerror or error}") from error
    return path
