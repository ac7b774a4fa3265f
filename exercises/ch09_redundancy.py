# %% [markdown]
# # Exercises of chapter 9: Redundancy reduction
#
# Barlow Twins needs no negatives. It looks at the dimensions of the embedding instead of the images: a dimension should
# say the same about both views of an image, and no two dimensions should say the same thing. Here you write its
# correlation matrix and its loss, a measure of how many dimensions an embedding really uses, and the way around the
# large matrix. Five exercises, from easy to hard; each stands on its own.
#
# The letters: $N$ images make a batch, $d$ is the dimension of their embeddings, and $c$ (d, d) is the matrix of the
# correlations of each dimension in the first views with each dimension in the second.
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint off_diagonal` gives a first hint; in a notebook the hints unfold below each question.

# %%
import torch
from torch import Tensor

from replearn_course.checks import check

# %% [markdown]
# ## 1. `off_diagonal` (easy)
#
# The second half of Barlow's loss is about the entries of a square matrix that are not on its diagonal. A mask
# (`matrix[~torch.eye(d, dtype=torch.bool)]`) finds them, but makes a second matrix to ask and copies nearly all of the
# first: for $d = 8192$ that is some 0.3 GB each time. No copy is needed, since in memory a matrix is one row of
# numbers. Here are those of a matrix with $d = 3$, its diagonal in brackets:
#
# $$[c_{11}]\; c_{12}\; c_{13}\; c_{21}\; [c_{22}]\; c_{23}\; c_{31}\; c_{32}\; [c_{33}].$$
#
# How many numbers lie between one bracket and the next? Return the entries off the diagonal in this order (row by row,
# as you read) in the shape $(d - 1, d)$, as a view that shares the memory of the matrix.
#
# A tiny case: of `[[1, 2, 3], [4, 5, 6], [7, 8, 9]]` it is `[[2, 3, 4], [6, 7, 8]]`.


# %%
def off_diagonal(matrix: Tensor) -> Tensor:
    """Entries off the diagonal of a square matrix, as a view: nothing is copied.

    Args:
        matrix: ``(d, d)``, contiguous, d at least 1.

    Returns:
        the entries in the order of reading, ``(d - 1, d)``, in the memory of the matrix.

    >>> off_diagonal(torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]])).tolist()
    [[2, 3, 4], [6, 7, 8]]
    """
    raise NotImplementedError("not done yet")


# %%
check("ch09.off_diagonal", off_diagonal)

# %% [markdown]
# ## 2. `barlow_loss` (easy)
#
# What should the correlations be? A dimension should agree with itself in the other view, so $c_{ii}$ should be 1; it
# should say nothing about another dimension, so $c_{ij}$ should be 0. Barlow Twins takes squares (Zbontar et al. 2021,
# *Barlow Twins: Self-Supervised Learning via Redundancy Reduction*, equation 1):
#
# $$\mathcal{L} = \sum_i (1 - c_{ii})^2 + \lambda \sum_i \sum_{j \ne i} c_{ij}^2.$$
#
# There are $d$ entries in the first sum and $d (d - 1)$ in the second, so $\lambda$ (`weight`) is small: the paper has
# 0.005. Both are sums, not means. The matrix is not symmetric, and it must stay as it is: it is looked at after the
# step.
#
# A tiny case with $\lambda = 0.5$: the matrix `[[0.8, 0.2], [-0.4, 1.0]]` costs
# $0.2^2 + 0^2 + 0.5\,(0.2^2 + 0.4^2) = 0.04 + 0.1 = 0.14$.


# %%
def barlow_loss(c: Tensor, weight: float = 0.005) -> Tensor:
    """Loss of Barlow Twins from its correlation matrix.

    Args:
        c: correlations ``(d, d)``; left as they are.
        weight: the factor of the entries off the diagonal.

    Returns:
        the loss, a scalar.

    >>> barlow_loss(torch.tensor([[0.8, 0.2], [-0.4, 1.0]]), weight=0.5)
    tensor(0.1400)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch09.barlow_loss", barlow_loss)

# %% [markdown]
# ## 3. `cross_correlation` (medium)
#
# Where do the correlations come from? Each dimension, a column of $N$ numbers, is first brought to the mean 0 and the
# standard deviation 1 over the batch, in each view by itself. Then the correlation of two columns is the mean of their
# product:
#
# $$\hat z_{ni} = \frac{z_{ni} - \mu_i}{\sqrt{\sigma_i^2 + \varepsilon}}, \qquad
# c_{ij} = \frac1N \sum_n \hat z^1_{ni}\, \hat z^2_{nj},$$
#
# with the mean $\mu_i = \frac1N \sum_n z_{ni}$, the variance $\sigma_i^2 = \frac1N \sum_n (z_{ni} - \mu_i)^2$ and
# $\varepsilon = 10^{-5}$, as in batch norm. Without the mean taken off it would be a cosine: two columns that are only
# both positive would look alike. (The paper prints the formula without the means, its equation 2, and says in words
# that they are 0.)
#
# A dimension that is constant in the batch must give 0, with a finite gradient: there $\varepsilon$ keeps the root from
# an infinite slope. Embeddings far from the origin must keep their digits in float32. No Python loop.
#
# A tiny case with one dimension: 1, 3 in the first views and 7, 5 in the second. Standardised they are $-1, 1$ and
# $1, -1$, and $c = -1$ (to five digits, because of $\varepsilon$).


# %%
def cross_correlation(z1: Tensor, z2: Tensor) -> Tensor:
    """Correlation of each dimension in the first views with each in the second.

    Args:
        z1: embeddings of the first views ``(N, d)``.
        z2: embeddings of the second views ``(N, d)``, of the same images in the same order.

    Returns:
        correlations ``(d, d)``: rows belong to ``z1``, columns to ``z2``.

    >>> cross_correlation(torch.tensor([[1.0], [3.0]]), torch.tensor([[7.0], [5.0]]))
    tensor([[-1.0000]])
    """

    raise NotImplementedError("not done yet")


# %%
check("ch09.cross_correlation", cross_correlation)

# %% [markdown]
# ## 4. `effective_rank` (medium)
#
# An embedding of 128 numbers may use only ten directions: this is dimensional collapse, and the loss need not show it.
# How many directions does it use? Take the mean off the embeddings, and let $\sigma_1, \sigma_2, \dots$ be the singular
# values of what is left: how far the batch stretches along its main directions. Their shares $p_k$ say how the stretch
# is spread, and the entropy of the shares counts directions (Roy and Vetterli 2007, *The Effective Rank: A Measure of
# Effective Dimensionality*; they leave the mean in):
#
# $$p_k = \frac{\sigma_k}{\sum_l \sigma_l}, \qquad \operatorname{erank} = \exp\Bigl(-\sum_k p_k \ln p_k\Bigr),$$
#
# where $0 \ln 0 = 0$. Equal stretch in $k$ directions gives $k$; one direction gives 1. Where all embeddings are equal
# nothing is stretched, and the result is 0. Neither a shift nor the scale of the embeddings changes it.
#
# A tiny case: $(3, 0), (-3, 0), (0, 1), (0, -1)$ has the mean 0 and the singular values $\sqrt{18}$ and $\sqrt 2$. The
# shares are $\tfrac34$ and $\tfrac14$, the entropy is 0.5623 and the effective rank $e^{0.5623} = 1.7548$.


# %%
def effective_rank(z: Tensor) -> Tensor:
    """Effective number of directions that a batch of embeddings uses.

    Args:
        z: embeddings ``(N, d)``.

    Returns:
        a scalar from 1 to min(N - 1, d), or 0 where every embedding equals their mean.

    >>> effective_rank(torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    tensor(1.7548)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch09.effective_rank", effective_rank)

# %% [markdown]
# ## 5. `off_diagonal_energy` (hard)
#
# Barlow's projector has $d = 8192$ dimensions, but a batch perhaps $N = 256$ images. Of the matrix $c = a^\top b / N$,
# where $a$ and $b$ (N, d) are the standardised embeddings of both views, the loss needs only the diagonal and a sum of
# squares. Can it do without the $d^2$ entries? The sum of the squares of all entries of a matrix $m$ is the trace of
# $m^\top m$, and under a trace factors may go round:
#
# $$\sum_{ij} (a^\top b)_{ij}^2 = \operatorname{tr}(b^\top a\, a^\top b) = \operatorname{tr}(a a^\top\, b b^\top) =
# \sum_{nm} (a a^\top)_{nm}\,(b b^\top)_{nm},$$
#
# with two Gram matrices (N, N) that hold the dot products of images with images. It is exact, for any $a$ and $b$.
#
# Return $\sum_i \sum_{j \ne i} c_{ij}^2$, with the factor $1/N$ of $c$ in mind. Form (N, N) where $N < d$ and (d, d)
# where $d < N$, never the larger one; no Python loop over images or dimensions. Value and gradient are exact.
#
# A tiny case: $a = (1, 2)$ and $b = (3, 4)$ with $N = 1$: $c$ is `[[3, 4], [6, 8]]`, and the result $16 + 36 = 52$. By
# the Gram form: $aa^\top = 5$ and $bb^\top = 25$, of which $3^2 + 8^2 = 73$ is the diagonal: $125 - 73 = 52$.


# %%
def off_diagonal_energy(a: Tensor, b: Tensor) -> Tensor:
    """Sum of the squared correlations off the diagonal, by the smaller of two matrices.

    Args:
        a: standardised embeddings of the first views ``(N, d)``.
        b: standardised embeddings of the second views ``(N, d)``.

    Returns:
        the sum over i and j, i not j, of the squares of ``a.T @ b / N``, a scalar.

    >>> off_diagonal_energy(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    tensor(52.)
    """
    raise NotImplementedError("not done yet")


# %%
check("ch09.off_diagonal_energy", off_diagonal_energy)
