"""Training VICReg as document D1: ours against the same steps on a batch that is there already, and against a plain script."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.measure import Side, interleaved, row
from replearn_course.data import ImageSet, ViewBatches, preset
from replearn_course.methods import VICReg
from replearn_course.networks import encoder, named_projector
from replearn_course.scale import Setting, keep_memory
from replearn_course.training import fit, make_optimizer

BATCH = 256


class TwoViews(Dataset):
    """What document D1 describes: torchvision's transforms, an image at a time, twice."""

    def __init__(self, data: ImageSet) -> None:
        from torchvision import transforms

        self.data = data
        self.transform = transforms.Compose(
            [
                transforms.ToPILImage(),
                transforms.RandomResizedCrop(32),
                transforms.RandomHorizontalFlip(p=0.5),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = self.data.images[index]
        return self.transform(image), self.transform(image)


def method(network: str) -> tuple[VICReg, torch.optim.Optimizer]:
    torch.manual_seed(0)
    made = encoder(network)
    vicreg = VICReg(made, named_projector("d1", made.embedding_size), "d1-listing")
    return vicreg, make_optimizer("adam", vicreg, 1e-3)


def steps(trained: nn.Module, optimizer: torch.optim.Optimizer, batches: Iterator[tuple[Tensor, ...]]) -> None:
    for batch in batches:
        optimizer.zero_grad()
        trained(*batch)["loss"].backward()
        optimizer.step()


def sides(network: str, images: int) -> dict[str, Side]:
    """An epoch of ``images`` images: our loop, the same on one fixed batch, and the plain script."""
    keep_memory()
    pixels = torch.randint(256, (images, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    data = ImageSet("noise of CIFAR-10's size", pixels, torch.arange(images) % 10, tuple(map(str, range(10))))
    batches = ViewBatches(data, BATCH, preset("d1", 32), seed=0)
    setting = Setting("full", "cpu", "32-true", torch.get_num_threads())

    def ours() -> None:
        trained, optimizer = method(network)
        fit(trained, batches, optimizer, epochs=1, setting=setting, progress=False)

    fixed = next(batches.epoch(0))

    def ceiling() -> None:
        trained, optimizer = method(network)
        trained.to(memory_format=torch.channels_last).train()
        steps(trained, optimizer, iter([fixed] * len(batches)))

    loader = DataLoader(
        TwoViews(data), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )

    def plain() -> None:
        trained, optimizer = method(network)  # contiguous, views one after the other: as such scripts have it
        network_of = lambda view: trained.projector(trained.encoder(view))  # noqa: E731
        for first, second in loader:
            optimizer.zero_grad()
            trained.loss(torch.stack([network_of(first), network_of(second)])).loss.backward()
            optimizer.step()

    return {"ours": ours, "ceiling": ceiling, "plain": plain}


def rows(quick: bool) -> Iterator[dict[str, Any]]:
    """Time an epoch of each side in turns; the ceiling has no data to make, so a ratio of 1 cannot be passed."""
    for network, images in (("n1", 16 * BATCH), ("n2", 4 * BATCH)):
        images = images // 2 if quick else images
        side: dict[str, Callable[[], None]] = sides(network, images)
        for peer, name in (
            ("ceiling", "the same network on a fixed batch"),
            ("plain", f"DataLoader with 2 workers, torchvision {version('torchvision')} transforms"),
        ):
            title = f"VICReg training as D1, {network.upper()}, {images} images"
            yield row(title, name, *interleaved(side["ours"], side[peer], rounds=2 if quick else 5))
