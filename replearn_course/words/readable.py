"""word2vec as it is usually written: two embedding layers, a loss, autograd. To read and to compare with, not to be fast."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replearn_course.data.batches import Batches
from replearn_course.errors import unknown_name
from replearn_course.words.corpus import Corpus
from replearn_course.words.vectors import WordVectors
from replearn_course.words.vocabulary import Vocabulary

__all__ = ["LOSSES", "WindowBatches", "Word2Vec", "negative_sampling_loss"]

LOSSES = ("softmax", "negative sampling")


def negative_sampling_loss(h: Tensor, u: Tensor, n: Tensor) -> Tensor:
    r"""The mean of :math:`-\log \sigma(u^\top h) - \sum_{k=1}^{K} \log \sigma(-n_k^\top h)`.

    Mikolov et al. 2013, equation 4 (https://arxiv.org/abs/1310.4546).

    Args:
        h: what predicts ``(B, d)``.
        u: output vectors of the words that were there ``(B, d)``.
        n: output vectors of noise words ``(B, K, d)``.
    """
    there = F.logsigmoid((u * h).sum(dim=1))  # (B,)
    noise = F.logsigmoid(-torch.einsum("bkd,bd->bk", n, h)).sum(dim=1)  # (B, K) -> (B,)
    return -(there + noise).mean()


class Word2Vec(nn.Module):
    r"""Predict a word from others: from the mean of a window (CBOW), or from one neighbour (skip-gram).

    The inputs' vectors are averaged to :math:`h`. With the softmax, as document D2 and Mikolov et al. 2013
    (https://arxiv.org/abs/1301.3781) describe it, :math:`L = -\log \frac{e^{u_t^\top h}}{\sum_w e^{u_w^\top h}}` for the target
    :math:`t`, a sum over the whole vocabulary; with negative sampling see :func:`negative_sampling_loss`.

    Args:
        vocabulary: of the corpus.
        dim: dimensions.
        loss: one of :data:`LOSSES`.
        negatives: noise words for each target; one that is the target is not drawn again.
        sparse: gradients only for the rows that took part; only some optimizers take them.

    Raises:
        ReplearnError: for an unknown loss.
    """

    noise: Tensor

    def __init__(
        self, vocabulary: Vocabulary, dim: int = 100, loss: str = "softmax", negatives: int = 5, sparse: bool = False
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise unknown_name("loss", loss, LOSSES)
        self.vocabulary, self.loss, self.negatives = vocabulary, loss, negatives
        self.inputs = nn.Embedding(len(vocabulary), dim, sparse=sparse)
        self.outputs = nn.Embedding(len(vocabulary), dim, sparse=sparse)
        nn.init.uniform_(self.inputs.weight, -1 / dim, 1 / dim)
        nn.init.zeros_(self.outputs.weight)
        self.register_buffer("noise", vocabulary.noise().float(), persistent=False)

    def forward(self, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss of a batch.

        Args:
            inputs: ids of what predicts ``(B, M)``, -1 where there is none; every row has one at least.
            targets: ids of what is predicted ``(B,)``.
        """
        there = (inputs >= 0).unsqueeze(2)  # (B, M, 1)
        h = (self.inputs(inputs.clamp(min=0)) * there).sum(dim=1) / there.sum(dim=1)  # (B, d)
        if self.loss == "softmax":
            return {"loss": F.cross_entropy(h @ self.outputs.weight.T, targets)}  # (B, V)
        noise = torch.multinomial(self.noise, len(targets) * self.negatives, replacement=True)
        n = self.outputs(noise).view(len(targets), self.negatives, -1)
        return {"loss": negative_sampling_loss(h, self.outputs(targets), n)}

    @property
    def vectors(self) -> WordVectors:
        """The input vectors, on the CPU."""
        return WordVectors(self.vocabulary.words, self.inputs.weight.detach().cpu().clone(), self.vocabulary.counts)


class WindowBatches(Batches):
    """Batches of ``(inputs, targets)`` for :class:`Word2Vec`, from a corpus that fits into memory.

    Each epoch frequent words are thinned out anew, and every word that is left is a centre once, in random order. For
    skip-gram, a centre is the input and each word of its window a target; for CBOW, the window is the input and the centre the
    target.

    Args:
        corpus: the text.
        batch_size: centres a batch.
        architecture: ``"skip-gram"`` or ``"cbow"``.
        window: words before and behind at most; the width is drawn from 1 to ``window``.
        sample: the share from which on a word is thinned out.
        seed: decides all draws.
        device: where the batches are wanted.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int = 512,
        *,
        architecture: str = "cbow",
        window: int = 5,
        sample: float = 1e-4,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        if architecture not in ("skip-gram", "cbow"):
            raise unknown_name("architecture", architecture, ("skip-gram", "cbow"))
        self.batch_size, self.architecture, self.window = batch_size, architecture, window
        self.seed, self.device = seed, device
        ids = torch.from_numpy(corpus.ids.copy()).long()
        self.sentences = (ids < 0).cumsum(0)[ids >= 0]
        self.ids = ids[ids >= 0]
        self.keep = corpus.vocabulary.keep_probability(sample).float()[self.ids]

    def __len__(self) -> int:
        """Batches an epoch: for as many centres as are left on average."""
        return max(1, int(self.keep.sum()) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """The batches of an epoch, from step ``start`` on."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        kept = torch.rand(len(self.ids), generator=generator) < self.keep
        ids, sentences = self.ids[kept], self.sentences[kept]
        order = torch.randperm(len(ids), generator=generator)
        widths = torch.randint(1, self.window + 1, (len(ids),), generator=generator)
        reach = torch.cat([torch.arange(-self.window, 0), torch.arange(1, self.window + 1)])
        for step in range(start, len(self)):
            centre = order[torch.arange(step * self.batch_size, (step + 1) * self.batch_size) % len(ids)]  # (B,)
            place = centre[:, None] + reach  # (B, 2 W)
            inside = (reach.abs() <= widths[centre, None]) & (place >= 0) & (place < len(ids))
            place = place.clamp(0, len(ids) - 1)
            inside &= sentences[place] == sentences[centre, None]
            if self.architecture == "skip-gram":
                inputs, targets = ids[centre, None].expand_as(place)[inside][:, None], ids[place][inside]
            else:
                some = inside.any(dim=1)
                inputs, targets = torch.where(inside, ids[place], -1)[some], ids[centre][some]
            if len(targets):
                yield inputs.to(self.device), targets.to(self.device)
