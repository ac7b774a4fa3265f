"""Files: whole or not at all, without pickle, and what cannot be read is said."""

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from replearn_course.errors import ReplearnError
from replearn_course.files import (
    atomic_file,
    atomic_write,
    load_checkpoint,
    load_weights,
    read_csv,
    read_json,
    read_text,
    restore_weights,
    save_checkpoint,
    save_weights,
    weights_metadata,
    write_csv,
    write_json,
)


def full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", ["os.fsync", "pathlib.Path.replace"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, where):
    path = atomic_write(tmp_path / "a" / "file.txt", "old")
    monkeypatch.setattr(where, full)
    with pytest.raises(ReplearnError, match=r"cannot write .*file\.txt: No space left on device; .* is unchanged"):
        atomic_write(path, "new")
    with pytest.raises(ReplearnError, match=r"cannot write .*other\.txt: No space left on device$"):
        atomic_write(path.with_name("other.txt"), "new")
    assert [f.name for f in path.parent.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = atomic_write(tmp_path / "file.txt", "old")

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, "new")
    assert [f.name for f in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text() == "old"


def test_the_old_file_stands_until_the_new_one_is_on_the_disk(tmp_path, monkeypatch):
    path, order = atomic_write(tmp_path / "file.txt", "old"), []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (order.append(path.read_text()), fsync(fd)))
    atomic_write(path, b"new")
    assert order == ["old", "new"]  # the file before the rename, the folder after it
    assert path.read_bytes() == b"new"


def test_places_that_cannot_be_written(tmp_path):
    atomic_write(tmp_path / "file", "x")
    for path in (tmp_path / "file" / "below", tmp_path / ("n" * 300), Path("/dev/null/x")):
        with pytest.raises(ReplearnError, match="cannot write"):
            atomic_write(path, "x")
    assert [f.name for f in tmp_path.iterdir()] == ["file"]


def test_a_file_written_in_pieces_takes_its_place_at_the_end(tmp_path):
    path = atomic_write(tmp_path / "file", "old")
    with atomic_file(path) as file:
        file.write(b"new")
        file.write(b"er")
        assert path.read_text() == "old"
    assert path.read_text() == "newer"
    with pytest.raises(ZeroDivisionError), atomic_file(path) as file:
        file.write(b"half" * (1 / 0))
    with pytest.raises(ReplearnError, match=r"cannot write .*: No space left .* is unchanged"), atomic_file(path):
        full()
    assert path.read_text() == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_text(tmp_path):
    path = tmp_path / "x.txt"
    for content in ("ü\na\x85b\n\nc", "\ufeffü\r\na\x85b\r\n\r\nc", "ü\ra\x85b\r\rc"):
        path.write_bytes(content.encode())
        assert read_text(path) == "ü\na\x85b\n\nc"
    path.write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(ReplearnError, match=r"x\.txt, line 3: not UTF-8 \(invalid start byte at byte 4\)"):
        read_text(path)
    with pytest.raises(ReplearnError, match=r"cannot read .*absent"):
        read_text(tmp_path / "absent")


def test_json(tmp_path):
    value = {"a": [1, 2.5, None], "ü": "±"}
    path = write_json(tmp_path / "x.json", value)
    assert read_json(path) == value
    assert "±" in path.read_text(encoding="utf-8")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ReplearnError, match=r"x\.json is not valid JSON .* damaged"):
        read_json(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ReplearnError, match="not valid JSON"):
        read_json(path)
    with pytest.raises(ReplearnError, match="cannot read .*No such file"):
        read_json(tmp_path / "absent.json")


def test_csv(tmp_path):
    path = write_csv(tmp_path / "x.csv", [{"a": 1, "b": 'say "x", y'}, {"a": 2, "c": 0.1}])
    assert read_csv(path) == [{"a": "1", "b": 'say "x", y', "c": ""}, {"a": "2", "b": "", "c": "0.1"}]
    with pytest.raises(ReplearnError, match="cannot read .*No such file"):
        read_csv(tmp_path / "absent.csv")
    path.write_bytes(b"a,b\n\xff,1\n")
    with pytest.raises(ReplearnError, match="is not a CSV file"):
        read_csv(path)


def test_weights(tmp_path):
    shared = torch.arange(6.0).view(2, 3)
    state = {"a": shared.T, "b": shared, "n": torch.tensor(3), "h": torch.ones(2, dtype=torch.bfloat16)}
    path = save_weights(tmp_path / "w.safetensors", state, {"made": "here"})
    loaded = load_weights(path)
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) and loaded[name].dtype == state[name].dtype for name in state)
    assert weights_metadata(path) == {"made": "here"}
    assert weights_metadata(save_weights(tmp_path / "bare.safetensors", state)) == {}
    content = path.read_bytes()
    for damaged in (b"", content[:5], content[:40], content[:-1], b"\xff" * 100):
        path.write_bytes(damaged)
        for load in (load_weights, weights_metadata):
            with pytest.raises(ReplearnError, match="cannot be read as safetensors"):
                load(path)
    for load in (load_weights, weights_metadata):
        with pytest.raises(ReplearnError, match="cannot read .*absent: No such file"):
            load(tmp_path / "absent")


def test_weights_of_another_architecture(tmp_path):
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    path = save_weights(tmp_path / "w.safetensors", network.state_dict())
    same = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    restore_weights(path, same)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in same.state_dict().items())
    for other, message in (
        (nn.Sequential(nn.Linear(3, 2)), r"Sequential: the network lacks 1\.bias and 4 more$"),
        (nn.Sequential(*same, nn.Linear(2, 1, bias=False)), r"the file lacks 2\.weight$"),
        (
            nn.Sequential(nn.Linear(4, 2), nn.BatchNorm1d(2)),
            r"w\.safetensors is of another architecture than Sequential: of another shape: "
            r"0\.weight is \(2, 3\) in the file, \(2, 4\) in the network$",
        ),
        (nn.Linear(3, 2), r"the file lacks weight and 1 more; the network lacks 0\.bias and 6 more$"),
    ):
        before = {name: value.clone() for name, value in other.state_dict().items()}
        with pytest.raises(ReplearnError, match=message):
            restore_weights(path, other)
        assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_checkpoints(tmp_path):
    state = {"rows": [{"loss": 0.1}], "random": (3, (1, 2), None), "t": torch.arange(3)}
    path = save_checkpoint(tmp_path / "last.pt", state)
    loaded = load_checkpoint(path)
    assert (loaded["rows"], loaded["random"], loaded["t"].tolist()) == (state["rows"], state["random"], [0, 1, 2])
    with pytest.raises(ReplearnError, match=r"cannot read .*absent.pt: No such file"):
        load_checkpoint(tmp_path / "absent.pt")
    with pytest.raises(ReplearnError, match="cannot read .*: Is a directory"):
        load_checkpoint(tmp_path)
