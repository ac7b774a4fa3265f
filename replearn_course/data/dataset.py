"""What every dataset can do: be found in the data folder, fetched, checked against its checksums, and loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
        folders: for each folder there of too many files for that, what says its state: ``"ok"``, or how much of it is there
            where a part will do; it raises for a folder that will not.
        size: of the download; ``"none"`` where there is none.
        read: makes what is loaded from the data folder, in which all files are whole.
        stand_in: makes what takes its place at the smoke scale, of what is there without a network.
        fetch_file: brings one of the files or folders into the data folder; absent where there is no download.
        made: where there is no download, how the files were made, in sentences.
    """

    name: str
    title: str
    files: Mapping[str, str]
    size: str
    read: Callable[[Path], Loaded]
    stand_in: Callable[[], Loaded]
    folders: Mapping[str, Callable[[Path], str]] = field(default_factory=dict)
    fetch_file: Callable[[Path, str], object] | None = None
    made: str = ""

    def load(self, scale: str | None = None, *, download: bool = True) -> Loaded:
        """Load it: at ``smoke`` what stands in, else the files, fetched where they are absent.

        Raises:
            ReplearnError: for damaged files, or absent ones that could not be fetched.
        """
        if choose_scale(scale) == "smoke":
            return self.stand_in()
        for part in self.parts:
            self.path(part, download=download)
        return self.read(data_folder())

    @property
    def parts(self) -> tuple[str, ...]:
        """Its files and folders."""
        return (*self.files, *self.folders)

    def path(self, part: str, *, download: bool = True) -> Path:
        """One of its files or folders, fetched if it is absent, and whole.

        Raises:
            ReplearnError: for a damaged one, or an absent one that could not be fetched.
        """
        path = data_folder() / part
        if not path.exists():
            if not download or self.fetch_file is None:
                raise ReplearnError(self._absent(f"{part} is not there"))
            try:
                self.fetch_file(data_folder(), part)
            except ReplearnError as error:
                raise ReplearnError(self._absent(f"fetching {part} failed: {error}")) from error
        if (state := self._state(part)).startswith("damaged"):
            raise ReplearnError(self._damaged(path, state))
        return path

    def fetch(self) -> Path:
        """Fetch what is absent, check all of it, and return the data folder.

        Raises:
            ReplearnError: for damaged files, or absent ones that could not be fetched.
        """
        for part in self.parts:
            self.path(part)
        return data_folder()

    def missing(self) -> list[str]:
        """Those of its files and folders that are not in the data folder."""
        return [part for part in self.parts if not (data_folder() / part).exists()]

    def verify(self) -> dict[str, str]:
        """Compare each file with its published checksum, and count what is in each folder.

        Returns:
            For each file ``"ok"``, ``"missing"`` or ``"damaged"``; for a folder also what is damaged in it, or how much of it
            is there.
        """
        return {part: self._state(part) for part in self.parts}

    def _state(self, part: str) -> str:
        path = data_folder() / part
        if not path.exists():
            return "missing"
        try:
            if part in self.files:
                return "ok" if md5_of(path) == self.files[part] else "damaged"
            return self.folders[part](path)
        except ReplearnError as error:
            return f"damaged: {error}"
        except OSError as error:
            raise ReplearnError(f"cannot read {path}: {error.strerror or error}") from error

    def _absent(self, why: str) -> str:
        top = self.parts[0].split("/")[0]
        by_hand = f"copy its files there or set REPLEARN_DATA to the folder that holds {top}/"
        if self.fetch_file is None:
            ways = f"It has no download. {self.made}\nTwo ways on: {by_hand}; or add `--scale smoke`."
        else:
            fetching = f"with a network, `replearn data fetch {self.name}` ({self.size})"
            ways = f"Three ways on: {fetching}; without, {by_hand}; or add `--scale smoke`."
        return f"{self.title} was looked for in {data_folder()} and {why}.\n{ways}"

    def _damaged(self, path: Path, state: str) -> str:
        again = "copy it anew" if self.fetch_file is None else f"`replearn data fetch {self.name}`"
        what = f"truncated or {state}" if state == "damaged" else state
        return (
            f"{self.title} cannot be read: {path} is {what}. "
            f"`replearn data verify {self.name}` checks all its files; delete what is damaged, then {again}."
        )
