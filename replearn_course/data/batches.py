"""What a training loop iterates over: batches as a function of (seed, epoch, step), so that there is no state to save.

A loop that was cut off asks for ``epoch(e, start=s)`` and gets exactly the batches that it had not seen.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from replearn_course.data.images import ImageSet, to_float
from replearn_course.data.samplers import pk_batches, random_pairs, random_triplets
from replearn_course.data.views import Transform, draw_views
from replearn_course.errors import ReplearnError, check_count, unknown_name

__all__ = ["Batches", "ImageBatches", "PKBatches", "PairBatches", "TripletBatches", "ViewBatches"]

DRAWN = ("each epoch", "once")
Views = Callable[[Tensor, torch.Generator], Tensor]


def _seeded(*numbers: int) -> torch.Generator:
    """A generator of its own for each tuple of small numbers."""
    seed = 0
    for n in numbers:
        seed = (seed * 1_000_003 + n + 1) % 2**63
    return torch.Generator().manual_seed(seed)


class Batches(ABC):
    """What ``fit`` iterates over, one epoch after another."""

    @abstractmethod
    def __len__(self) -> int:
        """Batches an epoch."""

    @abstractmethod
    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """The batches of an epoch, from step ``start`` on; the same ones each time it is asked."""


class ImageBatches(Batches):
    """Batches made on the device from one :class:`ImageSet`.

    Args:
        data: images and labels, on the device where the batches are wanted.
        seed: decides order, draws and views.
        views: changes the images of a batch at random, such as :class:`~replearn_course.data.views.RandomAffine`.
    """

    def __init__(self, data: ImageSet, *, seed: int = 0, views: Views | None = None) -> None:
        self.data, self.seed, self.views = data, seed, views

    @abstractmethod
    def batches_of(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """The batches of an epoch as CPU tensors: indices ``(B, m)`` first, then what else the method wants."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """The batches of an epoch, from step ``start`` on.

        Yields:
            m tensors of images ``(B, C, H, W)`` float in [0, 1], then the rest of the batch.
        """
        device = self.data.images.device
        for step, (indices, *rest) in enumerate(self.batches_of(_seeded(self.seed, epoch))):
            if step < start:
                continue
            images = to_float(self.data.images[indices.T.flatten().to(device)])  # (m B, C, H, W)
            seen = self.see(images, _seeded(self.seed, epoch, step + 1))
            yield *seen.chunk(len(seen) // len(indices)), *(tensor.to(device) for tensor in rest)

    def see(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """What the method sees of the images ``(m B, C, H, W)`` of a batch: one view of each."""
        return images if self.views is None else self.views(images, generator)


class TripletBatches(ImageBatches):
    """Random triplets: ``(anchor, positive, negative)`` images, each image of the data an anchor once an epoch.

    Args:
        data: images and labels.
        batch_size: triplets a batch.
        seed: decides the draws.
        views: changes the images of a batch at random.
        drawn: ``"each epoch"`` anew, or ``"once"``, the first epoch's triplets and views in every epoch.
        n_batches: batches an epoch; by default as many as make each image an anchor once, and never more.

    Raises:
        ReplearnError: for a batch size or ``n_batches`` below 1, an unknown ``drawn``, or labels that make no triplet.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        *,
        seed: int = 0,
        views: Views | None = None,
        drawn: str = "each epoch",
        n_batches: int | None = None,
    ) -> None:
        super().__init__(data, seed=seed, views=views)
        if drawn not in DRAWN:
            raise unknown_name("drawn", drawn, DRAWN)
        whole = _whole(len(data), batch_size)
        n_batches = whole if n_batches is None else n_batches
        check_count(n_batches=n_batches)
        random_triplets(data.labels, torch.Generator())  # complains now, not in the first epoch
        self.batch_size, self.drawn, self.n_batches = batch_size, drawn, min(n_batches, whole)

    def __len__(self) -> int:
        return self.n_batches

    def batches_of(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """See :class:`Batches`."""
        yield from zip(random_triplets(self.data.labels, generator).split(self.batch_size)[: self.n_batches])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[Tensor, ...]]:
        """See :class:`Batches`."""
        return super().epoch(epoch if self.drawn == "each epoch" else 0, start)


class PairBatches(ImageBatches):
    """Random pairs: ``(first, second)`` images and ``same`` ``(B,)`` bool, half of them of one class."""

    def __init__(self, data: ImageSet, batch_size: int, *, seed: int = 0, views: Views | None = None) -> None:
        super().__init__(data, seed=seed, views=views)
        self.batch_size, self.n_batches = batch_size, _whole(len(data), batch_size)
        random_pairs(data.labels, torch.Generator())

    def __len__(self) -> int:
        return self.n_batches

    def batches_of(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """See :class:`Batches`."""
        pairs, same = random_pairs(self.data.labels, generator)
        yield from zip(pairs.split(self.batch_size), same.split(self.batch_size), strict=True)


class PKBatches(ImageBatches):
    """P classes × K images: images ``(P K, C, H, W)`` and their labels ``(P K,)``."""

    def __init__(
        self,
        data: ImageSet,
        p: int,
        k: int,
        *,
        seed: int = 0,
        views: Views | None = None,
        n_batches: int | None = None,
    ) -> None:
        super().__init__(data, seed=seed, views=views)
        self.p, self.k = p, k
        pk_batches(data.labels, p, k, torch.Generator(), 1)
        self.n_batches = max(1, len(data) // (p * k)) if n_batches is None else n_batches
        check_count(n_batches=self.n_batches)
        self.labels = data.labels.cpu()

    def __len__(self) -> int:
        return self.n_batches

    def batches_of(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """See :class:`Batches`."""
        for indices in pk_batches(self.labels, self.p, self.k, generator, self.n_batches):
            yield indices[:, None], self.labels[indices]


class ViewBatches(ImageBatches):
    """Several views of each image, and no pairs but those: V tensors ``(B, C, h, w)``, with labels only if asked for.

    An epoch takes the images in random order, each once. By default what does not fill a batch at its end is left out, since
    the losses of self-supervised learning look at a whole batch and mean less on a short one; the next epoch leaves out others.
    A single image is never a batch beside others, since batch norm has no variance of it: it joins the batch before.

    Args:
        data: images; labels are looked at only for ``labels``.
        batch_size: images a batch.
        views: a transform for each view, such as those of :func:`~replearn_course.data.views.preset`.
        seed: decides order and views.
        labels: yield them ``(B,)`` after the views, for supervised training.
        drop_last: leave the last, short batch out.

    Raises:
        ReplearnError: without a view, for a batch size below 1, or images that do not fill a batch.
    """

    def __init__(
        self,
        data: ImageSet,
        batch_size: int,
        views: Sequence[Transform],
        *,
        seed: int = 0,
        labels: bool = False,
        drop_last: bool = True,
    ) -> None:
        super().__init__(data, seed=seed)
        check_count(batch_size=batch_size)
        self.transforms, self.labels = tuple(views), labels
        if not self.transforms:
            raise ReplearnError("views: expected a transform for each view, got none")
        full, rest = divmod(len(data), batch_size)
        self.sizes = [batch_size] * full
        if rest and not drop_last:
            if rest == 1 and full:
                self.sizes[-1] += 1
            else:
                self.sizes.append(rest)
        if not self.sizes:
            raise ReplearnError(f"batch_size: expected at most the {len(data)} images that there are, got {batch_size}")

    def __len__(self) -> int:
        return len(self.sizes)

    def batches_of(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """See :class:`Batches`."""
        labels = self.data.labels.cpu()
        order = torch.randperm(len(self.data), generator=generator)
        for indices in order[: sum(self.sizes)].split(self.sizes):
            yield (indices[:, None], labels[indices]) if self.labels else (indices[:, None],)

    def see(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """All views ``(V B, C, h, w)`` of the images ``(B, C, H, W)``, the first of each image first."""
        views = draw_views(images, self.transforms, generator)
        if len(shapes := {tuple(view.shape[1:]): None for view in views}) > 1:
            raise ReplearnError(f"views: expected all of one shape, got {' and '.join(map(str, shapes))}")
        return torch.cat(views)


def _whole(images: int, batch_size: int) -> int:
    """Batches that hold all images, the last one perhaps short."""
    check_count(batch_size=batch_size)
    return -(-images // batch_size)
