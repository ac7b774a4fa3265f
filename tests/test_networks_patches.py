"""Encoders of patches: filters that whiten, the net by hand, and the mean over a grid against an explicit loop."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from replearn_course.data import RandomResizedCrop
from replearn_course.errors import ReplearnError
from replearn_course.networks import (
    Joined,
    PatchAverage,
    PatchNet,
    Pixels,
    Resized,
    count_parameters,
    whitening_filters,
)


def pictures(n: int, side: int = 16, channels: int = 3, seed: int = 0) -> torch.Tensor:
    """Correlated pixels, as natural images have: blurred noise in float64, with its channels mixed."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, channels, side + 2, side + 2, generator=generator, dtype=torch.float64)
    x = nn.functional.avg_pool2d(noise, 3, stride=1)
    return x + 0.5 * x.mean(1, keepdim=True) + 0.3


# -- whitening ---------------------------------------------------------------------------------------------------------


def patches_by_loop(images: torch.Tensor, size: int) -> torch.Tensor:
    n, _, height, width = images.shape
    return torch.stack(
        [
            images[i, :, r : r + size, c : c + size].flatten()
            for i in range(n)
            for r in range(height - size + 1)
            for c in range(width - size + 1)
        ]
    )


@pytest.mark.parametrize(("channels", "size"), [(3, 2), (1, 3)])
def test_responses_of_whitening_filters_have_the_identity_as_second_moments(channels, size):
    x = pictures(300, 7, channels)  # more than one batch of the covariance
    filters = whitening_filters(x, size, eps=0.0)
    assert filters.shape == (channels * size**2, channels, size, size)
    responses = patches_by_loop(x, size) @ filters.flatten(1).T
    assert torch.allclose(responses.T @ responses / len(responses), torch.eye(len(filters)).double(), atol=1e-9)
    assert torch.allclose(nn.functional.conv2d(x, filters).square().mean((0, 2, 3)), torch.ones(len(filters)).double())


def test_filters_stand_in_the_order_of_variance_and_eps_tames_the_small_ones():
    x = pictures(50, 8)
    plain, tamed = whitening_filters(x, eps=0.0).flatten(1), whitening_filters(x, eps=0.01).flatten(1)
    variances = plain.norm(dim=1) ** -2  # a filter is a unit vector over the deviation
    assert (variances.diff() < 0).all()
    assert torch.allclose(tamed.norm(dim=1) ** -2, variances + 0.01)


def test_whitening_says_what_it_cannot_take():
    for images in (torch.rand(3, 8, 8), torch.rand(0, 3, 8, 8), torch.rand(2, 3, 1, 8), torch.zeros(2, 3, 8, 8).byte()):
        with pytest.raises(ReplearnError, match=r"images: expected floating \(N, C, H, W\) with sides from 2 up, got"):
            whitening_filters(images)


# -- the net -----------------------------------------------------------------------------------------------------------


def test_patch_net_by_hand():
    net = PatchNet((5, 7), channels=2, size=3)
    filters = 2 * 2 * 9
    assert count_parameters(net) == filters + 9 * (filters * 5 + 5 * 7) + 2 * (
        5 + 7
    )  # the filters' biases, not the filters
    assert net.embedding_size == 7
    assert net(torch.rand(3, 2, 6, 6)).shape == (3, 7)
    assert net(torch.rand(3, 2, 18, 11)).shape == (3, 7)


@pytest.mark.parametrize("joined", [1, 2])
def test_patch_net_layer_by_layer(joined):
    net = PatchNet((4, 6), joined=joined).double().eval()
    images = pictures(200, 9).clamp(0, 1)
    net.fit_whitening(images)
    x = (images[:3] - 0.5) / 0.25
    w = whitening_filters((images - 0.5) / 0.25)
    h = nn.functional.conv2d(x, torch.cat([w, -w]), net.trunk[0].bias).relu()  # (3, 24, 8, 8)
    means = []
    for layer in [m for m in net.modules() if isinstance(m, nn.Conv2d)][1:]:
        norm = next(m for m in net.modules() if isinstance(m, nn.BatchNorm2d) and m.num_features == layer.out_channels)
        norm.running_mean.normal_()
        h = norm(
            nn.functional.conv2d(h, layer.weight, padding=1)
        ).relu()  # the maximum after batch norm of scale 1 and ReLU
        h = h.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
        means.append(h.mean((2, 3)))
    assert h.shape == (3, 6, 2, 2)
    assert torch.allclose(net(images[:3]), torch.cat(means[-joined:], dim=1))
    assert net.embedding_size == 6 + 4 * (joined == 2)


def test_training_leaves_the_whitening_filters_alone():
    net = PatchNet((4,))
    net.fit_whitening(torch.rand(20, 3, 8, 8))
    net(torch.rand(5, 3, 5, 5)).square().sum().backward()
    assert net.trunk[0].weight.grad is None
    assert net.trunk[0].bias.grad.any()


def test_patch_net_says_what_it_cannot_take():
    for arguments in ({"widths": ()}, {"widths": (4, 0)}, {"channels": 0}, {"size": 0}):
        with pytest.raises(ReplearnError, match="widths, channels and size: expected numbers from 1 up"):
            PatchNet(**arguments)
    with pytest.raises(ReplearnError, match="images: expected sides from 5 pixels up"):
        PatchNet((4, 6))(torch.rand(2, 3, 4, 4))
    for joined in (0, 3):
        with pytest.raises(ReplearnError, match=f"joined: expected 1 to 2, the layers after the first, got {joined}"):
            PatchNet((4, 6), joined=joined)


# -- the mean over a grid ----------------------------------------------------------------------------------------------


class Fingerprint(nn.Module):
    """Not linear and not symmetric, so that each patch, row, column and mirror image counts."""

    embedding_size = 2

    def __init__(self, patch: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(2.0 * patch**2).reshape(2, patch, patch).double().sin())

    def forward(self, x):
        return torch.einsum("nchw,dhw->nd", x, self.weight).tanh()


def _part(places, i, parts):
    """Those of part i: where the number is no multiple, the places between two parts are of both."""
    return places[i * len(places) // parts : math.ceil((i + 1) * len(places) / parts)]


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(3, 8),
    width=st.integers(3, 8),
    patch=st.integers(1, 3),
    stride=st.integers(1, 4),
    flip=st.booleans(),
    parts=st.integers(1, 3),
)
def test_patch_average_is_the_mean_over_an_explicit_loop(height, width, patch, stride, flip, parts):
    x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    encoder = Fingerprint(patch)
    rows, columns = (_places(side - patch, stride) for side in (height, width))
    means = []
    for i, j in itertools.product(range(parts), range(parts)):
        seen = []
        for row, column in itertools.product(_part(rows, i, parts), _part(columns, j, parts)):
            for view in (x, x.flip(3)) if flip else (x,):
                seen.append(encoder(view[:, :, row : row + patch, column : column + patch]))
        means.append(torch.stack(seen).mean(0))
    expected = torch.stack(means, dim=2).flatten(1)  # all parts of a dimension, then the next
    average = PatchAverage(encoder, patch, stride, flip, parts)
    z = average(x)
    assert z.shape[1] == average.embedding_size
    assert torch.allclose(z, expected)
    (gradient,) = torch.autograd.grad(z.square().sum(), encoder.weight)
    (by_loop,) = torch.autograd.grad(expected.square().sum(), encoder.weight)
    assert torch.allclose(gradient, by_loop)


def _places(last, stride):
    """The fewest places from 0 to ``last`` with no two further apart than ``stride``, found by trying."""
    for n in itertools.count(1):
        places = np.linspace(0, last, n).round().astype(int).tolist()
        if places[-1] == last and np.diff(places).max(initial=0) <= stride:
            return places


def test_patches_reach_every_edge():
    """A grid of every second place, from the left upper corner on, would leave out what stands below and to the right."""
    x = torch.zeros(1, 3, 8, 8, dtype=torch.float64)
    x[:, :, 7, 7] = 1
    average = PatchAverage(Fingerprint(3), 3, 2)
    assert not torch.allclose(average(x), average(torch.zeros_like(x)))


def test_joined_representations_stand_one_after_the_other():
    x = pictures(3, 4)
    one, two = Pixels(48), Fingerprint(4)
    joined = Joined(one, PatchAverage(two, 4, 1))
    assert joined.embedding_size == 48 + 2
    assert torch.equal(joined(x), torch.cat([x.flatten(1), two(x)], dim=1))


def test_an_image_of_one_patch_is_embedded_as_the_encoder_does():
    x = pictures(3, 4)
    average = PatchAverage(Fingerprint(4), 4, 1)
    assert average.embedding_size == 2
    assert torch.equal(average(x), average.encoder(x))


def test_flip_makes_an_image_and_its_mirror_image_equal():
    x = pictures(3, 7)
    assert torch.allclose(
        PatchAverage(Fingerprint(3), 3, 2, True)(x), PatchAverage(Fingerprint(3), 3, 2, True)(x.flip(3))
    )
    assert not torch.allclose(PatchAverage(Fingerprint(3), 3, 2)(x), PatchAverage(Fingerprint(3), 3, 2)(x.flip(3)))


@pytest.mark.parametrize("size", [3, 4, 6, 8])
def test_patches_are_resized_as_the_views_are_that_an_encoder_was_trained_on(size):
    x = pictures(3, 7).clamp(0, 1)
    crop = RandomResizedCrop(size, (1.0, 1.0), (1.0, 1.0))
    encoder = Fingerprint(size)
    places = itertools.product((0, 3), (0, 3))
    seen = [encoder(crop(x[:, :, row : row + 4, column : column + 4], torch.Generator())) for row, column in places]
    assert torch.allclose(PatchAverage(Resized(encoder, size), 4, 3)(x), torch.stack(seen).mean(0))


def test_a_side_of_no_pixels_is_refused():
    with pytest.raises(ReplearnError, match="size: expected 1 or more pixels, got 0"):
        Resized(Fingerprint(4), 0)


def test_patch_average_says_what_it_cannot_take():
    with pytest.raises(ReplearnError, match="patch, stride and parts: expected numbers from 1 up, got 4, 0 and 1"):
        PatchAverage(Fingerprint(4), 4, 0)
    with pytest.raises(ReplearnError, match="got 4, 2 and 0"):
        PatchAverage(Fingerprint(4), 4, 2, parts=0)
    for images in (torch.rand(3, 4, 4), torch.rand(1, 3, 4, 3)):
        with pytest.raises(ReplearnError, match=r"images: expected \(N, C, H, W\) with sides from 4, the patch, up"):
            PatchAverage(Fingerprint(4), 4, 1)(images)
