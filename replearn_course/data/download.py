"""A file from the network: resumed where it was cut off, verified, and there whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from replearn_course import __version__
from replearn_course.errors import ReplearnError

__all__ = ["download", "md5_of", "readable_size"]

SECONDS_OF_SILENCE = 30  # after which a server is given up
CHUNK = 1 << 16


def download(url: str, path: Path | str, *, md5: str, say: Callable[[str], object] = print) -> Path:
    """Fetch a file unless it is there already, with its checksum verified before it gets its name.

    What comes is kept in ``PATH.part``: after an interruption the same call asks for the rest only (RFC 9110, section 14),
    and starts again where the server does not know how to.

    Args:
        url: of the file.
        path: where it goes.
        md5: of the whole file, in hexadecimal.
        say: where a line goes when there is no terminal that a bar could be drawn in.

    Returns:
        ``path``.

    Raises:
        ReplearnError: when the network fails, in which case the part stays; or when the file is not the expected one, in
            which case nothing stays.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        if path.is_file() and md5_of(path) == md5:
            return path
        path.parent.mkdir(parents=True, exist_ok=True)
        _receive(url, part, say)
        found = md5_of(part)
        if found != md5:
            part.unlink()
            raise ReplearnError(
                f"{url} gave a file of md5 {found}, expected {md5}: it was changed there or on the way, and is removed"
            )
        part.replace(path)
    except (OSError, http.client.HTTPException) as error:  # urllib's errors are OSErrors, and so is a full disk
        raise ReplearnError(f"cannot fetch {url}: {_reason(error)}{_kept(part)}") from error
    return path


def md5_of(path: Path) -> str:
    """The md5 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def readable_size(n: float) -> str:
    """A number of bytes as people say it, such as ``"31.3 MB"``."""
    for unit in ("bytes", "kB", "MB"):
        if n < 999.5:
            return f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:.3g} GB"


def _receive(url: str, part: Path, say: Callable[[str], object]) -> None:
    """Bring ``part`` to its full length."""
    there = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": f"replearn/{__version__}"} | ({"Range": f"bytes={there}-"} if there else {})
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SECONDS_OF_SILENCE)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and there:
            return  # nothing is left to fetch; the checksum says whether it is the file
        raise
    with response:
        if not response.headers.get("Content-Range", "").startswith(f"bytes {there}-"):
            there = 0  # the server sends the whole
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        with part.open("ab" if there else "wb") as file:
            _copy(response, file, there, total, url, say)
            file.flush()
            os.fsync(file.fileno())
            if total is not None and file.tell() < total:  # urllib takes a cut connection for the end
                raise ConnectionError(f"the connection ended after {file.tell():,} of {total:,} bytes")


def _copy(
    source: http.client.HTTPResponse,
    file: BinaryIO,
    there: int,
    total: int | None,
    url: str,
    say: Callable[[str], object],
) -> None:
    from tqdm import tqdm

    shown = sys.stderr.isatty()
    if not shown:
        size = f" ({readable_size(total)})" if total else ""
        rest = f", of which {readable_size(there)} are here" if there else ""
        say(f"fetching {url}{size}{rest}")
    name = url.rpartition("/")[2]
    with tqdm(total=total, initial=there, desc=name, unit="B", unit_scale=True, disable=not shown) as bar:
        while chunk := source.read(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))


def _reason(error: Exception) -> str:
    wrapped = error.reason if isinstance(error, urllib.error.URLError) and error.args else error
    return str(wrapped) or type(error).__name__


def _kept(part: Path) -> str:
    with contextlib.suppress(OSError):
        if size := part.stat().st_size:
            return f"; {readable_size(size)} are kept in {part}, and the same call goes on from there"
    return ""
