"""Files that are complete or absent: atomic writes, and tensors with a checksummed header."""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wrinkle.errors import WrinkleError

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = 2
READABLE = (1, 2)
KEY = "wrinkle"


@contextmanager
def replacing(
    path: str | Path, writer: str = "", kept: str = "its earlier content", flush: bool = True
) -> Iterator[Path]:
    """Give a temporary path; the file or folder that the block writes there replaces `path`.

    Whatever happens, either the old or the new content is at `path`; but an old folder is replaced
    in two steps, and a process that is killed between them leaves it at `path`.old. What was
    written is flushed to the disk before it is renamed, and removed if the block raises.

    Args:
        writer: tells apart processes that may write the same file at the same time.
        kept: what is not lost when writing fails, for the message.
        flush: False for many small files that can be made again: a flush takes some milliseconds,
            and without it a power failure may damage what was written.

    Raises:
        WrinkleError: the disk is full or the place cannot be written; one line.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}{writer}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(temporary)
        try:
            yield temporary
            for written in _files(temporary) if flush else ():
                with open(written, "rb") as file:
                    os.fsync(file.fileno())
            _move(temporary, path)
        except BaseException:
            with suppress(OSError):
                _remove(temporary)
            raise
    except OSError as error:
        raise WrinkleError(cannot_write(path, error, kept)) from error


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def _move(source: Path, target: Path) -> None:
    """Rename a file or folder to `target`, which it replaces."""
    if not source.is_dir():
        os.replace(source, target)
        return
    old = target.with_name(f"{target.name}.old")
    if target.is_dir():
        _remove(old)
        os.replace(target, old)
    os.replace(source, target)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def check_output(
    path: str | Path,
    kind: str,
    is_own: Callable[[bytes], bool],
    inputs: Iterable[str | Path] = (),
) -> None:
    """Check that writing a file would destroy neither an input nor a file of another kind.

    Args:
        path: the file that will be written.
        kind: what it will be, such as "a store", for the message.
        is_own: whether the first 32 bytes of a file are those of this kind.
        inputs: files that are read.

    Raises:
        WrinkleError: `path` is one of `inputs`, or a file of another kind; one line.
    """
    path = Path(path)
    if any(path.resolve() == Path(each).resolve() for each in inputs):
        raise WrinkleError(f"{path} is read here and would be overwritten: name another file")
    if path.is_file():
        with path.open("rb") as file:
            head = file.read(32)
        if head and not is_own(head):
            raise WrinkleError(f"{path} exists and is not {kind}: name another file, or delete it")


def is_safetensors(head: bytes) -> bool:
    """Whether a file's first bytes are those of a safetensors file, such as a model file."""
    return head[8:10] == b'{"'


def cannot_write(path: str | Path, error: OSError, kept: str = "its earlier content") -> str:
    """Say in one line why `path` could not be written, and that `kept` is not lost."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    advice = "check the folder and run the same command again"
    if error.errno == errno.ENOSPC:
        reason, advice = "the disk is full", "free some space and run the same command again"
    return f"cannot write {path}: {reason}; {kept} is kept: {advice}"


def replace_file(path: str | Path, content: bytes, writer: str = "", flush: bool = True) -> None:
    """Write a file so that, whatever happens, either the old or the new content is there.

    Args:
        writer: as for `replacing`, likewise `flush`.

    Raises:
        WrinkleError: the disk is full or the place cannot be written; one line.
    """
    with replacing(path, writer, flush=flush) as temporary:
        temporary.write_bytes(content)


def write_tensors(path: str | Path, tensors: "dict[str, Tensor]", header: dict[str, Any]) -> None:
    """Write tensors and a JSON header as one safetensors file with a SHA-256 over both.

    Args:
        header: "kind" says what the file is; format version and checksum are added here.

    Raises:
        WrinkleError: as `replace_file`.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {**header, "format": FORMAT}
    header["sha256"] = _digest(plain, header)
    replace_file(path, save(plain, {KEY: json.dumps(header, ensure_ascii=False)}))


def read_tensors(path: str | Path, kind: str) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Tensors and header of a file by `write_tensors`, checked against its checksum.

    Raises:
        WrinkleError: the file is missing, damaged, of another program, kind or format; one line.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise WrinkleError(f"{path}: no such file")
    with path.open("rb") as file:
        head = file.read(32)
    if len(head) == 32 and not is_safetensors(head):
        raise WrinkleError(f"{path}: not a {kind} file, or damaged at its beginning")
    damaged = f"{path}: damaged or cut short (not a complete safetensors file): get it again"
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata.get(KEY, "null"))
    except (SafetensorError, OSError, ValueError) as error:
        raise WrinkleError(damaged) from error
    if header is None:
        raise WrinkleError(f"{path}: a safetensors file of another program, not of wrinkle")
    if not isinstance(header, dict) or header.get("sha256") != _digest(tensors, header):
        raise WrinkleError(f"{path}: damaged: its checksum does not match: get it again")
    if header["format"] not in READABLE or header["kind"] != kind:
        raise WrinkleError(
            f"{path}: a wrinkle {header['kind']} file of format {header['format']}; "
            f"this needs a {kind} file of format {' or '.join(map(str, READABLE))}"
        )
    return tensors, header


def _digest(tensors: "dict[str, Tensor]", header: dict[str, Any]) -> str:
    """SHA-256 of the header (without its own checksum) and of every tensor by name."""
    import torch

    rest = {key: value for key, value in header.items() if key != "sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensor.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
