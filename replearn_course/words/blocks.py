r"""The gradients of word2vec for a block of text at once, by hand: a few matrix products instead of a loop over pairs.

A block is ``B`` consecutive words (the centres) with the ``W`` words before and behind them, ``E = B + 2 W`` places in all, and
``K'`` negatives that its centres share. Which place is in whose window is a band matrix of zeros and ones, the mask ``(B, E)``.
``S`` blocks from different places of the text are one step.

Every function returns *steps*, the negative gradients of the summed loss: what is added to the rows, times the learning rate.
Vectors of words as input are called :math:`v`, as output :math:`u`, those of negatives :math:`n`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Steps", "block_loss", "cbow_steps", "skipgram_steps", "window_mask", "window_table"]


@dataclass(frozen=True)
class Steps:
    """What to add to the rows that took part, before the learning rate.

    Attributes:
        inputs: of the input rows, ``(S, B, d)`` (skip-gram: centres) or ``(S, E, d)`` (CBOW: all places).
        outputs: of the output rows, ``(S, E, d)`` (skip-gram) or ``(S, B, d)`` (CBOW).
        negatives: of the output rows of the negatives, ``(S, K', d)``.
        missed: the share that positives and negatives still miss, ``(S, B, ·)`` each, for :func:`block_loss`.
    """

    inputs: Tensor
    outputs: Tensor
    negatives: Tensor
    missed: tuple[Tensor, Tensor]


def window_table(block: int, window: int, device: torch.device | str = "cpu") -> Tensor:
    """All rows that a mask can have: row ``i W + w - 1`` has ones at the places that are at most ``w`` from centre ``i``.

    Args:
        block: B, centres of a block.
        window: W, the largest width.
        device: where.

    Returns:
        zeros and ones ``(B W, E)``, float32.
    """
    place = torch.arange(block + 2 * window, device=device)
    centre = torch.arange(block, device=device).repeat_interleave(window) + window
    width = torch.arange(1, window + 1, device=device).repeat(block)
    distance = (place - centre[:, None]).abs()
    return ((distance > 0) & (distance <= width[:, None])).float()


def window_mask(table: Tensor, widths: Tensor, window: int) -> Tensor:
    """Which places are in the window of which centre: a look-up is three times as fast as to compare.

    Args:
        table: from :func:`window_table`.
        widths: of each centre, 1 to W, ``(S, B)``.
        window: W.

    Returns:
        zeros and ones ``(S, B, E)``.
    """
    streams, block = widths.shape
    rows = widths + torch.arange(-1, (block - 1) * window, window, device=widths.device)  # i W + w - 1
    return table.index_select(0, rows.view(-1)).view(streams, block, -1)


def skipgram_steps(v: Tensor, u: Tensor, n: Tensor, mask: Tensor, negatives: float) -> Steps:
    r"""Skip-gram with negative sampling (Mikolov et al. 2013, equation 4, https://arxiv.org/abs/1310.4546).

    .. math:: L = -\sum_{(c, o)} \Bigl(\log \sigma(u_o^\top v_c) + \frac{K}{K'} \sum_{k=1}^{K'} \log \sigma(-n_k^\top v_c)\Bigr)

    over all pairs of a centre :math:`c` and a place :math:`o` in its window. Two things differ from the paper: the negatives are
    shared by the block and weighted, so that each pair has :math:`K` of them on average; and one that happens to be the pair's
    own word is not drawn again.

    Args:
        v: input vectors of the centres ``(S, B, d)``.
        u: output vectors of all places ``(S, E, d)``.
        n: output vectors of the negatives ``(S, K', d)``.
        mask: zeros and ones, which place is in whose window ``(S, B, E)``.
        negatives: K, how many a pair has.
    """
    weight = mask.sum(2, keepdim=True).mul_(negatives / n.shape[1])  # pairs of a centre times K / K'
    g_pos = torch.bmm(v, u.mT).neg_().sigmoid_().mul_(mask)  # (S, B, E): 1 - σ(u·v) where there is a pair
    g_neg = torch.bmm(v, n.mT).sigmoid_().mul_(weight).neg_()  # (S, B, K')
    return Steps(
        inputs=torch.bmm(g_pos, u).baddbmm_(g_neg, n),
        outputs=torch.bmm(g_pos.mT, v),
        negatives=torch.bmm(g_neg.mT, v),
        missed=(g_pos, g_neg),
    )


def cbow_steps(v: Tensor, u: Tensor, n: Tensor, mask: Tensor, negatives: float, exact: bool = False) -> Steps:
    r"""Continuous bag of words with negative sampling: the mean of the window predicts its centre.

    .. math::
        L = -\sum_c \Bigl(\log \sigma(u_c^\top h_c) + \frac{K}{K'} \sum_{k=1}^{K'} \log \sigma(-n_k^\top h_c)\Bigr),
        \qquad h_c = \frac{1}{|C_c|} \sum_{o \in C_c} v_o

    Mikolov et al. 2013, https://arxiv.org/abs/1301.3781, whose code, as gensim's, gives the gradient by :math:`h_c` whole to
    each word of the window instead of the share :math:`1/|C_c|` that the formula asks for. İrsoy, Benton and Stratos 2021
    (https://arxiv.org/abs/2012.15332) noticed.

    Args:
        v: input vectors of all places ``(S, E, d)``.
        u: output vectors of the centres ``(S, B, d)``.
        n: output vectors of the negatives ``(S, K', d)``.
        mask: zeros and ones, which place is in whose window ``(S, B, E)``.
        negatives: K, how many a centre has.
        exact: the formula's gradient instead of the code's.
    """
    count = mask.sum(2, keepdim=True)
    mean = mask / count.clamp(min=1)  # (S, B, E)
    there = count.clamp(max=1)  # 0 for a centre without a window
    h = torch.bmm(mean, v)  # (S, B, d)
    g_pos = (h * u).sum(2, keepdim=True).neg_().sigmoid_().mul_(there)  # (S, B, 1)
    g_neg = torch.bmm(h, n.mT).sigmoid_().mul_(there * (-negatives / n.shape[1]))  # (S, B, K')
    to_h = (g_pos * u).baddbmm_(g_neg, n)
    return Steps(
        inputs=torch.bmm((mean if exact else mask).mT, to_h),
        outputs=g_pos * h,
        negatives=torch.bmm(g_neg.mT, h),
        missed=(g_pos, g_neg),
    )


def block_loss(steps: Steps, pairs: Tensor, negatives: float) -> Tensor:
    r"""The mean loss of a pair, from what was computed for the steps: :math:`-\log(1 - g)` is a positive's share.

    Args:
        steps: of a step.
        pairs: bool, which entries of the positives are pairs, in the shape of ``steps.missed[0]``.
        negatives: K, of the same call.
    """
    g_pos, g_neg = (g.float() for g in steps.missed)
    shared = g_neg.shape[2]
    of_centre = pairs.sum(2, keepdim=True)  # its pairs
    weight = (of_centre * (negatives / shared)).clamp(min=1e-30)
    positives = -torch.log1p(-g_pos[pairs].clamp(max=1 - 1e-7)).sum()
    negative = -(weight * torch.log1p((g_neg / weight).clamp(min=-1 + 1e-7))).sum()
    return (positives + negative) / pairs.sum().clamp(min=1)
