"""Right answers to the exercises of chapters 8 to 10 that are written another way than ours: the checks accept them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import batch_norm, cosine_similarity, mse_loss, normalize

from replearn_course.checks import check


def two_views(images, strength, generator):
    views = []
    for _ in range(2):
        made = []
        for image in images:
            if torch.rand((), generator=generator) < 0.5:
                image = image.flip(2)
            made.append((image * torch.empty(()).uniform_(1 - strength, 1 + strength, generator=generator)).clip(0, 1))
        views.append(torch.stack(made))
    return torch.stack(views)


def momentum_update(key, query, momentum):
    with torch.no_grad():
        return {n: query[n].lerp(k, momentum) if k.is_floating_point() else query[n].clone() for n, k in key.items()}


def crop_boxes(n, size, generator, area=(0.2, 1.0), ratio=(3 / 4, 4 / 3)):
    boxes = []
    for _ in range(n):
        share, aspect, top, left = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        share = area[0] + share * (area[1] - area[0])
        aspect = ratio[0] * (ratio[1] / ratio[0]) ** aspect
        height, width = size * min(1, math.sqrt(share / aspect)), size * min(1, math.sqrt(share * aspect))
        boxes.append([top * (size - height), left * (size - width), height, width])
    return torch.tensor(boxes)


def crop_boxes_by_trying_again(n, size, generator, area=(0.2, 1.0), ratio=(3 / 4, 4 / 3)):
    def draw():
        share = torch.empty(n).uniform_(*area, generator=generator)
        aspect = torch.empty(n).uniform_(*map(math.log, ratio), generator=generator).exp()
        return torch.stack([(share / aspect).sqrt(), (share * aspect).sqrt()], 1) * size

    sides = draw()
    for _ in range(9):
        sides = torch.where((sides > size).any(1, keepdim=True), draw(), sides)
    sides = sides.clamp(max=size)
    return torch.cat([torch.rand(n, 2, generator=generator) * (size - sides), sides], 1)


def nt_xent(z1, z2, temperature=0.5):
    z = torch.cat([z1, z2])
    logits = cosine_similarity(z[:, None], z[None], dim=2) / temperature
    others = logits.flatten()[1:].view(len(z) - 1, len(z) + 1)[:, :-1].reshape(len(z), len(z) - 1)
    return (others.logsumexp(1) - torch.cat([logits.diagonal(len(z1)), logits.diagonal(-len(z1))])).mean()


def enqueue(queue, position, keys):
    turned = queue.roll(-position, 0)
    return torch.cat([keys.detach(), turned[len(keys) :]]).roll(position, 0), (position + len(keys)) % len(queue)


def enqueue_in_two_parts(queue, position, keys):
    queue, fits = queue.clone(), min(len(keys), len(queue) - position)
    with torch.no_grad():
        queue[position : position + fits] = keys[:fits]
        queue[: len(keys) - fits] = keys[fits:]
    position += len(keys)
    return [queue, torch.tensor(position - len(queue) if position >= len(queue) else position)]


def info_nce(query, key, queue, temperature=0.07):
    key, queue = key.detach(), queue.detach()
    to_queue = query @ queue.T / temperature
    own = torch.einsum("nd,nd->n", query, key) / temperature
    return torch.logaddexp(own, to_queue.logsumexp(1)).mean() - own.mean()


def off_diagonal(matrix):
    d = len(matrix)
    return matrix.flatten()[1:].view(d - 1, d + 1)[:, :-1].as_strided((d - 1, d), (d + 1, 1))


def barlow_loss(c, weight=0.005):
    one = torch.eye(len(c), dtype=c.dtype)
    return ((c - one).square() * (one + weight * (1 - one))).sum()


def cross_correlation(z1, z2):
    first, second = (batch_norm(z, None, None, training=True) for z in (z1, z2))
    return torch.einsum("ni,nj->ij", first, second).div(len(z1))


def cross_correlation_of_the_covariance(z1, z2):
    first, second = z1 - z1.mean(0, keepdim=True), z2 - z2.mean(0, keepdim=True)
    scale = [torch.var(z, dim=0, correction=0).add(1e-5).rsqrt() for z in (z1, z2)]
    return scale[0][:, None] * (first.mT @ second / len(z1)) * scale[1]


def effective_rank(z):
    centred = z - z.mean(0)
    stretch = torch.linalg.eigvalsh(centred.T @ centred).clamp(min=0).sqrt()
    if stretch.max() == 0:
        return 0.0
    share = stretch[stretch > 0] / stretch.sum()
    return float((share ** (-share)).prod())


def off_diagonal_energy(a, b):
    n, d = a.shape
    if n >= d:
        c = a.T @ b / n
        return c.square().sum() - c.diagonal().square().sum()
    return (torch.sum((a @ a.T) * (b @ b.T)) - torch.einsum("nd,nd->d", a, b).square().sum()) / (n * n)


def sub_batches(n, size, generator):
    if n // size == 0:
        raise ValueError
    groups = [[] for _ in range(n // size)]
    for place, image in enumerate(torch.randperm(n, generator=generator).tolist()):
        groups[place % len(groups)].append(image)
    return tuple(map(torch.tensor, groups))


def w_mse(z):
    unit = normalize(z, dim=-1)
    total = len(z) * unit.square().sum((0, 2)) - unit.sum(0).square().sum(1)
    return 2 * total.mean() / (len(z) * (len(z) - 1))


def w_mse_of_each_view_with_all(z):
    unit = normalize(z, dim=2)
    total = sum(mse_loss(unit, view.expand_as(unit), reduction="sum") for view in unit)
    return total / (len(z) * (len(z) - 1) * z.shape[1])


def w_mse_of_each_view_with_those_before(z):  # a loop over the views
    unit, total = normalize(z, dim=2), 0
    for i in range(1, len(unit)):
        total = total + (unit[:i] - unit[i]).square().sum(2).sum(0).mean() * 2 / len(z)
    return total / (len(z) - 1)


def whitening_matrix(v):
    if len(v) <= v.shape[1]:
        raise ValueError("too few")
    return torch.linalg.inv(torch.linalg.cholesky(torch.cov(v.double().T))).to(v)


def whiten(v):
    mean = v.mean(dim=0, keepdim=True)
    return (v - mean) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(v.mT))).mT


def zca_matrix(v):
    _, s, rows = torch.linalg.svd(v - v.mean(0), full_matrices=False)
    return rows.T @ torch.diag((len(v) - 1) ** 0.5 / s) @ rows


@pytest.mark.parametrize(
    ("name", "fn"),
    [
        ("ch08.two_views", two_views),
        ("ch08.momentum_update", momentum_update),
        ("ch08.crop_boxes", crop_boxes),
        ("ch08.crop_boxes", crop_boxes_by_trying_again),
        ("ch08.nt_xent", nt_xent),
        ("ch08.enqueue", enqueue),
        ("ch08.enqueue", enqueue_in_two_parts),
        ("ch08.info_nce", info_nce),
        ("ch09.off_diagonal", off_diagonal),
        ("ch09.barlow_loss", barlow_loss),
        ("ch09.cross_correlation", cross_correlation),
        ("ch09.cross_correlation", cross_correlation_of_the_covariance),
        ("ch09.effective_rank", effective_rank),
        ("ch09.off_diagonal_energy", off_diagonal_energy),
        ("ch10.sub_batches", sub_batches),
        ("ch10.w_mse", w_mse),
        ("ch10.w_mse", w_mse_of_each_view_with_all),
        ("ch10.w_mse", w_mse_of_each_view_with_those_before),
        ("ch10.whitening_matrix", whitening_matrix),
        ("ch10.whiten", whiten),
        ("ch10.zca_matrix", zca_matrix),
    ],
)
def test_other_right_answers_pass(name, fn):
    result = check(name, fn)
    assert result.passed, str(result)
