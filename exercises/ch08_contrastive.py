# %% [markdown]
# # Exercises of chapter 8: Contrastive learning
#
# Without labels, what should be near what? Two views of one image, made by chance, should be near; views of different
# images should not. Here you write the parts of SimCLR and MoCo around the network: the views, the crops, the loss over
# a batch, and the slow encoder and the queue that stand in for a large batch. Six exercises; each stands on its own.
#
# The letters: $N$ images make a batch, $z$ is the embedding of a view, $d$ its dimension, $\tau$ the temperature. The
# similarity of two embeddings is the cosine of their angle: the dot product once both have the length 1.
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint two_views` gives a first hint; in a notebook the hints unfold below each question.

# %%
import math

import torch
from torch import Tensor

from replearn_course.checks import check

# %% [markdown]
# ## 1. `two_views` (easy)
#
# What may change in a picture while it still shows the same thing? Here two things may: left and right, and the
# brightness. Make two views of each image of a batch. For each view of each image,
#
# - mirror it left to right with probability ½;
# - multiply its values by one factor, drawn uniformly from $1 - s$ to $1 + s$, where $s$ is `strength`;
# - cut the result to the range from 0 to 1, in which images live.
#
# Every view of every image has draws of its own, and mirroring and brightness are independent. One draw for the whole
# batch would teach less: the images would still differ from each other just as before. All chance comes from
# `generator`, and the images that come in stay as they are.
#
# A tiny case: an image of one row with the values 0.2 and 0.6, and $s = 0.5$. Mirrored and with the factor 1.5 it is
# 0.9 and 0.3; with the factor 1.5 and not mirrored it is 0.3 and 0.9. A value of 0.8 would become 1.2, cut to 1.


# %%
def two_views(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Two views of each image: mirrored or not, brighter or darker, each by its own draw.

    Args:
        images: ``(N, C, H, W)``, values in [0, 1]; left as they are.
        strength: how far the factor of the brightness may lie from 1; in [0, 1].
        generator: the only source of chance.

    Returns:
        views ``(2, N, C, H, W)``, values in [0, 1].

    >>> views = two_views(torch.full((3, 1, 2, 2), 0.5), 0.1, torch.Generator().manual_seed(0))
    >>> views.shape, bool(((views >= 0.449) & (views <= 0.551)).all())
    (torch.Size([2, 3, 1, 2, 2]), True)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch08.two_views", two_views)

# %% [markdown]
# ## 2. `momentum_update` (easy)
#
# MoCo has two encoders of one shape. The query encoder learns by gradient. The key encoder only follows it, slowly,
# so that keys computed some steps apart can still be compared (He et al. 2020, *Momentum Contrast for Unsupervised
# Visual Representation Learning*, equation 2):
#
# $$\theta_k \leftarrow m\,\theta_k + (1 - m)\,\theta_q,$$
#
# with $m$ (`momentum`) near 1, such as 0.999. Both come as dictionaries from names to tensors, as `state_dict()` of a
# module gives them. Return the new dictionary of the key encoder:
#
# - tensors of fractions are averaged as above; tensors of whole numbers (batch norm counts its batches in one) have no
#   average, and are copied from the query encoder;
# - the key encoder is not trained: what you return needs no gradient, even where the parameters that came in do;
# - both dictionaries, and their tensors, stay as they are.
#
# A tiny case with $m = 0.9$: a weight of 2 in the key encoder and of 4 in the query encoder gives
# $0.9 \cdot 2 + 0.1 \cdot 4 = 2.2$.


# %%
def momentum_update(key: dict[str, Tensor], query: dict[str, Tensor], momentum: float) -> dict[str, Tensor]:
    """Move the key encoder a small step toward the query encoder.

    Args:
        key: parameters and buffers of the key encoder by name; left as they are.
        query: those of the query encoder, with the same names and shapes; left as they are.
        momentum: what the key encoder keeps of itself, in [0, 1].

    Returns:
        the new parameters and buffers of the key encoder, without gradient.

    >>> momentum_update({"w": torch.tensor([2.0])}, {"w": torch.tensor([4.0])}, momentum=0.9)
    {'w': tensor([2.2000])}
    """
    raise NotImplementedError("not done yet")


# %%
check("ch08.momentum_update", momentum_update)

# %% [markdown]
# ## 3. `crop_boxes` (medium)
#
# Of all ways to make views, cropping teaches most: two parts of one picture must be recognised as parts of one thing.
# Draw `n` boxes inside a square image of `size` × `size` pixels:
#
# - the area of a box is a share of the image, uniform between the two values of `area`;
# - its ratio, width over height, is independent of the area, and drawn so that its *logarithm* is uniform between those
#   of the two values of `ratio`. Twice as wide and twice as high are then equally probable;
# - a side that would be longer than the image is cut to `size`;
# - all places where the box lies inside the image are equally probable: top and left are uniform and independent.
#
# The boxes are real numbers, not rounded to pixels, and all chance comes from `generator`. (torchvision's
# `RandomResizedCrop` rounds, and draws again, up to ten times, where we cut.)
#
# A tiny case: a share of ¼ and a ratio of 1 in an image of 32 × 32 make a box of 16 × 16. Its top is anywhere between
# 0 and 16. A share of 1 with a ratio of 4 asks for 16 × 64, and is cut to 16 × 32.


# %%
def crop_boxes(
    n: int,
    size: int,
    generator: torch.Generator,
    area: tuple[float, float] = (0.2, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """Boxes for random resized crops of a square image.

    Args:
        n: number of boxes.
        size: side of the image, in pixels.
        generator: the only source of chance.
        area: least and greatest area, as a share of the image; in (0, 1].
        ratio: least and greatest width over height; above 0.

    Returns:
        boxes ``(n, 4)``: top, left, height and width, in pixels.

    >>> crop_boxes(1, 32, torch.Generator().manual_seed(0), area=(1.0, 1.0), ratio=(4.0, 4.0))[:, 2:]
    tensor([[16., 32.]])
    """

    raise NotImplementedError("not done yet")


# %%
check("ch08.crop_boxes", crop_boxes)

# %% [markdown]
# ## 4. `nt_xent` (medium)
#
# Which of the other $2N - 1$ views in the batch shows my image? SimCLR makes a classification of this question (Chen et
# al. 2020, *A Simple Framework for Contrastive Learning of Visual Representations*, equation 1). Let $z_1, \dots,
# z_{2N}$ be the embeddings of the first views of all images, followed by those of their second views, and $s_{ij}$ the
# cosine of $z_i$ and $z_j$. View $i$, whose partner is the view $p(i)$ of the same image, costs
#
# $$\ell_i = -\log \frac{\exp(s_{i\,p(i)} / \tau)}{\sum_{j \ne i} \exp(s_{ij} / \tau)},$$
#
# and the loss is the mean of $\ell_i$ over all $2N$ views. The sum has $2N - 1$ terms: the partner once, the $2N - 2$
# views of other images, and not the view itself. No Python loop, and with a temperature of 0.001 in float32, where
# $\exp(1000)$ is infinite, value and gradient must still be finite.
#
# A tiny case with $\tau = 1$ and two images: both views of the first are $(1, 0)$, both of the second $(0, 1)$. Each
# view has the similarity 1 to its partner and 0 to two others: it costs $-\log\bigl(e / (e + 2)\bigr) = 0.5514$.


# %%
def nt_xent(z1: Tensor, z2: Tensor, temperature: float = 0.5) -> Tensor:
    """Loss of SimCLR over a batch of two views.

    Args:
        z1: embeddings of the first views ``(N, d)``, of any length above 0.
        z2: embeddings of the second views ``(N, d)``, of the same images in the same order.
        temperature: what the cosines are divided by; above 0.

    Returns:
        the loss, a scalar.

    >>> nt_xent(torch.eye(2), torch.eye(2), temperature=1.0)
    tensor(0.5514)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch08.nt_xent", nt_xent)

# %% [markdown]
# ## 5. `enqueue` (medium)
#
# SimCLR finds its negatives in the batch, so it wants large batches. MoCo keeps the keys of past batches in a queue of
# $K$ rows instead, and each new batch takes the place of the oldest one. (It is not a memory of all images of the data
# set: the oldest keys go, since the encoder that made them is no more.)
#
# The queue is a ring: a table `queue` of fixed size and the `position` of its oldest row. The $B$ new keys go to the
# rows `position`, `position + 1`, and so on, in their order; after the last row comes row 0. Return the new queue and
# the position of the row that is now the oldest.
#
# - $B$ is at most $K$, but it need not divide $K$: a batch may go round the end.
# - Keys enter without gradient: no loss may reach back through the queue into the step that made them.
# - The old queue stays as it is.
#
# A tiny case: a queue of 3 rows $a, b, c$ with the position 2 and the keys $x, y$. Row 2 takes $x$, row 0 takes $y$:
# the queue is $y, b, x$, and the oldest row is now $b$ at the position 1.


# %%
def enqueue(queue: Tensor, position: int, keys: Tensor) -> tuple[Tensor, int]:
    """Write a batch of keys over the oldest rows of a ring.

    Args:
        queue: ``(K, d)``; left as it is.
        position: the oldest row, in [0, K).
        keys: ``(B, d)``, with B at most K.

    Returns:
        ``(queue, position)``: the new queue ``(K, d)``, without gradient, and its oldest row, in [0, K).

    >>> enqueue(torch.tensor([[1.0], [2.0], [3.0]]), 2, torch.tensor([[8.0], [9.0]]))
    (tensor([[9.],
            [2.],
            [8.]]), 1)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch08.enqueue", enqueue)

# %% [markdown]
# ## 6. `info_nce` (medium)
#
# MoCo's loss asks the same kind of question as SimCLR's: which of these $1 + K$ keys is of my image? One is the key of
# the other view of the image, made by the key encoder, and $K$ come from the queue. With the query $q_i$, its key $k_i$
# and the rows $n_1, \dots, n_K$ of the queue, all of length 1 already (He et al. 2020, equation 1),
#
# $$\ell_i = -\log \frac{\exp(q_i^\top k_i / \tau)}{\exp(q_i^\top k_i / \tau) +
# \sum_{j=1}^{K} \exp(q_i^\top n_j / \tau)},$$
#
# and the loss is the mean over the $N$ queries. The keys of the other images of the batch take no part: they come into
# the queue after the step. The gradient reaches the queries only. No Python loop, and value and gradient are finite in
# float32 at $\tau = 0.001$.
#
# A tiny case with $\tau = 1$: $q = k = (1, 0)$, and a queue of one row $(0, 1)$. The logits are 1 and 0, the loss is
# $-\log\bigl(e / (e + 1)\bigr) = 0.3133$.


# %%
def info_nce(query: Tensor, key: Tensor, queue: Tensor, temperature: float = 0.07) -> Tensor:
    """Loss of MoCo with a queue of negatives.

    Args:
        query: embeddings ``(N, d)`` of length 1, by the query encoder.
        key: embeddings ``(N, d)`` of length 1 of the same images, by the key encoder; no gradient flows here.
        queue: past keys ``(K, d)`` of length 1; no gradient flows here.
        temperature: what the similarities are divided by; above 0.

    Returns:
        the loss, a scalar.

    >>> info_nce(torch.tensor([[1.0, 0.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), temperature=1.0)
    tensor(0.3133)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch08.info_nce", info_nce)
