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

# %% [markdown] tags=["hints"]
# - The distance of each anchor to its own positive, shape (N,): `torch.linalg.vector_norm(anchor - positive, dim=1)`.
# - Subtract, add the margin, and cut at 0 with `clamp(min=0)` *before* you take the mean: each triplet has its own
#   hinge, and a good triplet must not pay for a bad one.


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
    # BEGIN SOLUTION
    to_positive = torch.linalg.vector_norm(anchor - positive, dim=1)  # (N,)
    to_negative = torch.linalg.vector_norm(anchor - negative, dim=1)  # (N,)
    return (to_positive - to_negative + margin).clamp(min=0).mean()
    # END SOLUTION


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

# %% [markdown] tags=["hints"]
# - Start with `pairwise_distances(z)`, (B, B). Each row's smallest entry is the item itself: put infinity on the
#   diagonal (`fill_diagonal_`, or `masked_fill` with `torch.eye`) rather than dropping the first neighbour.
# - `topk(k, dim=1, largest=False).indices` gives the neighbours (B, k), and `labels` indexed with it their labels.
# - Compare with `labels[:, None]`, then `any(dim=1)`. An item has a partner if its label occurs more than once.


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
    # BEGIN SOLUTION
    same = labels[:, None] == labels[None]  # (B, B)
    itself = torch.eye(len(z), dtype=torch.bool)
    distances = pairwise_distances(z).masked_fill(itself, torch.inf)  # (B, B)
    neighbours = distances.topk(k, dim=1, largest=False).indices  # (B, k)
    found = same.gather(1, neighbours).any(dim=1)  # (B,)
    has_partner = same.sum(dim=1) > 1  # (B,)
    return found[has_partner].float().mean()
    # END SOLUTION


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

# %% [markdown] tags=["hints"]
# - The table `labels[:, None] == labels[None]`, (N, N), without its diagonal, holds every (anchor, positive) that is
#   allowed. `nonzero()` lists them, and an item without a partner is not among them.
# - Draw `n` rows of that list with `torch.randint(len(rows), (n,), generator=generator)`.
# - For the negatives make the weights `labels[anchor][:, None] != labels[None]`, (n, N), as floats: then
#   `torch.multinomial(weights, 1, generator=generator)` draws one position in each row.


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
    # BEGIN SOLUTION
    same = labels[:, None] == labels[None]  # (N, N)
    rows = (same & ~torch.eye(len(labels), dtype=torch.bool)).nonzero()  # (number of pairs, 2)
    anchor, positive = rows[torch.randint(len(rows), (n,), generator=generator)].unbind(dim=1)  # (n,) each
    negative = torch.multinomial((~same[anchor]).float(), 1, generator=generator)[:, 0]  # (n, N) -> (n,)
    return anchor, positive, negative
    # END SOLUTION


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

# %% [markdown] tags=["hints"]
# - `labels.unique(return_counts=True)` gives the classes and how many items each has. Keep those with `counts >= k`.
# - `torch.randperm(len(classes), generator=generator)[:p]` draws `p` *different* positions; `randint` would repeat.
# - A Python loop over the `p` classes is fine: `(labels == c).nonzero()[:, 0]` lists the members of class `c`.


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
    # BEGIN SOLUTION
    classes, counts = labels.unique(return_counts=True)
    classes = classes[counts >= k]
    if len(classes) < p:
        raise ValueError(f"expected at least {p} classes with {k} items, got {len(classes)}")
    drawn = []
    for c in classes[torch.randperm(len(classes), generator=generator)[:p]]:
        members = (labels == c).nonzero()[:, 0]
        drawn.append(members[torch.randperm(len(members), generator=generator)[:k]])  # (k,)
    return torch.cat(drawn)  # (p * k,)
    # END SOLUTION


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

# %% [markdown] tags=["hints"]
# - Two tables of booleans (B, B): `positive` (same label, not the item itself) and `negative` (another label).
# - Multiplying by a mask puts zeros in, and a 0 would win every minimum. Fill with -infinity before `amax` and with
#   +infinity before `amin` instead: `distances.masked_fill(~positive, -torch.inf)`.
# - Keep only the anchors with both (`positive.any(1) & negative.any(1)`) before the hinge. The mean of nothing is NaN:
#   take the sum and divide by the number of anchors, at least 1.


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
    # BEGIN SOLUTION
    distances = pairwise_distances(z)  # (B, B)
    same = labels[:, None] == labels[None]
    positive, negative = same & ~torch.eye(len(z), dtype=torch.bool), ~same
    farthest = distances.masked_fill(~positive, -torch.inf).amax(dim=1)  # (B,)
    nearest = distances.masked_fill(~negative, torch.inf).amin(dim=1)  # (B,)
    both = positive.any(dim=1) & negative.any(dim=1)
    hinge = (farthest[both] - nearest[both] + margin).clamp(min=0)  # (anchors with a triplet,)
    return hinge.sum() / max(len(hinge), 1)
    # END SOLUTION


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

# %% [markdown] tags=["hints"]
# - `distances.masked_fill(same, torch.inf).sort(dim=1).values` holds each anchor's negatives in ascending order, then
#   infinities. `torch.searchsorted(negatives, threshold)` finds $c$ for a whole table of thresholds (B, B) at once.
# - An infinity in a prefix sum gives inf - inf = NaN: replace the infinities by 0 before `cumsum`. Put a column of 0
#   in front (`torch.nn.functional.pad(..., (1, 0))`), so that $S_0 = 0$; `gather(1, c)` then takes $S_c$.
# - `c * threshold - S.gather(1, c)` is a table over (anchor, other item): keep the entries that are positives. The
#   number of triplets is, over the anchors, positives times negatives; divide by it, at least by 1. Counts need no
#   gradient (search in detached tables), but thresholds and sums do.


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
    # BEGIN SOLUTION
    distances = pairwise_distances(z)  # (B, B)
    same = labels[:, None] == labels[None]
    positive = same & ~torch.eye(len(z), dtype=torch.bool)

    negatives = distances.masked_fill(same, torch.inf).sort(dim=1).values  # (B, B) ascending, then infinities
    sums = torch.nn.functional.pad(negatives.masked_fill(negatives.isinf(), 0).cumsum(dim=1), (1, 0))  # (B, B + 1)

    threshold = distances + margin  # (B, B) of each anchor and positive
    nearer = torch.searchsorted(negatives.detach(), threshold.detach())  # (B, B) how many negatives are nearer
    hinges = nearer * threshold - sums.gather(1, nearer)  # (B, B) summed over the negatives

    triplets = (positive.sum(dim=1) * (~same).sum(dim=1)).sum()
    return hinges[positive].sum() / triplets.clamp(min=1)
    # END SOLUTION


# %%
check("ch04.batch_all_sorted", batch_all_sorted)
