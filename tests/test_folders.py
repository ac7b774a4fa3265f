"""A reader's own pictures: any mode, size and format is brought to squares in RGB, and what cannot be is named."""

import dataclasses
import io
import os
import sys

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from typer.testing import CliRunner

from replearn_course.cli import app
from replearn_course.data import images_from
from replearn_course.data.folders import read_image
from replearn_course.errors import ReplearnError
from replearn_course.experiments import mnist_triplet, registry, runner
from replearn_course.scale import Setting

RED, GREEN = (200, 30, 40), (20, 180, 60)


def two_halves(size=(40, 20)) -> Image.Image:
    """Red on the left, green on the right."""
    picture = Image.new("RGB", size, RED)
    picture.paste(GREEN, (size[0] // 2, 0, *size))
    return picture


def corners(image: torch.Tensor) -> list[list[int]]:
    """The colours left above, right above, left below and right below, well inside."""
    at = image.shape[-1] // 8
    return [image[:, y, x].tolist() for y in (at, -1 - at) for x in (at, -1 - at)]


def near(colours, expected, by=6):
    assert len(colours) == len(expected)
    for colour, other in zip(colours, expected, strict=True):
        assert max(abs(a - b) for a, b in zip(colour, other, strict=True)) <= by, (colours, expected)


@pytest.fixture
def photos(tmp_path):
    """Two classes of 15 pictures of mixed size, told apart by their colour."""
    for kind, colour in (("cats", RED), ("dogs", GREEN)):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for i in range(15):
            shade = tuple(max(0, c - i) for c in colour)
            Image.new("RGB", (10 + i, 30 - i), shade).save(tmp_path / "photos" / kind / f"{i}.png")
    return tmp_path / "photos"


# -- one picture -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "YCbCr", "L", "LA", "1", "I;16"])
def test_every_mode_comes_as_rgb(tmp_path, mode):
    picture = two_halves((32, 32))
    if mode == "I;16":
        grey = picture.convert("L").convert("I").point(lambda x: x * 256)
        grey.convert("I;16").save(tmp_path / "x.tiff")
    else:
        made = picture.quantize(4) if mode == "P" else picture.convert(mode)
        made.save(tmp_path / ("x.jpg" if mode == "YCbCr" else "x.tiff"))
    image = read_image(next(tmp_path.iterdir()), 32)
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.uint8
    if mode in ("RGB", "RGBA", "P", "CMYK", "YCbCr"):
        near(corners(image), [RED, GREEN, RED, GREEN])
    elif mode != "1":
        red, green = (Image.new("RGB", (1, 1), c).convert("L").getpixel((0, 0)) for c in (RED, GREEN))
        near(corners(image), [[red] * 3, [green] * 3] * 2)
    else:
        assert set(image.unique().tolist()) == {0, 255}


def test_what_is_transparent_is_white(tmp_path):
    clear = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    clear.paste((*RED, 255), (0, 0, 8, 16))
    clear.save(tmp_path / "a.png")
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([*RED, *GREEN, 0, 0, 0])
    palette.paste(0, (0, 0, 8, 16))
    palette.save(tmp_path / "b.png", transparency=1)
    for file in ("a.png", "b.png"):
        near(corners(read_image(tmp_path / file, 16)), [RED, (255, 255, 255)] * 2, by=0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_as_the_camera_held_them(tmp_path, orientation):
    upright = Image.new("RGB", (32, 32), RED)
    upright.paste(GREEN, (16, 0, 32, 16))
    upright.paste((30, 30, 220), (0, 16, 16, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright.save(tmp_path / "x.png", exif=exif)
    turned = ImageOps.exif_transpose(Image.open(tmp_path / "x.png"))
    image = read_image(tmp_path / "x.png", 32)
    near(corners(image), [turned.getpixel(at) for at in ((4, 4), (27, 4), (4, 27), (27, 27))], by=0)
    back = {1: 0, 2: 1, 3: 3, 4: 2, 5: 0, 6: 1, 7: 3, 8: 2}  # where the red corner goes, as EXIF's table has it
    near([corners(image)[back[orientation]]], [RED], by=0)


@pytest.mark.parametrize(("size", "expected"), [((80, 16), [RED, GREEN]), ((16, 80), [RED, GREEN])])
def test_the_middle_is_kept_and_the_shorter_side_fits(tmp_path, size, expected):
    picture = two_halves(size)
    picture.paste((0, 0, 255), (0, 0, size[0] // 5, size[1] // 5))  # out of the middle of the long side
    picture.save(tmp_path / "x.png")
    image = read_image(tmp_path / "x.png", 16)
    near(corners(image), expected * 2)
    assert (image[2] < 120).all()


def test_shrinking_averages_and_does_not_pick(tmp_path):
    """A board of black and white pixels shrinks to grey, also where a large JPEG is decoded at a fraction of its size."""
    board = (torch.arange(256)[:, None] + torch.arange(256)) % 2 * 255
    picture = Image.fromarray(board.to(torch.uint8).numpy())
    picture.save(tmp_path / "x.png")
    picture.save(tmp_path / "x.jpg", quality=95)
    for file in ("x.png", "x.jpg"):
        assert (read_image(tmp_path / file, 16).float() - 127.5).abs().max() < 8


def test_a_large_jpeg_agrees_with_one_decoded_whole(tmp_path):
    two_halves((400, 300)).resize((800, 600), Image.Resampling.BICUBIC).save(tmp_path / "x.jpg", quality=95)
    whole = ImageOps.fit(Image.open(tmp_path / "x.jpg").convert("RGB"), (32, 32), Image.Resampling.BICUBIC)
    image = read_image(tmp_path / "x.jpg", 32)
    theirs = torch.from_numpy(np.array(whole)).permute(2, 0, 1).int()
    assert (image.int() - theirs).abs().max() <= 12
    assert (image.int() - theirs).abs().float().mean() < 1


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
def test_a_file_cut_off_is_no_image(tmp_path, format_):
    buffer = io.BytesIO()
    torch.manual_seed(0)
    noise = Image.fromarray(torch.randint(0, 256, (32, 32, 3), dtype=torch.uint8).numpy())
    noise.save(buffer, format_)
    whole = buffer.getvalue()
    (tmp_path / "x").write_bytes(whole)  # the name does not tell the format
    assert read_image(tmp_path / "x", 32).shape == (3, 32, 32)
    for length in (0, 1, 20, len(whole) // 2):
        (tmp_path / "x").write_bytes(whole[:length])
        with pytest.raises(ReplearnError):
            read_image(tmp_path / "x", 32)


# -- a folder ----------------------------------------------------------------------------------------------------------


def test_subfolders_are_classes_and_the_splits_are_by_class(photos):
    splits = images_from(photos, 16)
    assert splits.name == "photos (30 images of 16×16, 2 classes)"
    assert splits.labelled
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [22, 2, 6]
    assert splits.test.classes == ("cats", "dogs")
    assert splits.test.labels.bincount().tolist() == [3, 3]
    for part in (splits.published, splits.test):
        assert part.images.shape[1:] == (3, 16, 16)
        assert torch.equal((part.images[:, 1] > part.images[:, 0]).flatten(1).all(dim=1).long(), part.labels)
    again = images_from(photos, 16)
    assert torch.equal(again.published.images, splits.published.images)
    assert torch.equal(again.test.images, splits.test.images)
    assert not torch.isin(splits.test.images[:, :, 0, 0], splits.published.images[:, :, 0, 0]).all(dim=1).all()


def test_pictures_in_one_folder_have_no_labels(photos):
    (photos / "dogs").rename(photos.parent / "dogs")
    for i in range(15, 20):
        two_halves().save(photos / "cats" / f"{i}.gif")
    for folder in (photos / "cats", photos):
        splits = images_from(folder, 8)
        assert not splits.labelled
        assert splits.published.classes == ("image",)
        assert splits.name == f"{folder.name} (20 images of 8×8, no labels)"
        assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [15, 1, 4]


def test_nested_folders_hidden_files_links_and_names_of_any_alphabet(photos, tmp_path):
    deep = photos / "cats" / "2023" / "весна"
    deep.mkdir(parents=True)
    two_halves().save(deep / "кошка 🐈.webp")
    (photos / "птицы").mkdir()
    for i in range(6):
        Image.new("L", (9, 9), 100 + i).save(photos / "птицы" / f"{i}.PnG")
    for name in (".DS_Store", "cats/.DS_Store", "cats/._0.png", "Thumbs.db", "dogs/desktop.ini"):
        (photos / name).write_bytes(b"not for us")
    (photos / ".thumbnails").mkdir()
    (photos / ".thumbnails" / "x.png").write_bytes(b"nor this")
    (photos / "empty").mkdir()
    (photos / "dogs" / "linked.png").symlink_to(photos / "cats" / "0.png")
    (photos / "dogs" / "round").symlink_to(photos, target_is_directory=True)
    (tmp_path / "elsewhere").mkdir()
    for i in range(5):
        two_halves().save(tmp_path / "elsewhere" / f"{i}.jpg")
    (photos / "others").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    splits = images_from(photos, 8)
    assert splits.test.classes == ("cats", "dogs", "others", "птицы")
    both = splits.published.labels.bincount() + splits.test.labels.bincount()
    assert both.tolist() == [16, 16, 5, 6]
    assert (splits.test.labels.bincount() >= 1).all()


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a file name any bytes")
def test_a_name_that_is_no_text_can_be_printed(photos):
    (photos / "cats").rename(photos / os.fsdecode(b"caf\xe9"))
    (photos / "dogs" / os.fsdecode(b"\xe9.jpg")).write_bytes(b"?")
    with pytest.raises(ReplearnError) as caught:
        images_from(photos, 8)
    str(caught.value).encode()
    splits = images_from(photos, 8, skip_broken=True, say=lambda line: line.encode())
    assert sorted(splits.test.classes) == ["caf?", "dogs"]


def test_broken_files_are_named_together_and_skipped_only_when_asked(photos):
    whole = (photos / "cats" / "3.png").read_bytes()
    (photos / "cats" / "3.png").write_bytes(whole[: len(whole) // 2])
    (photos / "cats" / "notes.txt").write_text("the best ones are of May")
    buffer = io.BytesIO()
    two_halves((64, 64)).save(buffer, "JPEG")
    (photos / "dogs" / "half.jpg").write_bytes(buffer.getvalue()[:400])
    (photos / "dogs" / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    with pytest.raises(ReplearnError) as caught:
        images_from(photos, 8)
    message = str(caught.value)
    assert f"4 of 33 files in {photos} cannot be read as images:" in message
    for line in (
        "cats/3.png: ",
        "cats/notes.txt: not an image that Pillow knows",
        "dogs/half.jpg: ",
        "dogs/gone.jpg: No such",
    ):
        assert line.replace("/", os.sep) in message
    assert "--skip-broken" in message
    said = []
    splits = images_from(photos, 8, skip_broken=True, say=said.append)
    assert len(splits.published) + len(splits.test) == 29
    assert said == [f"left out: {message.rpartition(chr(10))[0]}"]
    for i in range(4):
        (photos / "dogs" / f"more {i}.jpg").touch()
    with pytest.raises(ReplearnError, match="8 of 37 files") as caught:
        images_from(photos, 8)
    assert "and 3 more" in str(caught.value)


def test_a_list_beside_the_classes_is_left_out_when_asked(photos):
    (photos / "labels.csv").write_text("file,label")
    with pytest.raises(ReplearnError, match=r"beside the subfolders cats, dogs lie labels.csv \(--skip-broken"):
        images_from(photos, 8)
    assert images_from(photos, 8, skip_broken=True, say=lambda _: None).labelled
    two_halves().save(photos / "x.jpg")
    with pytest.raises(ReplearnError, match="beside the subfolders cats, dogs lie x.jpg"):
        images_from(photos, 8, skip_broken=True, say=lambda _: None)


def test_what_is_no_set_of_images_is_said(photos, tmp_path):
    with pytest.raises(ReplearnError, match="expected a folder of images, but none is there"):
        images_from(tmp_path / "fotos")
    with pytest.raises(ReplearnError, match="expected a folder of images, but it is a file"):
        images_from(photos / "cats" / "1.png")
    with pytest.raises(ReplearnError, match="size: expected 8 pixels or more, got 7"):
        images_from(photos, 7)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "nothing" / ".DS_Store").touch()
    with pytest.raises(ReplearnError, match="but there is no file in it"):
        images_from(tmp_path / "nothing")
    with pytest.raises(ReplearnError, match="expected 20 images or more, to be split in three, got 15"):
        images_from(photos / "cats")
    for name, n in (("fish", 1), ("birds", 4)):
        (photos / name).mkdir()
        for i in range(n):
            two_halves().save(photos / name / f"{i}.jpg")
    with pytest.raises(ReplearnError, match=r"5 images or more of each class; fewer are in birds \(4\), fish \(1\)"):
        images_from(photos)
    for i in range(20):
        (tmp_path / "nothing" / f"{i}.txt").write_text("no image")
    with pytest.raises(ReplearnError, match=r"20 of 20 files[\s\S]*and 15 more[\s\S]*there is no image in this folder"):
        images_from(tmp_path / "nothing", skip_broken=True)


def test_a_class_that_is_broken_is_too_small(photos):
    for i in range(11):
        (photos / "cats" / f"{i}.png").write_bytes(b"")
    with pytest.raises(ReplearnError, match="cannot be read as images"):
        images_from(photos)
    with pytest.raises(ReplearnError, match="got 19"):
        images_from(photos, skip_broken=True, say=lambda _: None)
    (photos / "dogs" / "15.png").write_bytes((photos / "dogs" / "1.png").read_bytes())
    with pytest.raises(ReplearnError, match=r"fewer are in cats \(4\)"):
        images_from(photos, skip_broken=True, say=lambda _: None)


def test_a_dataset_that_is_already_split_is_not_taken_for_classes(photos):
    (photos / "cats").rename(photos / "train")
    (photos / "dogs").rename(photos / "Val")
    with pytest.raises(ReplearnError, match="a subfolder for each class, got Val, train; give one of them"):
        images_from(photos)


# -- the command -------------------------------------------------------------------------------------------------------

TAKES_ANY = dataclasses.replace(registry.EXPERIMENTS["mnist-triplet-2d"], name="any", any_images=True, metrics=())
SETTING = Setting("smoke", "cpu", "32-true", 1)


@pytest.fixture
def seen(monkeypatch):
    """An experiment on any images that only looks at them."""
    found = []
    monkeypatch.setitem(registry.EXPERIMENTS, "any", TAKES_ANY)
    monkeypatch.setattr(mnist_triplet, "run", lambda context, _: found.append(context.data) or {"metrics": {}})
    monkeypatch.setattr(mnist_triplet, "figures", lambda *_: [])
    return found


def test_an_experiment_runs_on_a_folder(photos, seen, tmp_path):
    (photos / "cats" / "notes.txt").write_text("no image")
    asked = ["run", "any", "--scale", "smoke", "--images", str(photos), "--out", str(tmp_path / "runs")]
    done = CliRunner().invoke(app, asked)
    assert isinstance(done.exception, ReplearnError)
    assert "--skip-broken" in str(done.exception)
    assert not (tmp_path / "runs").exists()  # said before a run folder is made
    done = CliRunner().invoke(app, [*asked, "--skip-broken", "--image-size", "12"])
    assert done.exit_code == 0, done.output
    assert "left out: 1 of 31 files" in done.output
    assert "data: photos (30 images of 12×12, 2 classes)" in done.output
    assert "stand-in" not in done.output
    assert seen[0].test.images.shape == (6, 3, 12, 12)
    (tmp_path / "runs" / "any-smoke" / "result.json").unlink()  # as if it had been cut off
    done = CliRunner().invoke(app, [*asked, "--skip-broken", "--resume"])
    assert "begun with other data: photos (30 images of 12×12, 2 classes) then, photos (30 images of 32×32" in str(
        done.exception
    )


def test_images_are_only_for_experiments_that_take_them(photos, seen, tmp_path):
    for name, more, message in (
        ("mnist-triplet-2d", {"images": photos}, "images: mnist-triplet-2d works on mnist alone"),
        ("word2vec", {"images": photos}, "images: word2vec works on wikipedia alone"),
        ("any", {"corpus": "x"}, "corpus: any works on images of mnist, not on text"),
        ("any", {"image_size": 64}, "image_size, skip_broken: only with images of your own"),
        ("any", {"skip_broken": True}, "image_size, skip_broken: only with images of your own"),
    ):
        with pytest.raises(ReplearnError, match=message):
            runner.run(name, setting=SETTING, out=tmp_path / "runs", say=lambda _: None, **more)
    done = CliRunner().invoke(app, ["run", "any", "--images", str(photos), "--record"])
    assert "--record: the ledger keeps runs on data that others have too" in str(done.exception)
    assert not seen
