"""One method, one encoder, images without labels; then every probe. All methods of chapters 8 to 12 are run here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from replearn_course import methods, plots
from replearn_course.data import (
    Compose,
    ImageSet,
    RandomCrop,
    RandomResizedCrop,
    Splits,
    Transform,
    ViewBatches,
    load,
    preset,
    to_float,
    without,
)
from replearn_course.data.tiny_imagenet import PUBLISHED_PER_CLASS
from replearn_course.errors import ReplearnError, check_count, unknown_name
from replearn_course.experiments.evaluation import decays_of, evaluate, few_labels
from replearn_course.experiments.runner import Context
from replearn_course.experiments.suspects import suspects
from replearn_course.files import read_csv, restore_weights, save_weights
from replearn_course.networks import (
    Encoder,
    Joined,
    PatchAverage,
    PatchNet,
    PrincipalComponents,
    Representation,
    Resized,
    encoder,
    named_projector,
)
from replearn_course.probes import CollapseMonitor, embed
from replearn_course.probes.fine_tune import accuracies
from replearn_course.training import History, constant, make_optimizer, peak_memory, warmup_cosine
from replearn_course.training.schedules import Schedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["METHODS", "Settings", "Trained", "another", "build", "figures", "kept", "run", "train", "transforms"]


WHITENED = 5_000  # images at most that the fixed first layer of a PatchNet is made from
COMPONENTS_FROM = 10_000  # images at most whose principal components are found


@dataclass(frozen=True)
class Settings:
    """The one protocol under which the methods are compared, and what each of them needs of its own.

    Attributes:
        projector: a named one, of its own where a method needs it.
        without: augmentations that are taken out of the views.
        patch: side of the patches whose mean is the embedding of an image, ``stride`` apart, with their mirror images if
            ``flip``, over each of ``parts`` × ``parts`` parts of it; 0 for an encoder of whole images. They are enlarged to
            the size of the image if ``views`` are.
        wider: sides of larger patches that represent an image too, brought to the size of those trained on; the means over
            those of a side are joined to the rest.
        weight_decays: of our linear probe; of several the best on a tenth of the training images is taken.
        components: principal components of the training images' representations that are kept, or as many as there are; 0 for
            the dimensions as they are.
        schedule: of the rate, one of ``SCHEDULES``; ``warmup`` is the part of the steps that the cosine rises over.
        reported: the epoch whose encoder gives the numbers, of a training with a constant rate; 0 for the last.
        probed: other epochs after which the encoder is linearly probed.
        images: takes only so many of the training images.
        partial_lr: of the classifier on few labels, and ``partial_encoder_lr`` of the encoder; 0 leaves that probe out.
        validate: train without the validation split and test on it, also in the figures: for choosing settings.
        distortion: ε of the coding rate of EMP-SSL; by default its authors' ε² of 0.2.
        seen: the test images, without their labels, take the place of as many trained on: a slip on purpose.
        drawn: test images of which seed 0 keeps a t-SNE, for the chapter to draw.
        suspects: epochs of the fine-tuning under each slip of the catalogue; 0 for none.
        transfer: another dataset that the encoder is probed on, its images brought to a side of ``transfer_size``; 0 for their own.

    Raises:
        ReplearnError: for no epoch, epochs to report or probe that are none of the training's, an unknown schedule, weight decays,
            sides or places of patches that are no such numbers, or suspects without ``partial_lr``.
    """

    method: str = "vicreg"
    encoder: str = "n1"
    projector: str = "d1"
    views: str = "simclr"
    without: str = ""
    n_views: int = 2
    patch: int = 0
    stride: int = 4
    flip: bool = False
    parts: int = 1
    wider: str = ""
    components: int = 0
    epochs: int = 10
    reported: int = 0
    probed: str = ""
    batch_size: int = 256
    optimizer: str = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    warmup: float = 0.1
    schedule: str = "cosine"
    variant: str = "official"
    invariance: float = 25.0
    variance: float = 25.0
    covariance: float = 1.0
    similarity: float = 200.0
    distortion: float = 0.2**0.5
    temperature: float = 0.5
    momentum: float = 0.99
    queue: int = 4096
    groups: int = 1
    sub_batch: int = 128
    images: int | None = None
    validate: bool = False
    weight_decays: str = "1e-5"
    partial_lr: float = 0.3
    partial_encoder_lr: float = 0.02
    seen: bool = False
    drawn: int = 0
    suspects: int = 0
    transfer: str = ""
    transfer_size: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ReplearnError(f"epochs: expected 1 or more, got {self.epochs}")
        try:
            wrong = [epoch for epoch in self.milestones if not 1 <= epoch <= self.epochs]
        except ValueError:
            raise ReplearnError(f"probed: expected epochs such as '20 40', got {self.probed!r}") from None
        if wrong:
            raise ReplearnError(f"reported, probed: expected epochs from 1 to {self.epochs}, got {wrong[0]}")
        if self.reported and self.method == "supervised":
            raise ReplearnError("reported: the supervised network is tested after its last epoch; expected 0")
        if self.schedule not in SCHEDULES:
            raise unknown_name("schedule", self.schedule, SCHEDULES)
        decays_of(self.weight_decays)
        check_count(stride=self.stride, parts=self.parts)
        if not all(side.isdecimal() and int(side) for side in self.wider.split()):
            raise ReplearnError(f"wider: expected sides in pixels such as '24', got {self.wider!r}")
        if self.suspects and not self.partial_lr:
            raise ReplearnError("partial_lr: the suspects need one above 0, got 0")

    @property
    def at(self) -> int:
        """The epoch whose encoder gives the numbers."""
        return self.reported or self.epochs

    @property
    def decays(self) -> list[float]:
        """Weight decays of our linear probe to choose from."""
        return decays_of(self.weight_decays)

    @property
    def milestones(self) -> list[int]:
        """The epochs whose encoders are probed, the last among them."""
        return sorted({self.epochs, self.at, *map(int, self.probed.split())})


METHODS: dict[str, Callable[[Settings, Encoder, nn.Module, int], nn.Module]] = {
    "simclr": lambda s, e, p, _: methods.SimCLR(e, p, s.temperature),
    "moco": lambda s, e, p, _: methods.MoCo(
        e, p, queue=s.queue, momentum=s.momentum, temperature=s.temperature, groups=s.groups
    ),
    "barlow-twins": lambda s, e, p, _: methods.BarlowTwins(e, p),
    "wmse": lambda s, e, p, _: methods.WMSE(e, p, s.sub_batch),
    "vicreg": lambda s, e, p, _: methods.VICReg(
        e, p, s.variant, invariance=s.invariance, variance=s.variance, covariance=s.covariance
    ),
    "emp-ssl": lambda s, e, p, _: methods.EMPSSL(e, p, similarity=s.similarity, eps=s.distortion),
    "supervised": lambda s, e, _, classes: methods.Supervised(e, classes),
}

SCHEDULES: dict[str, Callable[[Settings], Schedule]] = {
    "cosine": lambda s: warmup_cosine(s.warmup),
    "constant": lambda _: constant(),
}


def build(settings: Settings, images: ImageSet) -> nn.Module:
    """The method before training, for these images.

    Raises:
        ReplearnError: for an unknown method, encoder or projector.
    """
    if settings.method not in METHODS:
        raise unknown_name("method", settings.method, METHODS)
    network = encoder(settings.encoder, images.images.shape[1], images.images.shape[-1])
    if isinstance(network, PatchNet):
        network.fit_whitening(to_float(_some(images, WHITENED)).to(next(network.parameters())))
    head = (
        nn.Identity()
        if settings.method == "supervised"
        else named_projector(settings.projector, network.embedding_size)
    )
    return METHODS[settings.method](settings, network, head, len(images.classes))


@dataclass(frozen=True)
class Trained:
    """A method after training.

    Attributes:
        method: with the weights of the last step.
        encoders: by epoch, those that are probed; the last one among them.
        history: of the training.
        memory: peak of the training in MiB, where the system tells.
    """

    method: nn.Module
    encoders: dict[int, Representation]
    history: History
    memory: float | None

    def tflop(self, epoch: int) -> float:
        """Training compute up to an epoch."""
        return self.history.flop / self.history.epochs * epoch / 1e12


def train(context: Context[Any], settings: Settings, images: ImageSet, *, name: str = "") -> Trained:
    """Train a method on images, keeping the encoder of each epoch that is to be probed.

    Args:
        context: of the seed.
        settings: of the method.
        images: labels are used by the supervised method alone.
        name: of the training, where an experiment has several.
    """
    setting, supervised = context.setting, settings.method == "supervised"
    method = build(settings, images)
    views = transforms(settings, images)

    def keep(trained: Any, history: History) -> None:
        if history.epochs in settings.milestones:  # before that epoch's checkpoint, so a resumed training has them all
            save_weights(_file(context, history.epochs, name), trained.encoder.state_dict(), {})

    with peak_memory(setting.device) as memory:
        history = context.fit(
            method,
            ViewBatches(images, settings.batch_size, views, seed=context.seed, labels=supervised),
            make_optimizer(settings.optimizer, method, settings.lr, weight_decay=settings.weight_decay),
            epochs=settings.epochs,
            schedule=SCHEDULES[settings.schedule](settings),
            validation=None if supervised else CollapseMonitor(images, views),
            on_epoch=keep,
            name=name,
        )
    peak = context.once(f"{name or 'training'}-memory", lambda: {"mib": memory.mib})  # of the process that trained
    encoders = {epoch: kept(context, settings, images, epoch, name) for epoch in settings.milestones}
    return Trained(method, encoders, history, peak["mib"])


def _file(context: Context[Any], epoch: int, name: str) -> Path:
    return context.folder / f"{name or 'encoder'}-epoch-{epoch}.safetensors"


def kept(context: Context[Any], settings: Settings, images: ImageSet, epoch: int, name: str = "") -> Representation:
    """The representation after an epoch: the encoder that training on ``images`` kept, or what the settings make of it."""
    network: Representation = encoder(settings.encoder, images.images.shape[1], images.images.shape[-1])
    restore_weights(_file(context, epoch, name), network)
    network.to(context.setting.device).to(memory_format=torch.channels_last).eval()  # twice as fast on a CPU
    if settings.patch:
        resized = Resized(network, images.images.shape[-1] if settings.views == "patches-enlarged" else settings.patch)
        sides = [settings.patch, *map(int, settings.wider.split())]
        network = Joined(*(PatchAverage(resized, s, settings.stride, settings.flip, settings.parts) for s in sides))
    if settings.components:
        z = embed(network, _some(images, COMPONENTS_FROM))
        network = PrincipalComponents.fit(network, z, min(settings.components, *z.shape)).to(context.setting.device)
    return network


def _some(images: ImageSet, at_most: int) -> Tensor:
    """Images spread over all of them, so over all classes where data are sorted by class."""
    return images.images[:: -(-len(images) // at_most)]


def transforms(settings: Settings, images: ImageSet) -> tuple[Compose, ...]:
    """One transform a view."""
    views = preset(settings.views, images.images.shape[-1], settings.n_views)
    for name in settings.without.split():
        views = without(views, name)
    if not settings.patch:
        return views
    if settings.views not in ("patches", "patches-enlarged"):
        raise ReplearnError(f"views: patches need 'patches' or 'patches-enlarged', got {settings.views!r}")
    side = images.images.shape[-1]
    if wrong := [wide for wide in settings.wider.split() if int(wide) > side]:
        raise ReplearnError(f"wider: expected sides up to {side}, that of the images, got {wrong[0]}")
    area = (settings.patch / side) ** 2
    return tuple(Compose(tuple(_of_patch(step, settings.patch, area) for step in view.steps)) for view in views)


def _of_patch(step: Transform, patch: int, area: float) -> Transform:
    """A crop of the side of the patches, which are ``area`` of the image, instead of the preset's; else the step itself."""
    if isinstance(step, RandomCrop):
        return RandomCrop(patch)
    return replace(step, area=(area, area)) if isinstance(step, RandomResizedCrop) else step


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train with one seed, and probe."""
    images, test = _parts(context.data, settings, settings.images)
    other = another(context, settings.transfer, settings.transfer_size) if settings.transfer else None
    trained = train(context, settings, _with_seen(images, test) if settings.seen else images)
    best = trained.encoders[settings.at]

    seconds = sum(trained.history.column("seconds")[: settings.at])
    cost = {"tflop": trained.tflop(settings.at), "seconds": seconds, "memory": trained.memory}
    cost = {name: value for name, value in cost.items() if value is not None}
    if not context.data.labelled:  # a folder of the user's own: the weights are what was wanted
        return {"metrics": cost}

    def probe(epoch: int) -> dict[str, float]:
        return evaluate(trained.encoders[epoch], images, test, seed=context.seed, weight_decays=settings.decays)

    probed = {epoch: context.once(f"probed-{epoch}", partial(probe, epoch)) for epoch in trained.encoders}
    metrics = probed[settings.at] | cost
    for epoch in probed.keys() - {settings.at}:
        metrics |= {f"{name}_{epoch}": probed[epoch][name] for name in ("top1", "top5", "d1_top1", "d1_top5")}
    if settings.method == "supervised":
        method: Any = trained.method
        top1, top5 = accuracies(method.encoder, method.classifier, test)
        metrics |= {"network_top1": top1, "network_top5": top5}
    rates: dict[str, Any] = {
        "lr": settings.partial_lr,
        "encoder_lr": settings.partial_encoder_lr,
        "seed": context.seed,
        "setting": context.setting,
    }
    if settings.partial_lr:
        metrics |= context.once("partial", lambda: few_labels(best, images, test, **rates, say=context.say))
    if settings.suspects:
        metrics |= context.once("suspects", lambda: suspects(best, images, test, epochs=settings.suspects, **rates))
    if other:
        metrics |= _transferred(context, settings, best, other, rates)
    curve = [{"epoch": e, "tflop": trained.tflop(e), "top1": found["top1"]} for e, found in probed.items()]
    outcome: dict[str, Any] = {
        "metrics": metrics,
        "curve": curve,
        "history": trained.history.rows,
        "other_data": [other.name] if other else [],
    }
    if settings.drawn and context.seed == 0:
        outcome["tsne"] = _tsne(best, test.subset(torch.arange(min(settings.drawn, len(test)))))
    return outcome


def _parts(data: Splits, settings: Settings, at_most: int | None = None) -> tuple[ImageSet, ImageSet]:
    """What is trained on, classifiers included, and what is tested on; without labels nothing is tested, and all is trained on."""
    images, test = (data.train, data.validation) if settings.validate else (data.published, data.test)
    if not data.labelled:
        images = _joined(images, test)
    if at_most and at_most < len(images):
        images = images.split(at_most)[1]
    return images, test


def _joined(one: ImageSet, other: ImageSet) -> ImageSet:
    pixels, labels = torch.cat([one.images, other.images]), torch.cat([one.labels, other.labels])
    return replace(one, images=pixels, labels=labels)


def _with_seen(images: ImageSet, test: ImageSet) -> ImageSet:
    """As many images as before, the test images in the place of the last ones."""
    return _joined(images.subset(torch.arange(len(images) - len(test))), test)


def _tsne(network: Representation, images: ImageSet) -> dict[str, list[float]]:
    """Places of the images in the plane, to a tenth: what a picture shows."""
    x, y = plots.to_2d(embed(network, images.images)).T.tolist()
    return {"x": [round(v, 1) for v in x], "y": [round(v, 1) for v in y], "labels": images.labels.tolist()}


def another(context: Context[Any], name: str, size: int) -> Splits:
    """Another dataset of images on the device, at its own size for 0.

    Raises:
        ReplearnError: for an unknown dataset, one that is not there, or one without images of as many channels.
    """
    data = load(name, context.setting.scale)
    channels = context.data.published.images.shape[1]
    if not isinstance(data, Splits) or data.published.images.shape[1] != channels:
        raise ReplearnError(f"transfer: expected a dataset of images of {channels} channels, got {name}")
    return (data.resized(size) if size else data).to(context.setting.device)


def _transferred(
    context: Context[Splits], settings: Settings, encoder: Representation, other: Splits, rates: dict[str, Any]
) -> dict[str, float]:
    """The encoder on a dataset that it never saw: the probes, and fine-tuning on 1 % and 10 % of the published labels."""
    train, test = _parts(other, settings)

    def probe() -> dict[str, float]:
        return evaluate(encoder, train, test, seed=context.seed, weight_decays=settings.decays)

    def fine_tune() -> dict[str, float]:
        return few_labels(encoder, train, test, per_class=PUBLISHED_PER_CLASS, **rates, say=context.say)

    found = context.once("transfer", probe)
    if settings.partial_lr:
        found |= context.once("transfer-partial", fine_tune)
    return {f"transfer_{name}": value for name, value in found.items()}


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The loss by term and the effective rank by epoch, and the reported representations of 2000 test images by t-SNE."""
    rows = read_csv(context.folder / "history.csv")
    monitors = ("spread", "rank", "alignment", "uniformity")
    terms = [name for name in rows[0] if name not in ("epoch", "lr", "seconds", *monitors)]
    yield "loss", plots.curves({name: [float(row[name]) for row in rows] for name in terms}, "loss and terms")
    if "rank" in rows[0]:
        yield "rank", plots.curves({"representation": [float(row["rank"]) for row in rows]}, "effective rank")
    images, test = _parts(context.data, settings, settings.images)
    part = test.subset(torch.arange(min(len(test), 2000)))
    z = embed(kept(context, settings, images, settings.at), part.images)
    role = "validation images" if settings.validate else "test images"
    title = f"t-SNE, {part.name}, {role if context.data.labelled else 'images trained on'}"
    yield "tsne", plots.scatter(plots.to_2d(z), part.labels, title, classes=part.classes, kind="t-SNE")
