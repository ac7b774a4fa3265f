# %% [markdown]
# # Exercises of chapter 3: Siamese networks
#
# A Siamese network turns two images into two vectors and compares them by their distance. Here you write, from
# tensor operations, everything that stands around the network: the distances, the loss and its gradient, the pairs
# it learns from, and the measure of what it has learned. Six exercises, from easy to hard; each stands on its own.
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint pairwise_distances` gives a first hint; in a notebook the hints unfold below each question.

# %%
import torch
from torch import Tensor

from replearn_course.checks import check

# %% [markdown]
# ## 1. `pairwise_distances` (easy)
#
# How far is each of $N$ points from each of $M$ others? The Euclidean distance of row $i$ of `x` and row $j$ of `y` is
#
# $$D_{ij} = \sqrt{\textstyle\sum_k (x_{ik} - y_{jk})^2}.$$
#
# Write it for all $i$ and $j$ at once, without a Python loop. Two things are asked beyond the formula, because a
# network will be trained through it:
#
# - Two equal points have the distance 0, and the gradient there must be 0 too, not NaN. (The root has an infinite
#   slope at 0, and $\infty \cdot 0$ is NaN.)
# - Two near points far from the origin must keep their distance: in float32 the expansion
#   $\|x\|^2 + \|y\|^2 - 2 x^\top y$ subtracts large numbers that are nearly equal.
#
# A tiny case: from $(0, 0)$ to $(3, 4)$ it is 5, to $(0, 0)$ it is 0, so `x` of shape (1, 2) and `y` of shape
# (2, 2) give `[[5, 0]]`, of shape (1, 2).

# %% [markdown] tags=["hints"]
# - Indexing with `None` adds an axis of length 1: `x[:, None]` has shape (N, 1, d) and `y[None]` has shape (1, M, d).
#   What is the shape of their difference?
# - Sum the squares over the last axis. Before the root, find where the sum is exactly 0.
# - `torch.where` alone does not save the gradient: the branch that is not taken is differentiated too, and gives
#   0 · ∞. Put a harmless number (1) under the root where the sum is 0, and a 0 into the result there.


# %%
def pairwise_distances(x: Tensor, y: Tensor) -> Tensor:
    """Euclidean distance of each row of ``x`` to each row of ``y``.

    Args:
        x: points ``(N, d)``.
        y: points ``(M, d)``.

    Returns:
        distances ``(N, M)``; value and gradient are 0 where two points are equal.

    >>> pairwise_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    tensor([[5., 0.]])
    """
    # BEGIN SOLUTION
    squared = (x[:, None] - y[None]).square().sum(dim=2)  # (N, 1, d) - (1, M, d) -> (N, M, d) -> (N, M)
    zero = squared == 0
    # The root never sees a 0, so its infinite slope never meets the chain rule.
    return squared.masked_fill(zero, 1).sqrt().masked_fill(zero, 0)
    # END SOLUTION


# %%
check("ch03.pairwise_distances", pairwise_distances)

# %% [markdown]
# ## 2. `one_shot` (easy)
#
# A new employee gives one photograph, and the door must know them tomorrow: no training, one example a class. With
# a good embedding the rule is short. The answer to a query is the label of the nearest support image:
#
# $$\hat y(q) = y_{s^*}, \qquad s^* = \arg\min_s \|q - s\|.$$
#
# The support may hold several images of a class, in any order, and labels may be any integers. Use the Euclidean
# distance, not an angle or a dot product.
#
# A tiny case: the support $(0, 0)$ has label 7 and $(10, 0)$ has label 3. The query $(8, 1)$ is nearer to the second:
# its label is 3.

# %% [markdown] tags=["hints"]
# - You need the distances (Q, S) from each query to each support image. `torch.cdist(queries, support)` gives them,
#   and so does your `pairwise_distances`.
# - `argmin(dim=1)` gives for each query the *position* of the nearest support image.
# - A position is not a label yet: index `support_labels` with the positions, all at once.


# %%
def one_shot(queries: Tensor, support: Tensor, support_labels: Tensor) -> Tensor:
    """Label of the nearest support embedding, for each query.

    Args:
        queries: embeddings ``(Q, d)``.
        support: embeddings ``(S, d)``.
        support_labels: integer labels ``(S,)``.

    Returns:
        predicted labels ``(Q,)``.

    >>> one_shot(torch.tensor([[8.0, 1.0]]), torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([7, 3]))
    tensor([3])
    """
    # BEGIN SOLUTION
    distances = torch.cdist(queries, support)  # (Q, S)
    return support_labels[distances.argmin(dim=1)]  # (Q,)
    # END SOLUTION


# %%
check("ch03.one_shot", one_shot)

# %% [markdown]
# ## 3. `contrastive_loss` (medium)
#
# What should a pair cost? A pair of one class costs more the farther apart it is; a pair of two classes costs
# something only while it is nearer than the margin $m$. With the distance $d = \|x_1 - x_2\|$ of a pair and $s = 1$
# where it is of one class, else 0, the loss of Hadsell, Chopra and LeCun (2006, equation 4) is
#
# $$\ell = s \cdot \tfrac12 d^2 + (1 - s) \cdot \tfrac12 \max(0,\, m - d)^2,$$
#
# and the loss of a batch is the mean of $\ell$ over its pairs. Mind the order in the second term: first subtract
# the distance (not its square), then cut at 0, then square.
#
# A tiny case with $m = 1$: a pair of one class at distance 2 costs $\tfrac12 \cdot 4 = 2$; a pair of two classes at
# distance 0.5 costs $\tfrac12 \cdot 0.25 = 0.125$; at distance 3 it costs nothing. The mean of the three is 0.7083.
#
# `same` may come as booleans or as numbers 0 and 1. Two images with equal embeddings must not make the gradient NaN.

# %% [markdown] tags=["hints"]
# - The distance of each pair, shape (N,): `torch.linalg.vector_norm(x1 - x2, dim=1)`. Its gradient at 0 is 0.
# - `same.to(x1.dtype)` makes weights 0 and 1 of booleans and of numbers alike.
# - Compute both terms for every pair, and let the weights `s` and `1 - s` choose. `clamp(min=0)` is the hinge.


# %%
def contrastive_loss(x1: Tensor, x2: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """Contrastive loss of Hadsell et al. (2006), mean over the pairs.

    Args:
        x1: first embeddings ``(N, d)``.
        x2: second embeddings ``(N, d)``.
        same: ``(N,)``, True or 1 where a pair is of one class.
        margin: distance beyond which a pair of two classes costs nothing.

    Returns:
        the loss, a scalar.

    >>> x1, x2 = torch.zeros(3, 1), torch.tensor([[2.0], [0.5], [3.0]])
    >>> contrastive_loss(x1, x2, torch.tensor([True, False, False]))
    tensor(0.7083)
    """
    # BEGIN SOLUTION
    distance = torch.linalg.vector_norm(x1 - x2, dim=1)  # (N,)
    same = same.to(x1.dtype)
    pull = distance.square() / 2
    push = (margin - distance).clamp(min=0).square() / 2
    return (same * pull + (1 - same) * push).mean()
    # END SOLUTION


# %%
check("ch03.contrastive_loss", contrastive_loss)

# %% [markdown]
# ## 4. `same_different_pairs` (medium)
#
# Where do the pairs come from? Of ten balanced classes only one random pair in ten is of one class, so the network
# would hardly ever be pulled. Draw `n` pairs (`n` is even), exactly half of one class and half of two:
#
# - no item is ever paired with itself;
# - an item whose class has no other member cannot stand in a pair of one class, but it can in a pair of two;
# - every allowed pair can be drawn;
# - all chance comes from `generator`: the same seed gives the same pairs, another seed gives others.
#
# The pairs may come in any order, and a pair may be drawn twice.
#
# A tiny case: labels `[5, 5, 8]` and `n = 2`. The pair of one class is (0, 1) or (1, 0); the other pair is item 2
# with 0 or 1, in either order.

# %% [markdown] tags=["hints"]
# - `labels[:, None] == labels[None]` is an (N, N) table that says which pairs are of one class. Which of its entries
#   must not be drawn?
# - `allowed.nonzero()` lists the allowed pairs, shape (number, 2). Draw `n // 2` of its rows.
# - `torch.randint(len(rows), (n // 2,), generator=generator)` draws row numbers with the generator. Do it once for
#   the pairs of one class and once for those of two, then `torch.cat`.


# %%
def same_different_pairs(labels: Tensor, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw ``n`` pairs of items, half of one class and half of two classes.

    Args:
        labels: integer labels ``(N,)``.
        n: number of pairs, even.
        generator: the only source of chance.

    Returns:
        ``(first, second, same)``: indices ``(n,)``, indices ``(n,)`` and booleans ``(n,)``.

    >>> first, second, same = same_different_pairs(torch.tensor([5, 5, 8]), 2, torch.Generator().manual_seed(0))
    >>> sorted(same.tolist())
    [False, True]
    """
    # BEGIN SOLUTION
    one_class = labels[:, None] == labels[None]  # (N, N)
    itself = torch.eye(len(labels), dtype=torch.bool)
    drawn = []
    for allowed in (one_class & ~itself, ~one_class):
        rows = allowed.nonzero()  # (number of allowed pairs, 2)
        drawn.append(rows[torch.randint(len(rows), (n // 2,), generator=generator)])  # (n/2, 2)
    first, second = torch.cat(drawn).unbind(dim=1)  # (n,) each
    return first, second, labels[first] == labels[second]
    # END SOLUTION


# %%
check("ch03.same_different_pairs", same_different_pairs)

# %% [markdown]
# ## 5. `verification_auc` (medium)
#
# Are two images of one person? The network answers with a distance, and a door needs a threshold. To judge the
# distances without choosing one, ask: how probable is it that a pair of one class is nearer than a pair of two
# classes? That is the area under the ROC curve:
#
# $$\mathrm{AUC} = P(d_\text{same} < d_\text{different}) + \tfrac12 P(d_\text{same} = d_\text{different}),$$
#
# over all combinations of a pair of one class with a pair of two. It is 1 when every threshold in between separates
# them, and 0.5 when the distances tell nothing.
#
# A tiny case: distances 0.1 and 0.4 of one class, 0.3 and 0.4 of two. Of four combinations 0.1 wins two, 0.4 loses
# to 0.3 and ties with 0.4: $(2 + 0 + 0.5) / 4 = 0.625$.

# %% [markdown] tags=["hints"]
# - Split the distances into those of one class, shape (P,), and those of two, shape (M,); `same.bool()` makes a mask.
# - Compare each with each by broadcasting: (P, 1) against (1, M). No threshold is needed.
# - A win counts 1 and a tie counts ½; then take the mean over the (P, M) table.


# %%
def verification_auc(distances: Tensor, same: Tensor) -> Tensor:
    """Probability that a pair of one class is nearer than a pair of two; ties count half.

    Args:
        distances: ``(N,)``.
        same: booleans ``(N,)``, True where a pair is of one class; both kinds occur.

    Returns:
        the area under the ROC curve, a scalar in [0, 1].

    >>> verification_auc(torch.tensor([0.1, 0.4, 0.3, 0.4]), torch.tensor([True, True, False, False]))
    tensor(0.6250)
    """
    # BEGIN SOLUTION
    same = same.bool()
    near, far = distances[same][:, None], distances[~same][None]  # (P, 1), (1, M)
    return ((near < far) + 0.5 * (near == far)).mean()
    # END SOLUTION


# %%
check("ch03.verification_auc", verification_auc)

# %% [markdown]
# ## 6. `contrastive_gradient` (hard)
#
# Which way does the loss move an embedding, and how hard? Work out the gradient of the contrastive loss of exercise 3
# with respect to `x1` on paper, then write the result with tensor operations; autograd is off here.
#
# With $\delta = x_1 - x_2$ and $d = \|\delta\|$, recall that $\partial d / \partial x_1 = \delta / d$ for $d > 0$. A
# pair of one class pulls like a spring, with a force that grows with $d$. A pair of two classes pushes along
# $\delta / d$, only inside the margin. At $d = 0$ the push has no direction: take 0 there. The loss is a mean over $N$
# pairs, so each row carries a factor $1/N$.
#
# A tiny case with one pair, $m = 2$, $\delta = (0.6, 0.8)$, so $d = 1$: of one class the gradient is $(0.6, 0.8)$;
# of two classes it is $-(2 - 1) \cdot (0.6, 0.8)$.

# %% [markdown] tags=["hints"]
# - For a pair of one class, $\tfrac12 d^2 = \tfrac12 \delta^\top \delta$. Its gradient with respect to $x_1$ is short.
# - For a pair of two classes use the chain rule: the derivative of $\tfrac12 \max(0, m - d)^2$ by $d$ is
#   $-\max(0, m - d)$; multiply by $\delta / d$.
# - Both are a number times $\delta$: 1, or $-\max(0, m - d) / d$. Build that number per pair, shape (N, 1), with
#   `d.clamp(min=...)` in the denominator: at $d = 0$ the factor $\delta = 0$ then gives 0.


# %%
def contrastive_gradient(x1: Tensor, x2: Tensor, same: Tensor, margin: float = 1.0) -> Tensor:
    """Gradient of the mean contrastive loss with respect to ``x1``, without autograd.

    Args:
        x1: first embeddings ``(N, d)``.
        x2: second embeddings ``(N, d)``.
        same: booleans ``(N,)``, True where a pair is of one class.
        margin: distance beyond which a pair of two classes costs nothing.

    Returns:
        the gradient ``(N, d)``; 0 for a pair of two classes with equal embeddings.

    >>> x1, x2 = torch.tensor([[0.6, 0.8]]), torch.zeros(1, 2)
    >>> contrastive_gradient(x1, x2, torch.tensor([False]), margin=2.0)
    tensor([[-0.6000, -0.8000]])
    """
    # BEGIN SOLUTION
    delta = x1 - x2  # (N, d)
    distance = torch.linalg.vector_norm(delta, dim=1, keepdim=True)  # (N, 1)
    push = -(margin - distance).clamp(min=0) / distance.clamp(min=1e-12)  # (N, 1)
    # Where delta is 0 the push is a huge number but finite, and huge times 0 is 0.
    return torch.where(same[:, None], 1.0, push) * delta / len(x1)
    # END SOLUTION


# %%
check("ch03.contrastive_gradient", contrastive_gradient)
