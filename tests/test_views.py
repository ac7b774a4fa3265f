"""Views: what each transform does to one image, how its draws are distributed, and that no two draws depend on each other.

Where a test is statistical, it would fail for fewer than one seed in a million (``RARE``); the seeds are fixed.
"""

import colorsys
import itertools
import math
from dataclasses import replace

import pytest
import torch
import torchvision.transforms.v2.functional as peer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare, ks_2samp, kstest

from replearn_course.data import (
    PRESETS,
    ColourJitter,
    Compose,
    GaussianBlur,
    Grey,
    HorizontalFlip,
    RandomAffine,
    RandomCrop,
    RandomResizedCrop,
    Sobel,
    Solarize,
    draw_views,
    preset,
    without,
)
from replearn_course.data.views.colour import turn_hue
from replearn_course.errors import ReplearnError

RARE = 1e-6
SIGMAS = 4.9  # a normal number passes them with probability RARE

EACH = [
    RandomResizedCrop(12),
    RandomCrop(5),
    HorizontalFlip(p=0.5),
    ColourJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
    Grey(p=0.5),
    Solarize(p=0.5),
    GaussianBlur(1, p=0.5),
    Sobel(p=0.5),
    RandomAffine(p=0.5),
    Compose((RandomCrop(7), HorizontalFlip(p=0.5), Grey(p=0.5))),
]
SOMETIMES = [
    HorizontalFlip(p=0.3),
    ColourJitter(0.4, 0.4, 0.4, 0.1, p=0.3),
    Grey(p=0.3),
    Solarize(p=0.3),
    GaussianBlur(1, sigma=(0.5, 2.0), p=0.3),
    Sobel(p=0.3),
    RandomAffine(p=0.3),
]
kind = lambda transform: type(transform).__name__  # noqa: E731


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.rand(*shape, generator=generator(seed), dtype=dtype)


def is_uniform(values: torch.Tensor, low: float, high: float) -> bool:
    assert values.min() >= low - 1e-4
    assert values.max() <= high + 1e-4
    return kstest(values.double().numpy(), "uniform", args=(low, high - low)).pvalue > RARE


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """In standard errors: of independent draws it is a normal number."""
    return torch.corrcoef(torch.stack([a, b]).double())[0, 1].item() * math.sqrt(len(a))


# -- what holds for all of them ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", EACH, ids=kind)
@given(
    n=st.integers(1, 5),
    channels=st.sampled_from([1, 3]),
    height=st.integers(8, 13),
    width=st.integers(8, 13),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
@settings(max_examples=15, deadline=None)
def test_a_view_is_an_image_of_the_same_dtype_and_the_images_stay(transform, n, channels, height, width, seed, dtype):
    x = noise(n, channels, height, width, seed=seed, dtype=dtype)
    x[:, :, :2] = x[:, :, :2].round()  # black, white and pure colours too
    before = x.clone()
    view = transform(x, generator(seed))
    size = {"RandomResizedCrop": (12, 12), "RandomCrop": (5, 5), "Compose": (7, 7)}.get(
        kind(transform), (height, width)
    )
    assert view.shape == (n, channels, *size)
    assert view.dtype == dtype
    assert view.device == x.device
    assert view.min() >= 0
    assert view.max() <= 1
    assert torch.equal(x, before)
    assert torch.equal(view, transform(x, generator(seed)))


@pytest.mark.parametrize("transform", EACH, ids=kind)
def test_each_image_has_its_own_draw(transform):
    view = transform(noise(1, 3, 16, 16).expand(200, -1, -1, -1), generator())
    different = len(view.flatten(1).unique(dim=0))
    least = 100 if kind(transform) in ("RandomResizedCrop", "ColourJitter", "Compose") else 50
    assert different == 2 if kind(transform) in ("HorizontalFlip", "Grey", "Solarize", "Sobel") else different > least


@pytest.mark.parametrize("transform", EACH, ids=kind)
def test_what_is_no_batch_of_images_is_refused(transform):
    for bad in (torch.zeros(3, 16, 16), torch.zeros(2, 3, 16, 16).byte(), torch.zeros(2, 3, 16, 16).half()):
        with pytest.raises(ReplearnError, match=r"images: expected \(N, C, H, W\) in float32 or float64, got"):
            transform(bad, generator())


@pytest.mark.parametrize("transform", SOMETIMES, ids=kind)
def test_p_is_the_share_of_images_that_change_each_by_itself(transform):
    n = 3000
    x = noise(1, 3, 8, 8).expand(n, -1, -1, -1)
    changed = (transform(x, generator()) != x).flatten(1).any(dim=1)
    assert binomtest(int(changed.sum()), n, 0.3).pvalue > RARE
    assert abs(correlation(changed[1:], changed[:-1])) < SIGMAS


@pytest.mark.parametrize("transform", SOMETIMES, ids=kind)
def test_p_of_0_never_and_p_of_1_always(transform):
    x = noise(50, 3, 8, 8)
    assert torch.equal(replace(transform, p=0.0)(x, generator()), x)
    assert (replace(transform, p=1.0)(x, generator()) != x).flatten(1).any(dim=1).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HorizontalFlip(p=1.5), r"p: expected a probability in \[0, 1\], got 1.5"),
        (lambda: Grey(p=math.nan), r"p: expected a probability in \[0, 1\], got nan"),
        (lambda: RandomCrop(0), "size: expected 1 or more pixels, got 0"),
        (lambda: RandomResizedCrop(0), "size: expected 1 or more pixels, got 0"),
        (lambda: RandomResizedCrop(8, area=(0.0, 1.0)), r"area: expected \(low, high\) with 0 < low <= high <= 1, got"),
        (lambda: RandomResizedCrop(8, area=(0.5, 0.2)), "area: expected"),
        (lambda: RandomResizedCrop(8, area=(0.5, 1.2)), "area: expected"),
        (lambda: RandomResizedCrop(8, ratio=(2.0, 1.0)), "ratio: expected"),
        (lambda: RandomResizedCrop(8, ratio=(1.0,)), "ratio: expected"),
        (lambda: ColourJitter(-0.1), "brightness: expected 0 or more, got -0.1"),
        (lambda: ColourJitter(contrast=math.nan), "contrast: expected 0 or more, got nan"),
        (lambda: ColourJitter(hue=0.6), "hue: expected 0 to 0.5"),
        (lambda: Solarize(1.1), "threshold: expected 0 to 1, got 1.1"),
        (lambda: GaussianBlur(0), "radius: expected 1 or more pixels, got 0"),
        (lambda: GaussianBlur(1, sigma=(0.0, 1.0)), "sigma: expected"),
        (lambda: RandomCrop(9)(torch.zeros(1, 3, 8, 20), generator()), "sides of 9 or more to crop from, got 8 x 20"),
        (lambda: GaussianBlur(8)(torch.zeros(1, 3, 8, 20), generator()), "sides above the blur's radius 8, got 8 x 20"),
        (lambda: Grey()(torch.zeros(1, 2, 8, 8), generator()), "expected 1 or 3 channels to change colours, got 2"),
        (lambda: ColourJitter(0.1)(torch.zeros(1, 4, 8, 8), generator()), "expected 1 or 3 channels"),
        (lambda: ColourJitter(hue=0.1)(torch.zeros(1, 2, 8, 8), generator()), "expected 1 or 3 channels"),
    ],
)
def test_what_is_out_of_range_is_refused(make, message):
    with pytest.raises(ReplearnError, match=message):
        make()


# -- crops and the flip ------------------------------------------------------------------------------------------------


@given(
    height=st.integers(5, 24),
    width=st.integers(5, 24),
    size=st.integers(3, 24),
    seed=st.integers(0, 999),
    least=st.floats(0.05, 1.0),
)
@settings(max_examples=60, deadline=None)
def test_a_resized_crop_is_torchvisions_of_the_same_box(height, width, size, seed, least):
    crop = RandomResizedCrop(size, area=(least, 1.0))
    x = noise(4, 3, height, width, seed=seed)
    boxes = crop._boxes(4, height, width, generator(seed)).long().tolist()
    for image, view, box in zip(x, crop(x, generator(seed)), boxes, strict=True):
        expected = peer.resized_crop(image, *box, size=[size, size], antialias=True)
        assert torch.allclose(view, expected, atol=1e-5)


def test_a_crop_of_the_whole_image_is_the_image():
    x = noise(3, 3, 10, 10)
    assert torch.allclose(RandomResizedCrop(10, area=(1.0, 1.0), ratio=(1.0, 1.0))(x, generator()), x, atol=1e-6)


def test_areas_are_uniform_and_ratios_log_uniform_where_every_box_fits():
    # Of a large image, so that rounding to whole pixels does not show; 0.5 * 4/3 < 1.
    top, left, height, width = RandomResizedCrop(8, area=(0.1, 0.5))._boxes(4000, 900, 900, generator()).double().T
    area, ratio = height * width / 900**2, (width / height).log() / math.log(4 / 3)
    assert kstest(area.numpy(), "uniform", args=(0.1, 0.4)).pvalue > RARE
    assert kstest(ratio.numpy(), "uniform", args=(-1, 2)).pvalue > RARE
    down, right = top / (901 - height), left / (901 - width)
    for place in (down, right):
        assert is_uniform(place, 0, 1)
    for a, b in itertools.combinations((area, ratio, down, right), 2):
        assert abs(correlation(a, b)) < SIGMAS
    for draws in (area, ratio, down, right):
        assert abs(correlation(draws[1:], draws[:-1])) < SIGMAS


def test_boxes_are_distributed_as_torchvisions_those_that_do_not_fit_too():
    from torchvision.transforms import RandomResizedCrop as Peer

    ours = RandomResizedCrop(8)._boxes(3000, 60, 90, generator()).numpy()
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs = [Peer.get_params(torch.empty(3, 60, 90), [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(3000)]
    for side, column in enumerate(zip(*theirs, strict=True)):
        assert ks_2samp(ours[:, side], column).pvalue > RARE


@pytest.mark.parametrize("shape", [(40, 40), (30, 80), (80, 30)])
@pytest.mark.parametrize("ratio", [(2.0, 2.0), (0.5, 0.5), (3.0, 4.0), (1.0, 1.0)])
def test_a_box_that_never_fits_becomes_torchvisions_central_one(shape, ratio):
    from torchvision.transforms import RandomResizedCrop as Peer

    if shape == (40, 40) and ratio == (1.0, 1.0):
        return
    boxes = RandomResizedCrop(8, area=(1.0, 1.0), ratio=ratio)._boxes(2, *shape, generator()).tolist()
    expected = Peer.get_params(torch.empty(3, *shape), [1.0, 1.0], list(ratio))
    assert boxes == [list(expected)] * 2


def test_a_patch_is_a_square_of_the_image_pixel_for_pixel_at_a_uniform_place():
    n, height, width, size = 4000, 9, 12, 5
    x = torch.arange(2.0 * height * width).view(1, 2, height, width) / 1000
    patches = RandomCrop(size)(x.expand(n, -1, -1, -1), generator())
    corner = (patches[:, 0, 0, 0] * 1000).round().long()
    top, left = corner // width, corner % width
    for patch, i, j in zip(patches[:200], top, left, strict=False):
        assert torch.equal(patch, x[0, :, i : i + size, j : j + size])
    places = torch.bincount(top * (width - size + 1) + left)
    assert len(places) == (height - size + 1) * (width - size + 1)
    assert chisquare(places.numpy()).pvalue > RARE
    for a, b in ((top, left), (top[1:], top[:-1]), (left[1:], left[:-1])):
        assert abs(correlation(a, b)) < SIGMAS


def test_a_patch_as_large_as_the_image_is_the_image():
    x = noise(3, 3, 8, 8)
    assert torch.equal(RandomCrop(8)(x, generator()), x)


def test_the_flip_is_torchvisions():
    x = noise(4, 3, 7, 6)
    assert torch.equal(HorizontalFlip()(x, generator()), peer.horizontal_flip(x))


# -- colours -----------------------------------------------------------------------------------------------------------

ORDERS = list(itertools.permutations(range(4)))  # brightness, contrast, saturation, hue


@given(order=st.sampled_from(ORDERS), seed=st.integers(0, 999), channels=st.sampled_from([1, 3]))
@settings(max_examples=60, deadline=None)
def test_the_jitter_is_torchvisions_with_the_same_factors_in_the_same_order(order, seed, channels):
    x = noise(5, channels, 6, 7, seed=seed)
    x[:, :, 0] = x[:, :, 0].round()
    factors, turns = noise(5, 3, seed=seed + 1) * 2, noise(5, seed=seed + 2) - 0.5
    kinds = torch.tensor([k for k in order if k < 3]).expand(5, 3)
    drawn = (factors.gather(1, kinds), kinds, turns, torch.full((5,), order.index(3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ColourJitter, "_draw", lambda *_: drawn)
        views = ColourJitter(1.0, 1.0, 1.0, 0.5)(x, generator())
    changes = [peer.adjust_brightness, peer.adjust_contrast, peer.adjust_saturation, peer.adjust_hue]
    for image, view, factor, turn in zip(x, views, factors.tolist(), turns.tolist(), strict=True):
        for change in order:
            image = changes[change](image, (*factor, turn)[change])
        assert torch.allclose(view, image, atol=2e-5)


@given(seed=st.integers(0, 999), turn=st.floats(-0.5, 0.5))
@settings(max_examples=30, deadline=None)
def test_the_hue_turns_as_in_the_standard_library(seed, turn):
    x = noise(1, 3, 4, 5, seed=seed, dtype=torch.float64)
    x[0, :, 0] = torch.tensor(
        [[0, 1, 1, 0.5, 0.2], [0, 1, 0, 0.5, 0.7], [0, 1, 0, 0.5, 0.7]]
    )  # grey, ties, pure colours
    view = turn_hue(x, torch.tensor([turn], dtype=torch.float64))
    for pixel, turned in zip(x[0].flatten(1).T.tolist(), view[0].flatten(1).T, strict=True):
        hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
        expected = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
        assert torch.allclose(turned, torch.tensor(expected, dtype=torch.float64), atol=1e-9)


def two_tone(n: int) -> torch.Tensor:
    """Images of the two colours below, from whose changes each factor can be read."""
    return torch.tensor([[0.5, 0.3], [0.4, 0.45], [0.45, 0.5]]).view(1, 3, 1, 2).expand(n, -1, -1, -1)


def grey_of(x: torch.Tensor) -> torch.Tensor:
    return (x * torch.tensor([0.2989, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)


READ = {
    "brightness": lambda x, y: y.sum(dim=(1, 2, 3)) / x.sum(dim=(1, 2, 3)),
    "contrast": lambda x, y: (y[..., 0] - y[..., 1])[:, 0, 0] / (x[..., 0] - x[..., 1])[:, 0, 0],
    "saturation": lambda x, y: (y[:, 0] - y[:, 1])[:, 0, 0] / (x[:, 0] - x[:, 1])[:, 0, 0],
}


@pytest.mark.parametrize("name", READ)
@pytest.mark.parametrize(("strength", "low", "high"), [(0.4, 0.6, 1.4), (1.5, 0.0, 1.9)])
def test_factors_are_uniform_each_with_its_own(name, strength, low, high):
    x = two_tone(4000)
    factor = READ[name](x, ColourJitter(**{name: strength})(x, generator()))
    factor = factor[factor < high]  # above 1.9 some colours leave [0, 1] and are clamped
    assert len(factor) > 3000
    assert is_uniform(factor, low, high)
    assert abs(correlation(factor[1:], factor[:-1])) < SIGMAS


def test_turns_of_the_hue_are_uniform():
    pixel = (0.6, 0.3, 0.4)
    views = ColourJitter(hue=0.2)(torch.tensor(pixel).view(1, 3, 1, 1).expand(3000, -1, -1, -1), generator())
    hues = torch.tensor([colorsys.rgb_to_hsv(*view)[0] for view in views.flatten(1).tolist()])
    turns = (hues - colorsys.rgb_to_hsv(*pixel)[0] + 0.5) % 1 - 0.5
    assert is_uniform(turns, -0.2, 0.2)
    assert abs(correlation(turns[1:], turns[:-1])) < SIGMAS


def test_all_orders_of_the_jitter_are_equally_likely_and_no_draw_depends_on_another():
    n = 6000
    factors, kinds, turns, turn_at = ColourJitter(0.4, 0.4, 0.4, 0.1)._draw(n, generator())
    orders = []
    for order, at in zip(kinds.tolist(), turn_at.tolist(), strict=True):
        order.insert(at, 3)
        orders.append(tuple(order))
    assert chisquare([orders.count(order) for order in ORDERS]).pvalue > RARE
    columns = [*factors.gather(1, kinds.argsort(dim=1)).T, turns, turn_at.float()]
    for a, b in itertools.combinations(columns, 2):
        assert abs(correlation(a, b)) < SIGMAS


def test_grey_is_torchvisions():
    x = noise(4, 3, 6, 7)
    assert torch.allclose(Grey()(x, generator()), peer.rgb_to_grayscale(x, num_output_channels=3), atol=1e-6)


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 1.0])
def test_solarisation_is_torchvisions(threshold):
    x = noise(4, 3, 6, 7)
    x[:, :, 0, 0] = threshold
    assert torch.equal(Solarize(threshold)(x, generator()), peer.solarize(x, threshold))


# -- filters -----------------------------------------------------------------------------------------------------------


@given(sigma=st.floats(0.1, 3.0), radius=st.integers(1, 4), height=st.integers(5, 9), width=st.integers(5, 9))
@settings(max_examples=40, deadline=None)
def test_the_blur_is_torchvisions_of_the_same_width(sigma, radius, height, width):
    x = noise(3, 2, height, width)
    view = GaussianBlur(radius, sigma=(sigma, sigma))(x, generator())
    assert torch.allclose(view, peer.gaussian_blur(x, [2 * radius + 1] * 2, [sigma] * 2), atol=1e-5)


def test_widths_of_the_blur_are_uniform():
    point = torch.zeros(1, 1, 5, 5)
    point[..., 2, 2] = 1.0
    views = GaussianBlur(1, sigma=(0.5, 2.0))(point.expand(3000, -1, -1, -1), generator()).double()
    middle, beside = views[:, 0, 2, 2], views[:, 0, 1, 2]
    assert is_uniform((-1 / (2 * (beside / middle).log())).sqrt(), 0.5, 2.0)


def test_sobel_is_kornias():
    kornia = pytest.importorskip("kornia")
    x = noise(3, 3, 8, 9)
    assert torch.allclose(Sobel()(x, generator()), kornia.filters.sobel(x, eps=1e-12), atol=1e-5)


def test_no_edge_is_stronger_than_it_is_said():
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 9).view(
        -1, 1, 3, 3
    )  # a convex function is largest there
    edges = Sobel()(corners, generator())[:, 0, 1, 1]
    assert edges.max().item() == pytest.approx(math.sqrt(20) / 8)


# -- several views -----------------------------------------------------------------------------------------------------


def test_compose_is_one_after_the_other_and_nothing_is_no_change():
    x = noise(4, 3, 9, 9)
    one, two = RandomCrop(6), Solarize(p=0.5)
    rest = generator(3)
    assert torch.equal(Compose((one, two))(x, generator(3)), two(one(x, rest), rest))
    assert torch.equal(Compose(())(x, generator()), x)


@pytest.mark.parametrize("name", sorted(PRESETS.keys() - {"none"}))
@pytest.mark.parametrize("size", [8, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_presets_give_their_views(name, size, channels):
    x = noise(3, channels, size, size)
    side = size // 2 if name == "patches" else size
    for n_views in (2, 5):
        views = draw_views(x, preset(name, size, n_views), generator())
        assert [view.shape for view in views] == [(3, channels, side, side)] * n_views
        assert len(torch.stack(views).flatten(2).flatten(0, 1).unique(dim=0)) == 3 * n_views
        assert all(view.min() >= 0 and view.max() <= 1 for view in views)


def test_without_augmentation_a_view_is_the_image():
    x = noise(3, 3, 8, 8)
    (view,) = draw_views(x, preset("none", 8, 1), generator())
    assert torch.equal(view, x)


def test_a_row_of_every_view_is_of_the_same_image():
    x = torch.linspace(0, 1, 7).view(7, 1, 1, 1).expand(-1, 3, 12, 12)
    crop, small = RandomResizedCrop(12), RandomCrop(5)
    for view in draw_views(x, (crop, crop, small, small, small, crop), generator()):
        assert torch.allclose(view[:, :, :5, :5], x[:, :, :5, :5], atol=1e-6)


def test_views_of_an_image_do_not_depend_on_each_other():
    x = torch.arange(81.0).view(1, 1, 9, 9).expand(3000, -1, -1, -1) / 100
    corners = [view[:, 0, 0, 0] for view in draw_views(x, (RandomCrop(3),) * 3, generator())]
    for a, b in itertools.combinations(corners, 2):
        assert abs(correlation(a, b)) < SIGMAS


def test_barlow_blurs_the_first_view_and_solarises_the_second():
    first, second, third, fourth = preset("barlow", 32, 4)
    chance = lambda view: {step.name: getattr(step, "p", 1.0) for step in view.steps}  # noqa: E731
    both = {"crop": 1.0, "flip": 0.5, "colour": 0.8, "grey": 0.2}
    assert chance(first) == {**both, "blur": 1.0}
    assert chance(second) == {**both, "blur": 0.1, "solarize": 0.2}
    assert (third, fourth) == (first, second)


def test_patches_are_a_quarter_of_the_area():
    assert preset("patches", 64)[0].steps[0] == RandomCrop(32)
    boxes = preset("patches-enlarged", 64)[0].steps[0]._boxes(50, 64, 64, generator())
    assert (boxes[:, 2:] == 32).all()
    assert len(boxes.unique(dim=0)) > 30


def test_without_takes_one_augmentation_out_of_every_view_that_has_it():
    views = preset("barlow", 32)
    names = lambda views: [[step.name for step in view.steps] for view in views]  # noqa: E731
    assert names(without(views, "grey")) == [
        ["crop", "flip", "colour", "blur"],
        ["crop", "flip", "colour", "blur", "solarize"],
    ]
    assert names(without(without(views, "solarize"), "blur")) == [["crop", "flip", "colour", "grey"]] * 2
    with pytest.raises(ReplearnError, match="unknown augmentation 'gray'; did you mean 'grey'"):
        without(views, "gray")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("simlcr", 32), "unknown preset 'simlcr'; did you mean 'simclr'"),
        (("d1", 7), "image_size: expected 8 or more pixels, got 7"),
        (("d1", 32, 0), "n_views: expected 1 or more, got 0"),
    ],
)
def test_presets_that_are_none_are_refused(arguments, message):
    with pytest.raises(ReplearnError, match=message):
        preset(*arguments)
