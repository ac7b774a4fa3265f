"""Text, and what is learned from it: word vectors.

Words are strings without white space; a vocabulary stands in the order of frequency, the most frequent word first.
"""

from replearn_course.words.vectors import WordVectors

__all__ = ["WordVectors"]
