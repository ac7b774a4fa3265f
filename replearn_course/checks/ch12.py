"""Checks of the exercises of chapter 12, Transfer."""

# ruff: noqa: D103  # the name of a check is what it says
from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from replearn_course.checks.core import (
    Cost,
    Student,
    Wrong,
    checks,
    expect,
    indices,
    normal,
    returned_tensor,
    rng,
    seeded,
    tensor,
)

# top_k_accuracy

# The own class is 2nd of 5, 1st, 3rd, 3rd, 5th, 4th and 2nd.
_LOGITS = tensor(
    [
        [9, 7, 1, 3, 2],
        [1, 2, 8, 4, 5],
        [6, 2, 4, 1, 9],
        [5, 6, 7, 1, 2],
        [3, 4, 5, 0, 6],
        [2, 8, 6, 9, 1],
        [4, 1, 2, 3, 0],
    ]
)
_LABELS = torch.tensor([1, 2, 2, 0, 3, 0, 3])
_PLACES = (2, 1, 3, 3, 5, 4, 2)


def _share(places: Iterable[int], k: int) -> float:
    return sum(p <= k for p in places) / len(_LABELS)


@checks("ch12.top_k_accuracy", hint="the share of images whose own class is among the k with the largest logits")
def among_the_first_k(student: Student) -> None:
    for k in (3, 1, 5):
        expect(
            student(_LOGITS, _LABELS, k),
            _share(_PLACES, k),
            {
                "these are the smallest logits: the most probable class has the largest": (
                    _share((6 - p for p in _PLACES), k)
                ),
                "one class too few: the own class itself is among the k": _share(_PLACES, k - 1),
                "one class too many: larger than C - k others, not C - k - 1": _share(_PLACES, k + 1),
                "this is top-1 accuracy, whatever k is": _share(_PLACES, 1),
                "this is the number of images: divide by how many there are": _share(_PLACES, k) * len(_LABELS),
                "the mean is over images and places: an image is right once": _share(_PLACES, k) / k,
            },
        )


@checks("ch12.top_k_accuracy", hint="equal logits: a class that is not larger than the others is not ahead of them")
def a_classifier_that_knows_nothing(student: Student) -> None:
    n = 6
    for k in (1, 2):
        expect(
            student(torch.zeros(n, n), torch.arange(n), k),
            0.0,
            {
                "ties are won: count the classes that are smaller than the own, not those that are larger": 1.0,
                "topk breaks ties by position: compare the logits with that of the own class": k / n,
            },
        )


@checks(
    "ch12.top_k_accuracy",
    hint="NaN counts as right: no comparison with NaN is true, so count what is smaller than the own logit, and ask that "
    "it be many",
)
def a_network_that_diverged(student: Student) -> None:
    expect(student(torch.full((3, 4), torch.nan), torch.tensor([0, 1, 3]), 2), 0.0)


# label_fraction

_OF_CLASSES = torch.tensor([4] * 40 + [9] * 20 + [2] * 8)[torch.randperm(68, generator=rng(0))]


def _chosen(student: Student, labels: Tensor, fraction: float, seed: int) -> Tensor:
    count = sum(round(fraction * n) for n in labels.unique(return_counts=True)[1].tolist())
    return indices(student(labels, fraction, rng(seed)), "the result", count, len(labels))


@checks("ch12.label_fraction", hint="the same fraction of each class, not of all images together")
def the_share_of_each_class(student: Student) -> None:
    for seed in range(5):
        got = student(_OF_CLASSES, 0.25, rng(seed))
        if isinstance(got, Tensor) and got.dtype == torch.bool and got.shape == _OF_CLASSES.shape:
            raise Wrong("expected positions, got a mask", "return the positions: mask.nonzero()[:, 0]")
        got = indices(got, "the result", 17, len(_OF_CLASSES))
        counts = [int((_OF_CLASSES[got] == c).sum()) for c in (4, 9, 2)]
        if counts != [10, 5, 2]:
            same = "the same number of each class: each keeps its share, round(fraction * n)"
            raise Wrong(
                f"of 40, 20 and 8 images a quarter is 10, 5 and 2, got {counts}",
                same if max(counts) - min(counts) <= 1 else "",
            )


@checks("ch12.label_fraction", hint="an image came twice: draw without replacement, as randperm does")
def no_image_twice(student: Student) -> None:
    for seed in range(5):
        got = _chosen(student, _OF_CLASSES, 0.5, seed)
        if len(got.unique()) < len(got):
            raise Wrong(f"of {len(got)} positions only {len(got.unique())} are different")


@checks("ch12.label_fraction", hint="round(fraction * n) images of a class with n")
def rounded_to_the_nearest(student: Student) -> None:
    # In floating point 0.29 * 100 is 28.999999999999996 and 0.07 * 100 is 7.000000000000001.
    for fraction, want in ((0.29, 29), (0.07, 7)):
        got = student(torch.zeros(100, dtype=torch.long), fraction, rng(0))
        if isinstance(got, Tensor) and got.ndim == 1 and len(got) != want:
            hint = {-1: "cut off: int() makes 28 of 28.999999999999996. round() does not", 1: "rounded up: use round()"}
            raise Wrong(f"{fraction} of 100 images: expected {want}, got {len(got)}", hint.get(len(got) - want, ""))
        indices(got, "the result", want, 100)


@checks("ch12.label_fraction", hint="no error came: where a class would have no image, raise a ValueError")
def a_class_left_empty(student: Student) -> None:
    labels = torch.tensor([7] * 40 + [2] * 4)
    try:
        got = student(labels, 0.1, rng(0))
    except ValueError:
        return
    came = got.tolist() if isinstance(got, Tensor) else got
    raise Wrong(
        f"0.1 of the 4 images of class 2 is none: expected a ValueError, got {came}",
        "the share of each class is kept: one image more of a small class is another fraction. Raise a ValueError"
        if isinstance(got, Tensor) and bool((labels[got.long()] == 2).any())
        else "",
    )


@checks("ch12.label_fraction", hint="all chance must come from the generator")
def the_generator_decides(student: Student) -> None:
    once, again, other = (_chosen(student, _OF_CLASSES, 0.25, seed) for seed in (1, 1, 2))
    seeded(once, again, other)
    for seed in range(5):
        small, large = (set(_chosen(student, _OF_CLASSES, f, seed).tolist()) for f in (0.15, 0.5))
        if small - large:
            raise Wrong(
                f"with one seed, {len(small - large)} of the {len(small)} images of the fraction 0.15 are not among "
                "those of 0.5",
                "not nested: what is drawn depends on the fraction. Shuffle each class whole, then take its first ones",
            )


@checks("ch12.label_fraction", hint="some images never come: choose among all of the class, not the first ones")
def every_image_can_come(student: Student) -> None:
    seen = torch.zeros(len(_OF_CLASSES), dtype=torch.bool)
    for seed in range(60):
        seen[_chosen(student, _OF_CLASSES, 0.25, seed)] = True
    if not seen.all():
        raise Wrong(f"{int((~seen).sum())} of {len(seen)} images are in none of 60 choices of a quarter")


# frozen_features


class _Encoder(nn.Module):
    """Images ``(N, 1, 2, 2)`` to 3 features: linear, batch norm with statistics of its own, dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(4, 3).double(), nn.BatchNorm1d(3).double()
        self.dropout = nn.Dropout(0.5)
        self.linear.weight.data, self.linear.bias.data = normal(3, 4, seed=1), normal(3, seed=2)
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        self.norm.running_mean.copy_(tensor([1, -2, 3]))
        self.norm.running_var.copy_(tensor([4, 9, 0.25]))
        self.linear.bias.requires_grad = False

    def forward(self, images: Tensor) -> Tensor:
        return self.dropout(self.norm(self.linear(images.flatten(1))))

    def features(self, images: Tensor) -> Tensor:
        """The formula of evaluation mode, written out."""
        linear = images.flatten(1) @ self.linear.weight.detach().T + self.linear.bias
        return (linear - tensor([1, -2, 3])) / (tensor([4, 9, 0.25]) + self.norm.eps).sqrt()

    def __repr__(self) -> str:
        return "encoder"


_IMAGES = normal(5, 1, 2, 2, seed=3)


@checks("ch12.frozen_features", hint="what the encoder returns for the images, as it is")
def the_output_of_the_encoder(student: Student) -> None:
    encoder = _Encoder().eval()
    want = encoder.features(_IMAGES)
    expect(
        student(encoder, _IMAGES),
        want,
        {
            "the features are not to be normalised: that is the probe's business": nn.functional.normalize(want, dim=1),
            "the features are not to be standardised: statistics of what is tested are no part of the encoder": (
                (want - want.mean(dim=0)) / want.std(dim=0)
            ),
        },
    )


@checks("ch12.frozen_features", hint="all parts, batch norm and dropout, in evaluation mode: encoder.eval() first")
def as_in_evaluation(student: Student) -> None:
    encoder = _Encoder()
    before = {name: b.clone() for name, b in encoder.named_buffers()}
    together, again, alone = (torch.as_tensor(student(encoder, _IMAGES[:n])).detach() for n in (5, 5, 2))
    if moved := [name for name, b in encoder.named_buffers() if not b.equal(before[name])]:
        raise Wrong(
            f"these buffers of the encoder changed: {', '.join(moved)}",
            "batch norm adapted to the images: in training mode its statistics move at each call. encoder.eval() first",
        )
    if not together.allclose(again):
        raise Wrong(
            "two calls with the same images gave different features", "chance is left: dropout is in training mode"
        )
    if not together[:2].allclose(alone):
        raise Wrong(
            "the features of two images change when three others stand beside them",
            "the features depend on the batch: its mean and variance are used, not the stored ones",
        )


@checks("ch12.frozen_features", hint="the features carry a graph: call the encoder inside torch.no_grad()")
def no_graph(student: Student) -> None:
    encoder = _Encoder()
    got = student(encoder, _IMAGES)
    if returned_tensor(got, encoder.features(_IMAGES)) is not None and got.requires_grad:
        raise Wrong("the result wants a gradient: a probe trained on it would reach into the encoder")


@checks("ch12.frozen_features", hint="each part must be in the mode in which it came")
def modes_as_they_were(student: Student) -> None:
    whole, some, none = _Encoder(), _Encoder(), _Encoder().eval()
    some.norm.eval()
    for encoder, came in (
        (whole, "in training"),
        (none, "in evaluation"),
        (some, "in training, its norm in evaluation"),
    ):
        before = {name or "encoder": part.training for name, part in encoder.named_modules()}
        student(encoder, _IMAGES)
        changed = {name or "encoder": part.training for name, part in encoder.named_modules()}
        off = [name for name in before if before[name] != changed[name]]
        if off:
            modes = "training" if changed[off[0]] else "evaluation"
            hint = {
                "in training": "the encoder is left in evaluation mode",
                "in evaluation": "the encoder came in evaluation mode, and is in training mode now",
            }.get(came, "train() sets every part: note the mode of each part before, and set each one back")
            raise Wrong(
                f"the encoder came {came}; now {', '.join(off)} {'is' if len(off) == 1 else 'are'} in {modes}", hint
            )


@checks(
    "ch12.frozen_features",
    hint="requires_grad was changed: to build no graph, torch.no_grad() is enough, and nothing has to be undone",
)
def parameters_as_they_were(student: Student) -> None:
    encoder = _Encoder()
    before = {name: p.requires_grad for name, p in encoder.named_parameters()}
    student(encoder, _IMAGES)
    off = [name for name, p in encoder.named_parameters() if p.requires_grad != before[name]]
    if off:
        now = "no longer want a gradient" if before[off[0]] else "want a gradient now"
        raise Wrong(f"these parameters {now}: {', '.join(off)}")


# fine_tuning_groups


class _Model(nn.Module):
    """Parts by name, in this order."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def __repr__(self) -> str:
        return "model"


class _Head(nn.Linear):
    def __repr__(self) -> str:
        return "head"


def _rates(student: Student, model: nn.Module, head: nn.Module) -> dict[str, list[float]]:
    """The learning rates of each parameter, by name: as many as there are groups that hold it."""
    got = student(model, head, encoder_lr=0.01, head_lr=1.0)
    if not isinstance(got, (list, tuple)):
        came = "None" if got is None else type(got).__name__
        raise Wrong(f"expected a list of dicts, got {came}", "return a list of dicts, one for each group")
    names = {id(p): name for name, p in model.named_parameters()}
    rates: dict[str, list[float]] = {name: [] for name in names.values()}
    for group in got:
        if not isinstance(group, dict) or not {"params", "lr"} <= set(group):
            raise Wrong(f"expected dicts with the keys 'params' and 'lr', got {group!r:.80}", "a group is a dict")
        params = [group["params"]] if isinstance(group["params"], Tensor) else group["params"]
        for p in params:
            if id(p) not in names:
                raise Wrong(
                    f"expected parameters, got {type(p).__name__} that is none of the model",
                    "params holds the parameters themselves, no copies and no names",
                )
            rates[names[id(p)]].append(group["lr"])
    return rates


def _expect_rates(rates: dict[str, list[float]], of_head: str, hint: str = "") -> None:
    """Each parameter has its rate, in whatever number of groups."""
    if missing := [name for name, rs in rates.items() if not rs]:
        raise Wrong(
            f"in no group: {', '.join(missing)}",
            "parameters are missing, and never learn: in fine-tuning the encoder learns too, and so does the head",
        )
    for name, rs in rates.items():
        want = 1.0 if name.startswith(of_head) else 0.01
        if want not in rs:
            raise Wrong(f"{name}: expected the learning rate {want:g}, got {rs[0]:g}", hint)


@checks("ch12.fine_tuning_groups", hint="the head has the rate head_lr, all other parts encoder_lr")
def each_parameter_has_its_rate(student: Student) -> None:
    head = _Head(3, 2)
    rates = _rates(student, _Model(stem=nn.Linear(4, 3), norm=nn.BatchNorm1d(3), head=head), head)
    if all(rs == [0.01 if name.startswith("head") else 1.0] for name, rs in rates.items()):
        raise Wrong("the head has the learning rate 0.01, the encoder 1", "the two rates are swapped")
    _expect_rates(rates, "head.")
    hint = "what belongs to the head is not told by names or places: head.parameters() says it"
    head = _Head(3, 2)
    model = _Model(header=nn.Linear(4, 4), middle=nn.Linear(4, 3), classifier=head)
    _expect_rates(_rates(student, model, head), "classifier.", hint)
    head = _Head(3, 2)
    _expect_rates(_rates(student, _Model(first=head, second=nn.Linear(4, 3)), head), "first.", hint)
    head = _Head(3, 2)
    rates = _rates(student, _Model(stem=nn.Linear(4, 3).requires_grad_(False), head=head), head)
    if missing := [name for name, rs in rates.items() if not rs]:
        raise Wrong(
            f"the stem is frozen (requires_grad is False); in no group: {', '.join(missing)}",
            "every parameter is in a group, a frozen one too: thawed later, it would never learn",
        )


@checks("ch12.fine_tuning_groups", hint="torch refuses a parameter that is in two groups")
def each_parameter_once(student: Student) -> None:
    head = _Head(3, 3)
    rates = _rates(student, _Model(stem=nn.Linear(4, 3), head=head), head)
    if twice := [name for name, rs in rates.items() if len(rs) > 1]:
        raise Wrong(
            f"in more than one group: {', '.join(twice)}; torch refuses that",
            "the head is a part of the model: leave its parameters out of the other group",
        )
    stem = nn.Linear(3, 3)
    stem.weight = head.weight
    shared = _rates(student, _Model(stem=stem, head=head), head)["stem.weight"]
    if shared != [1.0]:
        raise Wrong(
            f"a weight that stem and head share: expected the learning rate 1 once, got {shared}",
            "a tied weight is in two parts, but it is one parameter: id(p) tells, not the part that it is in",
        )


# seen_before


def _images(*rows: Iterable[int]) -> Tensor:
    """Images ``(N, 1, 2, 2)`` of these pixels."""
    return torch.tensor([list(r) for r in rows], dtype=torch.uint8).view(len(rows), 1, 2, 2)


def _flags(student: Student, train: Tensor, test: Tensor, want: list[bool], hints: dict[str, list[bool]]) -> None:
    got = returned_tensor(student(train, test), torch.tensor(want))
    mistakes: dict[str, Tensor | float | None] = {hint: torch.tensor(mistaken) for hint, mistaken in hints.items()}
    expect(got, torch.tensor(want), mistakes)


@checks("ch12.seen_before", hint="True where a test image equals some training image, wherever that stands")
def equal_to_some_training_image(student: Student) -> None:
    train = _images((1, 2, 3, 4), (5, 6, 7, 8), (9, 9, 9, 9), (250, 0, 1, 20))
    test = _images((5, 6, 7, 8), (1, 2, 3, 5), (9, 9, 9, 9), (1, 2, 3, 4), (0, 0, 0, 0))
    _flags(
        student,
        train,
        test,
        [True, False, True, True, False],
        {
            "this is the answer for the images that were not seen": [False, True, False, False, True],
            "one equal pixel is not enough: an image is the same when all pixels are": [True, True, True, True, True],
            "this is one answer for each training image: there is one for each test image": [True, True, True, False],
            "the i-th is compared with the i-th only: compare with all training images": [
                False,
                False,
                True,
                False,
                False,
            ],
        },
    )


@checks("ch12.seen_before", hint="equal sums do not make equal images: compare the pixels, in their places")
def the_same_pixels_in_other_places(student: Student) -> None:
    train = _images((1, 2, 3, 4), (10, 20, 30, 40))
    test = _images((2, 1, 4, 3), (10, 20, 30, 40), (25, 25, 25, 25), (4, 3, 2, 1), (0, 4, 2, 4))
    _flags(student, train, test, [False, True, False, False, False], {})


@checks("ch12.seen_before", hint="an image that is twice in the test set was not seen in training")
def twice_in_the_test_set(student: Student) -> None:
    train = _images((1, 2, 3, 4), (1, 2, 3, 4))
    test = _images((7, 7, 7, 8), (7, 7, 7, 8), (0, 1, 2, 3))
    _flags(student, train, test, [False, False, False], {})


@checks(
    "ch12.seen_before",
    hint="a table of all pairs was made: 500 million for CIFAR-10. A set of bytes, or unique, needs none",
)
def neither_table_nor_loop_of_pairs(student: Student) -> None:
    n = 256
    pixels = torch.randint(256, (2 * n, 1, 2, 2), generator=rng(0)).to(torch.uint8)
    with Cost() as cost:
        student(pixels[:n].clone(), pixels[n:].clone())
    if cost.bytes >= n * n:
        raise Wrong(f"for {n} and {n} images the largest tensor took {cost.bytes} bytes; the images take {8 * n}")
    if cost.calls >= n * n // 2:
        raise Wrong(
            f"{cost.calls} calls of torch for {n} and {n} images: their number grows with the pairs",
            "every test image is compared with every training image: 500 million times for CIFAR-10. A set of bytes, or "
            "unique, finds equal images without",
        )


# mcnemar


def _answers(only_a: int, only_b: int, both: int = 0, neither: int = 0) -> tuple[Tensor, Tensor]:
    """Answers of two networks with these counts, in an order of chance."""
    n = only_a + only_b + both + neither
    order = torch.randperm(n, generator=rng(n))
    right_a, right_b = torch.zeros(n, dtype=torch.bool), torch.zeros(n, dtype=torch.bool)
    right_a[: only_a + both] = True
    right_b[only_a : only_a + both + only_b] = True
    return right_a[order], right_b[order]


def _tail(n: int, up_to: int) -> float:
    """Probability of at most ``up_to`` heads in ``n`` tosses, by logarithms."""
    return sum(
        math.exp(math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) - n * math.log(2))
        for k in range(up_to + 1)
    )


@checks("ch12.mcnemar", hint="twice the probability of at most min(b, c) heads in b + c tosses")
def a_small_table(student: Student) -> None:
    b, c, both, neither = 7, 2, 3, 1
    n = b + c + both + neither
    exact = 2 * _tail(b + c, c)
    z = (b - c) / math.sqrt(b + c)
    p_a, p_b = (b + both) / n, (c + both) / n
    unpaired = (p_a - p_b) / math.sqrt((p_a * (1 - p_a) + p_b * (1 - p_b)) / n)
    expect(
        student(*_answers(b, c, both, neither)),
        exact,
        {
            "one-sided: the difference may go to either side, so the tail counts twice": exact / 2,
            "this is the probability of just this split: add those that are more uneven": (
                2 * (_tail(b + c, c) - _tail(b + c, c - 1))
            ),
            "the split itself is left out: the sum runs up to min(b, c), that included": 2 * _tail(b + c, c - 1),
            "this is the approximation by the normal distribution: the sum over binomials is exact": (
                math.erfc(abs(z) / math.sqrt(2))
            ),
            "this is the approximation with the correction for continuity: the sum over binomials is exact": (
                math.erfc((abs(b - c) - 1) / math.sqrt(b + c) / math.sqrt(2))
            ),
            "this treats the two networks as if each had images of its own: both saw the same, compare image by image": (
                math.erfc(abs(unpaired) / math.sqrt(2))
            ),
            "images that both got right, or both wrong, are tosses too here: leave them out": (2 * _tail(n, c)),
            "this is 1 - p": 1 - exact,
            "the tail is that of the more frequent outcome: sum up to min(b, c)": 1.0,
        },
    )


@checks("ch12.mcnemar", hint="the two networks may be exchanged: sum up to the smaller count, whichever it is")
def either_network_may_be_better(student: Student) -> None:
    right_a, right_b = _answers(7, 2, 3, 1)
    expect(student(right_b, right_a), torch.as_tensor(student(right_a, right_b)))


@checks("ch12.mcnemar", hint="with b = c the two tails overlap: a probability is at most 1")
def as_many_wins_as_losses(student: Student) -> None:
    expect(student(*_answers(3, 3, 4, 2)), 1.0)


@checks("ch12.mcnemar", hint="no image is in dispute: nothing speaks against equal networks, and p is 1")
def no_image_in_dispute(student: Student) -> None:
    expect(student(*_answers(0, 0, 6, 2)), 1.0)


@checks(
    "ch12.mcnemar",
    hint="2**-n is 0, and the binomials are infinite in floating point: add and divide Python's integers, or logarithms",
)
def thousands_of_images_in_dispute(student: Student) -> None:
    want = 2 * _tail(2400, 1135)
    p = float(returned_tensor(student(*_answers(1265, 1135)), tensor(want)))
    if not 0.4 < p / want < 2.5:  # whether it can be computed; whether it is exact, a small table tells better
        raise Wrong(f"with 1265 against 1135 images expected {want:.5g}, got {p:.5g}")
