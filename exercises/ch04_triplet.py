# %% [markdown]
# # Exercises of chapter 4: Triplet networks
#
# A triplet network asks for an order, not for a distance: the positive nearer to the anchor than the negative, by a
# margin. Here you write the loss, the two samplers that feed it, the two ways to use all triplets of a batch, and the
# measure of the result. Six exercises, from easy to hard; each stands on its own.
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint triplet_loss` gives a first hint; in a notebook the hints unfold below each question.
#
# `pairwise_distances(z)` of the library gives the Euclidean distances (B, B) of embeddings `z` (B, d) to each other,
# with gradient 0 where two are equal. You wrote it in chapter 3; use the library's here.

# %%
import torch
from torch import Tensor

from replearn_course.checks import check
from replearn_course.losses import pairwise_distances

# %% [markdown]
# ## 1. `triplet_loss` (easy)
#
# How wrong is the order of three embeddings? With anchor $a$, positive $p$ (of its class) and negative $n$ (of
# another) the loss of a triplet is
#
# $$\ell = \max(0,\; \|a - p\| - \|a - n\| + m),$$
#
# zero as soon as the negative is farther than the positive by the margin $m$. The loss of a batch is the mean of
# $\ell$ over all its triplets, those that cost nothing included. Distances are Euclidean, not squared.
#
# A tiny case with $m = 1$: distances 2 to the positive and 2.5 to the negative give $2 - 2.5 + 1 = 0.5$; distances
# 1 and 4 give $\max(0, -2) = 0$. The mean of the two is 0.25.
#
# An anchor and a positive with equal embeddings must not make the gradient NaN.


# %%
def triplet_loss(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float = 1.0) -> Tensor:
    """Triplet margin loss with Euclidean distances, mean over the triplets.

    Args:
        anchor: embeddings ``(N, d)``.
        positive: embeddings ``(N, d)`` of the anchors' classes.
        negative: embeddings ``(N, d)`` of other classes.
        margin: by how much the negative should be farther than the positive.

    Returns:
        the loss, a scalar.

    >>> anchor, positive, negative = torch.zeros(2, 1), torch.tensor([[2.0], [1.0]]), torch.tensor([[2.5], [4.0]])
    >>> triplet_loss(anchor, positive, negative)
    tensor(0.2500)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch04.triplet_loss", triplet_loss)

# %% [markdown]
# ## 2. `recall_at_k` (easy)
#
# Is the embedding good for search? Ask with each item in turn for its `k` nearest others. The query succeeds when
# at least one of them is of its class; Recall@k is the share of queries that succeed.
#
# - An item is never its own neighbour, even where another item has the same embedding.
# - An item that is the only one of its class cannot succeed: it is left out of the share, but others still find it.
#
# A tiny case: points 0, 1, 3, 7 on a line with labels `[0, 0, 1, 1]`. The nearest other item of each has the
# position 1, 0, 1, 2: three queries of four find their class, and Recall@1 is 0.75. Recall@2 is 0.75 too: the two
# nearest of the point 3 are 1 and 0.


# %%
def recall_at_k(z: Tensor, labels: Tensor, k: int) -> Tensor:
    """Share of items with at least one item of their class among their ``k`` nearest others.

    Args:
        z: embeddings ``(B, d)``.
        labels: integer labels ``(B,)``.
        k: number of neighbours, at most ``B - 1``.

    Returns:
        Recall@k over the items that have a partner, a scalar in [0, 1].

    >>> recall_at_k(torch.tensor([[0.0], [1.0], [3.0], [7.0]]), torch.tensor([0, 0, 1, 1]), k=1)
    tensor(0.7500)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch04.recall_at_k", recall_at_k)

# %% [markdown]
# ## 3. `random_triplets` (medium)
#
# Which triplets does the network see? The simplest answer is chance. Draw `n` triplets of positions in `labels`:
#
# - the positive is of the anchor's class, and never the anchor itself;
# - the negative is of another class;
# - an item that is the only one of its class has no positive, so it is never an anchor, but it can be a negative;
# - every allowed triplet can be drawn, and a triplet may be drawn twice;
# - all chance comes from `generator`: the same seed gives the same triplets, another seed gives others.
#
# A tiny case: labels `[5, 5, 8]` and `n = 1` allow two triplets, (0, 1, 2) and (1, 0, 2).


# %%
def random_triplets(labels: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw ``n`` triplets of items: an anchor, another item of its class, an item of another class.

    Args:
        labels: integer labels ``(N,)``.
        n: number of triplets.
        generator: the only source of chance.

    Returns:
        ``(anchor, positive, negative)``: three index tensors ``(n,)``.

    >>> anchor, positive, negative = random_triplets(torch.tensor([5, 5, 8]), 1, torch.Generator().manual_seed(0))
    >>> sorted([anchor.item(), positive.item()]), negative.item()
    ([0, 1], 2)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch04.random_triplets", random_triplets)

# %% [markdown]
# ## 4. `pk_batch` (medium)
#
# Mining looks for triplets inside a batch, so the batch must hold some. Of 32 random images of 10,000 people hardly
# two show one person. Draw instead `p` classes, and `k` items of each:
#
# - `p` different classes, each with exactly `k` different items; the order does not matter;
# - only classes with at least `k` items take part; where fewer than `p` such classes exist, raise a `ValueError`;
# - every class that takes part, and each of its items, can be drawn;
# - all chance comes from `generator`.
#
# A tiny case: labels `[3, 3, 6, 8, 8]`, `p = 2` and `k = 2`: class 6 is too small, so the batch is the positions
# 0, 1, 3, 4 in some order. With `p = 3` it is an error.


# %%
def pk_batch(labels: Tensor, p: int, k: int, generator: torch.Generator) -> Tensor:
    """Draw a batch of ``p`` classes with ``k`` items each.

    Args:
        labels: integer labels ``(N,)``.
        p: number of classes.
        k: number of items of each class.
        generator: the only source of chance.

    Returns:
        indices ``(p * k,)``, all different.

    Raises:
        ValueError: where fewer than ``p`` classes have ``k`` items.

    >>> sorted(pk_batch(torch.tensor([3, 3, 6, 8, 8]), 2, 2, torch.Generator().manual_seed(0)).tolist())
    [0, 1, 3, 4]
    """
    raise NotImplementedError("not done yet")


# %%
check("ch04.pk_batch", pk_batch)

# %% [markdown]
# ## 5. `batch_hard` (medium)
#
# Most random triplets soon cost nothing. Batch-hard (Hermans, Beyer and Leibe, 2017) takes for each anchor of the
# batch the two items that are hardest for it: the farthest positive and the nearest negative,
#
# $$\ell_a = \max\bigl(0,\; \max_{p} d_{ap} - \min_{n} d_{an} + m\bigr).$$
#
# The loss is the mean over the anchors that have a positive and a negative; those that cost nothing count too. Where
# no anchor has both (a batch of one class), it is 0, with gradient 0 rather than NaN. No Python loop.
#
# A tiny case with $m = 1$: points 0, 2, 3 on a line with labels `[0, 0, 1]`. Anchor 0 costs $2 - 3 + 1 = 0$ and the
# anchor at 2 costs $2 - 1 + 1 = 2$. The third has no positive and is left out. The mean is 1.


# %%
def batch_hard(z: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Batch-hard triplet loss of Hermans et al. (2017), Euclidean distances, mean over the anchors with a triplet.

    Args:
        z: embeddings ``(B, d)``.
        labels: integer labels ``(B,)``.
        margin: by how much the nearest negative should be farther than the farthest positive.

    Returns:
        the loss, a scalar; 0 where the batch holds no triplet.

    >>> batch_hard(torch.tensor([[0.0], [2.0], [3.0]]), torch.tensor([0, 0, 1]))
    tensor(1.)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch04.batch_hard", batch_hard)

# %% [markdown]
# ## 6. `batch_all_sorted` (hard)
#
# Batch-all takes every triplet of the batch. Written down plainly it makes a tensor (B, B, B): for $B = 1024$ that is
# 4 GiB of float32. Can it be exact with tables (B, B) only?
#
# Fix an anchor $a$ and a positive $p$, and call $t = d_{ap} + m$. The hinge of a negative is $\max(0, t - d_{an})$, so
# only the negatives nearer than $t$ count. If the anchor's negatives are sorted, $d_{(1)} \le d_{(2)} \le \dots$, and
# $c$ of them are nearer than $t$, then
#
# $$\sum_n \max(0,\, t - d_{an}) = c\,t - \bigl(d_{(1)} + \dots + d_{(c)}\bigr) = c\,t - S_c,$$
#
# with the prefix sums $S$, computed once for each anchor. One sort and one binary search replace the third axis.
#
# The loss is the sum over all triplets divided by the number of all triplets, those that cost nothing included; it is
# 0, with gradient 0, where there is none. Memory $O(B^2)$, no Python loop, value and gradient exact.
#
# A tiny case with $m = 1$: points 0, 2, 3, 9 on a line with labels `[0, 0, 1, 2]`. Anchor 0 has the positive at
# distance 2, so $t = 3$, and its negatives are at 3 and 9: none is nearer than 3, and the sum is 0. The anchor at 2
# has $t = 3$ and negatives at 1 and 7: $c = 1$, $S_1 = 1$, and the sum is $3 - 1 = 2$. There are 4 triplets, so the
# loss is 0.5.


# %%
def batch_all_sorted(z: Tensor, labels: Tensor, margin: float = 1.0) -> Tensor:
    """Batch-all triplet loss by sorting: exact, in O(B² log B) time and O(B²) memory.

    Args:
        z: embeddings ``(B, d)``.
        labels: integer labels ``(B,)``.
        margin: by how much each negative should be farther than each positive.

    Returns:
        the mean hinge over all triplets of the batch, a scalar; 0 where the batch holds no triplet.

    >>> batch_all_sorted(torch.tensor([[0.0], [2.0], [3.0], [9.0]]), torch.tensor([0, 0, 1, 2]))
    tensor(0.5000)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch04.batch_all_sorted", batch_all_sorted)
