"""Text to ids: tokens of any language, files read in pieces, vocabulary, corpora, n-grams."""

import unicodedata
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replearn_course.errors import ReplearnError
from replearn_course.words import Subwords, Vocabulary, WordVectors, character_ngrams, encode, text, tokenize
from replearn_course.words.corpus import Corpus
from replearn_course.words.ngrams import fnv1a
from replearn_course.words.text import BOUNDARY, pieces

# -- tokens ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("It's 2015, isn't it?", ["it's", "2015", "isn't", "it"]),
        ("l’homme naïve_x", ["l'homme", "naïve", "x"]),
        ("Представление слов: ёж — зверёк", ["представление", "слов", "ёж", "зверёк"]),
        ("हिन्दी में कि", ["हिन्दी", "में", "कि"]),
        ("'quoted' -- a-b", ["quoted", "a", "b"]),
        ("one\ntwo", ["one", "\n", "two"]),
        ("один\nдва", ["один", "\n", "два"]),
        ("", []),
        ("?! …", []),
    ],
)
def test_tokens(written, words):
    assert tokenize(written) == words


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=60))
def test_composed_and_decomposed_text_have_the_same_words(written):
    assert tokenize(unicodedata.normalize("NFD", written)) == tokenize(unicodedata.normalize("NFC", written))


@settings(deadline=None)
@given(st.text(alphabet="aB2'\n .-", max_size=60))
def test_the_short_cut_for_ascii_agrees_with_the_rule_for_all_scripts(written):
    assert tokenize(written) == text._unicode_token().findall(written.lower())


# -- reading -----------------------------------------------------------------------------------------------------------


def flat(source, **more):
    return [token for piece in pieces(source, **more) for token in piece]


@settings(deadline=None, max_examples=60)
@given(st.text(alphabet="ab йж\n '", max_size=200), st.integers(1, 40))
def test_a_file_reads_the_same_in_pieces_of_any_size(tmp_path_factory, written, size):
    path = tmp_path_factory.mktemp("text") / "file.txt"
    path.write_text(written, encoding="utf-8", newline="\n")
    before, text.BYTES = text.BYTES, size
    try:
        found = flat(path)
    finally:
        text.BYTES = before
    longest = max((len(word) for word in written.split()), default=0)
    if longest < 16 * size:  # a run without a space that is longer than that is cut
        assert found == [*tokenize(written), BOUNDARY]


def test_a_run_without_a_space_is_cut_and_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "BYTES", 4)
    (tmp_path / "long.txt").write_text("x" * 1000)
    found = [word for word in flat(tmp_path / "long.txt") if word != BOUNDARY]
    assert "".join(found) == "x" * 1000
    assert max(map(len, found)) <= 16 * 4 + 4


def test_folders_files_and_sentences(tmp_path):
    (tmp_path / "b.txt").write_text("three")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "z.txt").write_text("one\ntwo")
    (tmp_path / "ignored.md").write_text("never")
    expected = ["one", "\n", "two", "\n", "three", "\n"]
    assert flat(tmp_path) == expected
    assert flat([tmp_path / "a" / "z.txt", tmp_path / "b.txt"]) == expected
    assert flat(["One", ["Two", "3!"]]) == ["one", "\n", "Two", "3!", "\n"]
    assert flat(["a-b c\nd"], tokenizer=str.split) == ["a-b", "c", "\n", "d", "\n"]


def test_a_mark_at_the_beginning_is_no_letter(tmp_path):
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfone")
    assert flat(tmp_path / "bom.txt") == ["one", "\n"]


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_bytes_that_are_no_utf_8_are_named(tmp_path, monkeypatch, size):
    monkeypatch.setattr(text, "BYTES", size)
    path = tmp_path / "cp1251.txt"
    path.write_bytes("ёж one\n".encode() + "ёж".encode("cp1251"))
    with pytest.raises(ReplearnError, match=r"cp1251.txt: byte 9 \(line 2\) is not UTF-8"):
        flat(path)


@pytest.mark.parametrize("size", [1, 3, 5, 1 << 20])
def test_the_place_of_wrong_bytes_counts_from_the_beginning_of_the_file(tmp_path, monkeypatch, size):
    monkeypatch.setattr(text, "BYTES", size)
    (tmp_path / "bom.txt").write_bytes(b"\xef\xbb\xbfab\n\xffcd")
    with pytest.raises(ReplearnError, match=r"byte 6 \(line 2\)"):
        flat(tmp_path / "bom.txt")


def test_a_tokenizer_of_ones_own_gets_lines_and_only_line_breaks_end_them(tmp_path):
    (tmp_path / "odd.txt").write_bytes("a\u2028b\x85c\r\nd\x0ce\n\nf".encode())
    lines = []

    def tokenizer(line):
        lines.append(line)
        return [line] if line else []

    found = flat(tmp_path / "odd.txt", tokenizer=tokenizer)
    assert lines == ["a\u2028b\x85c", "d\x0ce", "", "f"]
    assert found == ["a\u2028b\x85c", "\n", "d\x0ce", "\n", "\n", "f", "\n"]


def test_words_with_rare_spaces_come_through_to_the_files(tmp_path):
    words = ["a\u00a0b", "c\x85d", "e\u2028f"]
    corpus = encode([words] * 3, min_count=1)
    assert corpus.vocabulary.words == words
    vectors = WordVectors(words, torch.eye(3))
    vectors.save_word2vec(tmp_path / "v.txt")
    assert WordVectors.load_word2vec(tmp_path / "v.txt").words == words


def test_a_file_cut_within_a_letter(tmp_path):
    (tmp_path / "cut.txt").write_bytes("one ё".encode()[:-1])
    with pytest.raises(ReplearnError, match="in the middle of a UTF-8 letter"):
        flat(tmp_path / "cut.txt")


def test_what_is_no_source(tmp_path):
    with pytest.raises(ReplearnError, match="nothing.txt does not exist"):
        flat(tmp_path / "nothing.txt")
    with pytest.raises(ReplearnError, match=r"to be or not to be.*\.\.\. does not exist; sentences .* in a list"):
        encode("to be or not to be " * 1000)  # the text itself, not its path
    with pytest.raises(ReplearnError, match="no .txt file"):
        flat(tmp_path)
    with pytest.raises(ReplearnError, match="sentence 1: expected text or a list of words, got int"):
        flat(["a", 5])


# -- vocabulary --------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=30), st.floats(1e-6, 1.0))
def test_keep_probability_and_noise_are_the_formulas(counts, sample):
    vocabulary = Vocabulary([f"w{i}" for i in range(len(counts))], counts)
    total = sum(counts)
    keep = [min(1.0, (sample / (c / total)) ** 0.5 + sample / (c / total)) for c in counts]
    noise = [c**0.75 / sum(k**0.75 for k in counts) for c in counts]
    torch.testing.assert_close(vocabulary.keep_probability(sample), torch.tensor(keep, dtype=torch.float64))
    torch.testing.assert_close(vocabulary.noise(), torch.tensor(noise, dtype=torch.float64))
    assert vocabulary.keep_probability(0).eq(1).all()


@pytest.mark.parametrize(
    ("words", "counts", "said"),
    [
        ([], [], "at least one word"),
        (["a"], [1, 2], r"expected shape \(1,\)"),
        (["a", "b"], [1, 0], "1 or more"),
        (["a", "a"], [2, 1], "each word once"),
    ],
)
def test_a_vocabulary_must_make_sense(words, counts, said):
    with pytest.raises(ReplearnError, match=said):
        Vocabulary(words, counts)
    with pytest.raises(ReplearnError, match="sample"):
        Vocabulary(["a"], [1]).keep_probability(-1)


# -- corpora -----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=12), min_size=1, max_size=8), st.integers(1, 4))
def test_a_corpus_is_its_text_in_numbers(sentences, min_count):
    counts = Counter(word for sentence in sentences for word in sentence)
    often = [word for word in sorted(counts, key=lambda w: (-counts[w], w)) if counts[word] >= min_count]
    if len(often) < 2 or len(counts) < 2:
        with pytest.raises(ReplearnError):
            encode(sentences, min_count=min_count)
        return
    corpus = encode(sentences, min_count=min_count)
    assert corpus.vocabulary.words == often
    assert corpus.vocabulary.counts.tolist() == [counts[word] for word in often]
    assert corpus.words == sum(counts.values())
    written = [[often[i] for i in sentence if i >= 0] for sentence in split(corpus.ids.tolist())]
    assert written == [[word for word in sentence if word in often] for sentence in sentences]


def split(ids):
    """The sentences of a row of ids with -1 behind each."""
    found, now = [], []
    for i in ids:
        if i < 0:
            found.append(now)
            now = []
        else:
            now.append(i)
    return found


def test_most_frequent_words_can_be_kept_alone():
    corpus = encode(["a a a b b c c d"], min_count=1, max_words=3)
    assert corpus.vocabulary.words == ["a", "b", "c"]
    assert [i for i in corpus.ids.tolist() if i >= 0] == [0, 0, 0, 1, 1, 2, 2]


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(1, 7), st.integers(1, 9))
def test_parts_are_the_text_each_word_once_and_in_order(n, parts, slices):
    corpus = Corpus(Vocabulary(["a"], [1]), np.arange(n, dtype=np.int32), n)
    found = [corpus.part(number, parts, slices).tolist() for number in range(parts)]
    assert sorted(i for part in found for i in part if i >= 0) == list(range(n))
    for part in found:
        assert part.count(-1) == slices
        for piece in split(part):
            assert piece == list(range(piece[0], piece[0] + len(piece))) if piece else True


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        ([""], {}, "without a single word"),
        (["one one one"], {"min_count": 1}, "got only 'one', 3 times"),
        (["one two two"], {"min_count": 5}, "the most frequent occurs 2 times"),
        (["one two"], {"min_count": 0}, "min_count: expected 1 or more"),
        (["one two"], {"max_words": 1}, "max_words: expected 2 or more"),
        ([["one", ""]], {"min_count": 1}, "empty string"),
        ([["New York", "is", "big"]], {"min_count": 1}, "expected text without white space, got 'New York'"),
        ([["a\udc80", "b"]], {"min_count": 1}, "expected text without white space"),
    ],
)
def test_a_corpus_that_cannot_be(source, options, said):
    with pytest.raises(ReplearnError, match=said):
        encode(source, **options)


def test_the_file_of_ids_goes_with_the_corpus(tmp_path):
    corpus = encode(["one two one two"], min_count=1, folder=tmp_path)
    (folder,) = tmp_path.iterdir()
    assert [file.name for file in folder.iterdir()] == ["ids"]
    del corpus
    assert list(tmp_path.iterdir()) == []


def test_a_corpus_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ReplearnError):
        encode(["one"], folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ReplearnError, match="folder"):
        encode(["one two"], folder=tmp_path / "absent")


# -- n-grams -----------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.text(alphabet="abжé😀", min_size=1, max_size=12), st.integers(1, 4), st.integers(0, 4))
def test_ngrams_are_all_substrings_of_the_marked_word_but_itself(word, least, more):
    marked = f"<{word}>"
    expected = [
        marked[i:j]
        for n in range(least, least + more + 1)
        for i in range(len(marked))
        for j in [i + n]
        if j <= len(marked) and marked[i:j] != marked
    ]
    assert character_ngrams(word, least, least + more) == expected


def test_ngrams_and_their_hashes_are_those_of_gensim():
    peer = pytest.importorskip("gensim.models.fasttext_inner")
    for word in ("where", "a", "représentation", "представление", "😀😀"):
        ours = [g for g in character_ngrams(word, 3, 6)]
        assert sorted(ours) == sorted(g for g in peer.compute_ngrams(word, 3, 6) if g != f"<{word}>")
        for ngram in ours:
            assert fnv1a(ngram) == peer.ft_hash_bytes(ngram.encode())


def test_rows_of_words_and_of_unseen_words():
    subwords = Subwords(["abc", "abd"], 3, 3)
    # <ab abc bc> | <ab abd bd>: the first n-gram is shared
    assert (subwords.words, subwords.ngrams, len(subwords)) == (2, 5, 7)
    rows, owners = subwords.bags(torch.tensor([1, 0, 1]))
    assert rows.tolist() == [1, 2, 5, 6, 0, 2, 3, 4, 1, 2, 5, 6]
    assert owners.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert subwords.of_unseen("abe") == [2]
    assert subwords.of_unseen("xyz") == []
    hashed = Subwords(["abc", "abd"], 3, 3, buckets=10)
    assert len(hashed) == 12
    assert hashed.of_unseen("xyz") == [2 + fnv1a(g) % 10 for g in ("<xy", "xyz", "yz>")]
    for bad in ({"least": 0}, {"least": 4, "most": 3}, {"buckets": 0}):
        with pytest.raises(ReplearnError):
            Subwords(["a"], **bad)
