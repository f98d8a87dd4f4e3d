"""What can be given as a picture, and how one picture is told from many."""

import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from pathlib import PurePath
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from wrinkle.errors import ImageError

Picture = (
    str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Image.Image | np.ndarray
)
"""One picture; tensors are taken as well."""

ACCEPTED = (
    "give a path, a file's content as bytes, an open file, a Pillow image, an array or a tensor, "
    "or a list of these"
)
_URL = re.compile(r"(?i)[a-z][a-z0-9+.-]+:/{1,2}|data:")


def each_picture(given: object) -> Iterator[Any]:
    """The pictures that were given, one after the other.

    Args:
        given: one picture as `decode` takes it; an array or tensor (N, …) of N pictures; an array
            or a series of paths; or a list, tuple, generator or other iterable of pictures.

    Raises:
        ImageError: it is neither a picture nor pictures, such as None, a number, a dict or a set.
    """
    if isinstance(given, np.ndarray):
        is_number = given.dtype.kind in "biufc"
        # Not of (H, W, 1, 3), which is one picture of a wrong shape.
        if given.ndim == 4 and given.shape[3] in (1, 3, 4) and given.shape[2] > 1 and is_number:
            yield from given
        elif given.ndim == 1 and not is_number:
            yield from given.tolist()
        else:
            yield given
    elif is_tensor(given):
        array = tensor_to_array(given)
        yield from array if array.ndim == 4 else [given]
    elif is_one(given):
        yield given
    elif isinstance(given, Mapping | Set) or hasattr(given, "columns"):
        raise ImageError(f"cannot read {describe(given)} as pictures: {ACCEPTED}")
    elif isinstance(given, Iterable):
        yield from given
    else:
        raise ImageError(f"cannot read {describe(given)} as a picture: {ACCEPTED}")


def is_one(given: object) -> bool:
    """Whether this is one picture, not an array or a tensor, which may be several."""
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image)
    return isinstance(given, kinds) or is_open_file(given)


def describe(given: object) -> str:
    """A value of a wrong type in a few words, such as "a dict" or "the number 3"."""
    if given is None:
        return "None"
    if isinstance(given, bool | int | float):
        return f"the number {given}"
    name = type(given).__name__
    if isinstance(given, Set):
        return f"a {name}, which has no order,"
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def is_open_file(given: object) -> bool:
    """Whether this can be read like a file, and is not a Pillow image, a path or an array."""
    return callable(getattr(given, "read", None)) and not isinstance(given, Image.Image | PurePath)


def read_open_file(file: Any) -> BinaryIO:
    """The content of a binary file object in memory, with its `name`.

    A file that can seek is read from its start, and its position restored.

    Raises:
        ImageError: it is closed, not readable, or opened as text.
    """
    given = getattr(file, "name", None)
    name = printable(os.fsdecode(given)) if isinstance(given, str | bytes) else "the open file"
    try:
        if callable(getattr(file, "seekable", None)) and file.seekable():
            position = file.tell()
            file.seek(0)
            content = file.read()
            file.seek(position)
        else:
            content = file.read()
    except Exception as error:  # anything that calls itself a file may come here
        raise ImageError(f"{name}: cannot be read ({error})") from error
    if isinstance(content, str):
        raise ImageError(f"{name}: is opened as text; open it with mode 'rb'")
    if not isinstance(content, bytes):
        raise ImageError(f"{name}: its read() returns {describe(content)}, not bytes")
    memory = io.BytesIO(content)
    memory.name = name
    return memory


def in_memory(source: object) -> Any:
    """An open file's content in memory; everything else, and what cannot be read, as it is."""
    if not is_open_file(source):
        return source
    try:
        return read_open_file(source)
    except ImageError:  # `decode` says so
        return source


def is_tensor(given: object) -> bool:
    """Whether this is a tensor of PyTorch, which is not imported for it."""
    return type(given).__module__.split(".")[0] == "torch" and hasattr(given, "detach")


def tensor_to_array(given: Any) -> np.ndarray:
    """A tensor as an array with the channels last; an array as it is.

    Raises:
        ImageError: both ends of a tensor's shape could be the channels.
    """
    if isinstance(given, np.ndarray):
        return given
    tensor = given.detach().cpu()
    if tensor.dtype.is_floating_point:  # NumPy has no bfloat16
        tensor = tensor.float()
    array: np.ndarray = tensor.numpy()
    if array.ndim not in (3, 4):
        return array
    first, last = array.shape[-3] in (1, 3, 4), array.shape[-1] in (1, 3, 4)
    if first and last:
        raise ImageError(
            f"the tensor of shape {tuple(array.shape)} has channels first or last; give an array, "
            "channels last"
        )
    return np.moveaxis(array, -3, -1) if first else array


def is_url(source: str | os.PathLike[str]) -> bool:
    """Whether this is a URL, also one whose slashes were merged by a path; no drive such as C:/."""
    name = os.fsdecode(source)
    return _URL.match(name) is not None and not os.path.lexists(name)


def printable(name: str) -> str:
    """A file's name as one line of text: quoted if it has unprintable characters."""
    return name if name.isprintable() else ascii(name)
