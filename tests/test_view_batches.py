"""Batches of views: each image once an epoch, all views of a row of one image, and the same ones wherever an epoch goes on."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from replearn_course.data import Compose, HorizontalFlip, ImageSet, RandomCrop, ViewBatches
from replearn_course.data.views import Transform
from replearn_course.errors import ReplearnError


@dataclass(frozen=True)
class Marked(Transform):
    """The number of an image, which is its first pixel, the view's own mark and the draw of the image."""

    name = "marked"
    mark: float = 0.0

    def view(self, images, generator):
        draws = torch.rand(len(images), generator=generator)
        number = images[:, 0, 0, 0] * 255
        return torch.stack([number, torch.full_like(number, self.mark), draws], dim=1)[:, :, None, None]


def numbered(n, classes=3):
    """Images whose pixels are their number."""
    pixels = torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 1, 4, 4)
    return ImageSet("numbered", pixels, torch.arange(n) % classes, tuple(map(str, range(classes))))


def read(view):
    """Numbers, marks and draws."""
    return view[:, 0, 0, 0].round().long(), view[:, 1, 0, 0], view[:, 2, 0, 0]


@given(
    n=st.integers(1, 40), batch=st.integers(1, 40), drop=st.booleans(), epoch=st.integers(0, 3), labels=st.booleans()
)
@settings(max_examples=40, deadline=None)
def test_an_epoch_holds_each_image_once_with_its_label(n, batch, drop, epoch, labels):
    if drop and n < batch:
        return
    views = [Marked(0.0), Marked(1.0), Marked(2.0)]
    batches = ViewBatches(numbered(n), batch, views, seed=5, labels=labels, drop_last=drop)
    whole = list(batches.epoch(epoch))
    joined = not drop and n > batch and n % batch == 1  # a single image joins the batch before
    assert len(whole) == len(batches) == (n // batch if drop else -(-n // batch) - joined)
    seen = []
    for got in whole:
        assert len(got) == 3 + labels
        numbers, _, _ = read(got[0])
        for mark, view in enumerate(got[:3]):
            assert torch.equal(read(view)[0], numbers)
            assert (read(view)[1] == mark).all()
        if labels:
            assert torch.equal(got[3], numbers % 3)
        seen += numbers.tolist()
        assert len(numbers) == batch or not drop
        assert len(numbers) > 1 or n == 1 or batch == 1
    assert len(set(seen)) == len(seen) == (n // batch * batch if drop else n)


def test_views_of_unequal_shape_are_refused():
    batches = ViewBatches(numbered(8), 4, [RandomCrop(2), RandomCrop(3)])
    with pytest.raises(ReplearnError, match=r"views: expected all of one shape, got \(1, 2, 2\) and \(1, 3, 3\)"):
        next(batches.epoch(0))


def test_the_order_is_random_by_seed_and_epoch_and_other_images_are_left_out():
    def order(seed=0, epoch=0):
        batches = ViewBatches(numbered(50), 8, [Marked()], seed=seed)
        return torch.cat([read(view)[0] for (view,) in batches.epoch(epoch)]).tolist()

    orders = [order(), order(seed=1), order(epoch=1)]
    assert order() == orders[0]
    assert len({tuple(o) for o in [*orders, sorted(orders[0])]}) == 4
    left_out = [set(range(50)) - set(o) for o in orders]
    assert [len(out) for out in left_out] == [2, 2, 2]
    assert left_out[0] != left_out[2]


def test_draws_are_independent_between_images_views_steps_and_epochs():
    batches = ViewBatches(numbered(24), 8, [Marked(), Marked(), Marked(1.0)], seed=3)
    draws = torch.cat([read(view)[2] for epoch in range(2) for got in batches.epoch(epoch) for view in got])
    assert len(draws.unique()) == len(draws) == 2 * 3 * 3 * 8


@pytest.mark.parametrize("labels", [False, True])
def test_an_epoch_goes_on_where_it_was_cut_off(labels):
    views = [Compose((RandomCrop(3), HorizontalFlip())), Marked()]
    batches = ViewBatches(numbered(30), 7, [views[0]] * 2, seed=3, labels=labels, drop_last=False)
    whole = list(batches.epoch(2))
    assert len(whole) == 5
    assert whole[0][0].shape == (7, 1, 3, 3)
    for start in range(6):
        tail = list(batches.epoch(2, start=start))
        assert len(tail) == 5 - start
        for ours, theirs in zip(tail, whole[start:], strict=True):
            assert all(torch.equal(x, y) for x, y in zip(ours, theirs, strict=True))


def test_views_are_floats_in_the_range_of_images():
    ((view,),) = ViewBatches(numbered(8), 8, [Compose(())]).epoch(0)
    assert view.dtype == torch.float32
    assert view.amax() == pytest.approx(7 / 255)


@pytest.mark.parametrize(
    ("n", "batch", "views", "message"),
    [
        (5, 2, [], "views: expected a transform for each view, got none"),
        (5, 0, [Marked()], "batch_size: expected a whole number from 1 up, got 0"),
        (5, 6, [Marked()], "batch_size: expected at most the 5 images that there are, got 6"),
    ],
)
def test_what_makes_no_batch_is_said(n, batch, views, message):
    with pytest.raises(ReplearnError, match=message):
        ViewBatches(numbered(n), batch, views)
