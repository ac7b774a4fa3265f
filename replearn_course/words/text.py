"""Text to tokens: read any file, folder or iterable piece by piece, and cut it into words of any language."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from replearn_course.errors import ReplearnError

__all__ = ["BOUNDARY", "Source", "Tokenizer", "pieces", "tokenize"]

#: Stands between two sentences in what :func:`pieces` yields: no window reaches across it.
BOUNDARY = "\n"

#: A function from text to words.
Tokenizer = Callable[[str], list[str]]

#: What a corpus is read from: a path, several paths, or sentences, each a string or a list of words.
Source = Path | str | Iterable[Path] | Iterable[str] | Iterable[list[str]]

BYTES = 1 << 22  # read at a time

_ASCII_TOKEN = re.compile(r"\n|[a-z0-9]+(?:'[a-z0-9]+)*")


def tokenize(text: str) -> list[str]:
    """Words of a text in lower case, with :data:`BOUNDARY` at each line break.

    The text is brought to Unicode's composed form (NFC), so that "й" typed in one character or in two is one word. A word is
    a run of letters and digits with the marks that belong to them (the vowel signs of Devanagari, say), and an apostrophe
    inside it stays: ``don't``, ``l'homme``. Everything else separates. Languages written without spaces
    (Chinese, Japanese, Thai) need a tokenizer of their own.

    Args:
        text: any text.
    """
    if text.isascii():
        return _ASCII_TOKEN.findall(text.lower())
    return _unicode_token().findall(unicodedata.normalize("NFC", text).lower().replace("\u2019", "'"))


@lru_cache(maxsize=1)
def _unicode_token() -> re.Pattern[str]:
    r"""A word in any script: Python's ``\w`` has no combining marks, without which Hindi falls to pieces."""
    marks, start = [], None
    for code in range(0x300, sys.maxunicode + 2):
        is_mark = code <= sys.maxunicode and unicodedata.category(chr(code))[0] == "M"
        if is_mark and start is None:
            start = code
        elif not is_mark and start is not None:
            marks.append(f"{re.escape(chr(start))}-{re.escape(chr(code - 1))}")
            start = None
    joiners = "\u200c\u200d"  # inside words of Persian and of Indic scripts
    unit = rf"(?:[^\W_][{''.join(marks)}{joiners}]*)+"
    return re.compile(rf"\n|{unit}(?:'{unit})*")


def pieces(source: Source, tokenizer: Tokenizer = tokenize) -> Iterator[list[str]]:
    """Read a source as lists of words, some megabytes at a time, with :data:`BOUNDARY` between sentences.

    Args:
        source: a text file in UTF-8, a folder (every ``.txt`` below it, in order of name), several such paths, or an iterable
            of sentences, each a string or a list of words. In a file each line is a sentence; a file of one long line is one.
        tokenizer: from text to words; for text that is tokenized already ``str.split``. Lists of words are taken as they are.

    Raises:
        ReplearnError: for a path that is absent, a folder without text files, bytes that are no UTF-8 (file, position and line are
            named), or sentences that are neither text nor lists of words.
    """
    if isinstance(source, (str, Path)):
        source = [Path(source)]
    for number, item in enumerate(source):
        if isinstance(item, Path):
            for file in _files(item):
                for text in _texts(file):
                    yield _tokens(text, tokenizer)
                yield [BOUNDARY]
        elif isinstance(item, str):
            yield [*_tokens(item, tokenizer), BOUNDARY]
        elif isinstance(item, (list, tuple)) and all(isinstance(word, str) for word in item):
            yield [*item, BOUNDARY]
        else:
            raise ReplearnError(f"sentence {number}: expected text or a list of words, got {type(item).__name__}")


def _tokens(text: str, tokenizer: Tokenizer) -> list[str]:
    if tokenizer is tokenize:  # knows line breaks itself
        return tokenize(text)
    tokens = []
    for line in io.StringIO(text, newline="\n"):  # splitlines would end a sentence at a form feed too
        tokens += tokenizer(line.rstrip("\r\n"))
        if line.endswith("\n"):
            tokens.append(BOUNDARY)
    return tokens


def _files(path: Path) -> list[Path]:
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists fails for a name that is too long, such as a whole text
        shown = textwrap.shorten(str(path), 80, placeholder="...")
        raise ReplearnError(f"corpus: {shown} does not exist; sentences that are no file come in a list")
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*.txt") if file.is_file())
    if not found:
        raise ReplearnError(f"corpus: there is no .txt file in the folder {path}")
    return found


def _texts(path: Path) -> Iterator[str]:
    """The text of a file in pieces that end between words."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    before, lines, rest = 0, 0, ""
    try:
        with path.open("rb") as file:
            while block := file.read(BYTES):
                try:
                    text = rest + decoder.decode(block)
                except UnicodeDecodeError as error:
                    # Its own position counts from a letter that the last block cut, or from behind a byte order mark.
                    start = len(block) - (len(error.object) - error.start)
                    at, line = before + start, lines + 1 + block[: max(0, start)].count(b"\n")
                    raise ReplearnError(
                        f"{path}: byte {at} (line {line}) is not UTF-8 ({error.reason}); convert the file, for example "
                        f"with `iconv -f WINDOWS-1251 -t UTF-8`, whichever encoding it has"
                    ) from None
                before, lines = before + len(block), lines + block.count(b"\n")
                end = max(text.rfind(" "), text.rfind("\n")) + 1
                if end == 0 and len(text) < 16 * BYTES:
                    rest = text
                    continue
                end = end or len(text)  # no space in many megabytes: cut where we are
                yield text[:end]
                rest = text[end:]
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        raise ReplearnError(
            f"{path}: the last byte ({before - 1}) is in the middle of a UTF-8 letter: truncated?"
        ) from None
    except OSError as error:
        raise ReplearnError(f"corpus: cannot read {path}: {error.strerror or error}") from None
    if rest:
        yield rest
