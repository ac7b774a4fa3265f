# %% [markdown]
# # Exercises of chapter 12: Transfer
#
# An encoder was trained without labels. What is it worth? The answer is a number under a protocol, and most numbers that
# turn out too good were not computed wrongly: the protocol leaked. Here you write the parts of a sound one: the
# measure, the labels that may be used, features that leave the encoder as it was, fine-tuning, a look for test images
# among the training images, and the question whether a difference is more than chance. Six exercises, from easy to hard;
# each stands on its own.
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint top_k_accuracy` gives a first hint; in a notebook the hints unfold below each question.

# %%
import math

import torch
from torch import Tensor, nn

from replearn_course.checks import check

# %% [markdown]
# ## 1. `top_k_accuracy` (easy)
#
# How often is the right class among the first $k$? With a thousand classes, or two hundred of Tiny ImageNet, many of them
# alike, top-5 accuracy is stated beside top-1. The classifier gives each image a row of $C$ logits, and an image counts
# as right when the logit of its own class is **larger than at least $C - k$ others**. The accuracy is the share of
# images that are right.
#
# Mind what this says of ties. A classifier that gives every class the same logit knows nothing: no class is larger than
# another, and for every $k < C$ its accuracy is 0, not 1, and not as `topk` happens to break the tie. The same holds for
# a network that diverged, whose logits are all NaN: no comparison with NaN is true.
#
# A tiny case with three classes: the logits $(5, 1, 3)$ of an image of class 2 and $(0, 4, 2)$ of one of class 0. The first
# image's own logit 3 is larger than one other, the second's 0 than none. For $k = 2$ one other is needed: the accuracy is
# 0.5. For $k = 1$ it is 0, for $k = 3$ it is 1.


# %%
def top_k_accuracy(logits: Tensor, labels: Tensor, k: int) -> Tensor:
    """Share of images whose own class has a larger logit than at least ``C - k`` other classes.

    Args:
        logits: ``(N, C)``, a row for each image.
        labels: the right classes ``(N,)``, integers from 0 to ``C - 1``.
        k: how many classes are allowed, from 1 to ``C``.

    Returns:
        the accuracy, a scalar in [0, 1].

    >>> top_k_accuracy(torch.tensor([[5.0, 1.0, 3.0], [0.0, 4.0, 2.0]]), torch.tensor([2, 0]), k=2)
    tensor(0.5000)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch12.top_k_accuracy", top_k_accuracy)

# %% [markdown]
# ## 2. `label_fraction` (medium)
#
# How good is the encoder where labels are scarce? One takes 1 % or 10 % of the labels and trains with them alone. Which 1 %?
# Choose among `labels` the positions of a fraction of each class:
#
# - of a class with $n_c$ images `round(fraction * n_c)` different ones, so that each class keeps its share;
# - where that is none, for any class, raise a `ValueError`: a classifier cannot learn a class that it never sees;
# - every image can be chosen; all chance comes from `generator`;
# - **nested**: with equally seeded generators the images of a smaller fraction are among those of a larger one. Then
#   the step from 1 % to 10 % adds labels, and does not exchange them.
#
# The order of the positions does not matter.
#
# A tiny case: labels `[7, 7, 7, 7, 2, 2]` and the fraction 0.5 give two positions of 0 to 3 and one of 4 and 5. With the
# fraction 0.2, class 2 would have `round(0.4)` = 0 images: a `ValueError`.


# %%
def label_fraction(labels: Tensor, fraction: float, generator: torch.Generator) -> Tensor:
    """Choose a fraction of the images of each class.

    Args:
        labels: integer labels ``(N,)``.
        fraction: of each class, above 0 and at most 1.
        generator: the only source of chance.

    Returns:
        positions in ``labels``, all different, as many as ``round(fraction * n)`` of each class add up to.

    Raises:
        ValueError: where a class would have no image.

    >>> labels = torch.tensor([7, 7, 7, 7, 2, 2])
    >>> labels[label_fraction(labels, 0.5, torch.Generator().manual_seed(0))].sort().values
    tensor([2, 7, 7])
    """
    raise NotImplementedError("not done yet")


# %%
check("ch12.label_fraction", label_fraction)

# %% [markdown]
# ## 3. `frozen_features` (medium)
#
# A linear probe asks what the encoder knows, so the encoder must not learn while it is asked. Compute its features, and
# leave no trace:
#
# - batch norm uses its stored statistics and dropout is off, so that the features of an image depend on that image alone;
# - those statistics do not move. They do, in training mode, at every call, without any optimiser or gradient: an encoder
#   "frozen" by `requires_grad = False` alone still adapts to the probe's images;
# - the features carry no graph;
# - afterwards *every part* of the encoder is in the mode, training or evaluation, in which it came (someone may have set
#   one batch norm to evaluation and left the rest in training), and every parameter wants a gradient or not, as before.
#
# A tiny case: an encoder that is nothing but batch norm, with the stored mean 0 and variance 1, leaves the features of
# the two images 3 and 5 as they are, up to its $\varepsilon$. In training mode they would become -1 and 1.


# %%
def frozen_features(encoder: nn.Module, images: Tensor) -> Tensor:
    """Compute features of images in evaluation mode, and leave the encoder as it was.

    Args:
        encoder: images ``(N, ...)`` in, features ``(N, d)`` out; in any mode.
        images: ``(N, ...)``.

    Returns:
        features ``(N, d)`` without a graph.

    >>> encoder = nn.BatchNorm1d(1)
    >>> frozen_features(encoder, torch.tensor([[3.0], [5.0]]))
    tensor([[3.0000],
            [5.0000]])
    >>> encoder.training, encoder.running_mean
    (True, tensor([0.]))
    """
    raise NotImplementedError("not done yet")


# %%
check("ch12.frozen_features", frozen_features)

# %% [markdown]
# ## 4. `fine_tuning_groups` (medium)
#
# In fine-tuning the encoder learns too. But the new head starts from chance and the encoder from weeks of training: the
# head needs large steps, and the encoder small ones, or the first gradients of a head that knows nothing spoil it. An
# optimiser of torch takes parameters in groups, a list of dicts such as `{"params": [...], "lr": 0.1}`.
#
# Make the list for a `model` whose part `head` is new: every parameter of the model, frozen or not, is in exactly one
# group, those of the head with the rate `head_lr`, all others with `encoder_lr`. A weight that the head shares with the
# rest of the model (a tied weight) belongs to the head. What the head is called inside the model, and how the names of
# other parts begin, must not matter.
#
# A tiny case: of `model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))` the second layer is the head. Two parameters
# are in the group with `encoder_lr`, a weight and a bias, and two in the group with `head_lr`.


# %%
def fine_tuning_groups(model: nn.Module, head: nn.Module, encoder_lr: float, head_lr: float) -> list[dict]:
    """Divide the parameters of a model into two groups with their own learning rates.

    Args:
        model: the encoder with its head.
        head: the part of it that is new.
        encoder_lr: learning rate of all other parts.
        head_lr: learning rate of the head.

    Returns:
        groups for an optimiser of torch, dicts with the keys ``"params"`` and ``"lr"``.

    >>> model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    >>> groups = fine_tuning_groups(model, model[1], encoder_lr=0.01, head_lr=1.0)
    >>> sorted((group["lr"], len(list(group["params"]))) for group in groups)
    [(0.01, 2), (1.0, 2)]
    """
    raise NotImplementedError("not done yet")


# %%
check("ch12.fine_tuning_groups", fine_tuning_groups)

# %% [markdown]
# ## 5. `seen_before` (medium)
#
# Are there test images among the training images? Positions tell nothing: a collection gathered from the web holds some
# images twice, and a split by position may put one copy on each side. Compare the images themselves. A test image was
# seen before if some training image equals it in every pixel.
#
# - An image that is twice in the test set, and not in the training set, was not seen before.
# - Images with equal sums, or with the same pixels in another order, are different images.
# - 50,000 training images against 10,000 test images are 500 million pairs: no table of pairs, of any kind, and no loop
#   that compares every pair: that takes many minutes, and a set takes seconds. A Python loop over the images is fine.
#
# Near copies (a crop, another compression) go unnoticed: this finds the least that can be said.
#
# A tiny case with images of two pixels: training images $(1, 2)$ and $(3, 4)$, test images $(3, 4)$ and $(2, 1)$. The answer
# is True, False.


# %%
def seen_before(train: Tensor, test: Tensor) -> Tensor:
    """Find the test images that are among the training images, pixel by pixel.

    Args:
        train: images ``(N, C, H, W)``, uint8.
        test: images ``(M, C, H, W)``, uint8.

    Returns:
        booleans ``(M,)``, True where a test image equals some training image.

    >>> train = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).view(2, 1, 1, 2)
    >>> test = torch.tensor([[3, 4], [2, 1]], dtype=torch.uint8).view(2, 1, 1, 2)
    >>> seen_before(train, test)
    tensor([ True, False])
    """
    raise NotImplementedError("not done yet")


# %%
check("ch12.seen_before", seen_before)

# %% [markdown]
# ## 6. `mcnemar` (hard)
#
# One encoder has 90.3 %, another 90.0 %, on the same 10,000 test images. Is the first better, or did chance decide? Both
# saw the same images, so the images that both got right, or both wrong, say nothing. Let $b$ be the number of images that
# only the first got right, and $c$ the number that only the second did. If both are equally good, each of these $n = b + c$
# images is a toss of a coin. McNemar's exact test asks how probable a split as uneven as this one is, or more so, to
# either side:
#
# $$p = \min\left(1,\ 2 \sum_{k=0}^{\min(b, c)} \binom{n}{k} 2^{-n}\right).$$
#
# With 600 images in dispute, $b = 315$ and $c = 285$ are the 0.3 points above, and $p = 0.24$: such a difference comes
# about by chance in one comparison out of four. (It says nothing about another seed of the training: that takes
# several runs.)
#
# - The two networks may be exchanged: $p$ stays the same.
# - With $b = c$ the two tails overlap, and $p$ is 1, not more. Without any image in dispute it is 1 too.
# - Thousands of images may be in dispute, though $2^{-n}$ is 0 in floating point from $n = 1075$ on.
#
# A tiny case: $b = 4$ and $c = 1$, so $n = 5$. The sum is $(1 + 5) / 32$, and $p = 2 \cdot 6 / 32 = 0.375$.


# %%
def mcnemar(right_a: Tensor, right_b: Tensor) -> float:
    """McNemar's exact test: how probable so uneven a difference of two networks is if both are equally good.

    Args:
        right_a: booleans ``(N,)``, True where the first network was right.
        right_b: booleans ``(N,)``, the same for the second, on the same images.

    Returns:
        the p-value, two-sided, at most 1; 0 where it is too small for a float.

    >>> right_a = torch.tensor([True, True, True, True, False, True, False])
    >>> right_b = torch.tensor([False, False, False, False, True, True, False])
    >>> mcnemar(right_a, right_b)
    0.375
    """
    raise NotImplementedError("not done yet")


# %%
check("ch12.mcnemar", mcnemar)
