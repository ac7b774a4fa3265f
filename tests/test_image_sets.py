"""Sets of images: CIFAR-10 and Tiny ImageNet are read from their files, textures stand in, and labels are shared out by class."""

import hashlib
import io
import pickle
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from replearn_course.data import ImageSet, Splits, cifar, datasets, load, tiny_imagenet
from replearn_course.errors import ReplearnError


def numbered(labels: torch.Tensor, name: str = "noise") -> ImageSet:
    """Images that hold their own number."""
    n = len(labels)
    pixels = torch.stack([torch.arange(n) % 256, torch.arange(n) // 256], dim=1).to(torch.uint8)
    return ImageSet(name, pixels[:, None, None], labels, tuple(f"c{i}" for i in range(int(labels.max()) + 1)))


def numbers(part: ImageSet) -> list[int]:
    return (part.images[:, 0, 0].long() @ torch.tensor([1, 256])).tolist()


labels_of_classes = st.lists(st.integers(1, 40), min_size=1, max_size=5).flatmap(
    lambda counts: st.permutations([c for c, n in enumerate(counts) for _ in range(n)])
)


# -- splits ------------------------------------------------------------------------------------------------------------


def test_train_and_validation_are_the_published_images_and_share_their_memory():
    published, test = numbered(torch.arange(4).repeat(25)), numbered(torch.arange(4))
    splits = Splits.of(published, test)
    rest, cut = published.split(10)
    assert numbers(splits.train) == numbers(rest)
    assert numbers(splits.validation) == numbers(cut)
    assert sorted(numbers(splits.published)) == list(range(100))
    assert torch.equal(splits.published.labels, torch.tensor([n % 4 for n in numbers(splits.published)]))
    assert splits.train.images.untyped_storage().data_ptr() == splits.published.images.untyped_storage().data_ptr()
    assert splits.validation.images.untyped_storage().data_ptr() == splits.published.images.untyped_storage().data_ptr()
    moved = splits.to("cpu")
    assert numbers(moved.train) == numbers(rest)
    assert numbers(moved.validation) == numbers(cut)


# -- a part of the labels ----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(labels_of_classes, st.integers(0, 1000))
def test_some_of_each_class_are_exact_nested_and_the_same(labels, seed):
    part = numbered(torch.tensor(labels))
    least = min(Counter(labels).values())
    before: set[int] = set()
    for n in range(1, least + 1):
        chosen = part.per_class(n, seed)
        assert Counter(chosen.labels.tolist()) == dict.fromkeys(set(labels), n)
        now = numbers(chosen)
        assert now == sorted(set(now))
        assert [labels[i] for i in now] == chosen.labels.tolist()
        assert before < set(now)
        assert now == numbers(part.per_class(n, seed))
        before = set(now)
    worst = min(Counter(labels), key=lambda c: (Counter(labels)[c], c))
    with pytest.raises(
        ReplearnError, match=f"expected {least + 1} images of each class, but class c{worst} has {least}"
    ):
        part.per_class(least + 1, seed)


@settings(deadline=None, max_examples=50)
@given(labels_of_classes, st.floats(0.001, 1), st.floats(0.001, 1), st.integers(0, 1000))
def test_a_fraction_is_of_each_class_to_the_nearest_image_and_nested(labels, small, large, seed):
    part, count = numbered(torch.tensor(labels)), Counter(labels)
    small, large = sorted((small, large))
    if small * min(count.values()) < 0.5:
        with pytest.raises(ReplearnError, match="without any") as caught:
            part.fraction(small, seed)
        least = float(str(caught.value).rsplit(" ", 1)[1])
        smallest = min(count.values())
        assert f" of {smallest} images" in str(caught.value)
        assert 0.5 / smallest <= least <= 0.5 / smallest * 1.011  # the least, to three digits
        assert set(part.fraction(least, seed).labels.tolist()) == set(labels)
        return
    chosen = part.fraction(small, seed)
    for label, n in count.items():
        got = (chosen.labels == label).sum().item()
        assert abs(got - small * n) <= 0.5
    assert set(numbers(chosen)) <= set(numbers(part.fraction(large, seed)))


def test_fractions_draw_by_their_seed_and_from_the_whole_class():
    part = numbered(torch.arange(2).repeat(50))
    state = torch.get_rng_state()
    drawn = Counter(i for seed in range(200) for i in numbers(part.fraction(0.1, seed)))
    assert torch.equal(torch.get_rng_state(), state)
    assert sum(drawn.values()) == 200 * 10
    assert len(drawn) == 100
    assert max(drawn.values()) < 20 + 5 * 18**0.5  # five standard deviations of a binomial


def test_fractions_that_cannot_be_are_said():
    part = numbered(torch.tensor([0] * 100 + [2] * 12))  # class 1 has no images, and none are asked of it
    for share in (0.0, -0.1, 1.01, float("nan")):
        with pytest.raises(ReplearnError, match="share: expected a fraction above 0, up to 1, got"):
            part.fraction(share)
    with pytest.raises(
        ReplearnError,
        match="0.01 leaves class c2 of 12 images without any; the least that leaves each class one is 0.0417",
    ):
        part.fraction(0.01)
    assert part.fraction(1.0).labels.tolist() == part.labels.tolist()
    assert part.per_class(3).labels.bincount().tolist() == [3, 0, 3]
    with pytest.raises(ReplearnError, match="n: expected 1 or more images a class, got 0"):
        part.per_class(0)


# -- textures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "size", "classes"), [("cifar10", 32, 10), ("tiny-imagenet", 64, 20)])
def test_textures_stand_in_and_say_so(name, size, classes):
    splits = load(name, "smoke")
    assert splits.name == f"drawn textures (stand-in for {dict(cifar10='CIFAR-10').get(name, 'Tiny ImageNet')})"
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [1350, 150, 500]
    for part in (splits.published, splits.test):
        assert part.images.shape[1:] == (3, size, size)
        assert part.labels.bincount().tolist() == [len(part) // classes] * classes
        assert len(set(part.classes)) == classes
    rows = {image.numpy().tobytes() for part in (splits.published, splits.test) for image in part.images}
    assert len(rows) == 2000
    again = load(name, "smoke")
    assert torch.equal(again.published.images, splits.published.images)
    assert torch.equal(again.test.images, splits.test.images)


def test_the_colour_of_a_texture_does_not_tell_its_class():
    """Nearest class by mean colour stays far below nearest class by the spectrum of the image, which shift does not change."""
    splits = load("cifar10", "smoke")

    def accuracy(features):
        x, y = features(splits.train.images.float()), features(splits.test.images.float())
        means = torch.stack([x[splits.train.labels == c].mean(dim=0) for c in range(10)])
        return (torch.cdist(y, means).argmin(dim=1) == splits.test.labels).float().mean().item()

    def spectrum(images):
        grey = images.mean(dim=1)
        grey = grey - grey.mean(dim=(1, 2), keepdim=True)
        return torch.nn.functional.normalize(torch.fft.rfft2(grey).abs().flatten(1))

    assert accuracy(lambda images: images.mean(dim=(2, 3))) < 0.25
    assert accuracy(spectrum) > 0.45


# -- CIFAR-10 ----------------------------------------------------------------------------------------------------------

CIFAR = "cifar-10-batches-py"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A data folder with nothing in it, and no network."""

    def refuse(*_, **__):
        raise urllib.error.URLError("no network")

    monkeypatch.setenv("REPLEARN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


@pytest.fixture
def tiny_cifar(folder, monkeypatch):
    """A few random images in CIFAR-10's files; their checksums are the published ones as far as anyone here knows."""
    random = np.random.default_rng(0)
    content = {}
    for file in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        batch = {"data": random.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [i % 10 for i in range(20)]}
        content[file] = pickle.dumps(batch)
    content["batches.meta"] = pickle.dumps({"label_names": [f"kind {i}" for i in range(10)]})
    (folder / CIFAR).mkdir()
    for file, of in content.items():
        (folder / CIFAR / file).write_bytes(of)
    sums = {file: hashlib.md5(of).hexdigest() for file, of in content.items()}
    published = torchvision.datasets.CIFAR10
    monkeypatch.setattr(published, "train_list", [[f"data_batch_{i}", sums[f"data_batch_{i}"]] for i in range(1, 6)])
    monkeypatch.setattr(published, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(published, "meta", {**published.meta, "md5": sums["batches.meta"]})
    known = replace(datasets.DATASETS["cifar10"], files={f"{CIFAR}/{file}": md5 for file, md5 in sums.items()})
    monkeypatch.setitem(datasets.DATASETS, "cifar10", known)
    monkeypatch.setattr(cifar, "CIFAR10", known)
    return folder / CIFAR


def test_cifar_is_read_from_its_files(tiny_cifar):
    splits = load("cifar10", "cpu")
    assert splits.name == "CIFAR-10"
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [90, 10, 20]
    assert splits.test.labels.tolist() == [i % 10 for i in range(20)]
    assert splits.test.classes[3] == "kind 3"
    raw = pickle.loads((tiny_cifar / "test_batch").read_bytes())["data"]
    assert splits.test.images.is_contiguous()
    assert splits.test.images.numpy().tobytes() == raw.tobytes()  # red rows, green rows, blue rows
    third = pickle.loads((tiny_cifar / "data_batch_3").read_bytes())["data"]
    assert any(image.numpy().tobytes() == third[4].tobytes() for image in splits.published.images)


def test_a_damaged_or_absent_file_of_cifar_is_named(tiny_cifar):
    whole = (tiny_cifar / "data_batch_2").read_bytes()
    (tiny_cifar / "data_batch_2").write_bytes(whole[:-1])
    with pytest.raises(ReplearnError, match=r"data_batch_2 is truncated or damaged.*replearn data fetch cifar10"):
        load("cifar10", "cpu")
    (tiny_cifar / "data_batch_2").unlink()
    with pytest.raises(ReplearnError, match=r"no network[\s\S]*data fetch cifar10[\s\S]*cifar-10-batches-py"):
        load("cifar10", "cpu")
    assert datasets.verify("cifar10")[f"{CIFAR}/data_batch_2"] == "missing"


def test_all_files_of_cifar_come_from_one_archive(tiny_cifar, monkeypatch):
    content = {path.name: path.read_bytes() for path in tiny_cifar.iterdir()}
    packed = tiny_cifar.parent / "cifar-10-python.tar.gz"  # whole, so the network is not asked
    with tarfile.open(packed, "w:gz") as archive:
        archive.add(tiny_cifar, CIFAR)
        extra = tarfile.TarInfo("../outside")
        archive.addfile(extra, io.BytesIO())
    for path in tiny_cifar.iterdir():
        path.unlink()
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", hashlib.md5(packed.read_bytes()).hexdigest())
    datasets.fetch("cifar10")
    assert {path.name: path.read_bytes() for path in tiny_cifar.iterdir()} == content
    assert [path.name for path in tiny_cifar.parent.iterdir()] == [CIFAR]


@pytest.mark.real_data
def test_the_real_cifar():
    if "missing" in datasets.verify("cifar10").values():
        pytest.skip(f"set REPLEARN_DATA to a folder that holds {CIFAR}")
    splits = load("cifar10", "full", download=False)
    assert splits.published.images.shape == (50_000, 3, 32, 32)
    assert splits.train.labels.bincount().tolist() == [4500] * 10
    assert splits.test.labels.bincount().tolist() == [1000] * 10
    assert splits.test.labels[:4].tolist() == [3, 8, 8, 0]  # a cat, two ships, an aeroplane
    mean = (splits.published.images.double().mean(dim=(0, 2, 3)) / 255).tolist()
    assert mean == pytest.approx([0.4914, 0.4822, 0.4465], abs=1e-4)  # as everyone's normalisation has them


# -- Tiny ImageNet -----------------------------------------------------------------------------------------------------

TINY = "tiny-imagenet-200"


def jpeg(shade: int, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, (8, 8), (shade, 0, 0) if mode == "RGB" else shade).save(buffer, "JPEG", quality=95)
    return buffer.getvalue()


@pytest.fixture
def tiny_imagenet_copy(folder, monkeypatch):
    """Five classes of six training images of the eight "published" and two to test, 8 × 8; each class has its own red."""
    for name, value in {"SIZE": 8, "CLASSES": 5, "PUBLISHED_PER_CLASS": 8, "TEST_PER_CLASS": 2}.items():
        monkeypatch.setattr(tiny_imagenet, name, value)
    at = folder / TINY
    wnids = [f"n0{c}" for c in (3, 1, 4, 0, 2)]  # in no order, as published
    (at / "val" / "images").mkdir(parents=True)
    (at / "wnids.txt").write_text("".join(f"{wnid}\n" for wnid in wnids))
    (at / "words.txt").write_text("n9\tentity\n" + "".join(f"n0{c}\tword {c}, other word\n" for c in range(5)))
    annotations = ""
    for c in range(5):
        (at / "train" / f"n0{c}" / "images").mkdir(parents=True)
        (at / "train" / f"n0{c}" / f"n0{c}_boxes.txt").write_text("of no use here")
        for i in range(6):
            (at / "train" / f"n0{c}" / "images" / f"n0{c}_{i}.JPEG").write_bytes(jpeg(50 * c + i))
        for i in range(2):
            (at / "val" / "images" / f"val_{2 * i + 7 * c}.JPEG").write_bytes(jpeg(50 * c, "RGB" if i else "L"))
            annotations += f"val_{2 * i + 7 * c}.JPEG\tn0{c}\t0\t0\t5\t5\n"
    (at / "val" / "val_annotations.txt").write_text(annotations)
    return at


def test_a_part_of_tiny_imagenet_is_read_and_says_what_it_is(tiny_imagenet_copy):
    splits = load("tiny-imagenet", "cpu")
    assert splits.name == "Tiny ImageNet, 6 of 8 images a class"
    assert datasets.verify("tiny-imagenet") == {TINY: "6 of 8 images a class"}
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [27, 3, 10]
    assert splits.published.classes == tuple(f"word {c}" for c in range(5))
    for part in (splits.published, splits.test):
        red = part.images[:, 0].float().mean(dim=(1, 2))
        assert ((red / 50).round() == part.labels).all()
    (tiny_imagenet_copy / "train" / "n02" / "images" / "n02_5.JPEG").unlink()
    assert load("tiny-imagenet", "cpu").name == "Tiny ImageNet, 5 to 6 of 8 images a class"


def test_tiny_imagenet_is_decoded_once(tiny_imagenet_copy, monkeypatch):
    first = load("tiny-imagenet", "cpu")
    decoded = tiny_imagenet_copy.parent / f"{TINY}.safetensors"
    assert decoded.exists()
    with monkeypatch.context() as patch:
        patch.setattr(tiny_imagenet, "read_images", lambda *_: pytest.fail("decoded again"))
        again = load("tiny-imagenet", "cpu")
    for part in ("published", "test"):
        assert torch.equal(getattr(again, part).images, getattr(first, part).images)
        assert torch.equal(getattr(again, part).labels, getattr(first, part).labels)
    decoded.write_bytes(decoded.read_bytes()[:-7])  # as a full disk leaves a copy
    assert torch.equal(load("tiny-imagenet", "cpu").test.images, first.test.images)
    for c in range(5):
        for i in (6, 7):
            (tiny_imagenet_copy / "train" / f"n0{c}" / "images" / f"n0{c}_{i}.JPEG").write_bytes(jpeg(50 * c + i))
    whole = load("tiny-imagenet", "cpu")  # the rest has come: it is decoded anew
    assert whole.name == "Tiny ImageNet"
    assert len(whole.published) == 40
    assert datasets.verify("tiny-imagenet") == {TINY: "ok"}


def test_a_folder_that_cannot_be_written_is_decoded_each_time(tiny_imagenet_copy, monkeypatch):
    def full(*_):
        raise ReplearnError("cannot write")

    monkeypatch.setattr(tiny_imagenet, "save_weights", full)
    assert len(load("tiny-imagenet", "cpu").published) == 30
    assert not (tiny_imagenet_copy.parent / f"{TINY}.safetensors").exists()


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("wnids.txt", None, "wnids.txt is not there"),
        ("wnids.txt", b"n00\nn01\n", "wnids.txt: expected 5 classes, got 2"),
        ("words.txt", b"n00\n", "words.txt: expected 2 columns"),
        ("words.txt", b"\xff\xfe", "words.txt, line 1: not UTF-8"),
        ("val/images/val_0.JPEG", None, "val: expected 2 images of each class"),
        ("val/val_annotations.txt", b"val_0.JPEG\tn77\n", "val: expected 2 images of each class"),
    ],
)
def test_what_is_damaged_in_tiny_imagenet_is_said(tiny_imagenet_copy, file, content, message):
    path = tiny_imagenet_copy / file
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(ReplearnError, match="Tiny ImageNet .* cannot be read") as caught:
        load("tiny-imagenet", "cpu")
    assert message in str(caught.value)
    state = datasets.verify("tiny-imagenet")[TINY]
    assert state.startswith("damaged: ")
    assert message in state


def test_a_class_without_images_and_a_truncated_image_are_named(tiny_imagenet_copy):
    truncated = tiny_imagenet_copy / "train" / "n03" / "images" / "n03_2.JPEG"
    truncated.write_bytes(truncated.read_bytes()[:-8])
    with pytest.raises(ReplearnError, match=r"n03_2\.JPEG cannot be read \(.*[Tt]runcated"):
        load("tiny-imagenet", "cpu")
    for path in truncated.parent.iterdir():
        path.unlink()
    with pytest.raises(ReplearnError, match="no image is in train/n03/images"):
        load("tiny-imagenet", "cpu")


def test_tiny_imagenet_is_unpacked_whole_and_its_archive_is_fetched_once(tiny_imagenet_copy, monkeypatch):
    home, content = tiny_imagenet_copy.parent, {}
    packed = home / f"{TINY}.zip"  # whole, so the network is not asked
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(p for p in tiny_imagenet_copy.rglob("*") if p.is_file()):
            content[path.relative_to(home).as_posix()] = path.read_bytes()
            archive.write(path, path.relative_to(home))
        archive.writestr(f"{TINY}/test/images/test_0.JPEG", b"its label was never published")
    tiny_imagenet_copy.rename(home.parent / "elsewhere")
    monkeypatch.setattr(tiny_imagenet, "ARCHIVE_MD5", hashlib.md5(packed.read_bytes()).hexdigest())
    datasets.fetch("tiny-imagenet")
    assert {p.relative_to(home).as_posix(): p.read_bytes() for p in home.rglob("*") if p.is_file()} == content


def test_absent_tiny_imagenet_names_the_ways_on(folder):
    with pytest.raises(ReplearnError) as caught:
        load("tiny-imagenet", "cpu")
    for way in (
        "replearn data fetch tiny-imagenet` (248 MB)",
        "REPLEARN_DATA",
        f"{TINY}/",
        "--scale smoke",
        "no network",
    ):
        assert way in str(caught.value)
    assert datasets.verify("tiny-imagenet") == {TINY: "missing"}
    assert datasets.DATASETS["tiny-imagenet"].missing() == [TINY]


@pytest.mark.real_data
def test_the_real_tiny_imagenet():
    if "missing" in datasets.verify("tiny-imagenet").values():
        pytest.skip(f"set REPLEARN_DATA to a folder that holds {TINY}")
    splits = load("tiny-imagenet", "full", download=False)
    assert splits.published.images.shape[1:] == (3, 64, 64)
    assert splits.test.labels.bincount().tolist() == [50] * 200
    assert len(set(splits.test.classes)) == 200
    few = splits.published.per_class(5)  # 1 % of the 500 that were published, whatever the copy has
    assert few.labels.bincount().tolist() == [5] * 200
    path = Path(datasets.DATASETS["tiny-imagenet"].path(TINY)) / "val" / "images"
    name = sorted(p.name for p in path.iterdir())[0]
    with Image.open(path / name) as picture:
        pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)
    assert (splits.test.images == pixels).flatten(1).all(dim=1).any()


# -- smaller images ----------------------------------------------------------------------------------------------------


def test_resized_images_are_means_over_areas():
    images = torch.arange(2 * 3 * 4 * 4, dtype=torch.uint8).reshape(2, 3, 4, 4)
    one = ImageSet("some", images, torch.tensor([0, 1]), ("a", "b"))
    small = one.resized(2)
    assert small.name == "some at 2 × 2"
    for n, c, i, j in ((0, 0, 0, 0), (1, 2, 1, 0), (0, 1, 1, 1)):
        mean = images[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].float().mean().item()
        assert abs(small.images[n, c, i, j].item() - mean) <= 0.5
    assert torch.equal(one.resized(4).images, images)
    assert torch.equal(small.labels, one.labels)
    with pytest.raises(ReplearnError, match="size: expected 1 or more pixels, got 0"):
        one.resized(0)


def test_resized_splits_are_the_same_splits():
    published = numbered(torch.arange(2).repeat(50))
    splits = Splits.of(published, published)
    splits.train  # noqa: B018  # computed, and not to be kept by the smaller ones
    small = splits.resized(1)
    assert [len(part) for part in (small.train, small.validation, small.test)] == [90, 10, 100]
    assert torch.equal(small.validation.labels, splits.validation.labels)
    assert {part.images.shape[-1] for part in (small.train, small.validation, small.test)} == {1}
