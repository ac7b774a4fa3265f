"""One method, one encoder, images without labels; then every probe. All methods of chapters 8 to 12 are run here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from replearn_course import methods, plots
from replearn_course.data import Compose, ImageSet, RandomCrop, Splits, ViewBatches, load, preset, to_float, without
from replearn_course.data.tiny_imagenet import PUBLISHED_PER_CLASS
from replearn_course.errors import unknown_name
from replearn_course.experiments.evaluation import evaluate, partial
from replearn_course.experiments.runner import Context
from replearn_course.experiments.suspects import suspects
from replearn_course.files import read_csv, restore_weights, save_weights
from replearn_course.networks import Encoder, PatchAverage, PatchNet, Representation, encoder, named_projector
from replearn_course.probes import CollapseMonitor, embed
from replearn_course.training import History, constant, make_optimizer, peak_memory, warmup_cosine

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["METHODS", "Settings", "Trained", "build", "figures", "run", "train", "transforms"]


WHITENED = 5000  # images that the fixed first layer of a PatchNet is made from


@dataclass(frozen=True)
class Settings:
    """The one protocol under which the methods are compared, and what each of them needs of its own.

    Attributes:
        projector: a named one, of its own where a method needs it.
        without: augmentations that are taken out of the views.
        patch: side of the patches whose mean is the embedding of an image, ``stride`` apart, with their mirror images if
            ``flip``; 0 for an encoder of whole images.
        reported: the epoch whose encoder gives the numbers, of a training with a constant rate; 0 for the last.
        probed: other epochs after which the encoder is linearly probed.
        images: takes only so many of the training images.
        partial_lr: of the classifier on few labels, and ``partial_encoder_lr`` of the encoder; 0 leaves that probe out.
        validate: train without the validation split and test on it: for choosing settings.
        drawn: test images of which seed 0 keeps a t-SNE, for the chapter to draw.
        suspects: epochs of the fine-tuning under each slip of the catalogue; 0 for none.
        transfer: another dataset that the encoder is probed on.
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
    temperature: float = 0.5
    momentum: float = 0.99
    queue: int = 4096
    groups: int = 1
    sub_batch: int = 128
    images: int | None = None
    validate: bool = False
    partial_lr: float = 0.1
    partial_encoder_lr: float = 0.02
    drawn: int = 0
    suspects: int = 0
    transfer: str = ""


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
    "emp-ssl": lambda s, e, p, _: methods.EMPSSL(e, p),
    "supervised": lambda s, e, _, classes: methods.Supervised(e, classes),
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
        network.fit_whitening(to_float(images.images[:WHITENED]).to(next(network.parameters())))
    head = named_projector(settings.projector, network.embedding_size)
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
    milestones = {settings.epochs, settings.reported or settings.epochs, *map(int, settings.probed.split())}
    file = lambda epoch: context.folder / f"{name or 'encoder'}-epoch-{epoch}.safetensors"  # noqa: E731

    def keep(trained: Any, history: History) -> None:
        if history.epochs in milestones:  # before the checkpoint of that epoch, so a resumed training has them all
            save_weights(file(history.epochs), trained.encoder.state_dict(), {})

    with peak_memory(setting.device) as memory:
        history = context.fit(
            method,
            ViewBatches(images, settings.batch_size, views, seed=context.seed, labels=supervised),
            make_optimizer(settings.optimizer, method, settings.lr, weight_decay=settings.weight_decay),
            epochs=settings.epochs,
            schedule=warmup_cosine(settings.warmup) if settings.schedule == "cosine" else constant(),
            validation=None if supervised else CollapseMonitor(context.data.validation, views),
            on_epoch=keep,
            name=name,
        )
    encoders: dict[int, Representation] = {}
    for epoch in sorted(milestones):
        kept = encoder(settings.encoder, images.images.shape[1], images.images.shape[-1])
        restore_weights(file(epoch), kept)
        encoders[epoch] = of_images(settings, kept.to(setting.device).eval())
    return Trained(method, encoders, history, memory.mib)


def of_images(settings: Settings, encoder: Encoder) -> Representation:
    """The encoder of whole images: the encoder itself, or the mean over its patches."""
    return PatchAverage(encoder, settings.patch, settings.stride, settings.flip) if settings.patch else encoder


def transforms(settings: Settings, images: ImageSet) -> tuple[Compose, ...]:
    """One transform a view."""
    views = preset(settings.views, images.images.shape[-1], settings.n_views)
    for name in settings.without.split():
        views = without(views, name)
    if settings.patch:
        sized = [RandomCrop(settings.patch) if isinstance(step, RandomCrop) else step for step in views[0].steps]
        views = (Compose(tuple(sized)),) * len(views)
    return views


def run(context: Context[Splits], settings: Settings) -> dict[str, Any]:
    """Train with one seed, and probe."""
    data, setting = context.data, context.setting
    images, test = (data.train, data.validation) if settings.validate else (data.published, data.test)
    if settings.images and settings.images < len(images):
        images = images.split(settings.images)[1]
    trained = train(context, settings, images)
    reported = settings.reported or settings.epochs
    best = trained.encoders[reported]

    seconds = sum(trained.history.column("seconds")[:reported])
    cost = {"tflop": trained.tflop(reported), "seconds": seconds, "memory": trained.memory}
    cost = {name: value for name, value in cost.items() if value is not None}
    if not data.labelled:  # a folder of the user's own: the weights are what was wanted
        return {"metrics": cost}

    probed = {epoch: evaluate(network, images, test, seed=context.seed) for epoch, network in trained.encoders.items()}
    metrics = probed[reported] | cost
    for epoch in probed.keys() - {reported}:
        metrics |= {f"{name}_{epoch}": probed[epoch][name] for name in ("top1", "top5", "d1_top1", "d1_top5")}
    if settings.method == "supervised":
        metrics |= _classified(trained.method, test)
    rates: dict[str, Any] = {"lr": settings.partial_lr, "encoder_lr": settings.partial_encoder_lr}
    if settings.partial_lr:
        metrics |= partial(best, images, test, **rates, seed=context.seed, setting=setting)
    if settings.suspects:
        metrics |= suspects(best, images, test, epochs=settings.suspects, **rates, seed=context.seed, setting=setting)
    if settings.transfer:
        metrics |= _transferred(context, settings, best)
    curve = [{"epoch": e, "tflop": trained.tflop(e), "top1": found["top1"]} for e, found in probed.items()]
    outcome: dict[str, Any] = {"metrics": metrics, "curve": curve, "seconds": seconds, "tflop": trained.tflop(reported)}
    outcome["history"] = trained.history.rows
    if settings.drawn and context.seed == 0:
        outcome["tsne"] = _tsne(best, test.subset(torch.arange(min(settings.drawn, len(test)))))
    return outcome


def _tsne(network: Representation, images: ImageSet) -> dict[str, list[float]]:
    """Places of the images in the plane, to a tenth: what a picture shows."""
    x, y = plots.to_2d(embed(network, images.images)).T.tolist()
    return {"x": [round(v, 1) for v in x], "y": [round(v, 1) for v in y], "labels": images.labels.tolist()}


def _classified(method: Any, test: ImageSet) -> dict[str, float]:
    """The accuracy of a supervised network itself, with the classifier that it was trained with."""
    with torch.no_grad():
        logits = method.classifier.cpu()(embed(method.encoder, test.images))
    hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == test.labels.cpu()[:, None]
    return {"network_top1": hits[:, 0].double().mean().item(), "network_top5": hits.any(dim=1).double().mean().item()}


def _transferred(context: Context[Splits], settings: Settings, encoder: Representation) -> dict[str, float]:
    """The encoder on a dataset that it never saw: the probes, and fine-tuning on 1 % and 10 % of the published labels."""
    other = load(settings.transfer, context.setting.scale).to(context.setting.device)
    found = evaluate(encoder, other.published, other.test, seed=context.seed)
    if settings.partial_lr:
        found |= partial(
            encoder,
            other.published,
            other.test,
            per_class=PUBLISHED_PER_CLASS,
            lr=settings.partial_lr,
            encoder_lr=settings.partial_encoder_lr,
            seed=context.seed,
            setting=context.setting,
        )
    return {f"transfer_{name}": value for name, value in found.items()}


def figures(context: Context[Splits], settings: Settings) -> Iterator[tuple[str, Figure]]:
    """The loss by term, the geometry by epoch, and the test embeddings by t-SNE and by their spectrum."""
    rows = read_csv(context.folder / "history.csv")
    monitors = ("spread", "rank", "alignment", "uniformity")
    terms = [name for name in rows[0] if name not in ("epoch", "lr", "seconds", *monitors)]
    yield "loss", plots.curves({name: [float(row[name]) for row in rows] for name in terms}, "loss and terms")
    if "rank" in rows[0]:
        yield "rank", plots.curves({"representation": [float(row["rank"]) for row in rows]}, "effective rank")
    part = context.data.test.subset(torch.arange(min(len(context.data.test), 2000)))
    method = build(settings, context.data.train)
    context.restore(method)
    z = embed(method.encoder, part.images)  # type: ignore[arg-type]
    title = f"t-SNE, {part.name}, test images"
    yield "tsne", plots.scatter(plots.to_2d(z), part.labels, title, classes=part.classes, kind="t-SNE")
