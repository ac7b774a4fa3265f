"""The probes of word vectors against SciPy, gensim and explicit loops."""

import math
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replearn_course.errors import ReplearnError
from replearn_course.probes import analogies, read_analogies, read_pairs, similarity, spearman
from replearn_course.probes.words import Similarity
from replearn_course.words import WordVectors

quick = settings(max_examples=60, deadline=None)


def random_vectors(count=60, d=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return WordVectors([f"w{i}" for i in range(count)], torch.randn(count, d, generator=generator))


def write(folder, text, encoding="utf-8"):
    path = folder / "file.txt"
    path.write_bytes(text.encode(encoding))
    return path


# --- spearman ---------------------------------------------------------------------------------------------------------

# Few different values, so that ranks tie; and any finite ones.
numbers = st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6)


@quick
@given(st.lists(st.tuples(numbers, numbers), min_size=2, max_size=30))
def test_spearman_is_scipys(pairs):
    from scipy.stats import spearmanr

    x, y = zip(*pairs, strict=True)
    if len(set(x)) < 2 or len(set(y)) < 2:
        with pytest.raises(ReplearnError, match="expected at least two different values"):
            spearman(torch.tensor(x), torch.tensor(y))
        return
    x, y = (torch.tensor(values, dtype=torch.float64) for values in (x, y))
    rho = spearman(x, y)
    assert rho == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert -1 <= rho <= 1


def test_spearman_by_hand():
    # Ranks 1, 2.5, 2.5, 4 and 2, 1, 3, 4: less their mean, -1.5, 0, 0, 1.5 and -0.5, -1.5, 0.5, 1.5.
    x, y = torch.tensor([0, 5, 5, 6]), torch.tensor([0.2, 0.1, 0.3, 0.4])
    assert spearman(x, y) == pytest.approx(3 / math.sqrt(4.5 * 5))
    increasing = torch.arange(2, 12).float()
    assert spearman(increasing, increasing.exp()) == 1
    assert spearman(increasing, -increasing.log()) == -1


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([1.0, 2.0], torch.ones(2), "x: expected a torch.Tensor"),
        (torch.ones(2, 2), torch.ones(2), r"x: expected real numbers of shape \(2,\), got \(2, 2\)"),
        (torch.arange(3), torch.arange(4), r"y: expected real numbers of shape \(3,\), got \(4,\)"),
        (torch.arange(2), torch.tensor([0, math.nan]), "y: expected finite values"),
        (torch.arange(2), torch.ones(2), "y: expected at least two different values, got 2 equal ones"),
        (torch.ones(1), torch.ones(1), "x: expected at least two different values"),
    ],
)
def test_spearman_refuses(x, y, message):
    with pytest.raises(ReplearnError, match=message):
        spearman(x, y)


# --- pairs ------------------------------------------------------------------------------------------------------------

PAIRS = [("tiger", "cat", 7.35), ("Jerusalem", "Israel", 8.46), ("слово", "язык", -1.0)]


@pytest.mark.parametrize(
    "text",
    [
        "tiger\tcat\t7.35\nJerusalem\tIsrael\t8.46\nслово\tязык\t-1\n",
        "tiger cat 7.35\r\nJerusalem   Israel 8.46\r\n\r\nслово язык -1",
        "# Word 1\tWord 2\tHuman (mean)\n#\ntiger\tcat\t7.35\n  \nJerusalem\tIsrael\t8.46\n# x\nслово\tязык\t-1\n",
        "Word 1\tWord 2\tHuman (mean)\ntiger\tcat\t7.35 \nJerusalem\tIsrael\t8.46\nслово\tязык\t-1e0\n",
        "\ufeffword1 word2 score\ntiger cat 7.35\nJerusalem Israel 8.46\nслово язык -1\n",
    ],
)
def test_pairs_in_the_forms_they_come_in(tmp_path, text):
    assert read_pairs(write(tmp_path, text)) == PAIRS


def test_words_of_pairs_may_hold_spaces_between_tabs(tmp_path):
    assert read_pairs(write(tmp_path, "New York\tcity\t9\n")) == [("New York", "city", 9.0)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b 1\na b\n", r"file\.txt, line 2: expected two words and a number, got 'a b'"),
        ("a b 1\n\na b 2 3\n", r"line 3: expected two words and a number"),
        ("a b 1\nc d x\n", r"line 2: expected two words and a number, got 'c d x'"),
        ("head er score\nhead er score\n", r"line 2: expected two words and a number"),
        ("a b 7,5\n", r"line 1: expected two words and a number, got 'a b 7,5'"),  # no header: it has digits
        ("a b 1\na b nan\n", r"line 2: expected two words and a number"),
        ("a b 1\na b inf\n", r"line 2: expected two words and a number"),
        ("a b 1\na\t\t1\n", r"line 2: expected two words and a number"),
        ("# nothing\n", r"file\.txt: expected pairs of words with a score, got none"),
        ("", r"file\.txt: expected pairs of words with a score, got none"),
    ],
)
def test_malformed_pairs_are_told_with_their_line(tmp_path, text, message):
    with pytest.raises(ReplearnError, match=message):
        read_pairs(write(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    for read in (read_pairs, read_analogies):
        with pytest.raises(ReplearnError, match="cannot read .*absent"):
            read(tmp_path / "absent")
        with pytest.raises(ReplearnError, match=r"file\.txt, line 2: not UTF-8"):
            read(write(tmp_path, ": a\né é é é\n", "latin-1"))


# --- similarity -------------------------------------------------------------------------------------------------------


def test_similarity_is_spearman_of_cosines_over_the_pairs_found():
    from scipy.stats import spearmanr

    v = random_vectors()
    v = WordVectors(v.words, v.matrix * torch.logspace(-2, 2, 60)[:, None])  # lengths must not count
    pairs = [(f"W{i}", f"w{(i * i + 7) % 60}", float(i % 9)) for i in range(40)]
    pairs += [("w1", "unseen", 3.0), ("unseen", "w1", 1.0), ("un", "seen", 2.0)]
    pairs += pairs[:5]  # twice as they stand
    z = v.matrix.double()
    z = z / z.norm(dim=1, keepdim=True)
    asked = [p for p in pairs if "seen" not in p[0] + p[1]]
    cosines = [(z[v.index[a.lower()]] @ z[v.index[b.lower()]]).item() for a, b, _ in asked]
    rho = spearmanr(cosines, [score for *_, score in asked]).statistic
    assert similarity(v, pairs) == Similarity(pytest.approx(rho), pairs=48, found=45, left_out=3, lower=True)
    cased = similarity(v, [*pairs, ("w1", "w2", 1.0), ("w3", "w4", 3.0)], lower=False)
    assert (cased.pairs, cased.found, cased.left_out, cased.lower) == (50, 2, 48, False)


def test_similarity_is_gensims(tmp_path):
    pytest.importorskip("gensim")
    v = random_vectors()
    lines = [f"w{i}\tw{(i * i + 7) % 60}\t{i * 7 % 40}" for i in range(40)] + ["w1\tunseen\t3"]
    path = write(tmp_path, "\n".join(lines) + "\n")
    _, (rho, _), unseen = v.to_gensim().evaluate_word_pairs(str(path))
    ours = similarity(v, read_pairs(path))
    assert ours.rho == pytest.approx(rho, abs=1e-6)
    assert ours.left_out / ours.pairs * 100 == pytest.approx(unseen)


class Spelled(WordVectors):
    """Gives every word a vector, as a model of n-grams does."""

    def vector(self, word):
        known = super().vector(word)
        return torch.full((2,), float(len(word))) if known is None else known


def test_words_that_only_a_subclass_has_vectors_for_are_found():
    v = Spelled(["a", "b"], torch.tensor([[1.0, 1.0], [0.0, -1.0]]))
    pairs = [("a", "unseen", 3.0), ("b", "UNSEEN", 1.0)]
    assert similarity(v, pairs) == Similarity(1.0, pairs=2, found=2, left_out=0, lower=True)
    with pytest.raises(ReplearnError, match="pairs: expected two or more whose words have vectors, got 0 of 2"):
        similarity(WordVectors(v.words, v.matrix), pairs)


def test_similarity_refuses():
    v = random_vectors()
    with pytest.raises(ReplearnError, match="got 1 of 2"):
        similarity(v, [("w1", "w2", 1.0), ("w1", "unseen", 1.0)])
    with pytest.raises(ReplearnError, match="got 0 of 0"):
        similarity(v, [])
    with pytest.raises(ReplearnError, match="vectors: expected WordVectors, got dict"):
        similarity({}, [("w1", "w2", 1.0)])
    with pytest.raises(ReplearnError, match="expected at least two different values"):
        similarity(v, [("w1", "w2", 1.0), ("w3", "w4", 1.0)])


# --- analogies --------------------------------------------------------------------------------------------------------


def test_analogies_are_read_by_section(tmp_path):
    text = (
        ": capital\r\nAthens Greece Oslo Norway\r\n\r\n: gram1-adverb\nкот  кота дом дома\n:empty\n: capital\na b c d"
    )
    assert read_analogies(write(tmp_path, text)) == {
        "capital": [("Athens", "Greece", "Oslo", "Norway"), ("a", "b", "c", "d")],
        "gram1-adverb": [("кот", "кота", "дом", "дома")],
        "empty": [],
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c d\n", r"file\.txt, line 1: expected a section .* before the first question, got 'a b c d'"),
        (": x\na b c d\n\na b c\n", r"file\.txt, line 4: expected four words, got 'a b c'"),
        (": x\na b c d e\n", r"file\.txt, line 2: expected four words, got 'a b c d e'"),
        (": x\n: y\n", r"file\.txt: expected analogy questions, got none"),
        ("", r"file\.txt: expected analogy questions, got none"),
    ],
)
def test_malformed_analogies_are_told_with_their_line(tmp_path, text, message):
    with pytest.raises(ReplearnError, match=message):
        read_analogies(write(tmp_path, text))


def answers_by_loop(v, questions, restrict):
    """Right answers and questions asked by section, one question and one candidate at a time in float64."""
    found = {}
    unit = {w: x.double() / max(x.double().norm().item(), 1e-300) for w, x in zip(v.words, v.matrix, strict=True)}
    known = v.words[:restrict]
    for name, section in questions.items():
        asked = [q for q in ([w.lower() for w in question] for question in section) if all(w in known for w in q)]
        right = 0
        for a, b, c, d in asked:
            target = unit[b] - unit[a] + unit[c]
            candidates = [w for w in known if w not in (a, b, c)]
            right += bool(candidates) and max(candidates, key=lambda w: (target @ unit[w]).item()) == d
        found[name] = (right, len(asked))
    return found


def parallelograms(seed=0, groups=12):
    """Words in pairs whose difference is nearly one vector, questions of them, and words that distract."""
    generator = torch.Generator().manual_seed(seed)
    base, noise = (torch.randn(groups, 5, generator=generator) for _ in range(2))
    pairs = torch.stack([base, base + 1.5 + 0.5 * noise], dim=1).flatten(0, 1)
    v = WordVectors([f"w{i}" for i in range(2 * groups)] + ["v1", "v2"], torch.cat([pairs, base[:2] + 1.4]))
    questions = [
        (f"W{2 * i}", f"w{2 * i + 1}", f"w{2 * j}", f"w{2 * j + 1}") for i, j in permutations(range(groups), 2)
    ]
    return v, {"family": questions[:70], "gram1": questions[70:], "gram2": [("w0", "w1", "w2", "w1")], "none": []}


@pytest.mark.parametrize("chunk", [1, 7, 512])
@pytest.mark.parametrize("restrict", [10, 24, 26, 1000])
def test_analogies_are_those_of_a_loop(chunk, restrict):
    v, questions = parallelograms()
    result = analogies(v, questions, restrict=restrict, chunk=chunk)
    expected = answers_by_loop(v, questions, restrict)
    assert result.by_section == expected
    assert list(result.by_section) == list(questions)
    rights, asked = (sum(column) for column in zip(*expected.values(), strict=True))
    assert 0 < rights < asked  # neither is trivially so
    assert result.accuracy == pytest.approx(rights / asked)
    assert (result.asked, result.of, result.vocabulary) == (asked, 133, min(restrict, 26))
    assert result.lower
    syntactic = [expected[name] for name in ("gram1", "gram2")]
    assert result.syntactic == pytest.approx(sum(r for r, _ in syntactic) / sum(n for _, n in syntactic))
    assert result.semantic == pytest.approx(expected["family"][0] / expected["family"][1])


@pytest.mark.parametrize("restrict", [10, 24, 26])
def test_analogies_are_gensims(tmp_path, restrict):
    pytest.importorskip("gensim")
    # gensim compares in upper case and ours in lower: with words of one case in the vocabulary that is the same.
    v, questions = parallelograms(seed=1)
    lines = [line for name, section in questions.items() for line in (f": {name}", *map(" ".join, section))]
    path = write(tmp_path, "\n".join(lines) + "\n")
    accuracy, sections = v.to_gensim().evaluate_word_analogies(str(path), restrict_vocab=restrict)
    ours = analogies(v, read_analogies(path), restrict=restrict)
    assert ours.accuracy == pytest.approx(accuracy)
    assert ours.by_section == {
        s["section"]: (len(s["correct"]), len(s["correct"]) + len(s["incorrect"])) for s in sections[:-1]
    }


def test_of_equal_answers_the_first_word_is_taken():
    rows = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 1, 0], [0, 1, 0]])
    v = WordVectors("abcde", rows)  # b - a + c has the product 1 with d and with e
    assert analogies(v, {"s": [("a", "b", "c", "d")]}).accuracy == 1
    assert analogies(v, {"s": [("a", "b", "c", "e")]}).accuracy == 0


def test_a_question_word_is_never_the_answer_even_when_nothing_else_is_left():
    v = WordVectors("abc", torch.eye(3))
    for d in "abc":
        assert analogies(v, {"s": [("a", "b", "c", d)]}).accuracy == 0


def test_case_counts_when_it_is_not_lowered():
    v = WordVectors(["A", "b", "c", "d"], torch.eye(4))
    questions = {"s": [("A", "b", "c", "d")]}
    cased = analogies(v, questions, lower=False)
    assert (cased.accuracy, cased.semantic, cased.syntactic, cased.lower) == (1.0, 1.0, None, False)
    with pytest.raises(ReplearnError, match="expected some with words among the first 4, got none of 1"):
        analogies(v, questions)


def test_analogies_refuse():
    v, questions = parallelograms()
    for option in ("restrict", "chunk"):
        with pytest.raises(ReplearnError, match=f"{option}: expected a whole number from 1 up, got 0"):
            analogies(v, questions, **{option: 0})
    with pytest.raises(ReplearnError, match="got none of 0"):
        analogies(v, {})
    with pytest.raises(ReplearnError, match="vectors: expected WordVectors, got Tensor"):
        analogies(v.matrix, questions)
