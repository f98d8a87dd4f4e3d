"""The header of exported files: the model file's, and what was chosen when it was exported."""

import hashlib
import json
from pathlib import Path
from typing import Any

from wrinkle.errors import WrinkleError
from wrinkle.files import READABLE

KIND = "exported model"


def sealed(header: dict[str, Any], content: bytes) -> str:
    """Return a header as JSON, with a SHA-256 over it and the file's content.

    Args:
        header: without the checksum.
        content: the graph and its weights.
    """
    plain = {key: value for key, value in header.items() if key != "sha256"}
    return json.dumps({**plain, "sha256": _digest(plain, content)}, ensure_ascii=False)


def opened(path: Path, text: str | None, content: bytes, program: str) -> dict[str, Any]:
    """Read the header of an exported file, and check it.

    Args:
        path: the file.
        text: as `sealed` made it; None: the file has none.
        content: as for `sealed`; the beginning counts that the header's "bytes" names.
        program: kind of file, for the message.

    Raises:
        WrinkleError: it is damaged, of another program or of another format; one line.
    """
    if text is None:
        raise WrinkleError(
            f"{path}: {program} of another program: give one that `wrinkle export` wrote"
        )
    damaged = f"{path}: damaged: its checksum does not match: export it again"
    try:
        header = json.loads(text)
        plain = {key: value for key, value in header.items() if key != "sha256"}
        intact = header["sha256"] == _digest(plain, content[: header["bytes"]])
    except (ValueError, KeyError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise WrinkleError(damaged)
    if header["format"] not in READABLE or header["kind"] != KIND:
        raise WrinkleError(f"{path}: a {header['kind']} of format {header['format']}: export again")
    result: dict[str, Any] = header
    return result


def _digest(header: dict[str, Any], content: bytes) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(content)
    return digest.hexdigest()
