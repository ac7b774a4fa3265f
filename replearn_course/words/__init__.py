"""Words: text to vectors, by word2vec and fastText.

A text becomes a :class:`Corpus` by :func:`encode`, a corpus a :class:`WordModel` by :func:`train`, and that has
:class:`WordVectors`. With :class:`Subwords` given to :func:`train` it is fastText. Words are strings without white space; a
vocabulary stands in the order of frequency, the most frequent word first.
"""

from replearn_course.words.classifier import TextClassifier, classify_texts
from replearn_course.words.corpus import Corpus, encode
from replearn_course.words.ngrams import Subwords, character_ngrams
from replearn_course.words.readable import WindowBatches, Word2Vec
from replearn_course.words.text import tokenize
from replearn_course.words.trainer import WordModel, WordSettings, train
from replearn_course.words.vectors import SubwordVectors, WordVectors
from replearn_course.words.vocabulary import Vocabulary

__all__ = [
    "Corpus",
    "SubwordVectors",
    "Subwords",
    "TextClassifier",
    "Vocabulary",
    "WindowBatches",
    "Word2Vec",
    "WordModel",
    "WordSettings",
    "WordVectors",
    "character_ngrams",
    "classify_texts",
    "encode",
    "tokenize",
    "train",
]
