# %% [markdown]
# # Exercises of chapter 10: Whitening
#
# What if the embeddings could not collapse, whatever the network does? W-MSE whitens them: after it every dimension has
# the variance 1 and no two are correlated, so all that is left to learn is that the views of an image agree. Here you
# write its parts: the groups in which a batch is whitened, the loss over any number of views, the matrix that whitens,
# its way through autograd, and another matrix that whitens too. Five exercises, from easy to hard; each stands on its
# own.
#
# The letters: $v_1, \dots, v_K$ are embeddings of dimension $d$, the rows of a tensor (K, d), with the mean $\mu$ and
# the covariance $\Sigma = \frac{1}{K - 1} \sum_k (v_k - \mu)(v_k - \mu)^\top$; $W$ is a matrix (d, d) that whitens
# them.
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint sub_batches` gives a first hint; in a notebook the hints unfold below each question.

# %%
import torch
from torch import Tensor

from replearn_course.checks import check

# %% [markdown]
# ## 1. `sub_batches` (easy)
#
# What whitening makes of an embedding depends on its company: the whole group sets the mean and the covariance. W-MSE
# cuts the batch into groups by chance, whitens each by itself, and draws other groups the next time, so that no company
# decides for long. Draw groups of the images $0, \dots, n - 1$:
#
# - every image is in exactly one group, and which images meet is left to chance;
# - there are $\lfloor n / \text{size} \rfloor$ groups, and their sizes differ by at most one. So no group is smaller
#   than `size`, however $n$ is divided: a small rest could not be whitened;
# - where $n$ is smaller than `size` there is no such group: raise a `ValueError`;
# - all chance comes from `generator`.
#
# A tiny case: $n = 7$ and size 3 give two groups, of 4 and 3 images, such as `[5, 0, 3, 6]` and `[1, 4, 2]`.

# %% [markdown] tags=["hints"]
# - A permutation holds each image once: `torch.randperm(n, generator=generator)`. It is enough to cut it into pieces.
# - `split(size)` and `chunk` may leave a small rest at the end; `tensor_split(k)` makes `k` pieces whose sizes differ
#   by at most one.


# %%
def sub_batches(n: int, size: int, generator: torch.Generator) -> list[Tensor]:
    """Cut a batch by chance into groups that are whitened each by itself.

    Args:
        n: number of images.
        size: the least size of a group.
        generator: the only source of chance.

    Returns:
        ``n // size`` index tensors, the groups; together they hold each image once.

    Raises:
        ValueError: where n is smaller than size.

    >>> [len(group) for group in sub_batches(7, 3, torch.Generator().manual_seed(0))]
    [4, 3]
    """
    # BEGIN SOLUTION
    if n < size:
        raise ValueError(f"expected at least {size} images, got {n}")
    return list(torch.randperm(n, generator=generator).tensor_split(n // size))
    # END SOLUTION


# %%
check("ch10.sub_batches", sub_batches)

# %% [markdown]
# ## 2. `w_mse` (medium)
#
# After whitening, the views of an image should agree. With $V$ views $z_{1n}, \dots, z_{Vn}$ of image $n$, brought to
# the length 1, W-MSE takes the mean squared distance over all pairs of views of all $N$ images (Ermolov et al. 2021,
# *Whitening for Self-Supervised Representation Learning*):
#
# $$\mathcal{L} = \frac1N \sum_n \frac{2}{V (V - 1)} \sum_{i < j}
# \left\| \frac{z_{in}}{\|z_{in}\|} - \frac{z_{jn}}{\|z_{jn}\|} \right\|^2.$$
#
# For unit vectors the squared distance is $2 - 2 \cos$: from 0 to 4. All views get a gradient. An embedding of zeros
# has no direction and stays 0, at the squared distance 1 from each unit vector, with a finite gradient. There are
# $V (V - 1) / 2$ pairs, so do without a loop over them: the squared distances of all pairs add up to $V$ times those of
# the views from their mean.
#
# A tiny case: one image with the three views $(2, 0)$, $(5, 0)$ and $(0, 1)$. The distances of the directions are 0, 2
# and 2 after squaring, and the loss is $4/3$.

# %% [markdown] tags=["hints"]
# - `torch.nn.functional.normalize(z, dim=2)` makes unit vectors of the last axis, and leaves zeros as they are.
# - The mean view of each image is the mean over the first axis, (N, d). How far are the views from it, in squares?
# - The sum over the pairs is $V$ times that sum over the views; with the factor $2 / (V (V - 1))$ this leaves
#   $2 / (V - 1)$. Then the mean over the images.


# %%
def w_mse(z: Tensor) -> Tensor:
    """Mean squared distance of the unit embeddings of all pairs of views.

    Args:
        z: whitened embeddings ``(V, N, d)`` of V views, at least 2, of N images.

    Returns:
        the loss, a scalar from 0 to 4.

    >>> w_mse(torch.tensor([[[2.0, 0.0]], [[5.0, 0.0]], [[0.0, 1.0]]]))
    tensor(1.3333)
    """
    # BEGIN SOLUTION
    unit = torch.nn.functional.normalize(z, dim=2)  # (V, N, d)
    spread = (unit - unit.mean(dim=0)).square().sum(dim=(0, 2))  # (N,)
    return 2 * spread.mean() / (len(z) - 1)
    # END SOLUTION


# %%
check("ch10.w_mse", w_mse)

# %% [markdown]
# ## 3. `whitening_matrix` (medium)
#
# Which matrix makes the covariance the identity? A vector $v$ becomes $z = W (v - \mu)$, so the covariance becomes
# $W \Sigma W^\top$, and that is the identity where $W^\top W = \Sigma^{-1}$. (The order matters: with
# $W W^\top = \Sigma^{-1}$, as one also finds it printed, $z$ need not be white.) W-MSE takes the Cholesky factor $L$ of
# the covariance, a lower triangular matrix with positive diagonal for which $\Sigma = L L^\top$, and
#
# $$W = L^{-1}.$$
#
# It is lower triangular too, with a positive diagonal, and the only such matrix that whitens.
#
# - $K$ vectors less their mean span at most $K - 1$ directions. Where $K - 1 < d$, the covariance has no inverse: raise
#   a `ValueError`, before anything is computed.
# - Where two dimensions nearly agree, the covariance squares what little difference there is, and float32 loses it:
#   compute in float64, and return the matrix in the type of $v$.
#
# A tiny case in one dimension: 0 and 2 have the variance 2 (with $K - 1 = 1$), so $L = \sqrt 2$ and $W = 0.7071$.

# %% [markdown] tags=["hints"]
# - `v.double()` first, then the covariance from what is left when the mean over the vectors is taken off. Mind $K - 1$.
# - `torch.linalg.cholesky(covariance)` is $L$. Which of $L$, its inverse and its transpose is asked?
# - `torch.linalg.solve_triangular(lower, identity, upper=False)` solves $L W = 1$, cheaper and safer than a general
#   inverse.


# %%
def whitening_matrix(v: Tensor) -> Tensor:
    """Lower triangular matrix that whitens a batch of vectors.

    Args:
        v: vectors ``(K, d)``.

    Returns:
        the matrix W ``(d, d)``, lower triangular, with ``W.T @ W`` the inverse of the covariance, in the type of ``v``.

    Raises:
        ValueError: where ``K - 1 < d``.

    >>> whitening_matrix(torch.tensor([[0.0], [2.0]]))
    tensor([[0.7071]])
    """
    # BEGIN SOLUTION
    k, d = v.shape
    if k - 1 < d:
        raise ValueError(f"expected at least {d + 1} vectors for {d} dimensions, got {k}")
    centred = v.double() - v.double().mean(dim=0)  # (K, d)
    lower = torch.linalg.cholesky(centred.T @ centred / (k - 1))  # (d, d)
    identity = torch.eye(d, dtype=torch.float64)
    return torch.linalg.solve_triangular(lower, identity, upper=False).to(v.dtype)
    # END SOLUTION


# %%
check("ch10.whitening_matrix", whitening_matrix)

# %% [markdown]
# ## 4. `whiten` (medium)
#
# Now whiten a batch, so that a network can learn through it. With the lower Cholesky factor $L$ of the covariance,
#
# $$z_k = L^{-1} (v_k - \mu).$$
#
# The formula speaks of columns, but in a tensor (K, d) the vectors are rows: which side does the matrix come to, and is
# it transposed?
#
# The mean and $L$ depend on every vector of the batch, and the gradient must go through them too. If it did not, the
# step would take $\mu$ and $L$ for constants and shrink, shift or turn the embeddings to no effect: whitening undoes
# it. One scalar shows it best: $\sum_k \|z_k\|^2$ is $(K - 1)\,d$ for any batch, so its gradient is 0.
#
# The batch that comes in stays as it is. Here $K - 1 \ge d$, and the covariance is well conditioned.
#
# A tiny case in one dimension: 0 and 2 have the mean 1 and $L = \sqrt 2$, and become $-0.7071$ and $0.7071$.

# %% [markdown] tags=["hints"]
# - Take the mean off, form the covariance (d, d) and its factor with `torch.linalg.cholesky`: autograd knows its
#   derivative.
# - For rows, $z_k^\top = (v_k - \mu)^\top L^{-\top}$.
# - `torch.linalg.solve_triangular(lower, centred.T, upper=False)` solves $L Z = $ `centred.T` for all columns at once;
#   its result is (d, K). No `detach`, no `torch.no_grad`, and no `-=`.


# %%
def whiten(v: Tensor) -> Tensor:
    """Whiten a batch by the Cholesky factor of its covariance; gradients flow through all of it.

    Args:
        v: vectors ``(K, d)``, with K - 1 at least d; left as they are.

    Returns:
        vectors ``(K, d)`` with the mean 0 and the covariance 1 (divisor K - 1).

    >>> whiten(torch.tensor([[0.0], [2.0]]))
    tensor([[-0.7071],
            [ 0.7071]])
    """
    # BEGIN SOLUTION
    centred = v - v.mean(dim=0)  # (K, d)
    lower = torch.linalg.cholesky(centred.T @ centred / (len(v) - 1))  # (d, d)
    return torch.linalg.solve_triangular(lower, centred.T, upper=False).T  # (d, K) -> (K, d)
    # END SOLUTION


# %%
check("ch10.whiten", whiten)

# %% [markdown]
# ## 5. `zca_matrix` (hard)
#
# Whitened vectors may be turned in any direction, and they stay white: with $W$ also $R W$ whitens, for each rotation
# $R$. Cholesky whitening depends on the order of the dimensions. Which one changes the vectors least? The one whose
# matrix is symmetric and positive definite, known as ZCA:
#
# $$W = \Sigma^{-1/2} = U \operatorname{diag}\bigl(\lambda_1^{-1/2}, \dots, \lambda_d^{-1/2}\bigr)\, U^\top,$$
#
# where the columns of $U$ are the eigenvectors of $\Sigma$ and $\lambda_i$ its eigenvalues. It stretches along the
# eigenvectors and turns nothing. ($\operatorname{diag}(\lambda^{-1/2})\, U^\top$ alone whitens too: that is PCA
# whitening, which turns the eigenvectors into the axes.) Of all matrices that whiten it makes
# $\sum_k \|z_k - (v_k - \mu)\|^2$ smallest.
#
# Here $K - 1 \ge d$, and the covariance is well conditioned.
#
# A tiny case: a covariance with the variances 4 and 1 and no correlation gives $W = $ `[[0.5, 0], [0, 1]]`.

# %% [markdown] tags=["hints"]
# - The covariance (d, d) is formed as in the exercises before: take the mean off, and mind the divisor $K - 1$.
# - `torch.linalg.eigh` of a symmetric matrix gives the eigenvalues (d,) and the eigenvectors as the *columns* of a
#   matrix (d, d).
# - `u * values` multiplies the columns of `u`, by broadcasting: no diagonal matrix is needed. Then once more `u`,
#   transposed.


# %%
def zca_matrix(v: Tensor) -> Tensor:
    """Symmetric matrix that whitens a batch of vectors.

    Args:
        v: vectors ``(K, d)``, with K - 1 at least d.

    Returns:
        the inverse root of the covariance (divisor K - 1), ``(d, d)``, symmetric and positive definite.

    >>> zca_matrix(torch.tensor([[2.0], [-2.0], [0.0]]))
    tensor([[0.5000]])
    """
    # BEGIN SOLUTION
    centred = v - v.mean(dim=0)  # (K, d)
    eigenvalues, u = torch.linalg.eigh(centred.T @ centred / (len(v) - 1))  # (d,), (d, d)
    return (u / eigenvalues.sqrt()) @ u.T
    # END SOLUTION


# %%
check("ch10.zca_matrix", zca_matrix)
