"""The ``replearn words`` commands: ask word vectors, and write them in another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from replearn_course.errors import ReplearnError

if TYPE_CHECKING:
    from replearn_course.words import WordVectors

__all__ = ["register"]

Vectors = Annotated[
    Path,
    typer.Argument(help="vectors.safetensors, a run folder that holds one, or a file in a format of word2vec."),
]
Count = Annotated[int, typer.Option("-k", help="How many words.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    words = typer.Typer(help="Word vectors: neighbours, analogies, other formats.", no_args_is_help=True)
    words.command()(nearest)
    words.command()(analogy)
    words.command()(convert)
    app.add_typer(words, name="words")


def nearest(
    vectors: Vectors, words: Annotated[list[str], typer.Argument(help="One word or several.")], k: Count = 10
) -> None:
    """Print the words nearest to each, by cosine."""
    known = _load(vectors)
    for word in words:
        unseen = "" if word in known else " (unseen: by its n-grams)"
        found = known.nearest(word, k)
        typer.echo(f"{word}{unseen}: " + ", ".join(f"{near} {cosine:.2f}" for near, cosine in found))


def analogy(vectors: Vectors, a: str, b: str, c: str, k: Count = 5) -> None:
    """Print the words for "A is to B as C is to ..."."""
    found = _load(vectors).analogy(a, b, c, k)
    typer.echo(f"{a} : {b} = {c} : " + ", ".join(f"{near} {cosine:.2f}" for near, cosine in found))


def convert(
    vectors: Vectors,
    target: Annotated[
        Path, typer.Argument(help=".safetensors, .bin (binary word2vec) or .txt, .vec; .gz behind it packs.")
    ],
) -> None:
    """Write word vectors in the format that the target's name tells."""
    kind = [suffix for suffix in target.suffixes if suffix != ".gz"][-1:]
    if kind not in ([".safetensors"], [".bin"], [".txt"], [".vec"]):
        raise ReplearnError(f"target: expected a name that ends in .safetensors, .bin, .txt or .vec, got {target.name}")
    known = _load(vectors)
    if kind == [".safetensors"]:
        known.save(target)
    else:
        known.save_word2vec(target, binary=kind == [".bin"])
    typer.echo(f"{len(known)} words, {known.matrix.shape[1]} dimensions: {target}")


def _load(path: Path) -> WordVectors:
    from replearn_course.words.vectors import WordVectors

    if path.is_dir():
        found = sorted(path.rglob("vectors.safetensors"))
        if not found:
            raise ReplearnError(f"vectors: there is no vectors.safetensors in {path}")
        path = found[0]
    return WordVectors.load(path) if path.suffix == ".safetensors" else WordVectors.load_word2vec(path)
