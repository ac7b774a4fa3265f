"""Files are written whole or not at all, and read without pickle."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from replearn_course.errors import ReplearnError

if TYPE_CHECKING:
    from torch import Tensor, nn

__all__ = [
    "atomic_file",
    "atomic_write",
    "load_checkpoint",
    "load_weights",
    "read_csv",
    "read_json",
    "read_text",
    "restore_weights",
    "save_checkpoint",
    "save_weights",
    "weights_metadata",
    "write_csv",
    "write_json",
]


@contextlib.contextmanager
def atomic_file(path: Path | str) -> Iterator[IO[bytes]]:
    """Write beside the target, flush to the disk, rename: the old file or the new one, never half of one.

    For what is too large to stand in memory at once; :func:`atomic_write` for the rest.

    Yields:
        The file, open for bytes. It takes its place when the block ends without an error.

    Raises:
        ReplearnError: when the disk is full or the folder cannot be written; the old file is left as it was.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        kept = "; the file that stood there is unchanged" if os.access(path, os.F_OK) else ""
        raise ReplearnError(f"cannot write {path}: {error.strerror or error}{kept}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # not every system can flush a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def atomic_write(path: Path | str, data: bytes | str) -> Path:
    """Write a file in one go as :func:`atomic_file` does.

    Raises:
        ReplearnError: when the disk is full or the folder cannot be written; the old file is left as it was.
    """
    content = data.encode() if isinstance(data, str) else data
    with atomic_file(path) as file:
        file.write(content)
    return Path(path)


def read_text(path: Path | str) -> str:
    """Read a text of UTF-8, with or without a byte order mark; the line ends of all systems come as newlines.

    Raises:
        ReplearnError: when the file is absent or is not UTF-8.
    """
    content = _read(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ReplearnError(f"{path}, line {line}: not UTF-8 ({error.reason} at byte {error.start})") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def write_json(path: Path | str, value: Any) -> Path:
    """Write a value as readable JSON."""
    return atomic_write(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Read a JSON file.

    Raises:
        ReplearnError: when the file is absent or damaged.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ReplearnError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ReplearnError(f"{path} is not valid JSON ({error}): it is damaged or not ours") from error


def write_csv(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as CSV; the columns are the keys in the order in which they first appear."""
    rows = list(rows)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return atomic_write(path, text.getvalue())


def read_csv(path: Path | str) -> list[dict[str, str]]:
    """Read a CSV file with a header as a list of rows.

    Raises:
        ReplearnError: when the file is absent or damaged.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise ReplearnError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, csv.Error) as error:
        raise ReplearnError(f"{path} is not a CSV file ({error}): it is damaged or not ours") from error


def _read(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ReplearnError(f"cannot read {path}: {error.strerror or error}") from None


def save_weights(path: Path | str, state: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> Path:
    """Write a state dict as safetensors: plain tensors that any framework reads, and no code."""
    from safetensors.torch import save

    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in state.items()}
    return atomic_write(path, save(tensors, dict(metadata or {})))


def load_weights(path: Path | str) -> dict[str, Tensor]:
    """Read a state dict from safetensors.

    Raises:
        ReplearnError: when the file is absent, unreadable, truncated or not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(_read(path))
    except SafetensorError as error:
        raise ReplearnError(f"{path} cannot be read as safetensors ({error}): truncated or damaged?") from error


def restore_weights(path: Path | str, module: nn.Module) -> None:
    """Give a module the weights of a file, all of them or, with an error, none.

    Raises:
        ReplearnError: when the file cannot be read, or is of another architecture: which weights it lacks, which the module
            lacks, and which are of another shape.
    """
    there, here = load_weights(path), module.state_dict()
    other = [
        f"{name} is {tuple(there[name].shape)} in the file, {tuple(here[name].shape)} in the network"
        for name in here
        if name in there and there[name].shape != here[name].shape
    ]
    differences = {
        "the file lacks": [name for name in here if name not in there],
        "the network lacks": sorted(there.keys() - here.keys()),
        "of another shape:": other,
    }
    said = [
        f"{what} {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for what, names in differences.items()
        if names
    ]
    if said:
        raise ReplearnError(f"{path} is of another architecture than {type(module).__name__}: {'; '.join(said)}")
    module.load_state_dict(there)


def weights_metadata(path: Path | str) -> dict[str, str]:
    """Read what :func:`save_weights` got as ``metadata``, without the tensors.

    Raises:
        ReplearnError: when the file is absent, unreadable, truncated or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except OSError as error:
        raise ReplearnError(f"cannot read {path}: {error.strerror or error}") from None
    except SafetensorError as error:
        raise ReplearnError(f"{path} cannot be read as safetensors ({error}): truncated or damaged?") from error


def save_checkpoint(path: Path | str, state: Mapping[str, Any]) -> Path:
    """Write all that a training loop needs to continue."""
    import torch

    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return atomic_write(path, buffer.getvalue())


def load_checkpoint(path: Path | str) -> dict[str, Any]:
    """Read a checkpoint onto the CPU, with its checksums verified first and no code run.

    Raises:
        ReplearnError: when the file is absent, unreadable, truncated, altered or holds anything but plain data.
    """
    import torch

    content = _read(path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # torch itself loads a flipped byte without a word
            damaged = archive.testzip()
    except Exception as error:  # there is no end to what zipfile raises for an altered header
        raise ReplearnError(f"{path} is not a whole checkpoint ({error}): truncated or damaged") from error
    if damaged:
        raise ReplearnError(f"{path} is damaged: the checksum of {damaged} does not match")
    try:
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # nor to what torch raises for what others wrote
        raise ReplearnError(f"{path} is not a checkpoint of replearn: {str(error).partition(chr(10))[0]}") from error
