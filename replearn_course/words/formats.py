"""The files of word2vec, text and binary, as its C program and gensim write and read them.

Both begin with a line ``V d``. Then each of the ``V`` words is followed by a space and its ``d`` numbers: in text as
decimals with a space between, and a newline; in binary as little-endian float32. After the numbers the C program writes
a newline in the binary file too and gensim does not; both are read. A name that ends with ``.gz`` is packed with gzip.

Files are read and written word by word: beside the matrix only the words stand in memory.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

import numpy as np

from replearn_course.errors import ReplearnError
from replearn_course.files import atomic_file

__all__ = ["read_word2vec", "write_word2vec"]

_CHUNK = 1 << 20  # bytes that the binary reader takes at a time, and more than a word may have
_MOST_PACKED = 1032  # deflate makes no file smaller by more than this factor


def write_word2vec(path: Path | str, words: Sequence[str], matrix: np.ndarray, binary: bool) -> Path:
    """Write words and their vectors; what a text file holds reads back as the same float32.

    Args:
        path: the file; with a name that ends with ``.gz`` it is packed.
        words: ``V`` words without white space.
        matrix: their vectors ``(V, d)``, float32.
        binary: the binary format, not the text.

    Raises:
        ReplearnError: when the file cannot be written; an old one is left as it was.
    """
    path = Path(path)
    with atomic_file(path) as target:
        if path.suffix != ".gz":
            _write(target, words, matrix, binary)
        else:
            # Without name and time in its header the same vectors make the same file.
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=target, mtime=0) as packed:
                _write(cast(IO[bytes], packed), words, matrix, binary)
    return path


def _write(file: IO[bytes], words: Sequence[str], matrix: np.ndarray, binary: bool) -> None:
    file.write(b"%d %d\n" % matrix.shape)
    for word, row in zip(words, matrix.astype("<f4", copy=False), strict=True):
        # The shortest decimal that is this float32 and no other.
        numbers = row.tobytes() if binary else (" ".join(map(str, row)) + "\n").encode()
        file.write(word.encode() + b" " + numbers)


def read_word2vec(path: Path | str, binary: bool | None = None) -> tuple[list[str], np.ndarray]:
    """Read words and their vectors.

    Args:
        path: the file; with a name that ends with ``.gz`` it is unpacked.
        binary: whether the format is the binary one; ``None`` to see it from the content.

    Returns:
        The ``V`` words as they stand in the file, unchecked, and the matrix ``(V, d)``, float32.

    Raises:
        ReplearnError: naming the file and the place, when the file is absent, truncated or malformed.
    """
    path = Path(path)
    try:
        with cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb") as file:
            count, d = _header(path, file)
            if binary is None:
                binary = not _is_text(file, d)
            return (_read_binary if binary else _read_text)(path, file, count, d)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ReplearnError(f"{path} is not a whole gzip file ({error}): truncated or damaged?") from error
    except OSError as error:
        raise ReplearnError(f"cannot read {path}: {error.strerror or error}") from None


def _header(path: Path, file: IO[bytes]) -> tuple[int, int]:
    """The number of words and the dimension, both above 0 and not more than the file can hold."""
    line = file.readline(100)
    match = re.fullmatch(rb"(\d+)[ \t]+(\d+)[ \t]*\r?\n", line)
    count, d = map(int, match.groups()) if match else (0, 0)
    if not count or not d:
        raise ReplearnError(f"{path}, line 1: expected the number of words and the dimension, got {_shown(line)}")
    # Seen before the matrix is made: a false header must not ask for all memory.
    size = path.stat().st_size * (_MOST_PACKED if path.suffix == ".gz" else 1)
    if count * (2 * d + 2) > size:
        raise ReplearnError(
            f"{path}, line 1: promises {count} words of {d} numbers, more than the file can hold: truncated or damaged?"
        )
    return count, d


def _is_text(file: IO[bytes], d: int) -> bool:
    """Whether what follows the first word is a line of printable ASCII, as no float32 are but by a rare chance."""
    start = file.tell()
    numbers = file.read(_CHUNK).partition(b" ")[2]
    file.seek(start)
    return re.match(rb"[ -~]{%d,}\r?\n" % (2 * d - 1), numbers) is not None


def _read_text(path: Path, file: IO[bytes], count: int, d: int) -> tuple[list[str], np.ndarray]:
    words, matrix = [], np.empty((count, d), np.float32)
    with np.errstate(over="ignore"):  # infinity is an error of the vectors, and said there
        for row in range(count):
            line, place = file.readline(), f"{path}, line {row + 2}"
            if not line.endswith(b"\n"):
                raise ReplearnError(f"{place}: the file ends here, after {row} of {count} whole lines: truncated?")
            word, _, numbers = line.partition(b" ")
            fields = numbers.split()
            words.append(_decoded(word, place))
            if len(fields) != d:
                raise ReplearnError(f"{place}: expected a word and {d} numbers, got {len(fields)} after the word")
            try:
                matrix[row] = fields
            except ValueError:
                column, field = next((i, f) for i, f in enumerate(fields, 1) if not _is_number(f))
                raise ReplearnError(f"{place}: expected a number in place {column}, got {_shown(field)}") from None
    if file.readline().strip():
        raise ReplearnError(f"{path}, line {count + 2}: expected the end of the file after {count} words, got a line")
    return words, matrix


def _read_binary(path: Path, file: IO[bytes], count: int, d: int) -> tuple[list[str], np.ndarray]:
    words, matrix = [], np.empty((count, d), np.float32)
    buffer, start = b"", 0  # what was read, and where in it the next word begins
    offset = file.tell()  # of the buffer in the file
    for row in range(count):
        while (space := buffer.find(b" ", start)) < 0 or len(buffer) <= space + 4 * d:
            place = f"{path}, byte {offset + start}"
            if space < 0 and len(buffer) - start > _CHUNK:
                raise ReplearnError(f"{place}: expected word {row + 1} and a space, found none in {_CHUNK} bytes")
            chunk = file.read(_CHUNK)
            if not chunk:
                raise ReplearnError(f"{place}: the file ends within word {row + 1} of {count}: truncated?")
            buffer, offset, start = buffer[start:] + chunk, offset + start, 0
        # The newline belongs to the word before: it has one in the C program's files.
        word = buffer[start:space].lstrip(b"\n")
        words.append(_decoded(word, f"{path}, byte {offset + space - len(word)}"))
        matrix[row] = np.frombuffer(buffer, "<f4", d, space + 1)
        start = space + 1 + 4 * d
    rest = buffer[start:] + file.read(_CHUNK)
    if rest.strip(b"\n"):
        raise ReplearnError(
            f"{path}, byte {offset + start}: expected the end of the file after {count} words, got {_shown(rest)}"
        )
    return words, matrix


def _decoded(word: bytes, place: str) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError as error:
        raise ReplearnError(f"{place}: the word {_shown(word)} is not UTF-8, from its byte {error.start}") from None


def _is_number(field: bytes) -> bool:
    try:
        np.empty(1, np.float32)[:] = [field]
    except ValueError:
        return False
    return True


def _shown(content: bytes) -> str:
    return repr(content if len(content) <= 40 else content[:40] + b"...")[1:]
