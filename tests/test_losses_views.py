"""Losses on views against the formulas of their sources, written as loops, and against lightly, value and gradient."""

import math
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from replearn_course.errors import ReplearnError
from replearn_course.losses import (
    VARIANTS,
    BarlowTwinsLoss,
    EMPSSLLoss,
    InfoNCELoss,
    NTXentLoss,
    VICRegLoss,
    WMSELoss,
    barlow_twins,
    check_views,
    covariance_floor,
    emp_ssl,
    info_nce,
    nt_xent,
    total_coding_rate,
    vicreg,
    w_mse,
    whiten,
)
from replearn_course.losses.views import off_diagonal_squares

SHAPES = [(2, 4, 6), (2, 6, 6), (2, 9, 4), (3, 5, 4), (3, 5, 7), (5, 3, 2), (5, 8, 2), (2, 2, 1)]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


def views(*shape, seed=0, dtype=torch.float64):
    """Views that resemble each other, of uneven spread and mean over the dimensions."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randn(shape[1:], generator=generator, dtype=torch.float64)
    z = image + 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return (z * torch.linspace(0.3, 1.5, shape[2], dtype=torch.float64) + 0.7).to(dtype)


def value_and_gradient(loss, z):
    z = z.detach().clone().requires_grad_()
    value = loss(z)
    return value.detach(), torch.autograd.grad(value, z)[0]


def assert_same(ours, theirs, z, rtol=1e-9, atol=1e-10):
    for mine, peer in zip(value_and_gradient(ours, z), value_and_gradient(theirs, z), strict=True):
        torch.testing.assert_close(mine, peer, rtol=rtol, atol=atol)


def mean_over_pairs(loss, z):
    pairs = list(combinations(z, 2))
    return sum(loss(a, b) for a, b in pairs) / len(pairs)


# --- VICReg ---


def equations(a, b, lam=25.0, mu=25.0, nu=1.0):
    """Equations 1 to 6 of the paper, which are D1's formulas, entry by entry."""
    n, d = a.shape

    def variance(z):
        total = 0.0
        for j in range(d):
            mean = sum(z[i, j] for i in range(n)) / n
            var = sum((z[i, j] - mean) ** 2 for i in range(n)) / (n - 1)
            total = total + torch.relu(1 - torch.sqrt(var + 1e-4))
        return total / d

    def covariance(z):
        centred = z - z.mean(0)
        c = sum(torch.outer(row, row) for row in centred) / (n - 1)
        return sum(c[j, k] ** 2 for j in range(d) for k in range(d) if j != k) / d if d > 1 else 0 * c.sum()

    s = sum((a[i] - b[i]).dot(a[i] - b[i]) for i in range(n)) / n
    return lam * s + mu * (variance(a) + variance(b)) + nu * (covariance(a) + covariance(b))


def official(a, b):
    """The authors' code: a mean over all entries for the invariance, variances halved."""
    n, d = a.shape
    std = [torch.sqrt(x.var(dim=0) + 1e-4) for x in (a, b)]
    c = [torch.cov(x.T).reshape(d, d) for x in (a, b)]
    off = [(x.square().sum() - x.diagonal().square().sum()) / d for x in c]
    return (
        25 * (a - b).square().sum() / (n * d)
        + 25 * (torch.relu(1 - std[0]).mean() / 2 + torch.relu(1 - std[1]).mean() / 2)
        + off[0]
        + off[1]
    )


def listing(a, b):
    """What the listings 1 and 2 of D1 compute."""
    n, d = a.shape

    def covariance(z):
        m = z - z.mean(0)
        squares = (torch.einsum("ni,nj->ij", m, m) / (n - 1)) ** 2
        return (squares.sum() - squares.diag().sum()) / d

    var = torch.relu(1 - a.std(0)).mean() + torch.relu(1 - b.std(0)).mean()
    return 25 * var + 25 * ((a - b) ** 2).mean() + covariance(a) + covariance(b)


SOURCES = {"paper": equations, "official": official, "d1-formula": equations, "d1-listing": listing}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_vicreg_equals_its_source(variant, shape):
    z = views(*shape)
    assert_same(lambda z: vicreg(z, variant).loss, lambda z: mean_over_pairs(SOURCES[variant], z), z)


def test_variants_differ():
    """The two whose formulas agree are one setting; the others are different numbers."""
    assert VARIANTS["paper"] == VARIANTS["d1-formula"]
    losses = {vicreg(views(2, 5, 4), variant).loss.item() for variant in VARIANTS}
    assert len(losses) == 3


@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 8, 5), (2, 5, 5)], ids=str)
def test_official_equals_lightly(shape):
    peer = pytest.importorskip("lightly.loss").VICRegLoss()
    assert_same(lambda z: vicreg(z, "official").loss, lambda z: peer(z[0], z[1]), views(*shape))


def test_vicreg_terms_are_unweighted_and_add_up():
    z = views(3, 5, 8)
    loss, s, v, c = vicreg(z, "paper", invariance=2.0, variance=3.0, covariance=5.0)
    torch.testing.assert_close(loss, 2 * s + 3 * v + 5 * c)
    for coefficients, term in (((1, 0, 0), s), ((0, 1, 0), v), ((0, 0, 1), c)):
        torch.testing.assert_close(vicreg(z, "paper", *coefficients).loss, term)


@pytest.mark.parametrize("variant", VARIANTS)
def test_vicreg_is_finite_at_a_collapse(variant):
    """All equal, and embeddings that differ in their last digits or hardly at all."""
    nudge = 1e-7 * torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    for z in (torch.full((2, 6, 4), 0.3), 1 + nudge, nudge * 1e-30):
        loss, gradient = value_and_gradient(lambda z: vicreg(z, variant).loss, z)
        assert loss.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("variant", VARIANTS)
def test_constant_dimension_has_no_gradient(variant):
    z = views(2, 6, 4)
    z[..., 1] = 3.0
    gradient = value_and_gradient(lambda z: vicreg(z, variant).loss, z)[1]
    assert gradient.isfinite().all()
    assert (gradient[..., 1] == 0).all()
    assert (gradient[..., 0] != 0).any()


def test_variance_term_at_a_collapse():
    z = torch.zeros(2, 6, 4, dtype=torch.float64)
    assert vicreg(z, "d1-listing").variance == 2
    assert vicreg(z, "paper").variance.item() == pytest.approx(2 * 0.99)
    assert vicreg(z, "official").variance.item() == pytest.approx(0.99)


# --- the covariance floor ---


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 8), st.integers(1, 12), st.integers(0, 10**6))
def test_covariance_does_not_fall_below_the_floor(n, d, seed):
    x = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = (x - x.mean(0)) / x.std(0)
    assert vicreg(torch.stack([x, x])).covariance.item() / 2 >= covariance_floor(n, d) - 1e-9


@pytest.mark.parametrize(("n", "d"), [(5, 2), (5, 4), (3, 3), (3, 7), (5, 5), (5, 9), (9, 100)])
def test_covariance_floor_is_attained(n, d):
    """With more dimensions than N - 1: columns on circles in orthogonal planes, so that all eigenvalues are equal."""
    centred = torch.linalg.qr(torch.cat([torch.ones(n, 1), torch.eye(n)[:, : n - 1]], dim=1).double()).Q[:, 1:]
    angles = 2 * math.pi * torch.outer(torch.arange(1, (n - 1) // 2 + 1), torch.arange(d)).double() / d
    x = centred[:, :d] if d < n else centred @ torch.cat([angles.cos(), angles.sin()])
    x = x / x.std(0)
    assert vicreg(torch.stack([x, x])).covariance.item() / 2 == pytest.approx(covariance_floor(n, d), abs=1e-9)


def test_covariance_floor_in_numbers():
    assert covariance_floor(256, 8192) == pytest.approx(8192 / 255 - 1)
    assert covariance_floor(257, 256) == 0
    for bad in ((1, 5), (5, 0)):
        with pytest.raises(ReplearnError, match="expected at least"):
            covariance_floor(*bad)


# --- Barlow Twins ---


def barlow_loop(a, b, lam=5e-3):
    """Algorithm 1 of the paper, entry by entry, with the biased variance and eps of a batch normalisation."""
    n, d = a.shape
    a, b = ((x - x.mean(0)) / torch.sqrt(x.var(0, unbiased=False) + 1e-5) for x in (a, b))
    loss = 0.0
    for i in range(d):
        for j in range(d):
            c = (a[:, i] * b[:, j]).sum() / n
            loss = loss + ((1 - c) ** 2 if i == j else lam * c**2)
    return loss


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_barlow_twins_equals_its_source(shape):
    z = views(*shape)
    assert_same(
        lambda z: barlow_twins(z, 0.1).loss, lambda z: mean_over_pairs(lambda a, b: barlow_loop(a, b, 0.1), z), z
    )


@pytest.mark.parametrize("shape", [(2, 5, 8), (2, 8, 5), (2, 5, 5)], ids=str)
def test_barlow_twins_equals_lightly(shape):
    peer = pytest.importorskip("lightly.loss").BarlowTwinsLoss()
    assert_same(lambda z: barlow_twins(z).loss, lambda z: peer(z[0], z[1]), views(*shape))


def test_barlow_twins_is_not_the_uncentred_formula():
    """A shift of a dimension changes nothing; in D1's formula, the cosine of two columns, it would."""
    z = views(2, 6, 4)
    torch.testing.assert_close(barlow_twins(z + torch.tensor([0, 5.0, -9.0, 100.0])).loss, barlow_twins(z).loss)


def test_barlow_twins_terms_add_up():
    z = views(3, 5, 4)
    loss, on, off = barlow_twins(z, 0.3)
    torch.testing.assert_close(loss, on + 0.3 * off)
    same = barlow_twins(z[:1].expand(2, -1, -1))
    assert same.on_diagonal.item() == pytest.approx(0, abs=1e-6)  # the eps of the normalisation is left
    assert barlow_twins(torch.zeros(2, 5, 4)).on_diagonal == 4


def test_barlow_twins_is_finite_at_a_collapse():
    nudge = 1e-7 * torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    for z in (torch.full((2, 6, 4), 0.3), 1 + nudge, nudge):
        loss, gradient = value_and_gradient(lambda z: barlow_twins(z).loss, z)
        assert loss.isfinite()
        assert gradient.isfinite().all()


# --- products of views ---


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 4), st.integers(2, 9), st.integers(1, 9), st.booleans(), st.integers(0, 10**6))
def test_gram_and_direct_form_equal_the_products(n_views, n, d, across, seed):
    """Any shape, so either form; the diagonals have their own gradient."""
    x = torch.randn(n_views, n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    weight = torch.randn(d, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)

    def formed(x):
        products = [a.T @ b / 3 for a, b in (combinations(x, 2) if across else zip(x, x, strict=True))]
        return sum((weight * p.diagonal()).sum() + (p - p.diag().diag()).square().sum() for p in products)

    def ours(x):
        diagonals, total = off_diagonal_squares(x.unbind(), 3, across=across)
        return (weight * diagonals).sum() + total

    assert_same(ours, formed, x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", [(2, 4, 7), (2, 7, 4), (3, 5, 5)], ids=str)
@pytest.mark.parametrize("name", ["vicreg", "barlow_twins"])
def test_both_forms_agree_at_every_shape(name, shape, monkeypatch):
    z, results = views(*shape), []
    for gram in (False, True):
        monkeypatch.setattr("replearn_course.losses.views._gram_is_cheaper", lambda *_, gram=gram: gram)
        results.append(value_and_gradient(LOSSES[name], z))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-11)


def test_wide_embeddings_form_no_matrix_of_their_width():
    """A (d, d) matrix would have 16 times the entries of the embeddings here."""

    class Largest(TorchDispatchMode):
        entries = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            self.entries = max([self.entries, *(x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))])
            return result

    for name in ("vicreg", "barlow_twins", "emp_ssl"):
        z = torch.randn(2, 8, 256)
        with Largest() as largest:
            value_and_gradient(LOSSES[name], z)
        assert largest.entries == z.numel()


# --- NT-Xent and InfoNCE ---


def nt_xent_loop(z, temperature):
    """Each anchor against each of its positives and all views of other images."""
    cosine = torch.nn.functional.cosine_similarity
    n_views, n, _ = z.shape
    total, count = 0.0, 0
    for v in range(n_views):
        for i in range(n):
            negatives = [z[w, j] for w in range(n_views) for j in range(n) if j != i]
            for w in range(n_views):
                if w != v:
                    logits = torch.stack([cosine(z[v, i], x, dim=0) for x in (z[w, i], *negatives)]) / temperature
                    total, count = total - logits.log_softmax(0)[0], count + 1
    return total / count


@pytest.mark.parametrize("temperature", [0.05, 0.5, 3.0])
@pytest.mark.parametrize("shape", [(2, 4, 6), (2, 2, 1), (3, 4, 5), (5, 3, 2)], ids=str)
def test_nt_xent_equals_loop(shape, temperature):
    z = views(*shape)
    assert_same(lambda z: nt_xent(z, temperature).loss, lambda z: nt_xent_loop(z, temperature), z)


def test_nt_xent_equals_lightly():
    peer = pytest.importorskip("lightly.loss").NTXentLoss(temperature=0.2)
    assert_same(lambda z: nt_xent(z, 0.2).loss, lambda z: peer(z[0], z[1]), views(2, 6, 4))


def test_nt_xent_counts_the_positive_once():
    """At a collapse every comparison is a draw of 1 + V (N - 1); a self-similarity or a second positive would add."""
    for n_views, n in ((2, 4), (3, 5)):
        terms = nt_xent(torch.ones(n_views, n, 3, dtype=torch.float64), 0.1)
        assert terms.loss.item() == pytest.approx(math.log(1 + n_views * (n - 1)))
        assert terms.accuracy == 0
        assert terms.positive.item() == pytest.approx(1)


def test_nt_xent_keeps_the_digits_of_a_small_loss():
    """Two images in opposite directions: -log of 1 / (1 + 2 exp(-2 / tau))."""
    z = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]]).expand(2, -1, -1)
    assert nt_xent(z, 0.05).loss.item() == pytest.approx(2 * math.exp(-40), rel=1e-5)


@pytest.mark.parametrize("temperature", [1e-6, 1e-3, 0.5])
def test_contrastive_losses_are_finite(temperature):
    nudge = 1e-7 * torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    for z in (torch.ones(2, 6, 4), torch.zeros(2, 6, 4), 1 + nudge, nudge * 1e-25, views(2, 6, 4, dtype=torch.float32)):
        for loss in (lambda z: nt_xent(z, temperature).loss, lambda z: info_nce(*z, z[0, :3], temperature).loss):
            value, gradient = value_and_gradient(loss, z)
            assert value.isfinite()
            assert gradient.isfinite().all()


def test_info_nce_equals_cross_entropy():
    z, queue = views(2, 5, 4), views(2, 7, 4, seed=1)[0]

    def expected(z):
        q, k = (torch.nn.functional.normalize(x, dim=1) for x in z)
        logits = torch.cat([(q * k).sum(1, keepdim=True), q @ torch.nn.functional.normalize(queue, dim=1).T], 1) / 0.07
        return torch.nn.functional.cross_entropy(logits, torch.zeros(5, dtype=torch.long))

    assert_same(lambda z: info_nce(z[0], z[1], queue).loss, expected, z)


def test_info_nce_terms():
    """One query finds its positive, the other has a negative that is nearer."""
    query = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    positive = torch.tensor([[3.0, 0.0], [4.0, 0.0]])
    terms = info_nce(query, positive, torch.tensor([[0.0, 1.0]]))
    assert terms.accuracy == 0.5
    assert terms.positive == 0.5
    everywhere = [torch.randn(4, 3, requires_grad=True) for _ in range(3)]
    info_nce(*everywhere).loss.backward()
    assert all(x.grad.abs().sum() > 0 for x in everywhere)


def test_info_nce_says_which_argument_is_wrong():
    q, negatives = torch.randn(4, 3), torch.randn(7, 3)
    for arguments, message in [
        ((q, q[:2], negatives), r"positive: expected shape \(4, 3\) as query, got \(2, 3\)"),
        ((q, q, negatives.double()), "negatives: expected torch.float32 as query, got torch.float64"),
        ((q, q, negatives[:, :2]), "negatives: expected embeddings of 3 dimensions as in query, got 2"),
        ((q, q, negatives[:0]), "negatives: expected at least one embedding"),
        ((q, q[0], negatives), "positive: expected shape"),
    ]:
        with pytest.raises(ReplearnError, match=message):
            info_nce(*arguments)


# --- Whitening MSE ---


def whitened(x):
    """By the inverse of the Cholesky factor, in another way: rows of the identity are solved one by one."""
    centred = x - x.mean(0)
    w = torch.linalg.inv(torch.linalg.cholesky(centred.T @ centred / (len(x) - 1)))
    return centred @ w.T


def w_mse_pair(a, b):
    a, b = (torch.nn.functional.normalize(x, dim=1) for x in (a, b))
    return (a - b).square().sum(1).mean()


def test_whiten_whitens():
    x = views(2, 9, 4)[0]
    z = whiten(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(4).double(), atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.cov(z.T), torch.eye(4).double())
    w = torch.linalg.lstsq(x - x.mean(0), z).solution.T
    torch.testing.assert_close(w.T @ w, torch.linalg.inv(torch.cov(x.T)))
    assert not torch.allclose(w @ w.T, torch.linalg.inv(torch.cov(x.T)))  # what D1 prints
    torch.testing.assert_close(w, w.tril())
    assert_same(lambda x: (whiten(x) ** 3).sum(), lambda x: (whitened(x) ** 3).sum(), x)


@pytest.mark.parametrize("shape", [(2, 6, 3), (2, 3, 2), (3, 7, 4), (5, 4, 1)], ids=str)
def test_w_mse_equals_its_source(shape):
    z = views(*shape)
    assert_same(
        lambda z: w_mse(z).loss,
        lambda z: mean_over_pairs(w_mse_pair, [whitened(x) for x in z]),
        z,
        rtol=1e-8,
        atol=1e-8,
    )


def test_w_mse_together_shares_mean_and_covariance():
    """More dimensions than a view has images can be whitened then."""
    z = views(3, 4, 5)

    def expected(z):
        return mean_over_pairs(w_mse_pair, whitened(z.flatten(0, 1)).view(3, 4, 5))

    assert_same(lambda z: w_mse(z, together=True).loss, expected, z, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("together", [False, True])
def test_w_mse_sub_batches_are_the_same_images_in_all_views(together):
    z = views(2, 12, 3)
    generator = torch.Generator().manual_seed(5)
    orders = [torch.randperm(12, generator=generator) for _ in range(2)]

    def expected(z):
        losses = []
        for part in torch.cat([order.view(3, 4) for order in orders]):
            x = z[:, part]
            x = whitened(x.flatten(0, 1)).view(2, 4, 3) if together else [whitened(v) for v in x]
            losses.append(w_mse_pair(*x))
        return torch.stack(losses).mean()

    def ours(z):
        return w_mse(z, 4, 2, together, torch.Generator().manual_seed(5)).loss

    assert_same(ours, expected, z, rtol=1e-7, atol=1e-7)


def test_w_mse_equals_lightly():
    """With a batch of one sub-batch, where the permutation does not matter; lightly takes views in a row."""
    peer = pytest.importorskip("lightly.loss").WMSELoss(embedding_dim=3, w_size=8, num_samples=3).double()
    z = views(3, 8, 3)
    assert_same(lambda z: w_mse(z).loss, lambda z: peer(z.flatten(0, 1)), z, rtol=1e-7, atol=1e-7)


def test_w_mse_reports_the_condition():
    """Two dimensions without correlation, one a thousand times the other."""
    z = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]], dtype=torch.float64) * torch.tensor([1.0, 1e-3])
    assert w_mse(z.expand(2, -1, -1)).condition.item() == pytest.approx(1e6)
    assert not w_mse(z.expand(2, -1, -1).clone().requires_grad_()).condition.requires_grad


def test_w_mse_keeps_its_digits_where_float32_would_lose_them():
    """Nearly collinear dimensions, whitened in another way, by a QR decomposition that forms no covariance."""
    z = views(2, 16, 3)
    z[..., 2] = z[..., 0] + 1e-5 * z[..., 2]
    z = z.float()
    terms = w_mse(z)
    assert terms.condition > 1e9
    q, r = torch.linalg.qr(z.double() - z.double().mean(dim=1, keepdim=True))
    assert terms.loss.item() == pytest.approx(w_mse_pair(*(q * r.diagonal(dim1=1, dim2=2).sign()[:, None])).item())


def test_w_mse_says_what_would_fit():
    with pytest.raises(ReplearnError, match=r"z: cannot whiten d = 1024 .* sub-batch of 256 images .* at most 255 dim"):
        w_mse(torch.zeros(2, 256, 1024))
    with pytest.raises(ReplearnError, match=r"the 512 embeddings .* 511 dimensions \(better 256\), .* \(better 2048\)"):
        w_mse(torch.zeros(2, 256, 1024), together=True)
    with pytest.raises(ReplearnError, match="the 4 embeddings of a sub-batch of 4 images"):
        w_mse(torch.zeros(2, 8, 4), sub_batch=4)
    with pytest.raises(ReplearnError, match="x: cannot whiten d = 3 dimensions: the 3 embeddings of a batch"):
        whiten(torch.zeros(3, 3))
    with pytest.raises(ReplearnError, match="sub_batch: expected a divisor of the batch, 10, got 4"):
        w_mse(torch.zeros(2, 10, 2), sub_batch=4)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda z: z * 0,
        lambda z: torch.cat([z[..., :2], z[..., :1] * 3], dim=-1),
        lambda z: torch.cat([z[..., :2], torch.full_like(z[..., :1], 0.1)], dim=-1),
        lambda z: z[:, :1].expand(-1, 8, -1),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_singular_covariance_is_an_error(spoil, dtype):
    """All zero, one dimension a multiple of another, one constant, one embedding repeated."""
    z = spoil(views(2, 8, 3, dtype=dtype))
    with pytest.raises(ReplearnError, match="the covariance of the embeddings is singular"):
        w_mse(z)
    with pytest.raises(ReplearnError, match="singular"):
        whiten(z[0])


# --- total coding rate and EMP-SSL ---


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.sampled_from([0.05, 0.2, 2.0]), st.integers(0, 10**6))
def test_total_coding_rate_equals_its_formula(n, d, eps, seed):
    z = torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def formula(z):
        return torch.logdet(torch.eye(d).double() + d / (n * eps**2) * z.T @ z) / 2

    assert_same(lambda z: total_coding_rate(z, eps), formula, z, rtol=1e-8, atol=1e-8)
    u = torch.nn.functional.normalize(z, dim=1)
    r = min(n, d)
    rate = total_coding_rate(u, eps).item()
    assert math.log(1 + d / eps**2) / 2 - 1e-8 <= rate <= r / 2 * math.log(1 + d / (r * eps**2)) + 1e-8


def test_bounds_of_the_coding_rate_are_attained():
    alike, spread = torch.tensor([[1.0, 0.0, 0.0]]).expand(4, -1).double(), torch.eye(3).double()
    assert total_coding_rate(alike).item() == pytest.approx(math.log(1 + 3 / 0.2) / 2)
    assert total_coding_rate(spread).item() == pytest.approx(3 / 2 * math.log(1 + 1 / 0.2))


def test_total_coding_rate_of_several_batches():
    z = views(3, 5, 4)
    torch.testing.assert_close(total_coding_rate(z), torch.stack([total_coding_rate(x) for x in z]))
    assert total_coding_rate(z.float()).dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 4, 6), (3, 6, 4), (5, 3, 3)], ids=str)
def test_emp_ssl_equals_its_source(shape):
    z = views(*shape)
    _, n, d = shape

    def expected(z):
        u = torch.nn.functional.normalize(z, dim=-1)
        cosine = torch.nn.functional.cosine_similarity(u, u.mean(0, keepdim=True), dim=-1).mean()
        rates = [torch.logdet(torch.eye(d).double() + d / (n * 0.2) * x.T @ x) / 2 for x in u]
        return -200 * cosine - sum(rates) / len(rates)

    assert_same(lambda z: emp_ssl(z).loss, expected, z, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", [(3, 4, 6), (3, 6, 4)], ids=str)
def test_emp_ssl_equals_lightly(shape):
    """lightly takes normalised embeddings, eps in place of its square, and adds the rate that the paper maximises."""
    peer = pytest.importorskip("lightly.loss.emp_ssl_loss")
    torch.set_default_dtype(torch.float64)  # for its identity matrix
    try:

        def expected(z):
            u = torch.nn.functional.normalize(z, dim=-1)
            return 200 * peer.invariance_loss(u) - peer.tcr_loss(u, eps=0.2)

        assert_same(lambda z: emp_ssl(z).loss, expected, views(*shape), rtol=1e-8, atol=1e-8)
    finally:
        torch.set_default_dtype(torch.float32)


def test_emp_ssl_terms_add_up():
    z = views(3, 5, 4)
    loss, similarity, rate = emp_ssl(z, 0.3, similarity=2.0, coding_rate=5.0)
    torch.testing.assert_close(loss, -2 * similarity - 5 * rate)
    assert emp_ssl(z[:1].expand(2, -1, -1)).similarity.item() == pytest.approx(1)
    assert emp_ssl(torch.stack([z[0], -z[0]])).similarity.item() == pytest.approx(0, abs=1e-12)


def test_emp_ssl_is_finite_at_a_collapse():
    nudge = 1e-7 * torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    opposite = torch.tensor([1.0, -1.0])[:, None, None].expand(2, 6, 4)
    for z in (torch.ones(2, 6, 4), torch.zeros(2, 6, 4), 1 + nudge, opposite):
        for eps in (0.2, 0.01):
            loss, gradient = value_and_gradient(lambda z, eps=eps: emp_ssl(z, eps).loss, z)
            assert loss.isfinite()
            assert gradient.isfinite().all()


def test_coding_rate_says_what_is_wrong():
    with pytest.raises(ReplearnError, match="eps: expected a finite number above 0, got 0"):
        total_coding_rate(torch.randn(4, 3), 0)
    with pytest.raises(ReplearnError, match=r"z: expected shape \(N, d\), got \(4,\)"):
        total_coding_rate(torch.randn(4))
    with pytest.raises(ReplearnError, match="eps: expected large enough for torch.float32"):
        total_coding_rate(torch.ones(3, 3) * torch.tensor([1.0, 1 / 3, 1 / 7]), 1e-12)


# --- all of them ---

LOSSES = {
    "vicreg": lambda z: vicreg(z).loss,
    "barlow_twins": lambda z: barlow_twins(z).loss,
    "nt_xent": lambda z: nt_xent(z).loss,
    "w_mse": lambda z: w_mse(z).loss,
    "w_mse together": lambda z: w_mse(z, together=True).loss,
    "emp_ssl": lambda z: emp_ssl(z).loss,
}


@pytest.mark.parametrize("shape", [(2, 3, 5), (2, 6, 3), (3, 4, 4)], ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(name, shape):
    if name.startswith("w_mse") and shape[1] <= shape[2]:
        shape = (shape[0], 7, 3)
    assert torch.autograd.gradcheck(LOSSES[name], (views(*shape, seed=4).requires_grad_(),))


@pytest.mark.parametrize("name", LOSSES)
def test_order_of_images_and_views_does_not_matter(name):
    z = views(3, 6, 4)
    images = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    value, gradient = value_and_gradient(LOSSES[name], z)
    for reorder in (lambda x: x[:, images], lambda x: x[[2, 0, 1]]):
        moved, its_gradient = value_and_gradient(LOSSES[name], reorder(z))
        torch.testing.assert_close(moved, value)
        torch.testing.assert_close(its_gradient, reorder(gradient))


@pytest.mark.parametrize("name", LOSSES)
def test_views_of_one_image_belong_together(name):
    """Another order of the images in one view alone is another, greater loss."""
    z = views(2, 6, 4)
    mixed = torch.stack([z[0], z[1].roll(1, 0)])
    assert LOSSES[name](mixed) > LOSSES[name](z)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_float32(name, device):
    z = views(2, 8, 4, dtype=torch.bfloat16).to(device)
    with torch.autocast(device, torch.bfloat16):
        loss, gradient = value_and_gradient(LOSSES[name], z)
    assert loss.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(loss, LOSSES[name](z.float()))


@pytest.mark.parametrize("name", LOSSES)
def test_bad_views(name):
    for bad, message in [
        ([[1.0]], "z: expected a torch.Tensor, got builtins.list"),
        (torch.randn(4, 3), r"z: expected views of shape \(V, N, d\), got \(4, 3\)"),
        (torch.randn(1, 4, 3), "z: expected at least two views"),
        (torch.randn(2, 1, 3), "z: expected at least two images.*a batch of one"),
        (torch.randn(2, 4, 0), "z: expected at least one dimension"),
        (torch.ones(2, 4, 3, dtype=torch.long), "z: expected a floating dtype, got torch.int64"),
    ]:
        with pytest.raises(ReplearnError, match=message):
            LOSSES[name](bad)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_values_that_are_not_finite_are_located(bad):
    z = torch.zeros(2, 4, 3)
    z[1, 2, 0] = bad
    with pytest.raises(ReplearnError, match="first in view 1, row 2"):
        check_views(z)


def test_finite_values_whose_sum_overflows_pass():
    check_views(torch.full((2, 4, 3), 3e38))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VICRegLoss("vicregg"), "unknown variant 'vicregg'"),
        (lambda: VICRegLoss(variance=-1), "variance: expected a finite number from 0 up, got -1"),
        (lambda: VICRegLoss(covariance=math.nan), "covariance: expected a finite number"),
        (lambda: VICRegLoss(invariance="25"), "invariance: expected a finite number"),
        (lambda: BarlowTwinsLoss(-0.1), "off_diagonal: expected a finite number from 0 up"),
        (lambda: NTXentLoss(0), "temperature: expected a finite number above 0, got 0"),
        (lambda: InfoNCELoss(math.inf), "temperature: expected a finite number above 0"),
        (lambda: WMSELoss(0), "sub_batch: expected a whole number from 1 up, got 0"),
        (lambda: WMSELoss(iterations=1.5), "iterations: expected a whole number from 1 up"),
        (lambda: EMPSSLLoss(0), "eps: expected a finite number above 0, got 0"),
        (lambda: EMPSSLLoss(similarity=-1), "similarity: expected a finite number from 0 up"),
    ],
)
def test_bad_coefficients(make, message):
    with pytest.raises(ReplearnError, match=message):
        make()


def test_modules_hold_their_coefficients():
    z = views(2, 6, 4)
    assert VICRegLoss("official", 1, 2, 3)(z) == vicreg(z, "official", 1, 2, 3)
    assert BarlowTwinsLoss(0.2)(z) == barlow_twins(z, 0.2)
    assert NTXentLoss(0.3)(z) == nt_xent(z, 0.3)
    assert InfoNCELoss(0.3)(z[0], z[1], z[1]) == info_nce(z[0], z[1], z[1], 0.3)
    assert WMSELoss(3, together=True)(z, torch.Generator().manual_seed(1)) == w_mse(
        z, 3, together=True, generator=torch.Generator().manual_seed(1)
    )
    assert EMPSSLLoss(0.3, 2, 3)(z) == emp_ssl(z, 0.3, 2, 3)
    modules = VICRegLoss("official", 1, 2, 3), BarlowTwinsLoss(), NTXentLoss(), InfoNCELoss(), WMSELoss(3), EMPSSLLoss()
    for module in modules:
        assert repr(module) == repr(eval(repr(module)))
