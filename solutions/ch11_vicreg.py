# %% [markdown]
# # Exercises of chapter 11: VICReg
#
# VICReg writes down what it wants of an embedding, one term for each wish: views of one image near each other, every
# dimension spread out, no two dimensions alike. Here you write the three terms, the form that makes the third cheap
# in high dimensions, another measure of spread, and an embedding that shows how far the third term can fall at all.
# Six exercises, from easy to hard; each stands on its own.
#
# The letters: $N$ images, $d$ dimensions, $V$ views. The embeddings of one view are a table `z` of shape (N, d), a row
# for each image; those of all views have the shape (V, N, d).
#
# Replace each `raise NotImplementedError("not done yet")` by your answer. The `check(...)` line below a function
# says whether it is right and, if not, why. In an editor, `replearn watch` checks at each save, and
# `replearn hint variance_term` gives a first hint; in a notebook the hints unfold below each question.

# %%
import torch
from torch import Tensor

from replearn_course.checks import check

# %% [markdown]
# ## 1. `variance_term` (easy)
#
# What keeps the embeddings of all images from becoming one point? With no negatives, that is the cheapest way to make
# two views agree. VICReg asks of each dimension that its standard deviation over the images be at least $\gamma$:
#
# $$v(Z) = \frac{1}{d} \sum_{j=1}^{d} \max\left(0,\ \gamma - \sqrt{\operatorname{Var}(z^j) + \varepsilon}\right),$$
#
# where $z^j$ is column $j$ of the table and $\operatorname{Var}$ its unbiased variance, with the divisor $N - 1$
# (Bardes, Ponce and LeCun 2022, equations 1 and 2). A dimension that is spread out enough costs nothing, and pays for no
# other. The standard deviation, not the variance: near collapse the slope of the variance goes to 0, and the term would
# stop pushing just where it is needed.
#
# The root has an infinite slope at 0. The $\varepsilon$ under it keeps the gradient finite where all embeddings are equal.
#
# A tiny case with $\gamma = 1$: the columns $(0, 1)$ and $(0, 4)$ have the variances 0.5 and 8, so the standard deviations
# 0.7072 and 2.8285 with $\varepsilon = 0.0001$. The term is $(0.2928 + 0) / 2 = 0.1464$.

# %% [markdown] tags=["hints"]
# - `z.var(dim=0)` is the unbiased variance of each column over the images, shape (d,). Add `eps`, then take the root.
# - `clamp(min=0)` is the hinge. Each dimension has its own, so it comes before the mean.


# %%
def variance_term(z: Tensor, target: float = 1.0, eps: float = 1e-4) -> Tensor:
    """Variance term of VICReg: by how much the standard deviations fall short of a target, mean over the dimensions.

    Args:
        z: embeddings ``(N, d)`` of at least two images.
        target: standard deviation from which on a dimension costs nothing, the paper's gamma.
        eps: what is added to each variance before the root.

    Returns:
        the term, a scalar of at least 0; value and gradient are finite where all embeddings are equal.

    >>> variance_term(torch.tensor([[0.0, 0.0], [1.0, 4.0]]))
    tensor(0.1464)
    """
    # BEGIN SOLUTION
    deviation = (z.var(dim=0) + eps).sqrt()  # (d,)
    return (target - deviation).clamp(min=0).mean()
    # END SOLUTION


# %%
check("ch11.variance_term", variance_term)

# %% [markdown]
# ## 2. `invariance_term` (medium)
#
# How far apart are the views of one image? For two views the paper takes the squared distance, summed over the $d$
# dimensions, and the mean over the images (equation 5). With $V$ views take the mean over all pairs of different views:
#
# $$s(Z) = \frac{1}{N} \sum_{i=1}^{N} \frac{2}{V (V - 1)} \sum_{v < w} \|z_{v,i} - z_{w,i}\|^2.$$
#
# There are $V(V-1)/2$ pairs, but nobody has to form them. Around the mean $m_i$ of an image's views the sum over all
# pairs is $\sum_{v<w} \|z_{v,i} - z_{w,i}\|^2 = V \sum_v \|z_{v,i} - m_i\|^2$, which costs as much as $V$ distances. Use
# it: no Python loop, and no table with $V^2$ entries.
#
# Two things to mind. `torch.nn.functional.mse_loss` takes the mean over the dimensions too, and is smaller by a factor
# $d$: with the paper's coefficients that is another loss. And $\sum z^2 - V m^2$ is the same sum on paper, but in
# float32 it subtracts large, nearly equal numbers when the embeddings lie far from the origin.
#
# A tiny case: three views of one image at 0, 2 and 4 on a line. The squared distances are 4, 4 and 16, their mean is 8.
# Around the mean 2 the squares are 4, 0 and 4, and $\frac{2}{3 \cdot 2} \cdot 3 \cdot 8 = 8$ again.

# %% [markdown] tags=["hints"]
# - Put the identity into the formula: what remains before $\sum_v \|z_{v,i} - m_i\|^2$ is $2 / (V - 1)$.
# - `z - z.mean(dim=0)` subtracts from each view the mean over the views of the same image. Square, sum over views and
#   dimensions, take the mean over the images.
# - Shorter: $\frac{1}{V-1} \sum_v$ of squares around the mean is the unbiased variance over the views.


# %%
def invariance_term(z: Tensor) -> Tensor:
    """Mean squared distance between two different views of an image, over all pairs of views and all images.

    Args:
        z: embeddings ``(V, N, d)`` of ``V`` views of the same ``N`` images, in the same order; ``V`` is at least 2.

    Returns:
        the term, a scalar; for two views that of VICReg's paper, summed over the dimensions.

    >>> invariance_term(torch.tensor([[[0.0]], [[2.0]], [[4.0]]]))
    tensor(8.)
    """
    # BEGIN SOLUTION
    return 2 * z.var(dim=0).sum(dim=1).mean()  # (V, N, d) -> (N, d) -> (N,) -> ()
    # END SOLUTION


# %%
check("ch11.invariance_term", invariance_term)

# %% [markdown]
# ## 3. `covariance_term` (medium)
#
# Every dimension may be spread out and still say the same thing $d$ times. The covariance term asks that no two
# dimensions vary together. With the covariance matrix
#
# $$C = \frac{1}{N - 1} \sum_{i=1}^{N} (z_i - \bar z)(z_i - \bar z)^\top, \qquad \bar z = \frac{1}{N} \sum_{i=1}^{N} z_i,$$
#
# of shape (d, d), the term is the sum of the squares off its diagonal, divided by the number of dimensions
# (equations 3 and 4):
#
# $$c(Z) = \frac{1}{d} \sum_{j \ne k} C_{jk}^2.$$
#
# Both $C_{jk}$ and $C_{kj}$ count. What stands on the diagonal, the variances, costs nothing here: it is the variance
# term's business. No Python loop over the dimensions.
#
# A tiny case: $(1, 2)$ and $(3, 6)$ have the mean $(2, 4)$, centred they are $(-1, -2)$ and $(1, 2)$, and
# $C = \begin{pmatrix} 2 & 4 \\ 4 & 8 \end{pmatrix}$. The term is $(16 + 16) / 2 = 16$.

# %% [markdown] tags=["hints"]
# - Subtract from each column its mean over the images, `z.mean(dim=0)`. Then `centred.T @ centred / (len(z) - 1)` is $C$.
# - The sum off the diagonal is the sum of all squares minus those of `C.diagonal()`; or fill a copy's diagonal with 0.


# %%
def covariance_term(z: Tensor) -> Tensor:
    """Covariance term of VICReg: the squared covariances of different dimensions, summed and divided by ``d``.

    Args:
        z: embeddings ``(N, d)`` of at least two images.

    Returns:
        the term, a scalar of at least 0.

    >>> covariance_term(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    tensor(16.)
    """
    # BEGIN SOLUTION
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)  # (d, N) @ (N, d) -> (d, d)
    squares = covariance.square()
    return (squares.sum() - squares.diagonal().sum()) / z.shape[1]
    # END SOLUTION


# %%
check("ch11.covariance_term", covariance_term)

# %% [markdown]
# ## 4. `covariance_by_gram` (medium)
#
# VICReg works with 8192 dimensions and D1 with batches of 256 images: then $C$ has 67 million entries, made of a table
# with only 2 million. Can the same number be had without $C$?
#
# Let $X$ be the centred embeddings (N, d). The sum of the squares of *all* entries is the same for $X^\top X$, of shape
# (d, d), and for the Gram matrix $X X^\top$, of shape (N, N), since both have the same eigenvalues apart from zeros. And
# the diagonal of $X^\top X$ needs no matrix product: its entry $j$ is $\sum_i x_{ij}^2$. So
#
# $$c(Z) = \frac{1}{d\,(N-1)^2} \Bigl( \sum_{i,k} (X X^\top)_{ik}^2 - \sum_j \bigl(\textstyle\sum_i x_{ij}^2\bigr)^2 \Bigr).$$
#
# Write that: value and gradient are those of exercise 3, no table is larger than (N, N) or (N, d), and there is no Python
# loop over the dimensions.
#
# A tiny case: $(1, 2)$ and $(3, 6)$, centred $(-1, -2)$ and $(1, 2)$, have the Gram matrix
# $\begin{pmatrix} 5 & -5 \\ -5 & 5 \end{pmatrix}$ with the sum of squares 100. The columns have the sums of squares 2 and
# 8, whose squares add up to 68. The term is $(100 - 68) / 2 = 16$, as in exercise 3.

# %% [markdown] tags=["hints"]
# - Centre as before: over the images, `z - z.mean(dim=0)`. Only then `centred @ centred.T`, of shape (N, N).
# - What is subtracted is the diagonal of $X^\top X$, not that of the Gram matrix: `centred.square().sum(dim=0)`, shape
#   (d,), squared and summed.
# - Each $C_{jk}$ carries $1 / (N - 1)$, so each square carries $1 / (N - 1)^2$.


# %%
def covariance_by_gram(z: Tensor) -> Tensor:
    """Covariance term of VICReg from the table ``(N, N)`` of dot products of images, for ``d`` larger than ``N``.

    Args:
        z: embeddings ``(N, d)`` of at least two images.

    Returns:
        the term, a scalar: the squared covariances of different dimensions, summed and divided by ``d``.

    >>> covariance_by_gram(torch.tensor([[1.0, 2.0], [3.0, 6.0]]))
    tensor(16.)
    """
    # BEGIN SOLUTION
    n, d = z.shape
    centred = z - z.mean(dim=0)
    every = (centred @ centred.T).square().sum()  # (N, d) @ (d, N) -> (N, N) -> ()
    diagonal = centred.square().sum(dim=0).square().sum()  # (d,) -> ()
    return (every - diagonal) / (n - 1) ** 2 / d
    # END SOLUTION


# %%
check("ch11.covariance_by_gram", covariance_by_gram)

# %% [markdown]
# ## 5. `coding_rate` (medium)
#
# Can one number ask for spread in all directions at once, without a variance term and a covariance term? How many nats
# does it take to tell the embeddings apart up to an error of $\varepsilon$? For embeddings of length 1 the **total coding
# rate** (Yu et al. 2020; used by EMP-SSL, Tong et al. 2023) answers
#
# $$R(Z) = \tfrac12 \log\det\left(I + \frac{d}{N \varepsilon^2} Z^\top Z\right).$$
#
# It is largest where the embeddings fill all directions equally, and small where they crowd together. Here the rows of
# `z` have length 1 already: neither normalise nor centre them. Two things are asked beyond the formula:
#
# - $\det(I + a Z^\top Z) = \det(I + a Z Z^\top)$ (Sylvester), though one matrix is (d, d) and the other (N, N): make only
#   the smaller one. The factor $a = d / (N \varepsilon^2)$ is the same for both.
# - In a hundred dimensions the determinant itself is too large for float32, though its logarithm is small.
#
# A tiny case with $\varepsilon^2 = 0.2$: the rows $(1, 0)$ and $(0, 1)$ give $a = 5$ and $\det(6 I) = 36$, so
# $\tfrac12 \log 36 = 1.7918$. Twice the row $(1, 0)$ gives $\det = 11 \cdot 1$ and $\tfrac12 \log 11 = 1.1989$.

# %% [markdown] tags=["hints"]
# - Compute the factor from `n, d = z.shape` first. If you turn the table around after that, the factor stays as it is.
# - `z.T @ z` where d is at most N, `z @ z.T` otherwise; `torch.eye(len(matrix), dtype=z.dtype)` is the identity.
# - `torch.logdet` (or `torch.linalg.slogdet`, or twice the sum of the logarithms on the diagonal of a Cholesky factor)
#   never forms the determinant.


# %%
def coding_rate(z: Tensor, eps_squared: float = 0.2) -> Tensor:
    """Total coding rate of embeddings, in nats, by the smaller of the tables ``(d, d)`` and ``(N, N)``.

    Args:
        z: embeddings ``(N, d)``, each of length 1.
        eps_squared: square of the error that is allowed.

    Returns:
        the rate, a scalar above 0.

    >>> coding_rate(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
    tensor(1.7918)
    """
    # BEGIN SOLUTION
    n, d = z.shape
    products = z.T @ z if d <= n else z @ z.T  # (d, d) or (N, N)
    identity = torch.eye(len(products), dtype=z.dtype)
    return torch.logdet(identity + d / (n * eps_squared) * products) / 2
    # END SOLUTION


# %%
check("ch11.coding_rate", coding_rate)

# %% [markdown]
# ## 6. `embedding_at_the_floor` (hard)
#
# A batch of 256 images in 8192 dimensions: how small can the covariance term become, if every dimension has the variance
# 1 that the variance term asks for? Not 0. Centred, $N$ images span at most $N - 1$ directions, so at most $N - 1$
# eigenvalues of $C$ are not 0. They add up to the trace, $d$. The sum of their squares is least where all are equal:
#
# $$\sum_{j,k} C_{jk}^2 = \sum_i \lambda_i^2 \ge (N - 1) \Bigl(\frac{d}{N - 1}\Bigr)^2, \qquad
# c(Z) = \frac{1}{d}\Bigl(\sum_{j,k} C_{jk}^2 - d\Bigr) \ge \frac{d}{N - 1} - 1.$$
#
# For 256 images in 8192 dimensions this floor is 31.1, however well the network is trained. (For $d < N$ it is 0.) Show
# that the floor is reached: for $d = r (N - 1)$ build embeddings (N, d) whose columns have
#
# - the mean 0 over the images, exactly up to rounding,
# - the unbiased variance 1, and
# - the covariance term $d / (N - 1) - 1 = r - 1$, for every $N$ of at least 2 and every $r$ of at least 1.
#
# Any embedding with these three properties is right. No optimisation: it can be written down.
#
# A tiny case: $N = 2$ and $r = 3$. The rows $(h, h, h)$ and $(-h, -h, -h)$ with $h = \sqrt{1/2}$ have columns of mean 0 and
# variance $2 h^2 = 1$. All entries of $C$ are 1, and the term is $6 / 3 = 2 = r - 1$.

# %% [markdown] tags=["hints"]
# - Begin with $r = 1$: the floor is 0, so you need $N - 1$ columns that are orthogonal to each other, and orthogonal to
#   the column of ones, which is what mean 0 says. Which length must they have for the variance 1?
# - `torch.linalg.qr` makes orthonormal columns of independent ones, from left to right: begin the table with a column of
#   ones and drop the first column of `Q`. Multiply the rest by $\sqrt{N - 1}$.
# - For $r > 1$ think of the smallest case: a column that stands there $r$ times has the covariance 1 with each of its
#   copies, $r - 1$ of them, and 0 with all others. `columns.repeat(1, r)` sets copies of a table side by side.


# %%
def embedding_at_the_floor(n: int, copies: int) -> Tensor:
    """Embeddings with unit variances and the least covariance term that their shape allows.

    Args:
        n: number of images, at least 2.
        copies: how many times more dimensions than ``n - 1``, at least 1.

    Returns:
        embeddings ``(n, copies * (n - 1))`` in float64.

    >>> z = embedding_at_the_floor(2, 3)
    >>> z.shape, z.var(dim=0).round(decimals=6)
    (torch.Size([2, 3]), tensor([1., 1., 1.], dtype=torch.float64))
    """
    # BEGIN SOLUTION
    independent = torch.eye(n, dtype=torch.float64)
    independent[:, 0] = 1  # ones, and n - 1 columns of the identity
    centred = torch.linalg.qr(independent).Q[:, 1:]  # (n, n - 1), orthonormal and orthogonal to the ones
    return ((n - 1) ** 0.5 * centred).repeat(1, copies)  # (n, copies * (n - 1))
    # END SOLUTION


# %%
check("ch11.embedding_at_the_floor", embedding_at_the_floor)
