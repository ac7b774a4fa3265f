"""A download is whole or not there, whatever the network does; all against a server on this machine."""

import errno
import hashlib
import http.server
import random
import re
import socket
import threading
from pathlib import Path

import pytest

from replearn_course.data.download import download, md5_of, readable_size
from replearn_course.errors import ReplearnError

CONTENT = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Serves ``CONTENT``, with the faults that a test asks for."""

    content = CONTENT
    cut_after: int | None = None  # bytes of a body, then the connection is closed
    knows_ranges = True
    says_length = True
    status: int | None = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []  # that were asked for

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/corpus.bin"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.status:
            return self.send_error(server.status)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and server.knows_ranges else 0
        if start >= len(server.content):
            return self.send_error(416)
        body = server.content[start:]
        self.send_response(206 if start else 200)
        if start:
            last, length = len(server.content) - 1, len(server.content)
            self.send_header("Content-Range", f"bytes {start}-{last}/{length}")
        if server.says_length:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut_after])
        return None

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "corpus.bin"


def part_of(path: Path) -> Path:
    return path.with_name("corpus.bin.part")


def test_a_file_comes_whole_and_a_line_says_what_is_fetched(server, path):
    said = []
    assert download(server.url, str(path), md5=MD5, say=said.append) == path
    assert path.read_bytes() == CONTENT
    assert said == [f"fetching {server.url} (300 kB)"]
    assert [p.name for p in path.parent.iterdir()] == ["corpus.bin"]


def test_a_file_that_is_there_is_not_fetched_unless_it_is_another(server, path):
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    download(server.url, path, md5=MD5)
    assert server.ranges == []
    path.write_bytes(CONTENT[:-1])
    download(server.url, path, md5=MD5, say=list)
    assert server.ranges == [None]
    assert path.read_bytes() == CONTENT


def test_a_download_that_was_cut_off_goes_on(server, path):
    server.cut_after = 120_000
    for come in (120_000, 240_000):
        with pytest.raises(ReplearnError) as caught:
            download(server.url, path, md5=MD5, say=list)
        assert str(caught.value) == (
            f"cannot fetch {server.url}: the connection ended after {come:,} of 300,000 bytes; "
            f"{come // 1000} kB are kept in {part_of(path)}, and the same call goes on from there"
        )
        assert part_of(path).read_bytes() == CONTENT[:come]
        assert not path.exists()
    said = []
    download(server.url, path, md5=MD5, say=said.append)  # the last 60,000 fit
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=120000-", "bytes=240000-"]
    assert said == [f"fetching {server.url} (300 kB), of which 240 kB are here"]
    assert not part_of(path).exists()


def test_where_nothing_came_nothing_is_kept(server, path):
    server.cut_after = 0
    for _ in range(2):  # an empty part is no part
        with pytest.raises(ReplearnError, match="the connection ended after 0 of 300,000 bytes$"):
            download(server.url, path, md5=MD5, say=list)
    assert server.ranges == [None, None]


def test_an_interrupted_download_goes_on(server, path, monkeypatch):
    def interrupted(source, file, *_):
        file.write(source.read(1000))
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("replearn_course.data.download._copy", interrupted)
        with pytest.raises(KeyboardInterrupt):
            download(server.url, path, md5=MD5, say=list)
    assert part_of(path).read_bytes() == CONTENT[:1000]
    download(server.url, path, md5=MD5, say=list)
    assert path.read_bytes() == CONTENT
    assert server.ranges == [None, "bytes=1000-"]


def test_a_server_that_knows_no_ranges_is_asked_for_the_whole(server, path):
    server.knows_ranges = False
    path.parent.mkdir()
    part_of(path).write_bytes(b"something older")
    download(server.url, path, md5=MD5, say=list)
    assert path.read_bytes() == CONTENT
    assert server.ranges == ["bytes=15-"]


def test_a_part_that_is_complete_only_needs_its_name(server, path):
    path.parent.mkdir()
    part_of(path).write_bytes(CONTENT)
    download(server.url, path, md5=MD5, say=list)  # the server answers 416
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("part", [b"x" * 1000, b"x" * 300_000, b"x" * 400_000], ids=["short", "long", "longer"])
def test_a_part_of_something_else_is_found_out_and_the_next_call_starts_anew(server, path, part):
    path.parent.mkdir()
    part_of(path).write_bytes(part)
    with pytest.raises(ReplearnError, match=f"of md5 .*, expected {MD5}"):
        download(server.url, path, md5=MD5, say=list)
    assert list(path.parent.iterdir()) == []
    download(server.url, path, md5=MD5, say=list)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize("says_length", [True, False])
def test_another_file_is_refused_with_both_checksums(server, path, says_length):
    server.content, server.says_length = b"<html>please log in</html>", says_length
    found = hashlib.md5(server.content).hexdigest()
    path.parent.mkdir()
    path.write_bytes(b"the old file")
    with pytest.raises(ReplearnError) as caught:
        download(server.url, path, md5=MD5, say=list)
    assert str(caught.value).startswith(f"{server.url} gave a file of md5 {found}, expected {MD5}")
    assert path.read_bytes() == b"the old file"
    assert not part_of(path).exists()


def test_a_file_of_unknown_length_comes_too(server, path):
    server.says_length = False
    said = []
    download(server.url, path, md5=MD5, say=said.append)
    assert path.read_bytes() == CONTENT
    assert said == [f"fetching {server.url}"]


@pytest.mark.parametrize(("status", "reason"), [(404, "Not Found"), (503, "Service Unavailable")])
def test_what_the_server_answers_is_said_and_a_part_stays(server, path, status, reason):
    server.status = status
    with pytest.raises(ReplearnError) as caught:
        download(server.url, path, md5=MD5)
    assert str(caught.value) == f"cannot fetch {server.url}: HTTP Error {status}: {reason}"
    part_of(path).write_bytes(CONTENT[:1000])
    with pytest.raises(ReplearnError, match=r"1 kB are kept in .*corpus\.bin\.part"):
        download(server.url, path, md5=MD5)
    assert part_of(path).read_bytes() == CONTENT[:1000]


def test_without_a_server_the_reason_is_said(path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/corpus.bin"
        with pytest.raises(ReplearnError) as caught:
            download(url, path, md5=MD5)
    assert (
        str(caught.value) == f"cannot fetch {url}: {ConnectionRefusedError(errno.ECONNREFUSED, 'Connection refused')}"
    )


def test_a_folder_that_cannot_be_written_is_said(server, tmp_path):
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(ReplearnError, match="cannot fetch .*folder"):
        download(server.url, tmp_path / "folder" / "corpus.bin", md5=MD5)


def test_a_terminal_gets_a_bar_and_no_line(server, path, monkeypatch, capsys):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    said = []
    download(server.url, path, md5=MD5, say=said.append)
    assert said == []
    assert "corpus.bin: 100%" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("n", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (999_499, "999 kB"),
        (999_500, "1 MB"),
        (31_344_016, "31.3 MB"),
        (2_346_000_000, "2.35 GB"),
    ],
)
def test_sizes_read_well(n, words):
    assert readable_size(n) == words


def test_md5_of_a_file(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert md5_of(tmp_path / "empty") == "d41d8cd98f00b204e9800998ecf8427e"  # RFC 1321, appendix A.5
