"""Checks of the exercises of chapter 8, Contrastive learning."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from replearn_course.checks.core import (
    Cost,
    Student,
    Wrong,
    checks,
    expect,
    gradient,
    no_loop,
    normal,
    returned_tensor,
    rng,
    seeded,
    tensor,
    unpack,
)

# two_views: the left half of every image is brighter than the right, so that a view tells how it was made.

_STRENGTH = 0.5


def _images(n: int) -> Tensor:
    """Images (n, 3, 4, 6), all values different and so small that none is cut."""
    values = torch.rand(n, 3, 4, 6, generator=rng(0)) / 30 + 0.06
    values[..., :3] += 0.1
    return values


def _views(student: Student, images: Tensor, generator: torch.Generator) -> Tensor:
    """Call the student with a copy of the images and take two views of each back."""
    got = student(images.clone(), _STRENGTH, generator)
    views = returned_tensor(got, images.expand(2, *images.shape))
    if views.shape != (2, *images.shape):
        raise Wrong(
            f"expected shape {(2, *images.shape)}, got shape {tuple(views.shape)}", "two views of each image: (2, N, …)"
        )
    return views


def _draws(views: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Tell from the views (2, N, C, H, W) which are mirrored, and the factor of each: two tensors (2, N)."""
    left, right = views[..., :3].sum((2, 3, 4)), views[..., 3:].sum((2, 3, 4))
    return left < right, (left + right) / images.sum((1, 2, 3))


@checks("ch08.two_views", hint="each view is its image, mirrored left to right or not, times one factor")
def each_view_is_made_of_its_image(student: Student) -> None:
    images = _images(40)
    views = _views(student, images, rng(1))
    mirrored, factor = _draws(views, images)
    made = torch.where(mirrored[..., None, None, None], images.flip(3), images) * factor[..., None, None, None]
    off = ((views - made).abs() > 1e-4).flatten(2).any(2)
    if off.any():
        v, i = off.nonzero()[0].tolist()
        raise Wrong(
            f"view {v} of image {i} is not that image times a factor, mirrored or not", _made_of(views[v, i], images, i)
        )
    far = (factor - 1).abs() > _STRENGTH + 1e-4
    if far.any():
        raise Wrong(
            f"strength={_STRENGTH}, but one factor is {float(factor[far][0]):.3f}",
            "the factor is drawn uniformly from 1 - strength to 1 + strength, it never lies beyond",
        )


def _made_of(view: Tensor, images: Tensor, i: int) -> str:
    """Recognise how a view (C, H, W) went wrong."""

    def scaled(image: Tensor) -> bool:
        ratio = view / image
        return bool((ratio - ratio.mean()).abs().max() < 1e-4)

    image = images[i]
    if scaled(image.flip(1)) or scaled(image.flip(1, 2)):
        return "mirrored top to bottom: left and right are the ends of the last axis"
    if scaled(image.flip(0)) or scaled(image.flip(0, 2)):
        return "the channels are reversed: left and right are the ends of the last axis"
    if any(scaled(other) or scaled(other.flip(2)) for other in images):
        return "this shows another image of the batch: flip the last axis, and stack the views along a new first axis"
    shift = torch.stack([view - image, view - image.flip(2)])
    if float((shift - shift.mean((1, 2, 3), keepdim=True)).abs().amax((1, 2, 3)).min()) < 1e-4:
        return "something is added: the brightness is multiplied by a factor"
    return "one factor for the whole image: all its pixels and channels share it, shape (2, N, 1, 1, 1)"


@checks("ch08.two_views", hint="one draw for the whole batch: each image needs its own, shape (2, N, 1, 1, 1)")
def each_image_has_its_own_draw(student: Student) -> None:
    images = _images(1).expand(40, -1, -1, -1)
    for v, (mirrored, factor) in enumerate(zip(*_draws(_views(student, images, rng(2)), images), strict=True)):
        if not mirrored.any() and float((factor - 1).abs().max()) < 1e-4:
            raise Wrong(f"view {v} is the image itself, 40 times", "both views are drawn: neither is the image itself")
        if bool(mirrored.all()) or not mirrored.any():
            raise Wrong(f"in view {v} {'all' if mirrored.any() else 'none'} of 40 equal images are mirrored")
        if float(factor.max() - factor.min()) < 1e-4:
            raise Wrong(f"in view {v} all 40 equal images have the factor {float(factor[0]):.3f}")


@checks("ch08.two_views", hint="both views share a draw: each view needs its own, shape (2, N, 1, 1, 1)")
def each_view_has_its_own_draw(student: Student) -> None:
    images = _images(40)
    mirrored, factor = _draws(_views(student, images, rng(13)), images)
    if bool((mirrored[0] == mirrored[1]).all()):
        raise Wrong("the first view is mirrored just where the second is, in all of 40 images")
    if bool((mirrored[0] != mirrored[1]).all()):
        raise Wrong("the first view is mirrored just where the second is not, in all of 40 images")
    if float((factor[0] - factor[1]).abs().max()) < 1e-4:
        raise Wrong("the factors of both views are equal, in all of 40 images")


@checks("ch08.two_views", hint="half of the views are mirrored, and all factors from 1 - s to 1 + s come equally often")
def how_often_and_how_far(student: Student) -> None:
    images, generator = _images(1), rng(4)
    drawn = [_draws(_views(student, images, generator), images) for _ in range(400)]
    mirrored, factor = torch.cat([m for m, _ in drawn]).double(), torch.cat([f for _, f in drawn]).double()
    if not 0.4 < float(mirrored.mean()) < 0.6:
        raise Wrong(f"{int(mirrored.sum())} of 800 views are mirrored", "each view is mirrored with probability ½")
    if _gap(factor, lambda f: (f - 1 + _STRENGTH) / (2 * _STRENGTH)) > 0.08:
        low, high = factor.min(), factor.max()
        hint = ""
        if low > 1 - 1e-4 or high < 1 + 1e-4:
            hint = "the factor goes to one side only: from 1 - strength to 1 + strength"
        raise Wrong(
            f"strength={_STRENGTH}: 800 factors lie between {low:.3f} and {high:.3f}, with the mean "
            f"{float(factor.mean()):.3f}; expected uniform from {1 - _STRENGTH} to {1 + _STRENGTH}",
            hint,
        )
    with_mirror, without = float(factor[mirrored > 0].mean()), float(factor[mirrored == 0].mean())
    if abs(with_mirror - without) > 0.1:
        raise Wrong(
            f"the mean factor of the mirrored views is {with_mirror:.3f}, that of the others {without:.3f}",
            "mirroring and brightness share a draw: each has its own",
        )


def _gap(samples: Tensor, distribution: Callable[[Tensor], Tensor]) -> float:
    """Return the largest difference between the distribution of samples and a distribution function."""
    ordered = samples.flatten().sort().values
    steps = torch.arange(1, len(ordered) + 1) / len(ordered)
    return float((distribution(ordered).clamp(0, 1) - steps).abs().max())


@checks("ch08.two_views", hint="values above 1 are cut to 1, by clamp: images live between 0 and 1")
def values_stay_in_the_range(student: Student) -> None:
    images = torch.tensor([0.2, 0.9]).repeat_interleave(3).expand(40, 3, 4, 6)
    views = _views(student, images, rng(5))
    if float(views.max()) > 1:
        raise Wrong(f"a view holds the value {float(views.max()):.3f}")
    dark, bright = views.amin((2, 3, 4)), views.amax((2, 3, 4))
    cut = dark[bright > 1 - 1e-4]
    if len(cut) and float((cut - 0.2 / 0.9).abs().max()) < 1e-4:
        raise Wrong(
            f"wherever 0.9 became 1, 0.2 became {float(cut[0]):.3f}, in all of {len(cut)} views",
            "only the values above 1 are cut to 1: the others keep their factor",
        )


@checks("ch08.two_views", hint="all chance must come from the generator")
def the_generator_decides(student: Student) -> None:
    images = _images(10)
    once, again, other = (_views(student, images, rng(seed)) for seed in (6, 6, 7))
    seeded(once, again, other)


@checks("ch08.two_views", hint="the images were changed: mul_, clamp_ and images[mask] = ... write into them")
def images_stay_as_they_are(student: Student) -> None:
    images = _images(10)
    student(images, _STRENGTH, rng(8))
    if not images.equal(_images(10)):
        raise Wrong("the images that came in are not what they were before the call")


# momentum_update


def _encoders() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    key = {"weight": tensor([[1, -2], [4, 8]]), "bias": tensor([10, 20]), "batches": torch.tensor(40)}
    query = {"weight": tensor([[5, 2], [0, 4]]), "bias": tensor([30, -20]), "batches": torch.tensor(50)}
    return key, query


def _update(student: Student, key: dict[str, Tensor], query: dict[str, Tensor]) -> dict[str, Tensor]:
    got = student(key, query, 0.75)
    if not isinstance(got, dict):
        came = "None" if got is None else type(got).__name__
        hint = "the function returns nothing: is a `return` missing?" if got is None else "return a dictionary"
        raise Wrong(f"expected a dict of tensors, got {came}", hint)
    if set(got) != set(key):
        raise Wrong(f"expected the names {sorted(key)}, got {sorted(map(str, got))}", "every name comes back")
    return got


@checks("ch08.momentum_update", hint="momentum * key + (1 - momentum) * query, for each tensor")
def a_step_toward_the_query_encoder(student: Student) -> None:
    key, query = _encoders()
    got = _update(student, *_encoders())
    for name in ("weight", "bias"):
        k, q = key[name], query[name]
        expect(
            got[name],
            0.75 * k + 0.25 * q,
            {
                "the roles are swapped: the key encoder keeps the share momentum of itself": 0.75 * q + 0.25 * k,
                "this is the query encoder: the key encoder only moves toward it": q,
                "nothing moved: the result is the key encoder as it was": k,
                "momentum is an argument: use it, not a number": 0.999 * k + 0.001 * q,
                "this is no average: the shares momentum and 1 - momentum add up to 1": 0.75 * k + q,
                "the sign is wrong: this moves away from the query encoder": k - 0.25 * (q - k),
                "this is the momentum of an optimiser: average the two encoders instead": 0.75 * k + 0.25 * (q - k),
            },
        )


@checks("ch08.momentum_update", hint="whole numbers, such as a count of batches, are copied from the query encoder")
def whole_numbers_are_copied(student: Student) -> None:
    key, query = _encoders()
    got = _update(student, key, query)["batches"]
    kept = "the count is that of the key encoder: copy the query encoder's"
    expect(got, torch.tensor(50), {kept: torch.tensor(40)})
    if not (isinstance(got, Tensor) and got.dtype == torch.int64):
        raise Wrong(f"expected an integer tensor, got {got.dtype if isinstance(got, Tensor) else type(got).__name__}")
    if got.untyped_storage().data_ptr() == query["batches"].untyped_storage().data_ptr():
        raise Wrong(
            "batches of the result is the tensor of the query encoder itself",
            "no copy: what the query encoder counts from now on would be counted here too. clone() makes a copy",
        )


@checks(
    "ch08.momentum_update",
    hint="the result still hangs on the graph: the key encoder is not trained. detach(), or torch.no_grad()",
)
def no_gradient(student: Student) -> None:
    encoders = [{n: t.requires_grad_(t.is_floating_point()) for n, t in e.items()} for e in _encoders()]
    for name, value in _update(student, *encoders).items():
        if isinstance(value, Tensor) and value.requires_grad:
            raise Wrong(f"{name} of the result requires a gradient")


@checks(
    "ch08.momentum_update",
    hint="an encoder was changed in place: mul_, add_, lerp_ and += write into the tensor itself, detached or not",
)
def both_encoders_stay_as_they_are(student: Student) -> None:
    encoders = _encoders()
    _update(student, *encoders)
    for whose, now, before in zip(("key", "query"), encoders, _encoders(), strict=True):
        for name, value in before.items():
            if name not in now or not now[name].equal(value):
                raise Wrong(f"{name} of the {whose} encoder is not what it was before the call")


# crop_boxes: with these ranges no side is cut, and the ratio tells width from height.

_SIZE, _BOXES = 50, 4000
_AREA, _RATIO = (0.05, 0.2), (0.5, 1.0)
_UNLIKE = 0.04  # a gap that 4000 right draws exceed with probability below 1e-5


def _boxes(student: Student, seed: int, area: tuple[float, float] = _AREA, ratio: tuple[float, float] = _RATIO) -> Any:
    got = student(_BOXES, _SIZE, rng(seed), area=area, ratio=ratio)
    boxes = returned_tensor(got, torch.zeros(_BOXES, 4))
    if boxes.shape != (_BOXES, 4):
        raise Wrong(
            f"expected shape {(_BOXES, 4)}, got shape {tuple(boxes.shape)}",
            "one row for each box: top, left, height, width",
        )
    return boxes.double().unbind(dim=1)


def _uniform(low: float, high: float) -> Callable[[Tensor], Tensor]:
    return lambda x: (x - low) / (high - low)


@checks("ch08.crop_boxes", hint="the area of a box, as a share of size², is uniform between the two values of area")
def areas(student: Student) -> None:
    _, _, height, width = _boxes(student, seed=0)
    if float((height - height.round()).abs().max()) < 1e-6:
        raise Wrong("all heights are whole numbers", "the sides are rounded: boxes are real numbers")
    share = height * width / _SIZE**2
    if _gap(share, _uniform(*_AREA)) < _UNLIKE:
        return
    low, high = _AREA
    side = share.clamp(min=0).sqrt()
    hint = ""
    if float(share.max() - share.min()) < 1e-6:
        hint = "all boxes have one area: each has its own draw"
    elif _gap(side, _uniform(low, high)) < _UNLIKE:
        hint = "the side is a share of the image's, but area speaks of areas: the side is its root"
    elif _gap(side, _uniform(low**0.5, high**0.5)) < _UNLIKE:
        hint = "the side is uniform: the area should be, so draw it first and take the root then"
    raise Wrong(
        f"area={_AREA}: the areas of {_BOXES} boxes are between {share.min():.3f} and {share.max():.3f} of the image, "
        f"with the mean {share.mean():.3f}; expected uniform, with the mean {sum(_AREA) / 2}",
        hint,
    )


@checks("ch08.crop_boxes", hint="the logarithm of width over height is uniform between those of the two ratios")
def ratios(student: Student) -> None:
    _, _, height, width = _boxes(student, seed=1)
    ratio = width / height
    low, high = _RATIO
    if _gap(ratio.log(), _uniform(math.log(low), math.log(high))) < _UNLIKE:
        alike = float(torch.corrcoef(torch.stack([height * width, ratio.log()]))[0, 1])
        if abs(alike) > 0.1:
            raise Wrong(
                f"the area and the logarithm of the ratio have the correlation {alike:.2f}",
                "area and ratio share a draw: each has its own",
            )
        return
    hint = ""
    if float(ratio.max() - ratio.min()) < 1e-6:
        hint = "all boxes have one ratio: each has its own draw"
    elif _gap(ratio, _uniform(low, high)) < _UNLIKE:
        hint = "the ratio is uniform: its logarithm should be. Draw between the logarithms, then exp()"
    elif _gap(-ratio.log(), _uniform(math.log(low), math.log(high))) < _UNLIKE:
        hint = "width and height are swapped: the ratio is width over height, and a row is top, left, height, width"
    elif _gap(ratio.log() / 2, _uniform(math.log(low), math.log(high))) < _UNLIKE:
        hint = "this is the square of the ratio: width = sqrt(area · ratio), height = sqrt(area / ratio)"
    raise Wrong(
        f"ratio={_RATIO}: width over height of {_BOXES} boxes is between {ratio.min():.3f} and {ratio.max():.3f}, with "
        f"the median {ratio.median():.3f}; expected {low} to {high} and the median {math.sqrt(low * high):.3f}",
        hint,
    )


@checks("ch08.crop_boxes", hint="top is uniform from 0 to size - height, left from 0 to size - width")
def places(student: Student) -> None:
    top, left, height, width = _boxes(student, seed=2)
    found = {"top": top / (_SIZE - height), "left": left / (_SIZE - width)}  # from 0 to 1
    for name, place in found.items():
        if _gap(place, _uniform(0, 1)) < _UNLIKE:
            continue
        hint = ""
        if float(place.max() - place.min()) < 1e-6:
            hint = "all boxes stand at one place, at a corner or in the middle: draw it"
        elif float((place >= 1 - 1e-6).double().mean()) > 0.02:
            hint = "boxes pile up at the edge, or reach over it: draw between 0 and the place that is left, do not push"
        raise Wrong(
            f"{name}: 0 is one edge and 1 the other; the {_BOXES} boxes are between {place.min():.3f} and "
            f"{place.max():.3f}, with the mean {place.mean():.3f}; expected uniform from 0 to 1",
            hint,
        )
    alike = float(torch.corrcoef(torch.stack(list(found.values())))[0, 1])
    if abs(alike) > 0.1:
        raise Wrong(
            f"top and left have the correlation {alike:.2f}: the boxes stand along a line",
            "top and left share a draw: each has its own",
        )


@checks("ch08.crop_boxes", hint="a side that would be longer than the image is cut to it, before the place is drawn")
def boxes_lie_inside(student: Student) -> None:
    top, left, height, width = _boxes(student, seed=3, area=(0.8, 1.0), ratio=(0.25, 4.0))
    for name, start, side in (("top", top, height), ("left", left, width)):
        off = (start < -1e-3) | (start + side > _SIZE + 1e-3)
        if off.any():
            i = int(off.nonzero()[0])
            raise Wrong(
                f"box {i} reaches over the image of {_SIZE} pixels: {name} {start[i]:.2f}, with a side of {side[i]:.2f}"
            )
    _, _, height, width = _boxes(student, seed=6, area=(1.0, 1.0), ratio=(4.0, 4.0))  # 25 × 100, before the cut
    off = ((height - 25).abs() > 1e-3) | ((width - 50).abs() > 1e-3)
    if off.any():
        i = int(off.nonzero()[0])
        raise Wrong(
            f"area=(1, 1), ratio=(4, 4): expected the height 25 and the width 50, got {height[i]:.2f} and {width[i]:.2f}",
            "only the side that is too long is cut: the other one stays, and the ratio changes",
        )


@checks("ch08.crop_boxes", hint="all chance must come from the generator")
def the_generator_draws_the_boxes(student: Student) -> None:
    once, again, other = (torch.stack(_boxes(student, seed=seed)) for seed in (4, 4, 5))
    seeded(once, again, other)


# nt_xent: the oracle goes through the views one by one, in numbers.


def _cosines(z: Tensor) -> list[list[float]]:
    rows = z.tolist()
    length = [math.hypot(*row) for row in rows]
    return [
        [sum(x * y for x, y in zip(a, b, strict=True)) / (p * q) for b, q in zip(rows, length, strict=True)]
        for a, p in zip(rows, length, strict=True)
    ]


def _costs(s: list[list[float]], t: float, counted: Callable[[int, int, int], float], shift: int = 0) -> list[float]:
    """Cost of each view; ``counted(i, j, partner)`` is how often j stands in the sum of i, ``shift`` moves partners."""
    places = range(len(s))
    costs = []
    for i in places:
        p = (i + len(s) // 2 + shift) % len(s)
        total = sum(counted(i, j, p) * math.exp(s[i][j] / t) for j in places)
        costs.append(math.log(total) - s[i][p] / t)
    return costs


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


_OVERFLOW = "exp() overflows: cross_entropy, logsumexp and log_softmax take the logarithm of a sum of exp without it"


@checks("ch08.nt_xent", hint="the mean over all 2N views of -log(exp(s_partner / τ) / Σ over all others of exp(s / τ))")
def loss_of_a_batch(student: Student) -> None:
    z1, z2, t = normal(3, 2, seed=0), normal(3, 2, seed=1), 0.7
    z = torch.cat([z1, z2])
    s = _cosines(z)
    costs = _costs(s, t, lambda i, j, p: j != i)
    across = _costs(s, t, lambda i, j, p: (i < 3) != (j < 3))
    expect(
        student(z1, z2, t),
        _mean(costs),
        {
            "the view itself is in the sum: leave j = i out, by a logit of -inf": _mean(_costs(s, t, lambda *_: 1)),
            "the view itself is in the sum, as exp(0) = 1: a logit of 0 leaves nothing out, -inf does": _mean(
                _costs([[x * (i != j) for j, x in enumerate(row)] for i, row in enumerate(s)], t, lambda *_: 1)
            ),
            "the partner is counted twice in the sum: it stands among the others already": (
                _mean(_costs(s, t, lambda i, j, p: (j != i) + (j == p)))
            ),
            "the partner is missing in the sum: the fraction must be a probability": (
                _mean(_costs(s, t, lambda i, j, p: j not in (i, p)))
            ),
            "only the other views are in the sum: those of the same side are negatives too": _mean(across),
            "only the other views are in the sum, and only the first views ask": _mean(across[:3]),
            "only the first views ask: the mean is over all 2N views": _mean(costs[:3]),
            "only the second views ask: the mean is over all 2N views": _mean(costs[3:]),
            "these are dot products: give the embeddings the length 1 first": (
                _mean(_costs((z @ z.T).tolist(), t, lambda i, j, p: j != i))
            ),
            "the norm is over the wrong axis: each row gets the length 1, dim=1": (
                _mean(_costs((z / z.norm(dim=0)).mm((z / z.norm(dim=0)).T).tolist(), t, lambda i, j, p: j != i))
            ),
            "the temperature multiplies: it should divide": _mean(_costs(s, 1 / t, lambda i, j, p: j != i)),
            "the temperature is missing": _mean(_costs(s, 1.0, lambda i, j, p: j != i)),
            "the temperature is an argument: use it, not a number": _mean(_costs(s, 0.5, lambda i, j, p: j != i)),
            "this is the sum: take the mean over the 2N views": sum(costs),
            "divided by N: there are 2N views": sum(costs) / 3,
            "the sign is wrong: the loss is minus a logarithm": -_mean(costs),
            "the wrong partner: row i of z1 belongs to row i of z2, N rows further on, not to its neighbour": (
                _mean([c + (s[i][(i + 3) % 6] - s[i][i ^ 1]) / t for i, c in enumerate(costs)])
            ),
        },
    )


@checks("ch08.nt_xent", hint=_OVERFLOW)
def a_small_temperature(student: Student) -> None:
    for z2 in (torch.eye(2), -torch.eye(2)):
        z1 = torch.eye(2).requires_grad_()
        loss = student(z1, z2, 0.001)
        if not bool(torch.as_tensor(loss).isfinite().all()):
            raise Wrong(f"cosines of ±1 at the temperature 0.001 give the loss {torch.as_tensor(loss).tolist()}")
        if not gradient(loss, z1).isfinite().all():
            raise Wrong("cosines of ±1 at the temperature 0.001 give a finite loss, but its gradient is not finite")


@checks("ch08.nt_xent", hint="the value is right, the gradient is not: nothing may be detached on the way")
def gradient_of_both_views(student: Student) -> None:
    a, b = normal(4, 3, seed=2).requires_grad_(), normal(4, 3, seed=3).requires_grad_()
    of_a, of_b = (gradient(student(a, b, 0.5), z) for z in (a, b))
    for name, one in (("first", of_a), ("second", of_b)):
        if not one.any():
            raise Wrong(f"no gradient reaches the {name} views", "both views learn: none of them is detached")
    for z, one in ((a, of_a), (b, of_b)):  # the views in the other order give the same gradients
        expect(gradient(student(b, a, 0.5), z), one)
    along = float((of_a * a.detach()).sum(dim=1).abs().max())  # a longer embedding has the same cosines
    if along > 1e-6:
        raise Wrong(
            f"the gradient has a part along the embedding itself, {along:.3g}, which would make it longer or shorter",
            "the lengths are detached: the gradient must know that a longer embedding has the same cosine",
        )


@checks("ch08.nt_xent", hint="a Python loop over the views: one matrix product has all similarities")
def no_python_loop(student: Student) -> None:
    z1, z2 = normal(64, 2, seed=4), normal(64, 2, seed=5)
    with Cost() as cost:
        student(z1, z2, 0.5)
    no_loop(cost, 64)


# enqueue

_QUEUE = tensor([[10, 11], [20, 21], [30, 31], [40, 41], [50, 51]])
_KEYS = tensor([[1, 2], [3, 4], [5, 6]])


def _enqueued(student: Student, queue: Tensor, position: int, keys: Tensor) -> tuple[Any, Any]:
    queue, position = unpack(student(queue, position, keys), ("queue", "position"))
    return queue, position


@checks("ch08.enqueue", hint="key i goes to the row position + i, and all other rows stay")
def keys_replace_the_oldest(student: Student) -> None:
    keys = _KEYS[:2]
    queue, _ = _enqueued(student, _QUEUE.clone(), 1, keys)
    expect(
        queue,
        torch.cat([_QUEUE[:1], keys, _QUEUE[3:]]),
        {
            "the rows were shifted: a ring stays in its place, and only the row position and those after it change": (
                torch.cat([_QUEUE[2:], keys])
            ),
            "the rows were shifted, and the last ones dropped: only the row position and those after it change": (
                torch.cat([keys, _QUEUE[:3]])
            ),
            "the keys are in reverse order: key i goes to the row position + i": (
                torch.cat([_QUEUE[:1], keys.flip(0), _QUEUE[3:]])
            ),
            "the keys always go to the first rows: begin at position": torch.cat([keys, _QUEUE[2:]]),
            "one row too far: the first key goes to the row position itself": (
                torch.cat([_QUEUE[:2], keys, _QUEUE[4:]])
            ),
            "the keys went to the rows before position: those are the newest, the oldest begin at position": (
                torch.cat([keys[1:], _QUEUE[1:4], keys[:1]])
            ),
            "the queue did not change: writing into an indexed copy is lost": _QUEUE,
            "only the first key was written: all B go in": torch.cat([_QUEUE[:1], keys[:1], _QUEUE[2:]]),
            "the queue grew: the new keys take the place of old ones": torch.cat([_QUEUE, keys]),
            "these are the new keys alone: the other rows stay, also where the batch does not go round the end": keys,
        },
    )


@checks("ch08.enqueue", hint="the oldest row is the one after the last key, and after the last row comes row 0")
def where_the_next_keys_go(student: Student) -> None:
    for start, want in ((1, 3), (3, 0)):
        _, position = _enqueued(student, _QUEUE.clone(), start, _KEYS[:2])
        expect(
            position,
            want,
            {
                "the position did not move: the oldest row is now the one after the last key": start,
                "the position moves by the number of keys, not by one": (start + 1) % 5,
                "the position left the queue: after the last row comes row 0 (% is the remainder)": (
                    5 if want == 0 else None
                ),
                "the position is always 0: it moves on by the number of keys": 0,
            },
        )


@checks("ch08.enqueue", hint="a batch may go round the end: after the last row comes row 0")
def round_the_end(student: Student) -> None:
    queue, _ = _enqueued(student, _QUEUE.clone(), 4, _KEYS)
    value = returned_tensor(queue, _QUEUE)
    if value.shape != _QUEUE.shape:
        raise Wrong(
            f"expected shape {tuple(_QUEUE.shape)}, got shape {tuple(value.shape)}",
            "the queue keeps its size: the keys that do not fit begin again at row 0",
        )
    expect(
        value,
        torch.cat([_KEYS[1:], _QUEUE[2:4], _KEYS[:1]]),
        {
            "row 0 begins with the first key again: it takes the first of those that are left": (
                torch.cat([_KEYS[:2], _QUEUE[2:4], _KEYS[:1]])
            ),
        },
    )


@checks("ch08.enqueue", hint="the queue holds on to the graph of its keys: enter keys.detach()")
def keys_enter_without_gradient(student: Student) -> None:
    queue, _ = _enqueued(student, _QUEUE.clone(), 1, _KEYS.clone().requires_grad_())
    if isinstance(queue, Tensor) and queue.requires_grad:
        raise Wrong("the keys require a gradient, and so does the queue that holds them")


@checks("ch08.enqueue", hint="the queue that came in was written to: clone it first, or use index_copy")
def the_old_queue_stays(student: Student) -> None:
    queue = _QUEUE.clone()
    _enqueued(student, queue, 1, _KEYS)
    if not queue.equal(_QUEUE):
        raise Wrong("the queue that came in is not what it was before the call")


# info_nce


def _unit(*shape: int, seed: int) -> Tensor:
    return torch.nn.functional.normalize(normal(*shape, seed=seed), dim=1)


def _with_queue(s: list[list[float]], own: list[float], t: float, counted: float = 1) -> list[float]:
    """Cost of each query with the similarities (N, K) to the negatives and ``own`` to its key."""
    exp = math.exp
    return [
        math.log(counted * exp(k / t) + sum(exp(x / t) for x in row)) - k / t for row, k in zip(s, own, strict=True)
    ]


@checks("ch08.info_nce", hint="cross-entropy over 1 + K logits: the query's own key, and the K rows of the queue")
def one_key_among_the_queue(student: Student) -> None:
    q, k, queue, t = _unit(3, 2, seed=6), _unit(3, 2, seed=7), _unit(4, 2, seed=8), 0.5
    own, negatives, among = (q * k).sum(dim=1).tolist(), (q @ queue.T).tolist(), (q @ k.T).tolist()
    costs = _with_queue(negatives, own, t)
    others = [[x for j, x in enumerate(row) if j != i] for i, row in enumerate(among)]
    plus_batch = [[*row, *other] for row, other in zip(negatives, others, strict=True)]
    first = [row[0] for row in negatives]
    rest = [[*row[1:], x] for row, x in zip(negatives, own, strict=True)]
    expect(
        student(q, k, queue, t),
        _mean(costs),
        {
            "the key is missing in the sum: the fraction must be a probability": (
                _mean(_with_queue(negatives, own, t, counted=0))
            ),
            "the keys of other images of the batch are in the sum: its negatives are the rows of the queue only": (
                _mean(_with_queue(plus_batch, own, t))
            ),
            "the queue is not used: its rows are the negatives": (_mean(_with_queue(others, own, t))),
            "the wrong column: the target says where the query's own key stands": _mean(_with_queue(rest, first, t)),
            "the temperature multiplies: it should divide": _mean(_with_queue(negatives, own, 1 / t)),
            "the temperature is missing": _mean(_with_queue(negatives, own, 1.0)),
            "the temperature is an argument: use it, not a number": _mean(_with_queue(negatives, own, 0.07)),
            "this is the sum: take the mean over the queries": sum(costs),
            "the sign is wrong: the loss is minus a logarithm": -_mean(costs),
            "the temperature divides one part of the logits only: it divides all": (
                _mean(_with_queue(negatives, [x / t for x in own], 1.0))
            ),
        },
    )


@checks("ch08.info_nce", hint=_OVERFLOW)
def a_very_small_temperature(student: Student) -> None:
    for sign in (1, -1):
        q = torch.eye(2).requires_grad_()
        loss = student(q, sign * torch.eye(2), torch.eye(2), 0.001)
        if not bool(torch.as_tensor(loss).isfinite().all()):
            raise Wrong(f"similarities of ±1 at the temperature 0.001 give the loss {torch.as_tensor(loss).tolist()}")
        if not gradient(loss, q).isfinite().all():
            raise Wrong("similarities of ±1 at the temperature 0.001 give a finite loss, but no finite gradient")


@checks("ch08.info_nce", hint="key and queue are detached: only the query encoder learns by gradient")
def the_query_learns_alone(student: Student) -> None:
    q, k, queue = (_unit(n, 2, seed=s).requires_grad_() for n, s in ((3, 9), (3, 10), (4, 11)))
    for name, other in (("key", k), ("queue", queue)):
        if gradient(student(q, k, queue, 0.5), other).any():
            raise Wrong(f"a gradient reaches the {name}")


@checks("ch08.info_nce", hint="a Python loop over the queries: one matrix product has all similarities to the queue")
def no_loop_over_queries(student: Student) -> None:
    q, queue = _unit(64, 2, seed=12), _unit(64, 2, seed=13)
    with Cost() as cost:
        student(q, q, queue, 0.5)
    no_loop(cost, 64)
