"""Texts to learn word vectors from, and the files of human judgements that such vectors are compared with."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from replearn_course.data.dataset import Dataset
from replearn_course.data.download import download, readable_size
from replearn_course.errors import ReplearnError, unknown_name
from replearn_course.files import atomic_write
from replearn_course.scale import choose_scale

__all__ = ["EVALUATION_FILES", "TEXTS", "WORD_EVALUATION", "TextData", "evaluation_file", "text_from"]


@dataclass(frozen=True)
class TextData:
    """A text as documents in a fixed order: files, or texts in memory.

    Attributes:
        name: what a table calls the text; a stand-in says so here.
        paths: of files in UTF-8.
        texts: of documents that are not files.
    """

    name: str
    paths: tuple[Path, ...] = ()
    texts: tuple[str, ...] = ()

    def to(self, device: str) -> TextData:
        """The same text: it is read where it lies, whatever the device."""
        return self

    @property
    def source(self) -> tuple[Path, ...] | tuple[str, ...]:
        """What :func:`replearn_course.words.encode` reads."""
        return self.paths or self.texts


def text_from(source: str | Path, scale: str | None = None, *, download: bool = True) -> TextData:
    """A text by name, or the reader's own.

    Args:
        source: a key of :data:`TEXTS`; ``"wikipedia"`` for wiki2015 where it is in the data folder, else text8; or a file
            (``./text8`` for one of that name), or a folder whose ``.txt`` files, at any depth, are the documents.
        scale: at ``smoke`` a text by name is replaced by its stand-in; a text of one's own never is.
        download: fetch a text by name if it is absent.

    Raises:
        ReplearnError: for a source that is neither, or a folder or file without text; for a text by name as
            :meth:`Dataset.load`.
    """
    if source == "wikipedia":
        source = "text8" if WIKI2015.missing() else "wiki2015"
    if isinstance(source, str) and source in TEXTS:
        return TEXTS[source].load(scale, download=download)
    path = Path(source).expanduser()
    if not path.exists():
        raise ReplearnError(
            f"{source}: no file or folder is there, and no text has this name; texts: wikipedia, {', '.join(TEXTS)}"
        )
    paths = (path,) if path.is_file() else tuple(sorted(p for p in path.rglob("*.txt") if p.is_file()))
    if not paths:
        raise ReplearnError(f"{source}: expected a folder with .txt files, but there is none in it")
    size = sum(file.stat().st_size for file in paths)
    if not size:
        raise ReplearnError(f"{source}: expected text, but it is empty")
    files = "" if path.is_file() else f"{len(paths)} file{'s' if len(paths) > 1 else ''}, "
    return TextData(f"{path.resolve().name} ({files}{readable_size(size)})", paths)


def evaluation_file(name: str, scale: str | None = None, *, download: bool = True) -> Path | None:
    """A file of word similarities or analogies.

    Args:
        name: a key of :data:`EVALUATION_FILES`.
        scale: at ``smoke`` nothing is fetched.
        download: fetch the file if it is absent.

    Returns:
        Its path; ``None`` at ``smoke`` where it is absent, since nothing could stand in for what people said.

    Raises:
        ReplearnError: for an unknown name, a damaged file, or an absent one that could not be fetched.
    """
    if name not in EVALUATION_FILES:
        raise unknown_name("evaluation file", name, EVALUATION_FILES)
    file = EVALUATION_FILES[name]
    if choose_scale(scale) == "smoke" and file in WORD_EVALUATION.missing():
        return None
    return WORD_EVALUATION.path(file, download=download)


# Texts by name --------------------------------------------------------------------------------------------------------


def _python_reference(original: str) -> TextData:
    """The topics of ``help()``: the language reference that ships with Python, some 65,000 words in 3.11."""
    from pydoc_data.topics import topics

    return TextData(f"Python's language reference (stand-in for {original})", texts=tuple(topics.values()))


def _fetch_text8(folder: Path, file: str) -> Path:
    packed = folder / "text" / "text8.zip"
    download("http://mattmahoney.net/dc/text8.zip", packed, md5="f26f94c5209bc6159618bad4a559ff81")
    with zipfile.ZipFile(packed) as archive:
        atomic_write(folder / file, archive.read("text8"))
    packed.unlink()
    return folder / file


TEXT8 = Dataset(
    name="text8",
    title="text8 (Wikipedia of 2006, 17 M words; Mahoney)",
    files={"text/text8": "3bea1919949baf155f99411df5fada7e"},
    size="31 MB",
    read=lambda folder: TextData("text8", (folder / "text" / "text8",)),
    stand_in=partial(_python_reference, "text8"),
    fetch_file=_fetch_text8,
)

WIKI2015 = Dataset(
    name="wiki2015",
    title="wiki2015 (Wikipedia of 2015, 17.6 M words)",
    files={"text/wiki2015_clean.txt": "3d7748423103dbebac52b84ca11f3020"},
    size="none",
    read=lambda folder: TextData("wiki2015", (folder / "text" / "wiki2015_clean.txt",)),
    stand_in=partial(_python_reference, "wiki2015"),
    made=(
        "It was made of every fourth of the 30,729 articles of lowest id of the English Wikipedia of early 2015 that the "
        "public repository jason-feng/wikiVisual holds at commit 1c0fac92f29f17c1603bfffbe864e0dfdff66897, without those "
        "under 500 characters (6,192 are left); in the manner of text8: lower case a-z and single spaces, digits spelled "
        "out, accents dropped. Licence: CC BY-SA 3.0. text8 is of the same size and kind, but gives other numbers."
    ),
)

TEXTS = {text.name: text for text in (TEXT8, WIKI2015)}


# Word similarities and analogies --------------------------------------------------------------------------------------

_EVALUATION = {
    "analogies": ("questions-words.txt", "8b7461cbf7ecc0aec9b32eb626821105"),  # Mikolov et al. 2013
    "wordsim353": ("wordsim353.tsv", "fa3334003a2c00a47810856c5813a990"),  # Finkelstein et al. 2002
    "simlex999": ("simlex999.txt", "ea3b421726e288d9c368d3db0f1831a4"),  # Hill et al. 2015
    "rare-words": ("EN-RW-STANFORD.txt", "b50f92e38334c81fc02af695aa9f61ad"),  # Luong et al. 2013
    "men": ("EN-MEN-TR-3k.txt", "cd6488cef0a1acdb9b5777a11bdb41f6"),  # Bruni et al. 2014
    "wordsim353-relatedness": ("EN-WS-353-REL.txt", "9ad3af42e7379e087fc2157895db08f0"),  # Agirre et al. 2009
    "wordsim353-similarity": ("EN-WS-353-SIM.txt", "e5d93a68121655b8f04aea15b89c130a"),  # Agirre et al. 2009
    "rg65": ("EN-RG-65.txt", "9135bc37d3c3557666236aa3fb0b5541"),  # Rubenstein and Goodenough 1965
    "mc30": ("EN-MC-30.txt", "4a661dbda4221242e7507dbe6c408dbd"),  # Miller and Charles 1991
}
EVALUATION_FILES = {name: f"text/eval/{file}" for name, (file, _) in _EVALUATION.items()}


def _fetch_evaluation_file(folder: Path, file: str) -> Path:
    name = Path(file).name
    if name.startswith("EN-"):
        source = "mfaruqui/eval-word-vectors/master/data/word-sim"
    else:
        source = "piskvorky/gensim/4.3.3/gensim/test/test_data"
    url = f"https://raw.githubusercontent.com/{source}/{name}"
    return download(url, folder / file, md5=WORD_EVALUATION.files[file])


def _evaluation_files_here() -> dict[str, Path]:
    here = {name: evaluation_file(name, "smoke") for name in EVALUATION_FILES}
    return {name: path for name, path in here.items() if path is not None}


WORD_EVALUATION: Dataset[dict[str, Path]] = Dataset(
    name="word-evaluation",
    title="Word similarities and analogies (9 files)",
    files={f"text/eval/{file}": md5 for file, md5 in _EVALUATION.values()},
    size="0.7 MB",
    read=lambda folder: {name: folder / file for name, file in EVALUATION_FILES.items()},
    stand_in=_evaluation_files_here,
    fetch_file=_fetch_evaluation_file,
)
