"""Text classification as fastText has it: features, loss, what it can and cannot tell apart."""

import pytest
import torch
import torch.nn.functional as F

from replearn_course.errors import ReplearnError
from replearn_course.scale import Setting
from replearn_course.words import TextClassifier, Vocabulary, classify_texts
from replearn_course.words.classifier import TextFeatures
from replearn_course.words.ngrams import fnv1a

ONE_THREAD = Setting("smoke", "cpu", "32-true", 1)


def test_features_are_words_then_hashed_ngrams():
    features = TextFeatures(Vocabulary(["one", "two"], [2, 1]), word_ngrams=3, buckets=50)
    at = lambda gram: 2 + fnv1a(gram) % 50  # noqa: E731
    assert features.rows("One, two; three!") == [0, 1, at("one two"), at("two three"), at("one two three")]
    assert features.rows("three") == []
    letters = TextFeatures(Vocabulary(["ab", "c"], [1, 1]), word_ngrams=1, char_ngrams=(3, 3), buckets=50)
    assert letters.rows("ab") == [0, at("<ab"), at("ab>")]
    assert len(features) == 52


def test_loss_is_the_formula():
    torch.manual_seed(0)
    model = TextClassifier(TextFeatures(Vocabulary(["a", "b", "c"], [1, 1, 1]), 1, buckets=5), ["x", "y"], dim=4)
    model.head.weight.data.normal_()
    rows = model.batch(["a b b", "c", "unknown"])
    means = torch.stack([(model.rows.weight[0] + 2 * model.rows.weight[1]) / 3, model.rows.weight[2], torch.zeros(4)])
    torch.testing.assert_close(model.embed(rows), means)
    labels = torch.tensor([0, 1, 1])
    expected = F.cross_entropy(means @ model.head.weight.T, labels)
    torch.testing.assert_close(model(rows, labels)["loss"], expected)
    assert model.rows.weight[-1].eq(0).all()
    torch.testing.assert_close(model.probabilities(["unknown"]), torch.full((1, 2), 0.5))


ORDER = [("red then blue", "ab"), ("blue then red", "ba")] * 30


def test_pairs_of_words_see_what_single_words_cannot():
    texts, labels = zip(*ORDER, strict=True)
    options = {"epochs": 20, "buckets": 1000, "setting": ONE_THREAD, "progress": False}
    single, _ = classify_texts(texts, labels, word_ngrams=1, **options)
    pairs, history = classify_texts(texts, labels, word_ngrams=2, **options)
    assert (single.probabilities(texts) - 0.5).abs().max() < 0.2  # both orders are one bag
    assert pairs.predict(["red then blue", "blue then red"]) == ["ab", "ba"]
    assert history.column("accuracy")[-1] == 1


def test_letters_see_forms_of_words():
    texts = ["говорил", "думал", "читал", "говорить", "думать", "читать"] * 20
    labels = ["past", "past", "past", "infinitive", "infinitive", "infinitive"] * 20
    model, _ = classify_texts(
        texts, labels, char_ngrams=(3, 4), buckets=2000, epochs=10, setting=ONE_THREAD, progress=False
    )
    assert model.predict(["писал", "писать"]) == ["past", "infinitive"]


def test_a_seed_decides():
    texts, labels = zip(*ORDER, strict=True)
    runs = [
        classify_texts(texts, labels, epochs=1, buckets=100, seed=s, setting=ONE_THREAD, progress=False)[0]
        for s in (0, 0, 1)
    ]
    assert runs[0].rows.weight.equal(runs[1].rows.weight)
    assert not runs[0].rows.weight.equal(runs[2].rows.weight)


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        (["a b"], ["x", "y"], "labels: expected one a text, 1, got 2"),
        (["a b", "b a"], ["x", "x"], "classes: expected 2 or more"),
        (["", "!"], ["x", "y"], "without a single word"),
    ],
)
def test_what_cannot_be_classified(texts, labels, said):
    with pytest.raises(ReplearnError, match=said):
        classify_texts(texts, labels, progress=False)


def test_no_texts_no_answer():
    model = TextClassifier(TextFeatures(Vocabulary(["a"], [1])), ["x", "y"])
    with pytest.raises(ReplearnError, match="texts"):
        model.predict([])


def test_the_learning_rate_falls_to_nothing():
    texts, labels = ["good fine", "bad poor"] * 8, ["yes", "no"] * 8
    _, history = classify_texts(texts, labels, epochs=4, lr=0.5, batch_size=4, progress=False)
    rates = history.column("lr")
    assert 0.5 > rates[0] > rates[1] > rates[2] > rates[3]
    assert rates[-1] < 0.05
