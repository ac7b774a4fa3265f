"""Texts: found by name or by path, whole, in one order, and with a way on where they are not there."""

import hashlib
import io
import json
import pydoc_data.topics
import re
import urllib.error
import urllib.request
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from replearn_course.cli import app
from replearn_course.data import TextData, datasets, evaluation_file, load, text_from, texts
from replearn_course.errors import ReplearnError


def refuse(*_, **__):
    raise urllib.error.URLError("no network")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with nothing in it, and no network."""
    monkeypatch.setenv("REPLEARN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path / "data"


def put(folder: Path, file: str, content: bytes) -> Path:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def read(text: TextData) -> list[str]:
    return [part if isinstance(part, str) else part.read_text(encoding="utf-8-sig") for part in text.source]


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def wiki(folder, monkeypatch):
    """A text of one file whose checksum is the published one as far as we know."""
    content = b"anarchism is a political philosophy"
    small = replace(texts.WIKI2015, files={"text/wiki2015_clean.txt": md5(content)})
    monkeypatch.setitem(datasets.DATASETS, "wiki2015", small)
    monkeypatch.setitem(texts.TEXTS, "wiki2015", small)
    monkeypatch.setattr(texts, "WIKI2015", small)
    return put(folder, "text/wiki2015_clean.txt", content)


# -- texts by name -----------------------------------------------------------------------------------------------------


def test_a_text_is_found_by_name(wiki):
    for text in (load("wiki2015", "cpu"), text_from("wiki2015", "full", download=False)):
        assert (text.name, text.paths) == ("wiki2015", (wiki,))
        assert read(text) == ["anarchism is a political philosophy"]
        assert text.to("cuda:7") is text


def test_a_damaged_text_is_named(wiki):
    wiki.write_bytes(wiki.read_bytes()[:-1])
    with pytest.raises(ReplearnError) as caught:
        load("wiki2015", "cpu")
    assert f"{wiki} is truncated or damaged" in str(caught.value)
    assert "`replearn data verify wiki2015`" in str(caught.value)
    assert "copy it anew" in str(caught.value)  # it cannot be fetched
    assert datasets.verify("wiki2015") == {"text/wiki2015_clean.txt": "damaged"}


def test_a_text_without_download_says_how_it_was_made(folder):
    for call in (lambda: load("wiki2015", "cpu"), lambda: datasets.fetch("wiki2015")):
        with pytest.raises(ReplearnError) as caught:
            call()
        message = str(caught.value)
        for said in (
            "no download",
            "jason-feng/wikiVisual",
            "CC BY-SA 3.0",
            "other numbers",
            "--scale smoke",
            str(folder),
        ):
            assert said in message
        assert "data fetch wiki2015" not in message


@pytest.mark.parametrize("download", [True, False])
def test_absent_text8_names_the_ways_on(folder, download):
    with pytest.raises(ReplearnError) as caught:
        load("text8", "cpu", download=download)
    message = str(caught.value)
    for way in ("replearn data fetch text8", "REPLEARN_DATA", "--scale smoke", "text/text8"):
        assert way in message
    assert ("no network" in message) == download
    assert not list(folder.rglob("text8*"))


def serve(monkeypatch, answers: dict[str, bytes]) -> list[str]:
    """A network that has these files alone; gives the list of what is asked for."""
    asked = []

    class Response(io.BytesIO):
        def __init__(self, content):
            super().__init__(content)
            self.headers = {"Content-Length": str(len(content))}

    def urlopen(request, timeout):
        asked.append(request.full_url)
        if request.full_url not in answers:
            raise urllib.error.URLError("not served")
        return Response(answers[request.full_url])

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_text8_is_unpacked_whole_and_its_archive_is_fetched_once(folder, monkeypatch):
    content = b" anarchism originated as a term of abuse"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("text8", content)
    published, fetched = md5(packed.getvalue()), texts.download
    monkeypatch.setattr(texts, "download", lambda url, path, *, md5: fetched(url, path, md5=published, say=list))
    monkeypatch.setitem(datasets.DATASETS, "text8", replace(texts.TEXT8, files={"text/text8": md5(content)}))
    asked = serve(monkeypatch, {"http://mattmahoney.net/dc/text8.zip": packed.getvalue()})

    def full(path, content):
        raise ReplearnError(f"cannot write {path}: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(texts, "atomic_write", full)
        with pytest.raises(ReplearnError, match="fetching text/text8 failed: .*No space left"):
            load("text8", "cpu")
    assert [p.name for p in (folder / "text").iterdir()] == ["text8.zip"]
    text = load("text8", "cpu")
    assert (text.name, read(text)) == ("text8", [content.decode()])
    assert [p.name for p in (folder / "text").iterdir()] == ["text8"]
    assert asked == ["http://mattmahoney.net/dc/text8.zip"]


def test_stand_ins_are_real_text_and_say_what_they_are(folder):
    for name in ("text8", "wiki2015"):
        text = load(name, "smoke")
        assert text.name == f"Python's language reference (stand-in for {name})"
        documents = read(text)
        assert documents == list(pydoc_data.topics.topics.values())
        assert sum(len(re.findall(r"\w+", d)) for d in documents) > 60_000
        assert text_from(name, "smoke") == text
    assert not folder.exists()  # smoke touches nothing


# -- the reader's own --------------------------------------------------------------------------------------------------


def test_a_file_is_a_text(folder, tmp_path):
    path = put(tmp_path, "poem.md", "Вода\r\nи лёд".encode())
    for source in (path, str(path)):
        text = text_from(source, "smoke")  # nothing stands in for what the reader gave
        assert (text.name, text.paths) == ("poem.md (19 bytes)", (path,))
    assert read(text) == ["Вода\nи лёд"]


def test_a_folder_is_its_txt_files_in_sorted_order(tmp_path):
    for file in ("b.txt", "a/z.txt", "a/y.txt", "c.md", "a.TXT.bak"):
        put(tmp_path / "poems", file, file.encode())
    text = text_from(tmp_path / "poems")
    assert [p.relative_to(tmp_path / "poems").as_posix() for p in text.paths] == ["a/y.txt", "a/z.txt", "b.txt"]
    assert read(text) == ["a/y.txt", "a/z.txt", "b.txt"]
    assert text.name == "poems (3 files, 19 bytes)"


def test_a_folder_is_named_though_it_is_here(tmp_path, monkeypatch):
    put(tmp_path / "poems", "a.txt", b"one")
    monkeypatch.chdir(tmp_path / "poems")
    assert text_from(".").name == "poems (1 file, 3 bytes)"


def test_a_path_comes_before_a_name_only_as_a_path(folder, tmp_path, monkeypatch):
    put(tmp_path, "text8", b"mine")
    monkeypatch.chdir(tmp_path)
    assert "stand-in" in text_from("text8", "smoke").name
    for mine in ("./text8", Path("text8")):
        assert read(text_from(mine, "smoke")) == ["mine"]


def test_what_is_no_text_is_said(tmp_path):
    with pytest.raises(ReplearnError, match=r"txet8: no file or folder is there.*texts: wikipedia, text8, wiki2015$"):
        text_from("txet8")
    with pytest.raises(ReplearnError, match=r"mnist: .*texts: wikipedia, text8, wiki2015$"):
        text_from("mnist")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReplearnError, match=r"empty: expected a folder with \.txt files"):
        text_from(tmp_path / "empty")
    with pytest.raises(ReplearnError, match=r"nothing\.txt: expected text, but it is empty"):
        text_from(put(tmp_path, "nothing.txt", b""))


def test_wikipedia_is_the_newer_one_where_it_is_there(folder, wiki):
    assert text_from("wikipedia").name == "wiki2015"
    wiki.unlink()
    with pytest.raises(ReplearnError, match="text8"):
        text_from("wikipedia", download=False)
    assert "stand-in" in text_from("wikipedia", "smoke").name


# -- similarities and analogies ----------------------------------------------------------------------------------------


@pytest.fixture
def judgements(folder, monkeypatch):
    """The nine files as a network has them, each with its own name as its content."""
    contents = {name: file.encode() for name, file in texts.EVALUATION_FILES.items()}
    files = {file: md5(file.encode()) for file in texts.EVALUATION_FILES.values()}
    small = replace(texts.WORD_EVALUATION, files=files)
    monkeypatch.setattr(texts, "WORD_EVALUATION", small)
    monkeypatch.setitem(datasets.DATASETS, "word-evaluation", small)
    return contents


def url(file: str) -> str:
    gensim = "https://raw.githubusercontent.com/piskvorky/gensim/4.3.3/gensim/test/test_data"
    faruqui = "https://raw.githubusercontent.com/mfaruqui/eval-word-vectors/master/data/word-sim"
    name = Path(file).name
    return f"{gensim if name in ('questions-words.txt', 'wordsim353.tsv', 'simlex999.txt') else faruqui}/{name}"


def test_there_are_nine_files_with_checksums():
    assert len(texts.EVALUATION_FILES) == len(texts.WORD_EVALUATION.files) == 9
    assert set(texts.EVALUATION_FILES.values()) == set(texts.WORD_EVALUATION.files)
    for dataset in datasets.DATASETS.values():
        assert all(re.fullmatch("[0-9a-f]{32}", md5) for md5 in dataset.files.values())


def test_an_evaluation_file_is_fetched_alone(folder, judgements, monkeypatch):
    asked = serve(monkeypatch, {url("EN-MEN-TR-3k.txt"): judgements["men"]})
    for _ in range(2):
        path = evaluation_file("men", "cpu")
        assert path == folder / "text" / "eval" / "EN-MEN-TR-3k.txt"
        assert path.read_bytes() == judgements["men"]
    assert asked == [url("EN-MEN-TR-3k.txt")]
    with pytest.raises(ReplearnError, match="fetching text/eval/questions-words.txt failed"):
        evaluation_file("analogies", "cpu")
    with pytest.raises(ReplearnError, match="text/eval/simlex999.txt is not there"):
        evaluation_file("simlex999", "cpu", download=False)


def test_all_evaluation_files_are_fetched_together(folder, judgements, monkeypatch):
    asked = serve(monkeypatch, {url(file): judgements[name] for name, file in texts.EVALUATION_FILES.items()})
    assert datasets.fetch("word-evaluation") == folder
    assert sorted(asked) == sorted(url(file) for file in texts.EVALUATION_FILES.values())
    assert set(datasets.verify("word-evaluation").values()) == {"ok"}
    found = load("word-evaluation", "cpu", download=False)
    assert {name: path.read_bytes() for name, path in found.items()} == judgements
    assert load("word-evaluation", "smoke") == found


def test_smoke_fetches_no_evaluation_file_and_uses_those_that_are_there(folder, judgements):
    assert evaluation_file("rg65", "smoke") is None
    assert load("word-evaluation", "smoke") == {}
    path = put(folder, "text/eval/EN-RG-65.txt", judgements["rg65"])
    assert evaluation_file("rg65", "smoke") == path
    assert load("word-evaluation", "smoke") == {"rg65": path}
    path.write_bytes(b"something else")
    with pytest.raises(ReplearnError, match=r"EN-RG-65\.txt is truncated or damaged"):
        evaluation_file("rg65", "smoke")


def test_an_unknown_evaluation_file_names_the_nearest():
    with pytest.raises(ReplearnError, match="unknown evaluation file 'rareword'; did you mean 'rare-words'"):
        evaluation_file("rareword", "cpu")


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_knows_the_texts(wiki):
    def replearn(*arguments):
        return CliRunner().invoke(app, ["data", *arguments])

    listed = {row["dataset"]: row["here"] for row in json.loads(replearn("list", "--json").output)}
    assert [name for name, here in listed.items() if here] == ["wiki2015"]
    assert {"text8", "word-evaluation"} <= set(listed)
    assert max(map(len, replearn("list").output.splitlines()[1:])) <= 80
    assert "wiki2015 is in" in replearn("fetch", "wiki2015").output
    assert replearn("verify", "wiki2015").exit_code == 0
    wiki.unlink()
    assert replearn("verify", "wiki2015").exit_code == 1
    assert "It has no download" in str(replearn("fetch", "wiki2015").exception)


# -- the real files ----------------------------------------------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["text8", "wiki2015", "word-evaluation"])
def test_the_real_texts(name):
    if datasets.find(name).missing():
        pytest.skip(f"set REPLEARN_DATA to a folder that holds {name}")
    assert set(datasets.verify(name).values()) == {"ok"}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "lines"),
    {
        "analogies": 19_558,
        "wordsim353": 355,
        "simlex999": 1_001,
        "rare-words": 2_034,
        "men": 3_000,
        "wordsim353-relatedness": 252,
        "wordsim353-similarity": 203,
        "rg65": 65,
        "mc30": 30,
    }.items(),
)
def test_the_real_evaluation_files(name, lines):
    path = evaluation_file(name, "smoke")
    if path is None:
        pytest.skip("set REPLEARN_DATA to a folder that holds text/eval")
    assert len(path.read_text(encoding="utf-8").splitlines()) == lines
