"""What every dataset can do: be found in the data folder, fetched, checked against its checksums, and loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from replearn_course.data.download import md5_of
from replearn_course.errors import ReplearnError
from replearn_course.scale import choose_scale, data_folder

__all__ = ["Dataset"]

Loaded = TypeVar("Loaded")


@dataclass(frozen=True)
class Dataset(Generic[Loaded]):
    """A dataset that the package can find, fetch, check and load.

    Attributes:
        name: by which it is asked for.
        title: its full name.
        files: the md5 of each file below the data folder.
        size: of the download; ``"none"`` where there is none.
        read: makes what is loaded from the data folder, in which all files are whole.
        stand_in: makes what takes its place at the smoke scale, of what is there without a network.
        fetch_file: brings one of the files into the data folder; absent where there is no download.
        made: where there is no download, how the files were made, in sentences.
    """

    name: str
    title: str
    files: Mapping[str, str]
    size: str
    read: Callable[[Path], Loaded]
    stand_in: Callable[[], Loaded]
    fetch_file: Callable[[Path, str], object] | None = None
    made: str = ""

    def load(self, scale: str | None = None, *, download: bool = True) -> Loaded:
        """Load it: at ``smoke`` what stands in, else the files, fetched where they are absent.

        Raises:
            ReplearnError: for damaged files, or absent ones that could not be fetched.
        """
        if choose_scale(scale) == "smoke":
            return self.stand_in()
        for file in self.files:
            self.path(file, download=download)
        return self.read(data_folder())

    def path(self, file: str, *, download: bool = True) -> Path:
        """One of its files, fetched if it is absent, and whole.

        Raises:
            ReplearnError: for a damaged file, or an absent one that could not be fetched.
        """
        path = data_folder() / file
        if not path.is_file():
            if not download or self.fetch_file is None:
                raise ReplearnError(self._absent(f"{file} is not there"))
            try:
                self.fetch_file(data_folder(), file)
            except ReplearnError as error:
                raise ReplearnError(self._absent(f"fetching {file} failed: {error}")) from error
        if self._state(file) != "ok":
            raise ReplearnError(self._damaged(path))
        return path

    def fetch(self) -> Path:
        """Fetch what is absent, check all of it, and return the data folder.

        Raises:
            ReplearnError: for damaged files, or absent ones that could not be fetched.
        """
        for file in self.files:
            self.path(file)
        return data_folder()

    def missing(self) -> list[str]:
        """Those of its files that are not in the data folder."""
        return [file for file in self.files if not (data_folder() / file).is_file()]

    def verify(self) -> dict[str, str]:
        """Compare each file with its published checksum.

        Returns:
            ``"ok"``, ``"missing"`` or ``"damaged"`` for each file.
        """
        return {file: self._state(file) for file in self.files}

    def _state(self, file: str) -> str:
        path = data_folder() / file
        if not path.is_file():
            return "missing"
        try:
            return "ok" if md5_of(path) == self.files[file] else "damaged"
        except OSError as error:
            raise ReplearnError(f"cannot read {path}: {error.strerror or error}") from error

    def _absent(self, why: str) -> str:
        top = next(iter(self.files)).split("/")[0]
        by_hand = f"copy its files there or set REPLEARN_DATA to the folder that holds {top}/"
        if self.fetch_file is None:
            ways = f"It has no download. {self.made}\nTwo ways on: {by_hand}; or add `--scale smoke`."
        else:
            fetching = f"with a network, `replearn data fetch {self.name}` ({self.size})"
            ways = f"Three ways on: {fetching}; without, {by_hand}; or add `--scale smoke`."
        return f"{self.title} was looked for in {data_folder()} and {why}.\n{ways}"

    def _damaged(self, path: Path) -> str:
        again = "copy it anew" if self.fetch_file is None else f"`replearn data fetch {self.name}`"
        return (
            f"{self.title} cannot be read: {path} is truncated or damaged. "
            f"`replearn data verify {self.name}` checks all its files; delete what is damaged, then {again}."
        )
