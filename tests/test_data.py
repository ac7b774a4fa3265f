"""Data: what is sampled is valid and uniform, views are the geometry they say, and datasets fail with a way on."""

import gzip
import hashlib
import math
import struct
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import replace

import pytest
import torch
import torchvision
import torchvision.transforms.functional as tvf
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest

from replearn_course.data import (
    ImageSet,
    PairBatches,
    PKBatches,
    RandomAffine,
    TripletBatches,
    datasets,
    load,
    pk_batches,
    random_pairs,
    random_triplets,
    to_float,
)
from replearn_course.errors import ReplearnError


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(labels: torch.Tensor, size: int = 8) -> ImageSet:
    """Random images, each unlike every other."""
    made = torch.randint(0, 256, (len(labels), 1, size, size), generator=generator(7), dtype=torch.uint8)
    return ImageSet("noise", made, labels, tuple(str(c) for c in range(int(labels.max()) + 1)))


@st.composite
def label_tensors(draw, least=2):
    """Labels with at least ``least`` members in each class, any integers as classes, in any order."""
    names = draw(st.lists(st.integers(-5, 1000), min_size=2, max_size=6, unique=True))
    counts = [draw(st.integers(least, least + 6)) for _ in names]
    labels = [name for name, count in zip(names, counts, strict=True) for _ in range(count)]
    return torch.tensor(draw(st.permutations(labels)))


# -- samplers ----------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(label_tensors(), st.integers(0, 1000))
def test_triplets_are_valid_and_each_item_is_an_anchor_once(labels, seed):
    triplets = random_triplets(labels, generator(seed))
    a, p, n = triplets.T
    assert sorted(a.tolist()) == list(range(len(labels)))
    assert (labels[a] == labels[p]).all()
    assert (a != p).all()
    assert (labels[a] != labels[n]).all()
    assert torch.equal(triplets, random_triplets(labels, generator(seed)))


@settings(deadline=None, max_examples=50)
@given(label_tensors(), st.integers(0, 1000), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_pairs_are_valid_and_their_share_is_exact(labels, seed, share):
    pairs, same = random_pairs(labels, generator(seed), share)
    first, second = pairs.T
    assert sorted(first.tolist()) == list(range(len(labels)))
    assert (first != second).all()
    assert torch.equal(labels[first] == labels[second], same)
    assert same.sum() == round(share * len(labels))
    again = random_pairs(labels, generator(seed), share)
    assert torch.equal(pairs, again[0])
    assert torch.equal(same, again[1])


@settings(deadline=None, max_examples=50)
@given(label_tensors(least=3), st.integers(0, 1000), st.data())
def test_pk_batches_hold_p_classes_of_k_distinct_images(labels, seed, data):
    p = data.draw(st.integers(2, len(labels.unique())))
    k = data.draw(st.integers(2, 3))
    n_batches = data.draw(st.none() | st.integers(1, 9))
    batches = pk_batches(labels, p, k, generator(seed), n_batches)
    assert batches.shape == (n_batches or max(1, len(labels) // (p * k)), p * k)
    for batch in batches:
        assert len(batch.unique()) == p * k
        assert sorted(Counter(labels[batch].tolist()).values()) == [k] * p
    assert torch.equal(batches, pk_batches(labels, p, k, generator(seed), n_batches))


def test_partners_are_uniform():
    labels = torch.tensor([0, 1, 0, 2, 1, 0, 0, 2])
    positives, negatives = Counter(), Counter()
    for seed in range(1200):
        a, p, n = random_triplets(labels, generator(seed)).T
        at = (a == 2).nonzero().item()
        positives[p[at].item()] += 1
        negatives[n[at].item()] += 1
    assert set(positives) == {0, 5, 6}
    assert set(negatives) == {1, 3, 4, 7}
    for counts, n in ((positives, 3), (negatives, 4)):  # five standard deviations of a binomial
        for count in counts.values():
            assert abs(count - 1200 / n) < 5 * math.sqrt(1200 / n * (1 - 1 / n))


def test_pk_deals_a_class_like_cards():
    labels = torch.arange(3).repeat_interleave(10)
    batches = pk_batches(labels, 3, 5, generator(), 4)  # every class plays in every batch, two hands a pass
    for first, second in ((0, 1), (2, 3)):
        assert len(torch.cat([batches[first], batches[second]]).unique()) == 30
    assert batches[0].sort().values.tolist() != batches[2].sort().values.tolist()  # reshuffled after a pass


def test_order_differs_between_generators():
    labels = torch.arange(4).repeat(8)
    assert not torch.equal(random_triplets(labels, generator(0)), random_triplets(labels, generator(1)))
    assert not torch.equal(pk_batches(labels, 2, 4, generator(0)), pk_batches(labels, 2, 4, generator(1)))


@pytest.mark.parametrize("draw", [random_triplets, random_pairs])
def test_what_cannot_be_drawn_is_said(draw):
    with pytest.raises(ReplearnError, match="at least two classes, got 1"):
        draw(torch.zeros(5, dtype=torch.long), generator())
    with pytest.raises(ReplearnError, match="two members in each class, but class 7 has one$"):
        draw(torch.tensor([3, 3, 7]), generator())
    with pytest.raises(ReplearnError, match=r"class 7 has one \(and 1 more such\)"):
        draw(torch.tensor([3, 3, 7, 9]), generator())
    with pytest.raises(ReplearnError, match="integer dtype"):
        draw(torch.tensor([0.0, 0.0, 1.0, 1.0]), generator())
    with pytest.raises(ReplearnError, match=r"labels: expected shape \(1,\), .* got \(\)"):
        draw(torch.tensor(3), generator())


@pytest.mark.parametrize("kind", [TripletBatches, PairBatches])
def test_what_cannot_be_drawn_is_said_when_batches_are_made(kind):
    with pytest.raises(ReplearnError, match="two members in each class, but class 1 has one"):
        kind(images(torch.tensor([0, 0, 1])), 2)


def test_what_pk_cannot_do_is_said():
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 5, 5])
    with pytest.raises(ReplearnError, match="needs 4 classes, the labels have 3"):
        pk_batches(labels, 4, 2, generator())
    with pytest.raises(ReplearnError, match="needs 3 images of each class, but class 5 has 2"):
        pk_batches(labels, 2, 3, generator())
    with pytest.raises(ReplearnError, match="got p=1, k=2"):
        pk_batches(labels, 1, 2, generator())
    with pytest.raises(ReplearnError, match="needs 4 classes"):
        PKBatches(images(labels), 4, 2)  # when it is made, not in the first epoch
    with pytest.raises(ReplearnError, match="same_share.*1.5"):
        random_pairs(labels, generator(), 1.5)


# -- image sets --------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(label_tensors(least=1), st.data())
def test_split_is_exact_disjoint_stratified_and_the_same(labels, data):
    part = images(labels.abs())
    n = data.draw(st.integers(1, len(part) - 1))
    rest, cut = part.split(n)
    assert (len(rest), len(cut)) == (len(part) - n, n)
    key = lambda s: Counter(row.numpy().tobytes() for row in s.images)  # noqa: E731
    assert key(rest) + key(cut) == key(part)
    share = n / len(part)
    for label, count in Counter(part.labels.tolist()).items():
        assert abs((cut.labels == label).sum().item() - share * count) <= 1
    assert torch.equal(cut.images, part.split(n)[1].images)


def test_split_depends_on_its_seed_alone():
    part = images(torch.arange(4).repeat(20))
    state = torch.get_rng_state()
    assert not torch.equal(part.split(16)[1].images, part.split(16, seed=1)[1].images)
    assert torch.equal(state, torch.get_rng_state())


def test_image_sets_check_what_they_are_given():
    labels = torch.tensor([0, 1])
    with pytest.raises(ReplearnError, match="uint8.*float32"):
        ImageSet("x", torch.zeros(2, 1, 4, 4), labels, ("0", "1"))
    with pytest.raises(ReplearnError, match=r"\(N, C, H, W\).*\(2, 4, 4\)"):
        ImageSet("x", torch.zeros(2, 4, 4, dtype=torch.uint8), labels, ("0", "1"))
    with pytest.raises(ReplearnError, match=r"labels: expected shape \(3,\)"):
        ImageSet("x", torch.zeros(3, 1, 4, 4, dtype=torch.uint8), labels, ("0", "1"))
    with pytest.raises(ReplearnError, match="labels: expected 0 to 0, one for each of the classes, got 0 to 1"):
        ImageSet("x", torch.zeros(2, 1, 4, 4, dtype=torch.uint8), labels, ("0",))
    with pytest.raises(ReplearnError, match=r"labels: expected a torch\.Tensor, got builtins\.list"):
        ImageSet("x", torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [0, 1], ("0", "1"))
    for n in (0, 2, -1):
        with pytest.raises(ReplearnError, match=f"between 1 and 1, got {n}"):
            images(labels).split(n)
    with pytest.raises(ReplearnError, match="uint8"):
        to_float(torch.zeros(2))
    assert to_float(torch.tensor([0, 51, 255], dtype=torch.uint8)).tolist() == pytest.approx([0, 0.2, 1])


def test_classes_can_be_left_out():
    part = images(torch.tensor([0, 1, 2, 1, 0]))
    chosen = part.of_classes(0, 2)
    assert chosen.labels.tolist() == [0, 2, 0]
    assert torch.equal(chosen.images, part.images[[0, 2, 4]])


# -- batches -----------------------------------------------------------------------------------------------------------

MAKERS = {
    "triplets": lambda data, **more: TripletBatches(data, 7, **more),
    "pairs": lambda data, **more: PairBatches(data, 7, **more),
    "pk": lambda data, **more: PKBatches(data, 3, 4, **more),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_an_epoch_goes_on_where_it_was_cut_off(kind):
    batches = MAKERS[kind](images(torch.arange(4).repeat(9)), seed=3, views=RandomAffine())
    whole = list(batches.epoch(2))
    assert len(whole) == len(batches) > 2
    for start in range(len(whole) + 1):
        tail = list(batches.epoch(2, start=start))
        assert len(tail) == len(whole) - start
        for ours, theirs in zip(tail, whole[start:], strict=True):
            assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("kind", MAKERS)
def test_epochs_seeds_and_views_differ(kind):
    data = images(torch.arange(4).repeat(9))
    first = lambda epoch=0, **more: next(MAKERS[kind](data, **more).epoch(epoch))[0]  # noqa: E731
    assert torch.equal(first(), first())
    assert not torch.equal(first(), first(epoch=1))
    assert not torch.equal(first(), first(seed=1))
    assert not torch.equal(first(), first(views=RandomAffine()))


def test_triplets_drawn_once_are_those_of_the_first_epoch_in_every_epoch():
    data = images(torch.arange(4).repeat(9))
    first, later = (torch.cat([a for a, _, _ in TripletBatches(data, 7, drawn="once").epoch(e)]) for e in (0, 5))
    assert torch.equal(first, later)
    with pytest.raises(ReplearnError, match="unknown drawn 'onec'; did you mean 'once'"):
        TripletBatches(data, 7, drawn="onec")


def test_triplets_of_fewer_batches_are_the_first_of_a_whole_epoch():
    data = images(torch.arange(4).repeat(9))
    few, whole = TripletBatches(data, 7, n_batches=2), TripletBatches(data, 7)
    assert (len(few), len(whole), len(TripletBatches(data, 7, n_batches=99))) == (2, 6, 6)
    assert len(list(few.epoch(1))) == 2
    for ours, theirs in zip(few.epoch(1), whole.epoch(1), strict=False):
        assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))
    with pytest.raises(ReplearnError, match="n_batches: expected a whole number from 1 up, got 0"):
        TripletBatches(data, 7, n_batches=0)


def test_views_differ_from_step_to_step():
    seen = []
    views = lambda images, generator: seen.append(torch.rand(3, generator=generator).tolist()) or images  # noqa: E731
    list(TripletBatches(images(torch.arange(4).repeat(9)), 8, views=views).epoch(0))
    assert len(set(map(tuple, seen))) == len(seen) == 5


def test_batches_are_the_images_that_the_samplers_chose():
    data = images(torch.arange(4).repeat(9))
    number = {image.numpy().tobytes(): i for i, image in enumerate(data.images)}
    find = lambda x: torch.tensor([number[row.numpy().tobytes()] for row in (x * 255).round().to(torch.uint8)])  # noqa: E731
    anchors = []
    for a, p, n in TripletBatches(data, 7).epoch(0):
        a, p, n = find(a), find(p), find(n)
        anchors += a.tolist()
        assert (data.labels[a] == data.labels[p]).all()
        assert (data.labels[a] != data.labels[n]).all()
    assert sorted(anchors) == list(range(36))
    for first, second, same in PairBatches(data, 7).epoch(0):
        assert torch.equal(data.labels[find(first)] == data.labels[find(second)], same)
    for x, y in PKBatches(data, 3, 4).epoch(0):
        assert torch.equal(data.labels[find(x)], y)


def test_batch_size_must_be_positive():
    with pytest.raises(ReplearnError, match="batch_size: expected a whole number from 1 up, got 0"):
        TripletBatches(images(torch.tensor([0, 0, 1, 1])), 0)
    with pytest.raises(ReplearnError, match="n_batches: expected a whole number from 1 up, got 0"):
        PKBatches(images(torch.tensor([0, 0, 1, 1])), 2, 2, n_batches=0)


# -- views -------------------------------------------------------------------------------------------------------------


def blobs(n: int, side: int = 28) -> torch.Tensor:
    """A smooth spot right of and above the centre, and a fainter one below: no symmetry hides a wrong direction."""
    y, x = torch.meshgrid(torch.arange(side) + 0.5, torch.arange(side) + 0.5, indexing="ij")
    spot = lambda cx, cy, s: torch.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (2 * s * s))  # noqa: E731
    picture = spot(side * 0.64, side * 0.4, 2.0) + 0.5 * spot(side * 0.5, side * 0.66, 1.5)
    return picture.expand(n, 1, side, side).contiguous()


def centroids(x: torch.Tensor) -> torch.Tensor:
    """``(N, 2)`` centres of mass, in pixels, x before y."""
    place = torch.arange(x.shape[-1], dtype=torch.float64) + 0.5
    mass = x[:, 0].double()
    total = mass.sum(dim=(1, 2))
    return torch.stack([(mass.sum(1) * place).sum(1) / total, (mass.sum(2) * place).sum(1) / total], dim=1)


NOTHING = {"degrees": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}


def test_no_change_is_no_change():
    x = torch.rand(3, 2, 9, 9)
    assert torch.allclose(RandomAffine(**NOTHING)(x, generator()), x, atol=1e-6)


def test_rotation_agrees_with_torchvision():
    view = RandomAffine(**{**NOTHING, "degrees": 40.0})
    x = blobs(12)
    out = view(x, generator(1))
    before, after = centroids(x[:1])[0] - 14, centroids(out) - 14
    turned = torch.atan2(after[:, 1], after[:, 0]) - torch.atan2(
        before[1], before[0]
    )  # clockwise on the screen, y is down
    assert turned.abs().max() > math.radians(15)
    for picture, angle in zip(out, turned, strict=True):
        peer = tvf.affine(x[0], math.degrees(angle), [0, 0], 1.0, [0.0], tvf.InterpolationMode.BILINEAR)
        assert torch.allclose(picture, peer, atol=0.01)


def test_a_turn_keeps_lengths_where_the_sides_differ(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(*shape))  # each draw at its upper bound
    x = torch.zeros(1, 1, 15, 45)
    x[..., 7, 16:29] = 1.0  # a bar of 13 pixels in the middle
    out = RandomAffine(**{**NOTHING, "degrees": 90.0})(x, generator())
    expected = torch.zeros_like(x)
    expected[..., 1:14, 22] = 1.0
    assert torch.allclose(out, expected, atol=1e-4)


def test_views_of_what_is_no_batch_of_images_are_refused():
    for bad in (torch.zeros(1, 8, 8), torch.zeros(2, 1, 8, 8).byte()):
        with pytest.raises(ReplearnError, match=r"images: expected \(N, C, H, W\) in float32 or float64, got"):
            RandomAffine()(bad, generator())


def test_shift_agrees_with_torchvision():
    view = RandomAffine(**{**NOTHING, "shift": 0.1})
    x = blobs(12)
    out = view(x, generator(2))
    for picture, (dx, dy) in zip(out, (centroids(out) - centroids(x)).tolist(), strict=True):
        peer = tvf.affine(x[0], 0.0, [dx, dy], 1.0, [0.0], tvf.InterpolationMode.BILINEAR)
        assert torch.allclose(picture, peer, atol=0.01)


def test_a_shift_of_whole_pixels_moves_pixels(monkeypatch):
    moved = torch.tensor([[1.0, 0, 2 * 3 / 8], [0, 1, -2 * 2 / 8]])[None]  # look 3 to the right, 2 up
    monkeypatch.setattr(RandomAffine, "_matrices", lambda *_: moved)
    x = torch.rand(1, 1, 8, 8)
    expected = torch.zeros_like(x)
    expected[..., 2:, :5] = x[..., :6, 3:]
    assert torch.allclose(RandomAffine()(x, generator()), expected, atol=1e-5)


def test_shifts_are_uniform_and_each_image_has_its_own():
    shift = 0.1
    x = blobs(1500)
    moved = (centroids(RandomAffine(**{**NOTHING, "shift": shift})(x, generator())) - centroids(x)) / 28
    for axis in range(2):
        assert moved[:, axis].abs().max() <= shift * 1.01
        assert kstest(moved[:, axis].numpy() / shift, "uniform", args=(-1, 2)).pvalue > 0.001
    assert len(moved.round(decimals=6).unique(dim=0)) == 1500


def test_angles_sizes_and_slopes_are_drawn_from_their_ranges():
    n = 4000
    turn = RandomAffine(**{**NOTHING, "degrees": 15.0})._matrices(n, generator()).double()
    angle = torch.rad2deg(torch.atan2(turn[:, 1, 0], turn[:, 0, 0]))
    assert kstest(angle.numpy() / 15, "uniform", args=(-1, 2)).pvalue > 0.001
    assert torch.allclose(torch.linalg.det(turn[:, :, :2]), torch.ones(n, dtype=torch.float64), atol=1e-5)

    grow = RandomAffine(**{**NOTHING, "scale": 0.2})._matrices(n, generator()).double()
    sizes = -torch.stack([grow[:, 0, 0], grow[:, 1, 1]], dim=1).log() / math.log(
        1.2
    )  # log of the size, in units of its range
    assert (grow[:, 0, 1] == 0).all()
    assert sizes.abs().max() <= 4 / 3
    assert (sizes[:, 0] - sizes[:, 1]).abs().max() <= 2 / 3
    assert sizes.mean().abs() < 0.05

    lean = RandomAffine(**{**NOTHING, "shear": 0.3})._matrices(n, generator()).double()
    assert kstest(lean[:, 0, 1].numpy() / 0.3, "uniform", args=(-1, 2)).pvalue > 0.001
    assert (lean[:, 1, 0] == 0).all()


def test_a_growing_image_grows():
    view = RandomAffine(**{**NOTHING, "scale": 0.5})
    x = blobs(40)
    factor = view._matrices(40, generator(5))[:, [0, 1], [0, 1]].prod(dim=1)
    mass = view(x, generator(5)).sum(dim=(1, 2, 3)) / x[0].sum()
    assert torch.allclose(mass * factor, torch.ones(40), atol=0.03)


def test_negative_ranges_are_refused():
    for name in NOTHING:
        with pytest.raises(ReplearnError, match=f"{name}: expected 0 or more, got -1"):
            RandomAffine(**{name: -1.0})
        with pytest.raises(ReplearnError, match=f"{name}: expected 0 or more, got nan"):
            RandomAffine(**{name: math.nan})


# -- datasets ----------------------------------------------------------------------------------------------------------


def test_digits_stand_in_for_mnist_and_say_so():
    splits = load("mnist", "smoke")
    assert "stand-in" in splits.name
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [1213, 134, 450]
    for part in (splits.train, splits.validation, splits.test):
        assert part.images.shape[1:] == (1, 28, 28)
        assert part.labels.unique().tolist() == list(range(10))
        assert part.images[..., :2, :].max() == 0  # the border that MNIST has too
    assert splits.train.images.max() == 255
    rows = [image.numpy().tobytes() for s in (splits.train, splits.validation, splits.test) for image in s.images]
    assert len(set(rows)) >= 1795  # two of the 1,797 may be drawn alike
    again = load("mnist", "smoke")
    assert torch.equal(again.validation.images, splits.validation.images)


def test_unknown_dataset_names_the_nearest():
    with pytest.raises(ReplearnError, match="unknown dataset 'mnits'; did you mean 'mnist'"):
        load("mnits")


def refuse(*_, **__):
    raise urllib.error.URLError("no network")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A data folder with nothing in it, and no network."""
    monkeypatch.setenv("REPLEARN_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return tmp_path / "data"


@pytest.mark.parametrize("download", [True, False])
def test_absent_data_without_network_names_the_ways_on(empty, download):
    with pytest.raises(ReplearnError) as caught:
        load("mnist", "cpu", download=download)
    message = str(caught.value)
    assert "MNIST" in message
    assert str(empty) in message
    for way in ("replearn data fetch", "REPLEARN_DATA", "--scale smoke"):
        assert way in message
    assert ("no network" in message) == download
    assert set(datasets.verify("mnist").values()) == {"missing"}


def idx(array: torch.Tensor) -> bytes:
    """The format of MNIST's files: 0, 0, type 8 (uint8), dimensions, sizes, values."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.numpy().tobytes()


@pytest.fixture
def tiny(empty, monkeypatch):
    """A data folder with MNIST's files, of few random images; their checksums are the published ones as far as we know."""
    raw = empty / "MNIST" / "raw"
    raw.mkdir(parents=True)
    sums = {}
    for part, n in (("train", 200), ("t10k", 40)):
        pixels = torch.randint(0, 256, (n, 28, 28), generator=generator(n), dtype=torch.uint8)
        labels = (torch.arange(n) % 10).to(torch.uint8)
        for file, array in ((f"{part}-images-idx3-ubyte", pixels), (f"{part}-labels-idx1-ubyte", labels)):
            (raw / file).write_bytes(idx(array))
            sums[f"MNIST/raw/{file}"] = hashlib.md5(idx(array)).hexdigest()
    known = datasets.DATASETS["mnist"]
    monkeypatch.setitem(datasets.DATASETS, "mnist", replace(known, files=sums))
    return raw


def test_mnist_is_read_from_its_files(tiny):
    splits = load("mnist", "cpu")
    assert splits.name == "MNIST"
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [180, 20, 40]
    assert splits.validation.labels.bincount().tolist() == [2] * 10
    assert splits.test.labels.tolist() == [i % 10 for i in range(40)]
    pixels = (tiny / "t10k-images-idx3-ubyte").read_bytes()[16:]
    assert splits.test.images.numpy().tobytes() == pixels
    assert datasets.fetch("mnist") == tiny.parents[1]  # all there: nothing is fetched
    assert set(datasets.verify("mnist").values()) == {"ok"}


@pytest.mark.parametrize("file", ["train-images-idx3-ubyte", "t10k-labels-idx1-ubyte"])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 6, 8, 11, 16, 30, -1])
def test_truncated_files_are_named_by_verify(tiny, file, length):
    content = (tiny / file).read_bytes()
    (tiny / file).write_bytes(content[:length])
    with pytest.raises(ReplearnError, match="truncated or damaged") as caught:
        load("mnist", "cpu")
    assert "replearn data verify" in str(caught.value)
    state = datasets.verify("mnist")
    assert state.pop(f"MNIST/raw/{file}") == "damaged"
    assert set(state.values()) == {"ok"}


def test_a_file_that_is_not_mnist_is_refused(tiny):
    """Whole in its form, yet not what was published."""
    (tiny / "train-labels-idx1-ubyte").write_bytes(idx(torch.full((200,), 11, dtype=torch.uint8)))
    with pytest.raises(ReplearnError, match="train-labels-idx1-ubyte is truncated or damaged"):
        load("mnist", "cpu")


def test_what_is_absent_of_mnist_is_unpacked_from_the_published_file(tiny):
    labels = (tiny / "t10k-labels-idx1-ubyte").read_bytes()
    packed = gzip.compress(labels)
    (tiny / "t10k-labels-idx1-ubyte").unlink()
    (tiny / "t10k-labels-idx1-ubyte.gz").write_bytes(packed)  # whole, so the network is not asked
    published = [("t10k-labels-idx1-ubyte.gz", hashlib.md5(packed).hexdigest())]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.datasets.MNIST, "resources", published)
        assert datasets.fetch("mnist") == tiny.parents[1]
    assert (tiny / "t10k-labels-idx1-ubyte").read_bytes() == labels
    assert len(list(tiny.iterdir())) == 4


def test_a_missing_file_is_missing(tiny):
    (tiny / "t10k-labels-idx1-ubyte").unlink()
    assert datasets.verify("mnist")["MNIST/raw/t10k-labels-idx1-ubyte"] == "missing"
    with pytest.raises(ReplearnError, match="Three ways on"):
        load("mnist", "cpu")


@pytest.mark.real_data
def test_the_real_mnist():
    if "missing" in datasets.verify("mnist").values():
        pytest.skip("set REPLEARN_DATA to a folder that holds MNIST/raw")
    assert set(datasets.verify("mnist").values()) == {"ok"}
    splits = load("mnist", "full", download=False)
    assert [len(s) for s in (splits.train, splits.validation, splits.test)] == [54_000, 6_000, 10_000]
    assert splits.test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    both = splits.train.labels.bincount() + splits.validation.labels.bincount()
    assert both.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # as LeCun's page counts them
    shares = splits.validation.labels.bincount() - both / 10
    assert shares.abs().max() <= 1
