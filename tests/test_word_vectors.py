"""Word vectors: neighbours and analogies against loops, files against gensim, and what a damaged file says."""

import gzip
import math
import struct

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from replearn_course.errors import ReplearnError
from replearn_course.files import save_weights
from replearn_course.words import WordVectors, vectors
from replearn_course.words import formats as formats_module

quick = settings(max_examples=60, deadline=None)

# Russian, an emoji with its joiners, a combining accent and its precomposed form, a no-break space, a line separator.
UNUSUAL = ["слово", "👩‍🚀", "e\u0301te", "éte", "a\xa0b", "\u2028", "\x85", "#", ":", "</s>", "1", "a\0"]


def random_vectors(count=50, d=8, seed=0, counts=True, kind=WordVectors):
    generator = torch.Generator().manual_seed(seed)
    words = [f"w{i}" for i in range(count)]
    frequencies = torch.arange(count, 0, -1) * 3
    return kind(words, torch.randn(count, d, generator=generator), frequencies if counts else None)


@st.composite
def any_vectors(draw, least_d=1):
    letters = st.characters(exclude_characters=" \t\n\r\x0b\x0c", exclude_categories=["Cs"])
    word = st.one_of(st.sampled_from(UNUSUAL), st.text(letters, min_size=1, max_size=6))
    words = draw(st.lists(word, min_size=1, max_size=8, unique=True))
    shape = (len(words), draw(st.integers(least_d, 5)))
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    matrix = torch.from_numpy(draw(hnp.arrays(np.float32, shape, elements=numbers)))
    counts = draw(st.none() | st.lists(st.integers(0, 2**62), min_size=len(words), max_size=len(words)))
    return WordVectors(words, matrix, None if counts is None else torch.tensor(counts))


def bits(matrix):
    """The numbers as they are stored: -0.0 is not 0.0."""
    return matrix.contiguous().view(torch.int32).tolist()


def assert_same(a, b, counts=True):
    assert a.words == b.words
    assert bits(a.matrix) == bits(b.matrix)
    if counts:
        assert (a.counts is None) == (b.counts is None)
        assert a.counts is None or torch.equal(a.counts, b.counts)


def cosine(x, y):
    """In float64, one number at a time; 0 with a zero vector."""
    x, y = x.double().tolist(), y.double().tolist()
    lengths = math.hypot(*x) * math.hypot(*y)
    return sum(p * q for p, q in zip(x, y, strict=True)) / lengths if lengths else 0.0


# --- words and their vectors ------------------------------------------------------------------------------------------


def test_a_word_has_its_row():
    v = random_vectors()
    assert len(v) == 50
    assert "w7" in v
    assert "w50" not in v
    assert 7 not in v
    assert torch.equal(v["w7"], v.matrix[7])
    assert v.vector("w50") is None
    assert v.index["w7"] == 7


def test_an_unknown_word_is_told_with_those_spelled_alike():
    v = WordVectors(["queen", "king", "kings", "ring", "Kong", "kingfisher"], torch.eye(6))
    with pytest.raises(ReplearnError, match=r"unknown word 'kingg'; did you mean 'kings?' or 'kings?'\?"):
        v["kingg"]
    with pytest.raises(ReplearnError, match=r"unknown word 'Queen'; did you mean 'queen'\?"):
        v["Queen"]
    for word in ("zebra", "", "kingfishers and more"):
        with pytest.raises(ReplearnError, match=r"unknown word '.*'; none of the 6 words is spelled alike"):
            v[word]
    with pytest.raises(ReplearnError, match="word: expected a string, got int 3"):
        v[3]


def test_an_unknown_word_is_compared_with_few_of_many(monkeypatch):
    compared = []
    matches = vectors.difflib.get_close_matches

    def watched(word, known, **options):
        compared.append(list(known))
        return matches(word, compared[-1], **options)

    monkeypatch.setattr(vectors.difflib, "get_close_matches", watched)
    v = WordVectors([f"word{i}" for i in range(20_000)] + ["other", "w"], torch.ones(20_002, 1))
    with pytest.raises(ReplearnError, match="did you mean 'word1"):
        v["wordd1"]
    assert [len(known) for known in compared] == [5000, 3]
    assert compared[0][0] == "word0"


@pytest.mark.parametrize("word", UNUSUAL)
def test_unusual_words(word):
    assert word in WordVectors([word], torch.ones(1, 1))


@pytest.mark.parametrize("word", ["", "a b", "a\tb", "a\n", "\r", "a\x0b", "\x0c", "\ud800", 5, None, b"a"])
def test_words_that_no_file_can_hold(word):
    with pytest.raises(ReplearnError, match=r"words: expected text without white space, got .* in row 1"):
        WordVectors(["a", word], torch.ones(2, 1))


@pytest.mark.parametrize(
    ("words", "matrix", "counts", "message"),
    [
        ("aba", torch.ones(3, 1), None, r"words: expected each once, got 'a' in rows 0 and 2"),
        ("ab", torch.ones(3, 1), None, r"matrix: expected shape \(V, d\), a row for each of 2 words, got \(3, 1\)"),
        ("ab", torch.ones(2), None, r"matrix: expected shape .* got \(2,\)"),
        ("ab", torch.ones(2, 0), None, r"matrix: expected shape .* got \(2, 0\)"),
        ("", torch.ones(0, 3), None, r"matrix: expected shape .* got \(0, 3\)"),
        ("ab", [[1.0], [2.0]], None, r"matrix: expected a torch.Tensor, got builtins.list"),
        ("ab", torch.ones(2, 1).double(), None, r"matrix: expected torch.float32, got torch.float64"),
        ("ab", torch.ones(2, 1).long(), None, r"matrix: expected torch.float32, got torch.int64"),
        ("ab", torch.tensor([[1.0], [math.nan]]), None, r"matrix: expected finite values, .* first in row 1"),
        ("ab", torch.tensor([[1.0], [-math.inf]]), None, r"matrix: expected finite values, .* first in row 1"),
        ("ab", torch.ones(2, 1), [1, 2], r"counts: expected a torch.Tensor"),
        ("ab", torch.ones(2, 1), torch.ones(2), r"counts: expected shape \(2,\) and torch.int64, got .*float32"),
        ("ab", torch.ones(2, 1), torch.ones(3).long(), r"counts: expected shape \(2,\) .* got \(3,\)"),
        ("ab", torch.ones(2, 1), torch.tensor([1, -4]), r"counts: expected numbers from 0 up, got -4"),
    ],
)
def test_malformed_vectors(words, matrix, counts, message):
    with pytest.raises(ReplearnError, match=message):
        WordVectors(words, matrix, counts)


def test_vectors_in_training_are_held_without_their_graph():
    matrix = torch.ones(2, 1, requires_grad=True)
    assert not WordVectors("ab", matrix).matrix.requires_grad


def test_subset_is_the_first_words_and_views():
    v = random_vectors()
    part = v.subset(3)
    assert part.words == ["w0", "w1", "w2"]
    assert part.matrix.data_ptr() == v.matrix.data_ptr()
    assert part.counts.tolist() == [150, 147, 144]
    assert "w3" not in part
    assert random_vectors(counts=False).subset(50).counts is None
    for n in (0, 51):
        with pytest.raises(ReplearnError, match=f"n: expected 1 to 50, the number of words, got {n}"):
            v.subset(n)


# --- neighbours -------------------------------------------------------------------------------------------------------


def test_unit_vectors_have_length_one_whatever_their_size_and_zero_stays():
    matrix = torch.tensor([[3, 4], [3e30, 4e30], [-3e-40, 4e-40], [0, 0], [1e-45, 0]])
    expected = torch.tensor([[0.6, 0.8], [0.6, 0.8], [-0.6, 0.8], [0, 0], [1, 0]])
    v = WordVectors("abcde", matrix)
    torch.testing.assert_close(v.unit, expected, atol=1e-5, rtol=0)
    assert v.unit is v.unit


@quick
@given(st.data())
def test_nearest_is_the_order_of_the_cosines(data):
    # On a grid of directions cosines tie; equal vectors have exactly equal ones.
    rows = data.draw(st.lists(st.sampled_from([(1, 0), (0, 1), (-2, 0), (0, 0), (0, -0.5)]), min_size=2, max_size=9))
    v = WordVectors([f"w{i}" for i in range(len(rows))], torch.tensor(rows, dtype=torch.float32))
    query = data.draw(st.sampled_from(v.words))
    exclude = data.draw(st.lists(st.sampled_from([*v.words, "unknown"]), max_size=3))
    k = data.draw(st.integers(1, 12))
    others = [w for w in v.words if w != query and w not in exclude]
    expected = sorted(others, key=lambda w: -cosine(v[query], v[w]))[:k]  # a stable sort: the earlier word first
    found = v.nearest(query, k, exclude)
    assert [word for word, _ in found] == expected
    assert [c for _, c in found] == pytest.approx([cosine(v[query], v[w]) for w in expected])


def test_of_many_equal_cosines_the_earlier_words_come_first():
    v = WordVectors([f"w{i}" for i in range(1000)], torch.eye(2).repeat(500, 1))
    assert [word for word, _ in v.nearest("w0", 300)] == v.words[2:602:2]


def test_nearest_to_a_vector_keeps_every_word():
    v = random_vectors()
    query = v["w3"] * 7
    found = v.nearest(query, 50)
    assert found[0] == ("w3", pytest.approx(1))
    assert len(found) == 50
    assert [w for w, _ in found] == sorted(v.words, key=lambda w: -cosine(query, v[w]))
    assert [w for w, _ in v.nearest(query.double(), 50)] == [w for w, _ in found]
    assert [w for w, _ in v.nearest(query, 2, exclude=["w3"])] == [w for w, _ in found[1:3]]


@pytest.mark.parametrize(
    ("query", "k", "message"),
    [
        ("w1", 0, "k: expected 1 or more, got 0"),
        ("wx", 1, "unknown word 'wx'"),
        (torch.ones(3), 1, r"query: expected a floating vector of shape \(8,\), got \(3,\)"),
        (torch.ones(1, 8), 1, r"query: expected a floating vector of shape \(8,\), got \(1, 8\)"),
        (torch.ones(8).long(), 1, r"query: expected a floating vector .* torch.int64"),
        (torch.full((8,), math.nan), 1, "query: expected finite values"),
        (np.ones(8), 1, "query: expected a torch.Tensor, got numpy.ndarray"),
    ],
)
def test_nearest_refuses(query, k, message):
    with pytest.raises(ReplearnError, match=message):
        random_vectors().nearest(query, k)


def test_analogy_adds_unit_vectors_and_leaves_the_three_out():
    # Lengths differ: without normalising first, b - a + c would point elsewhere.
    v = random_vectors()
    v = WordVectors(v.words, v.matrix * torch.logspace(-2, 2, 50)[:, None])

    def unit(word):
        return v[word].double() / v[word].double().norm()

    target = unit("w1") - unit("w0") + unit("w2")
    expected = sorted(v.words[3:], key=lambda w: -cosine(target, v[w]))[:10]
    found = v.analogy("w0", "w1", "w2")
    assert [w for w, _ in found] == expected
    assert [c for _, c in found] == pytest.approx([cosine(target, v[w]) for w in expected], abs=1e-5)
    assert len(v.analogy("w0", "w1", "w2", k=100)) == 47
    with pytest.raises(ReplearnError, match="unknown word 'nope'"):
        v.analogy("w0", "nope", "w2")


class Spelled(WordVectors):
    """Gives every word a vector, as a model of n-grams does."""

    def vector(self, word):
        known = super().vector(word)
        return torch.full((self.matrix.shape[1],), float(len(word))) if known is None else known


def test_a_subclass_gives_unseen_words_a_vector():
    v = random_vectors(kind=Spelled)
    assert v["unseen"].tolist() == [6.0] * 8
    assert torch.equal(v["w1"], v.matrix[1])
    assert v.nearest("unseen", 3) == v.nearest(torch.ones(8), 3)
    assert "unseen" not in v
    target = v.unit[1] - v.unit[0] + torch.ones(8) / math.sqrt(8)
    assert v.analogy("w0", "w1", "unseen") == [
        (w, pytest.approx(c, abs=1e-6)) for w, c in v.nearest(target, exclude=["w0", "w1"])
    ]


# --- our file ---------------------------------------------------------------------------------------------------------


@quick
@given(any_vectors())
def test_saved_vectors_come_back_to_the_bit(tmp_path_factory, v):
    path = v.save(tmp_path_factory.mktemp("v") / "v.safetensors")
    assert_same(WordVectors.load(path), v)


def test_a_truncated_file_is_told_at_every_length(tmp_path):
    path = random_vectors(3, 2).save(tmp_path / "v.safetensors")
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ReplearnError, match=r"v\.safetensors cannot be read"):
            WordVectors.load(path)
    with pytest.raises(ReplearnError, match=r"cannot read .*absent"):
        WordVectors.load(tmp_path / "absent")
    with pytest.raises(ReplearnError, match=r"cannot read "):
        WordVectors.load(tmp_path)


OURS = {"format": "replearn word vectors", "version": "1"}


@pytest.mark.parametrize(
    ("change", "metadata", "message"),
    [
        ({}, {}, r"v\.safetensors: expected 'replearn word vectors' of version 1, got no metadata"),
        ({}, OURS | {"version": "2"}, r"v\.safetensors: expected .* got .*'version': '2'"),
        ({"matrix": None}, OURS, r"v\.safetensors is damaged: it has no tensor 'matrix'"),
        ({"vocabulary": None}, OURS, r"v\.safetensors is damaged: it has no tensor 'vocabulary'"),
        ({"vocabulary": torch.tensor([97, 10, 255]).byte()}, OURS, r"v\.safetensors is damaged: 'utf-8' codec"),
        ({"vocabulary": torch.tensor([97, 10, 97]).byte()}, OURS, r"v\.safetensors is damaged: words: expected each"),
        ({"vocabulary": torch.tensor([97]).byte()}, OURS, r"v\.safetensors is damaged: matrix: expected shape"),
        ({"matrix": torch.full((2, 1), math.nan)}, OURS, r"v\.safetensors is damaged: matrix: expected finite"),
        ({"counts": torch.ones(2)}, OURS, r"v\.safetensors is damaged: counts: expected shape"),
    ],
)
def test_a_file_of_something_else_is_told(tmp_path, change, metadata, message):
    state = {"matrix": torch.ones(2, 1), "vocabulary": torch.tensor([97, 10, 98]).byte()} | change
    path = save_weights(tmp_path / "v.safetensors", {k: t for k, t in state.items() if t is not None}, metadata)
    with pytest.raises(ReplearnError, match=message):
        WordVectors.load(path)


# --- files of word2vec ------------------------------------------------------------------------------------------------


@quick
@given(any_vectors(least_d=2), st.booleans(), st.sampled_from(["v.vec", "v.vec.gz"]), st.booleans(), st.integers(5, 99))
def test_word2vec_files_come_back_to_the_bit(tmp_path_factory, v, binary, name, told, chunk):
    path = v.save_word2vec(tmp_path_factory.mktemp("v") / name, binary=binary)
    with pytest.MonkeyPatch.context() as patch:
        if told:  # words and numbers that lie across the chunks; the guess looks at one chunk
            patch.setattr(formats_module, "_CHUNK", chunk + 30)
        back = WordVectors.load_word2vec(path, binary=binary if told else None)
    assert_same(back, v, counts=False)
    assert back.counts is None


def test_a_gz_file_is_packed_and_always_the_same(tmp_path, monkeypatch):
    v = random_vectors()
    packed, plain = (v.save_word2vec(tmp_path / name) for name in ("v.gz", "v.txt"))
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    monkeypatch.setattr(gzip.time, "time", lambda: 1e9)  # on another day
    assert v.save_word2vec(tmp_path / "other.gz").read_bytes() == packed.read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = random_vectors().save_word2vec(tmp_path / "v.txt")
    before = path.read_bytes()
    monkeypatch.setattr(formats_module, "map", lambda *_: [][0], raising=False)  # stops within the second line
    with pytest.raises(IndexError):
        random_vectors(seed=1).save_word2vec(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def binary_content(newline):
    """As the C program (with newlines) and gensim (without) write it."""
    rows = [("a", (1.5, -2.0)), ("слово", (0.0, 1e-30)), ("c", (3.0, 4.0))]
    return b"3 2\n" + b"".join(w.encode() + b" " + struct.pack("<2f", *x) + newline for w, x in rows)


@pytest.mark.parametrize("binary", [True, None])
@pytest.mark.parametrize("newline", [b"\n", b""])
def test_binary_files_with_and_without_newlines(tmp_path, newline, binary):
    path = tmp_path / "v.bin"
    path.write_bytes(binary_content(newline))
    v = WordVectors.load_word2vec(path, binary)
    assert v.words == ["a", "слово", "c"]
    torch.testing.assert_close(v.matrix, torch.tensor([[1.5, -2.0], [0.0, 1e-30], [3.0, 4.0]]), rtol=0, atol=0)


@pytest.mark.parametrize("end", ["\n", " \n", "\r\n"])  # word2vec.c leaves a space at the end of a line
@pytest.mark.parametrize("binary", [False, None])
def test_text_files_with_the_ends_that_programs_write(tmp_path, end, binary):
    path = tmp_path / "v.txt"
    path.write_bytes(f"2 3{end}a 1 -2.5e-3 3{end}слово 0.5 0 1E2{end}".encode())
    v = WordVectors.load_word2vec(path, binary)
    assert v.words == ["a", "слово"]
    torch.testing.assert_close(v.matrix, torch.tensor([[1, -2.5e-3, 3], [0.5, 0, 100]]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"line 1: expected the number of words and the dimension, got ''"),
        (b"the 0.1 0.2\n", r"line 1: expected the number of words .* got 'the 0\.1 0\.2"),
        (b"2\n", r"line 1: expected the number of words"),
        (b"0 2\n", r"line 1: expected the number of words"),
        (b"1 0\na\n", r"line 1: expected the number of words"),
        (b"-1 2\na 1 2\n", r"line 1: expected the number of words"),
        (b"9999999999 300\na 1 2\n", r"line 1: promises 9999999999 words of 300 numbers, more than the file can hold"),
        (b"3 2\na 1.00 2.00\nb 3.00 4.00\n", r"line 4: the file ends here, after 2 of 3 whole lines"),
        (b"2 2\na 1.00 2.00\nb 3.00 4.0", r"line 3: the file ends here, after 1 of 2 whole lines"),
        (b"2 2\na 1 2\nb 3 4\nc 5 6\n", r"line 4: expected the end of the file after 2 words"),
        (b"2 2\na 1 2 3\nb 3 4\n", r"line 2: expected a word and 2 numbers, got 3 after the word"),
        (b"2 2\na 1 2\nb 3.0000\n", r"line 3: expected a word and 2 numbers, got 1 after the word"),
        (b"2 2\na 1 2\n\n\n\n\n\n", r"line 3: expected a word and 2 numbers, got 0 after the word"),
        (b"2 2\na 1 2\nb 3 x4\n", r"line 3: expected a number in place 2, got 'x4'"),
        (b"2 2\na 1 2\n\xff\xfe 3 4\n", r"line 3: the word '\\xff\\xfe' is not UTF-8, from its byte 0"),
        (b"2 2\na 1 2\na 3 4\n", r"words: expected each once, got 'a' in rows 0 and 1, counted from 0"),
        (b"2 2\na 1 2\n 33 4\n", r"words: expected text without white space, got '' in row 1"),
        (b"2 2\na 1 2\nb 3 nan\n", r"matrix: expected finite values, got NaN or infinity, first in row 1"),
        (b"2 2\na 1 2\nb 3 1e39\n", r"matrix: expected finite values, got NaN or infinity, first in row 1"),
    ],
)
def test_malformed_text_is_told_with_its_place(tmp_path, content, message):
    path = tmp_path / "v.txt"
    for binary in (False, None):
        path.write_bytes(content)
        with pytest.raises(ReplearnError, match=r"v\.txt.*" + message):
            WordVectors.load_word2vec(path, binary)


def word2vec(words, numbers=(1.5, -2.0)):
    return b"%d 2\n" % len(words) + b"".join(word + b" " + struct.pack("<2f", *numbers) for word in words)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (word2vec([b"a", b"b"])[:-1], r"byte 14: the file ends within word 2 of 2"),
        (word2vec([b"a", b"b"])[:15], r"byte 14: the file ends within word 2 of 2"),
        (word2vec([b"a", b"b"]) + b"\nc", r"byte 24: expected the end of the file after 2 words, got '\\nc'"),
        (word2vec([b"a", b"\xd0"]), r"byte 14: the word '\\xd0' is not UTF-8, from its byte 0"),
        (word2vec([b"a", b"a"]), r"words: expected each once, got 'a' in rows 0 and 1"),
        (word2vec([b"a", b""]), r"words: expected text without white space, got '' in row 1"),
        (word2vec([b"a", b"b\tc"]), r"words: expected text without white space, got 'b\\tc' in row 1"),
        (word2vec([b"a"], (math.inf, 0)), r"matrix: expected finite values"),
        (word2vec([b"a"] * 30 + [b"\xd0"]), r"byte 305: the word '\\xd0' is not UTF-8"),  # in the fourth chunk
        (b"2 2\n" + b"\0" * 300, r"byte 4: expected word 1 and a space, found none in 100 bytes"),
        (b"9999999 2\n" + b"\0" * 300, r"line 1: promises 9999999 words"),
    ],
)
def test_malformed_binary_is_told_with_its_place(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(formats_module, "_CHUNK", 100)
    path = tmp_path / "v.bin"
    for binary in (True, None):
        path.write_bytes(content)
        with pytest.raises(ReplearnError, match=r"v\.bin.*" + message):
            WordVectors.load_word2vec(path, binary)


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", ["v.vec", "v.vec.gz"])
def test_every_truncation_is_told(tmp_path, name, binary):
    path = random_vectors(4, 3).save_word2vec(tmp_path / name, binary=binary)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ReplearnError, match=r"v\.vec"):
            WordVectors.load_word2vec(path, binary)


def test_gz_that_is_none_or_damaged(tmp_path):
    path = random_vectors().save_word2vec(tmp_path / "v.gz")
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 0xFF
    for content in (b"2 1\na 1\nb 2\n", bytes(whole)):
        path.write_bytes(content)
        with pytest.raises(ReplearnError, match=r"v\.gz"):
            WordVectors.load_word2vec(path, binary=False)


def test_what_cannot_be_read(tmp_path):
    for path in (tmp_path / "absent", tmp_path / "absent.gz", tmp_path):
        with pytest.raises(ReplearnError, match="cannot read"):
            WordVectors.load_word2vec(path)


# --- gensim -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def gensim_vectors():
    pytest.importorskip("gensim")
    from gensim.models import KeyedVectors

    return KeyedVectors


@pytest.fixture
def unusual():
    words = [word for word in UNUSUAL if word != "a\0"] + [f"w{i}" for i in range(40)]
    matrix = torch.randn(len(words), 7, generator=torch.Generator().manual_seed(0))
    matrix[0] = torch.tensor([1e-30, -1e30, 0.0, -0.0, 1e-45, 16777216.0, 0.1])
    return WordVectors(words, matrix, torch.arange(len(words), 0, -1))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("name", ["v.vec", "v.vec.gz"])
def test_files_are_those_of_gensim(tmp_path, gensim_vectors, unusual, binary, name):
    ours, theirs = tmp_path / f"ours.{name}", tmp_path / f"theirs.{name}"
    unusual.save_word2vec(ours, binary=binary)
    unusual.to_gensim().save_word2vec_format(str(theirs), binary=binary)
    contents = [gzip.decompress(p.read_bytes()) if p.suffix == ".gz" else p.read_bytes() for p in (ours, theirs)]
    assert contents[0] == contents[1]
    read = gensim_vectors.load_word2vec_format(str(ours), binary=binary)
    assert read.index_to_key == unusual.words
    assert bits(torch.from_numpy(read.vectors)) == bits(unusual.matrix)
    for told in (binary, None):
        assert_same(WordVectors.load_word2vec(theirs, told), unusual, counts=False)


def test_to_gensim_and_back(gensim_vectors, unusual):
    keyed_vectors = unusual.to_gensim()
    assert isinstance(keyed_vectors, gensim_vectors)
    assert keyed_vectors.get_vecattr("слово", "count") == len(unusual)
    assert_same(WordVectors.from_gensim(keyed_vectors), unusual)
    without = WordVectors(unusual.words, unusual.matrix)
    assert_same(WordVectors.from_gensim(without.to_gensim()), without)
    keyed_vectors.vectors[:] = 0
    assert unusual.matrix.abs().sum() > 0


def test_neighbours_and_analogies_are_gensims(gensim_vectors):
    v = random_vectors(300, 20)
    theirs = v.to_gensim()
    for word in v.words[:20]:
        expected = theirs.most_similar(word, topn=15)
        assert v.nearest(word, 15) == [(w, pytest.approx(c, abs=1e-5)) for w, c in expected]
    for i in range(20):
        a, b, c = v.words[i : i + 3]
        expected = theirs.most_similar(positive=[b, c], negative=[a], topn=10)
        assert v.analogy(a, b, c) == [(w, pytest.approx(p, abs=1e-5)) for w, p in expected]


def test_a_trained_model_of_gensim_is_read_with_its_counts(gensim_vectors):
    from gensim.models import Word2Vec

    model = Word2Vec([["a", "b", "a", "c"], ["a", "b"]] * 5, vector_size=4, min_count=1, workers=1, epochs=1)
    v = WordVectors.from_gensim(model.wv)
    assert v.words == ["a", "b", "c"]
    assert v.counts.tolist() == [15, 10, 5]
    assert v["b"].tolist() == model.wv["b"].tolist()
    with pytest.raises(ReplearnError, match=r"expected gensim's KeyedVectors \(the wv of a model\), got Word2Vec"):
        WordVectors.from_gensim(model)


def test_without_gensim_the_error_says_so(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gensim.models", None)
    with pytest.raises(ReplearnError, match="to_gensim needs gensim, which cannot be imported"):
        random_vectors().to_gensim()
