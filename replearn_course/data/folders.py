"""A folder of anyone's pictures as a set of images: any format, size and mode that Pillow reads."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from replearn_course.data.images import ImageSet, Splits
from replearn_course.errors import ReplearnError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["images_from", "read_image", "read_images"]

LEAST_OF_A_CLASS = 5  # one for the test set, and some to train on
LEAST = 20
LEAST_SIZE = 8
NAMED = 5  # files in an error
LONG = 2000  # files, from which on a bar is shown
LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini"}  # and all that is hidden, such as .DS_Store
SPLIT_NAMES = {"train", "training", "test", "testing", "val", "valid", "validation"}


def images_from(
    folder: str | Path, size: int = 32, *, skip_broken: bool = False, say: Callable[[str], object] = print
) -> Splits:
    """The pictures in a folder, at any depth, as square images in RGB.

    Its subfolders are the classes; pictures that all lie in the folder itself, or below a single subfolder, have no labels: they
    are of one class, and ``labelled`` of the splits is false. A fifth of each class is the test set and
    a tenth of the rest the validation set, the same ones for the same files. Hidden files are left out, links are followed.
    Nothing is cached: each call reads all files.

    Args:
        folder: of the pictures.
        size: of a side, in pixels: the shorter side of a picture is brought to it, the middle of the longer one cut out.
        skip_broken: leave out the files that cannot be read as images, and say which.
        say: where that goes.

    Raises:
        ReplearnError: for a folder that is absent or holds nothing, files beside classes, files that cannot be read as images, or
            fewer than 20 pictures or 5 of a class.
    """
    if size < LEAST_SIZE:
        raise ReplearnError(f"size: expected {LEAST_SIZE} pixels or more, got {size}")
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        found = "it is a file" if folder.exists() else "none is there"
        raise ReplearnError(f"{folder}: expected a folder of images, but {found}")
    files = sorted(_files(folder), key=lambda file: file.parts)
    if not files:
        raise ReplearnError(f"{folder}: expected a folder of images, but there is no file in it")
    if not skip_broken:
        _labels(folder, files)  # complains before the long work
    images, whole, broken = read_images([folder / file for file in files], size)
    if broken:
        said = _named(folder, broken, len(files))
        if not whole:
            raise ReplearnError(f"{said}\nthere is no image in this folder")
        if not skip_broken:
            raise ReplearnError(f"{said}\nremove them, or leave them out: --skip-broken, in Python skip_broken=True")
        say(f"left out: {said}")
    classes, labels = _labels(folder, [files[i] for i in whole])
    kinds = f"{len(classes)} classes" if len(classes) > 1 else "no labels"
    name = f"{_text(folder.resolve().name)} ({len(labels):,} images of {size}×{size}, {kinds})"
    fifth = -(-len(labels) // 5)  # rounded up: one of each five of a class
    published, test = ImageSet(name, images, labels, classes).split(fifth)
    return Splits.of(published, test)


def read_images(paths: Sequence[Path], size: int) -> tuple[Tensor, list[int], dict[Path, str]]:
    """Read files of images, several at once.

    Returns:
        The images ``(M, 3, size, size)`` ``uint8`` of those files that could be read, the place of each in ``paths``, and for the
        others why not.
    """
    from tqdm import tqdm

    images = torch.empty(len(paths), 3, size, size, dtype=torch.uint8)
    whole: list[int] = []
    broken: dict[Path, str] = {}

    def read(path: Path) -> Tensor | str:
        try:
            return read_image(path, size)
        except ReplearnError as error:
            return str(error)

    shown = len(paths) > LONG and sys.stderr.isatty()
    with ThreadPoolExecutor() as pool:  # Pillow decodes outside the interpreter's lock
        read_all = pool.map(read, paths)
        for i, image in enumerate(tqdm(read_all, "images", len(paths), unit="image", disable=not shown)):
            if isinstance(image, str):
                broken[paths[i]] = image
            else:
                images[len(whole)] = image
                whole.append(i)
    return images[: len(whole)], whole, broken


def read_image(path: Path, size: int) -> Tensor:
    """Read a file as a square image in RGB: its shorter side brought to ``size``, the middle of the longer one cut out.

    It is turned as its EXIF says, and on white where it is transparent; of an animation it is the first frame. Resampling is
    bicubic with antialiasing, of a large JPEG after a decoding at half, a quarter or an eighth of its size.

    Returns:
        ``(3, size, size)`` ``uint8``, RGB.

    Raises:
        ReplearnError: saying why it cannot be read.
    """
    import numpy as np
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as file:
            file.draft(None, (2 * size, 2 * size))  # a large JPEG is decoded at a fraction of its size
            picture = _rgb(ImageOps.exif_transpose(file))
        if picture.size != (size, size):
            picture = ImageOps.fit(picture, (size, size), Image.Resampling.BICUBIC)
    except Exception as error:  # there is no end to what Pillow's formats raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        known = type(error).__name__ == "UnidentifiedImageError"
        raise ReplearnError("not an image that Pillow knows" if known else reason) from error
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def _rgb(picture: Image) -> Image:
    """Any mode in RGB."""
    from PIL import Image

    if picture.mode.startswith("I"):  # 16 bits of grey
        picture = picture.convert("I").point(lambda grey: grey * (1 / 256)).convert("L")
    elif picture.mode == "F":
        raise ReplearnError("floating-point pixels, whose range is unknown")
    if picture.mode in ("LA", "PA", "RGBA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _files(folder: Path) -> Iterator[Path]:
    """The files in a folder, at any depth, as paths within it."""

    def fail(error: OSError) -> None:
        raise ReplearnError(f"cannot read {error.filename}: {error.strerror or error}")

    for here, below, files in os.walk(folder, onerror=fail, followlinks=True):
        real = Path(here).resolve()
        # A link back to a folder that it lies in would go round for ever.
        below[:] = [
            d for d in below if not d.startswith(".") and (Path(here) / d).resolve() not in (real, *real.parents)
        ]
        for file in files:
            if not file.startswith(".") and file.lower() not in LEFT_BY_SYSTEMS:
                yield (Path(here) / file).relative_to(folder)


def _labels(folder: Path, files: Sequence[Path]) -> tuple[tuple[str, ...], Tensor]:
    """The classes, which are the subfolders or one of all, and the label of each file."""
    beside = [str(file) for file in files if len(file.parts) == 1]
    classes = tuple(sorted({file.parts[0] for file in files if len(file.parts) > 1}))
    if beside and classes:
        raise ReplearnError(
            f"{folder}: expected a subfolder for each class, or all images in one folder; beside the subfolders "
            f"{_list(classes)} lie {_list(beside)} (--skip-broken leaves out what is not an image)"
        )
    if len(classes) > 1 and {name.lower() for name in classes} <= SPLIT_NAMES:
        raise ReplearnError(f"{folder}: expected a subfolder for each class, got {_list(classes)}; give one of them")
    if len(files) < LEAST:
        raise ReplearnError(f"{folder}: expected {LEAST} images or more, to be split in three, got {len(files)}")
    if len(classes) < 2:
        return ("image",), torch.zeros(len(files), dtype=torch.int64)
    labels = torch.tensor([classes.index(file.parts[0]) for file in files])
    count = labels.bincount().tolist()
    if few := [f"{name} ({n})" for name, n in zip(classes, count, strict=True) if n < LEAST_OF_A_CLASS]:
        raise ReplearnError(
            f"{folder}: expected {LEAST_OF_A_CLASS} images or more of each class; fewer are in {_list(few)}"
        )
    return tuple(map(_text, classes)), labels


def _named(folder: Path, broken: dict[Path, str], n: int) -> str:
    lines = [f"{len(broken):,} of {n:,} files in {folder} cannot be read as images:"]
    lines += [f"{path.relative_to(folder)}: {reason}" for path, reason in list(broken.items())[:NAMED]]
    if len(broken) > NAMED:
        lines.append(f"and {len(broken) - NAMED:,} more")
    return _text("\n  ".join(lines))


def _list(names: Sequence[str]) -> str:
    return _text(", ".join(names[:NAMED]) + (f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""))


def _text(name: str) -> str:
    """A file's name, which may be any bytes, as text that can be printed."""
    return name.encode("utf-8", "replace").decode()
