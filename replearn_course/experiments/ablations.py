"""What each part of a method is for: the same small training, with one thing changed at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from replearn_course import plots
from replearn_course.data import Splits
from replearn_course.experiments.catalogue.images import ABLATIONS
from replearn_course.experiments.runner import Context
from replearn_course.experiments.self_supervised import Settings as Method
from replearn_course.experiments.self_supervised import build, train
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


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train every variant on a part of the training images, and probe it on the validation images."""
    part = context.data.train
    if settings.images < len(part):
        part = part.split(settings.images)[1]
    held = context.data.validation
    metrics: dict[str, float] = {}
    spectra: dict[str, list[float]] = {}
    for name in _chosen(settings):
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
    """The settings of the training of a variant."""
    changes = dict(ABLATIONS[name][1])
    epochs = settings.epochs // changes.pop("shorter", 1)
    base = Method(encoder=settings.encoder, epochs=max(1, epochs), lr=settings.lr, temperature=0.2)
    return replace(base, **changes)


def _chosen(settings: Settings) -> list[str]:
    return settings.variants.split() or list(ABLATIONS)


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The spectra of the representations with and without the terms of VICReg."""
    held = context.data.validation
    spectra = {}
    for name in [n for n in _chosen(settings) if n in ("vicreg", "no_variance", "no_covariance", "invariance_only")]:
        method = build(of_variant(settings, name), held)
        context.restore(method, name)
        z = embed(method.encoder, held.images).double()  # type: ignore[arg-type]
        values = torch.linalg.svdvals(z - z.mean(dim=0))
        spectra[ABLATIONS[name][0]] = (values / values.max().clamp_min(1e-30)).clamp_min(1e-8).tolist()
    if spectra:
        yield "spectra", plots.curves(spectra, "singular value, share of the largest", "dimension", log=True)
