"""What each part of a method is for: the same small training, with one thing changed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import Splits
from replearn_course.errors import unknown_name
from replearn_course.experiments.catalogue.images import ABLATIONS
from replearn_course.experiments.runner import Context
from replearn_course.experiments.self_supervised import Settings as Method
from replearn_course.experiments.self_supervised import train
from replearn_course.files import read_json
from replearn_course.probes import effective_rank, embed, linear_probe, spread

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Settings", "figures", "run"]


@dataclass(frozen=True)
class Settings:
    """Of each training; ``variants`` names some of the catalogue's ablations, all of them by default."""

    encoder: str = "n1"
    epochs: int = 8
    images: int = 10_000
    lr: float = 1e-3
    variants: str = ""

    def __post_init__(self) -> None:
        for name in self.chosen:
            if name not in ABLATIONS:
                raise unknown_name("variant", name, ABLATIONS)

    @property
    def chosen(self) -> list[str]:
        """The names of the variants."""
        return self.variants.split() or list(ABLATIONS)


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train every variant on a part of the training images, and probe it on the validation images.

    ``spectra`` of the outcome are the singular values of the validation images' centred representations, each as a share of the
    largest.
    """
    part = context.data.train
    if settings.images < len(part):
        part = part.split(settings.images)[1]
    held = context.data.validation
    metrics: dict[str, float] = {}
    spectra: dict[str, list[float]] = {}
    for name in settings.chosen:
        method = of_variant(settings, name)
        torch.manual_seed(context.seed)
        trained = train(context, method, part, name=name)
        encoder = trained.encoders[method.epochs]
        z, held_z = embed(encoder, part.images), embed(encoder, held.images)
        found = linear_probe(z, part.labels.cpu(), held_z, held.labels.cpu())
        metrics |= {name: found.top1, f"{name}_rank": effective_rank(held_z), f"{name}_spread": spread(held_z)}
        metrics[f"{name}_tflop"] = trained.tflop(method.epochs)
        values = torch.linalg.svdvals(held_z.double() - held_z.double().mean(dim=0))
        spectra[name] = (values / values.max().clamp_min(1e-30)).tolist()
    return {"metrics": metrics, "spectra": spectra}


def of_variant(settings: Settings, name: str) -> Method:
    """The settings of the training of a variant: only what the catalogue names differs from those of all."""
    changes = dict(ABLATIONS[name][1])
    epochs = settings.epochs // changes.pop("shorter", 1)
    base = Method(encoder=settings.encoder, epochs=max(1, epochs), lr=settings.lr, temperature=0.2)
    return replace(base, **changes)


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The spectra of the representations with and without the terms of VICReg."""
    found = read_json(context.folder / "metrics.json")["spectra"]
    terms = [name for name in ("vicreg", "no_variance", "no_covariance", "invariance_only") if name in found]
    if spectra := {ABLATIONS[name][0]: [max(value, 1e-8) for value in found[name]] for name in terms}:
        yield "spectra", plots.curves(spectra, "singular value, share of the largest", "dimension", log=True)
