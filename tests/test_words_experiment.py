"""The experiments and commands of word vectors: any text, resumed, evaluated, exported, asked."""

import json
import math

import pytest
from typer.testing import CliRunner

from replearn_course.cli import app
from replearn_course.errors import ReplearnError
from replearn_course.experiments import runner
from replearn_course.experiments import words as experiment
from replearn_course.experiments.registry import EXPERIMENTS
from replearn_course.files import read_json
from replearn_course.words import SubwordVectors, WordVectors, trainer

RUSSIAN = (
    "Векторы слов учатся на соседях слова. Слово без соседей вектора не получит.\n"
    "У слова есть соседи, у соседей есть слова. Вектор слова и вектор соседа близки.\n"
)


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A folder of one's own Russian text, and no evaluation files."""
    monkeypatch.setenv("REPLEARN_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts").mkdir()
    for i in range(3):
        (tmp_path / "texts" / f"{i}.txt").write_text(RUSSIAN * 20, encoding="utf-8")
    experiment._corpus.cache_clear()
    return tmp_path / "texts"


def replearn(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


def test_a_text_of_ones_own_in_any_language(own):
    (own.parent / "pairs.txt").write_text("слово\tсоседи\t9\nвектор\tслова\t5\nесть\tблизки\t1\n", encoding="utf-8")
    (own.parent / "questions.txt").write_text(": gram1\nслово слова вектор векторы\n", encoding="utf-8")
    result = replearn(
        "run", "fasttext", "--corpus", own, "--scale", "smoke", "--set", "dim=8", "--set", "min_count=1",
        "--set", "pairs=pairs.txt", "--set", "analogies=questions.txt", "--set", "export=text",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "texts (3 files" in result.output
    (folder,) = (own.parent / "runs").iterdir()
    found = {m["name"]: m["value"] for m in read_json(folder / "result.json")["metrics"]}
    assert set(found) == {
        "pairs", "pairs_found", "analogies", "analogies_asked", "syntactic", "loss",
    }  # fmt: skip
    assert found["pairs_found"] == 3
    assert found["analogies_asked"] == 1
    assert 0 < found["loss"] < 6 * math.log(2)
    vectors = WordVectors.load(folder / "seed-0" / "vectors.safetensors")
    assert isinstance(vectors, SubwordVectors)
    assert "слово" in vectors
    assert WordVectors.load_word2vec(folder / "seed-0" / "vectors.txt").words == vectors.words
    assert sorted(f.name for f in (folder / "figures").iterdir()) == ["loss.png", "words.png"]

    out = replearn("words", "nearest", folder, "слово", "словечко", "-k", 2).output
    assert out.startswith("слово: ")
    assert "словечко (unseen: by its n-grams): " in out
    assert replearn("words", "analogy", folder, "слово", "слова", "вектор").output.startswith(
        "слово : слова = вектор : "
    )
    for name in ("v.bin", "v.vec.gz", "again.safetensors"):
        assert replearn("words", "convert", folder, own.parent / name).exit_code == 0
        assert replearn("words", "nearest", own.parent / name, "слово").output.startswith("слово: ")
    for arguments, said in (
        (("words", "nearest", folder, "zzz"), "unknown word 'zzz'"),
        (("words", "nearest", own, "слово"), "no vectors.safetensors"),
        (("words", "convert", folder, "v.csv"), "expected a name that ends in"),
    ):
        error = replearn(*arguments).exception
        assert isinstance(error, ReplearnError)
        assert said in str(error)


def test_without_evaluation_files_a_text_of_ones_own_asks_no_network(own, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("asked the network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    result = runner.run(
        "word2vec",
        setting=runner.choose("cpu", "cpu", "32-true"),
        seeds=1,
        corpus=str(own),
        overrides={"min_count": "1", "dim": "4", "export": "none"},
        progress=False,
        say=lambda *_: None,
    )
    assert {m["name"] for m in result["metrics"]} == {"loss"}
    assert not list(own.parent.rglob("vectors.bin"))


@pytest.mark.parametrize("name", ["word2vec", "word2vec-cbow", "fasttext"])
def test_smoke_needs_nothing(tmp_path, monkeypatch, name):
    monkeypatch.setenv("REPLEARN_DATA", str(tmp_path))
    result = runner.run(
        name,
        setting=runner.choose("smoke", "cpu", "32-true"),
        seeds=1,
        out=tmp_path / "runs",
        overrides={"epochs": "1"},
        progress=False,
        say=lambda *_: None,
    )
    assert "stand-in" in result["data"]
    assert result["outcomes"][0]["words"] > 60_000
    assert result["settings"]["architecture"] == ("cbow" if name == "word2vec-cbow" else "skip-gram")


def test_interrupted_and_resumed(own, monkeypatch):
    monkeypatch.setattr(trainer, "PART", 200)
    train_part, parts = trainer._Trainer.train_part, []

    def interrupting(self, number):
        parts.append(number)
        if len(parts) == 3:
            signal_self()
        return train_part(self, number)

    def signal_self():
        import os
        import signal

        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(trainer._Trainer, "train_part", interrupting)
    monkeypatch.setenv("REPLEARN_DEVICE", "cpu")
    arguments = ("run", "word2vec", "--corpus", own, "--scale", "smoke", "--set", "min_count=1", "--set", "dim=4")
    result = replearn(*arguments)
    assert result.exit_code == 130, result.output
    assert "--resume" in result.output
    result = replearn(*arguments, "--resume")
    assert result.exit_code == 0, result.output
    assert "resumed" in result.output
    (folder,) = (own.parent / "runs").iterdir()
    assert (folder / "result.json").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--corpus", "nothing.txt"), "nothing.txt: no file or folder is there"),
        (("--set", "architecture=glove"), "unknown architecture"),
        (("--set", "export=pickle"), "unknown export"),
        (("--set", "pairs=none.txt"), "pairs: there is no file none.txt"),
        (("--set", "min_count=100000"), "choose a smaller min_count"),
        (("--set", "min_count=0"), "min_count: expected 1 or more"),
        (("--set", "least=7"), "expected 1 <= least <= most, got 7 and 6"),
    ],
)
def test_bad_input_is_said_before_any_long_work(own, arguments, said):
    error = replearn("run", "word2vec", "--scale", "smoke", *arguments).exception
    assert isinstance(error, ReplearnError)
    assert said in str(error)


def test_images_take_no_corpus(own):
    error = replearn("run", "mnist-triplet-2d", "--scale", "smoke", "--corpus", own).exception
    assert isinstance(error, ReplearnError)
    assert "works on images" in str(error)


def test_words_that_are_no_text(own):
    (own / "0.txt").write_bytes("слово".encode("cp1251"))
    error = replearn("run", "word2vec", "--scale", "smoke", "--corpus", own).exception
    assert isinstance(error, ReplearnError)
    assert "byte 0 (line 1) is not UTF-8" in str(error)


def test_protocols_name_what_was_set():
    for name in ("word2vec", "word2vec-cbow", "fasttext"):
        settings = experiment.Settings(**EXPERIMENTS[name].settings)
        text = runner.protocol(EXPERIMENTS[name], settings)
        assert ("cbow" in text) == (name == "word2vec-cbow")
        assert ("n-grams of 3 to 6 letters" in text) == (name == "fasttext")
        assert json.dumps(text)


def test_judgements_about_other_words_do_not_lose_the_vectors(own):
    """A Russian text, and files of English words."""
    (own.parent / "pairs.txt").write_text("tiger\tcat\t7\nking\tqueen\t8\n")
    (own.parent / "questions.txt").write_text(": capitals\nathens greece oslo norway\n")
    result = replearn(
        "run", "word2vec", "--corpus", own, "--scale", "smoke", "--set", "dim=4", "--set", "min_count=1",
        "--set", "epochs=1", "--set", "pairs=pairs.txt", "--set", "analogies=questions.txt",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "pairs.txt is left out: pairs: expected two or more whose words have vectors, got 0 of 2" in result.output
    assert "questions.txt is left out: questions: expected some with words among" in result.output
    (found,) = (own.parent / "runs").rglob("result.json")
    assert {m["name"] for m in read_json(found)["metrics"]} == {"loss"}


def test_malformed_judgements_are_said_before_the_training(own, monkeypatch):
    monkeypatch.setattr(experiment, "train", lambda *_args, **_more: pytest.fail("trained"))
    (own.parent / "pairs.txt").write_text("1 tiger cat 7.35\n")
    error = replearn("run", "word2vec", "--corpus", own, "--scale", "smoke", "--set", "pairs=pairs.txt").exception
    assert isinstance(error, ReplearnError)
    assert "line 1: expected two words and a number" in str(error)
