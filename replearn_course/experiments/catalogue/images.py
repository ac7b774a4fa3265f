"""Self-supervised learning on CIFAR-10 and Tiny ImageNet, chapters 8 to 12."""

from __future__ import annotations

from functools import partial
from typing import Any

from replearn_course.experiments.experiment import Experiment, Metric

__all__ = ["ABLATIONS", "EXPERIMENTS", "SUSPECTS"]


def _accuracies(name: str, title: str, claim: str | None = None) -> tuple[Metric, ...]:
    """Top-1 and top-5 of one probe; ``claim`` is the id of the claims without its last part."""
    return tuple(
        Metric(f"{name}top{k}", f"{title}, top-{k}", "percent", f"{claim}-top{k}" if claim else None) for k in (1, 5)
    )


_COST = (
    Metric("dimensions", "dimensions of the representation", ""),
    Metric("rank", "effective rank of the test representations", ""),
    Metric("spread", "spread of the test representations"),
    Metric("tflop", "training compute", "TFLOP"),
    Metric("seconds", "training time", "seconds"),
    Metric("memory", "peak memory of training", "MiB"),
)


def _frozen(linear: str | None = None) -> tuple[Metric, ...]:
    """What is asked of a frozen encoder, beside D1's claim where it has one."""
    return (
        *_accuracies("", "linear probe, L-BFGS"),
        *_accuracies("d1_", "linear probe as D1", linear),
        Metric("knn", "200 nearest neighbours", "percent"),
    )


def _probes(linear: str | None = None, partial: str | None = None) -> tuple[Metric, ...]:
    """Every probe of one dataset, beside D1's claims where it has them."""
    return (
        *_frozen(linear),
        *_few("fine-tuned", partial),
    )


def _few(how: str, claim: str | None = None) -> tuple[Metric, ...]:
    """Trained on few labels; tested as it should be, and on the labelled images themselves."""
    return tuple(
        metric
        for share in (1, 10)
        for metric in (
            *_accuracies(f"partial{share}_", f"{how} on {share} %", f"{claim}-partial{share}" if claim else None),
            Metric(f"partial{share}_seen", f"{how} on {share} %, on these", "percent"),
        )
    )


_N2_RATES = (0.03, 0.05)  # of classifier and encoder, where N2 is fine-tuned after VICReg; the default is N1's

#: What makes a method itself, of its settings.
_METHOD_CLAUSES = {
    "simclr": "SimCLR, temperature {temperature}",
    "moco": "MoCo, temperature {temperature}, queue of {queue}, momentum {momentum}, batch norm in {groups} shuffled groups",
    "barlow-twins": "Barlow Twins",
    "wmse": "W-MSE, sub-batches of {sub_batch}",
    "vicreg": "VICReg ({variant}, {invariance:g}/{variance:g}/{covariance:g})",
    "emp-ssl": "EMP-SSL, similarity {similarity:g}, ε {distortion:.3g}",
    "supervised": "supervised",
}


def _protocol(s: Any, tries: str = "") -> str:
    """How the numbers of a training and its probes come about: what the settings say, and no more.

    Args:
        s: the settings.
        tries: the table of those by which the recipe was chosen, if there is one.
    """
    supervised = s.method == "supervised"
    kind = f" of patches of {s.patch} pixels" if s.patch else ""
    kind += ", enlarged to the size of the image" if s.views == "patches-enlarged" else ""
    views = f"{s.n_views} {'patches of an image in a step' if s.patch else 'views ' + s.views}"
    images = f" on {s.images:,} of the training images" if s.images else ""
    text = [
        _METHOD_CLAUSES[s.method].format(**vars(s)),
        f"encoder {s.encoder}{kind}",
        *(() if supervised else (f"projector {s.projector}",)),
        "images as they are" if s.views == "none" else views,
        *([f"without {s.without}"] if s.without else ()),
        f"batch {s.batch_size}",
        f"{s.optimizer} {s.lr:g}" + (f" with weight decay {s.weight_decay:g}" if s.weight_decay else ""),
        f"warm-up over {100 * s.warmup:g} % of the steps, then cosine" if s.schedule == "cosine" else "constant rate",
        f"{s.epochs} epochs{images}, encoder after {s.at}",
    ]
    trained = ", ".join(text)
    if s.seen:
        trained += "; the test images, without their labels, stand in the place of as many training images"
    if s.patch:
        grid = f"patches {s.stride} pixels apart at most{' and their mirror images' if s.flip else ''}"
        trained += f"; the representation is the mean over {grid}"
        wider = " and of ".join(s.wider.split())
        trained += f", joined by that over patches of {wider} pixels, brought to the same size" if wider else ""
        trained += f", over each of {s.parts} × {s.parts} parts of the image" if s.parts > 1 else ""
        trained += f", in {s.components} principal components of training images" if s.components else ""
        trained += ". Compute is 6 × multiply-adds × patches, projector and fixed layers included"
    decay = (
        f", weight decay the best of {s.weight_decays} on a tenth of the training images"
        if " " in s.weight_decays
        else ""
    )
    probes = [
        "Probes on frozen, un-augmented representations of "
        + ("the same" if s.images else "all training")
        + " images, batch-norm statistics fixed, tested once each on "
        + ("validation images" if s.validate else "test images")
        + f": linear by L-BFGS on standardised features{decay}; linear as D1 by SGD with momentum, 20 epochs, batch 256, "
        "rate chosen on a tenth of the training images; k-NN with k = 200, cosine, temperature 0.07"
    ]
    fine_tuning = (
        f"SGD with momentum at {s.partial_lr:g} for the classifier and {s.partial_encoder_lr:g} for the encoder, cosine"
    )
    if s.partial_lr:
        probes += [
            f"fine-tuning of the encoder on 1 % and 10 % of the labels chosen by class, 20 epochs, batch 256, {fine_tuning}"
        ]
    if s.suspects:
        probes += [
            f"suspects by the same L-BFGS probe where the encoder is frozen, else trained {s.suspects} epochs on all labels by "
            f"SGD as in fine-tuning"
        ]
    if s.transfer:
        size = f" brought to {s.transfer_size} pixels" if s.transfer_size else ""
        probes += [f"{s.transfer}{size} with the same encoder and probes"]
    chosen = f"Recipe chosen on validation images, tries in {tries}" if tries else ""
    if not tries and (s.partial_lr or s.schedule == "constant"):
        own = (s.partial_lr, s.partial_encoder_lr) == _N2_RATES
        whose = (
            "of D1's recipes chosen with N1, of fine-tuning with N2,"
            if own
            else "of D1's recipes and of fine-tuning chosen with N1"
        )
        chosen = f"Rates {whose} on validation images (benchmarks/rates.csv)"
    return ". ".join(filter(None, [trained, "; ".join(probes), chosen]))


_SCALES: dict[str, dict[str, Any]] = {
    "smoke": {
        "epochs": 4,
        "batch_size": 128,
        "reported": 0,
        "probed": "",
        "drawn": 0,
        "suspects": 0,
        "transfer": "",
    }
}

#: On a CPU an epoch of VICReg with N2 takes three to seven minutes: as many as fit into an hour.
_N2_SCALES: dict[str, dict[str, dict[str, Any]]] = {
    "vicreg": _SCALES | {"cpu": {"epochs": 10, "reported": 0, "probed": "3", "suspects": 4}},
    "supervised": _SCALES | {"cpu": {"epochs": 10}},
    "controls": {"smoke": {"transfer_size": 32}},
}

#: With batch norm in the projector, since N1 has none: without any it learns little (benchmarks/rates.csv).
_MOCO = {"projector": "simclr", "groups": 4}

_METHODS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "simclr": ("SimCLR: contrastive learning within a batch", 8, {"projector": "simclr"}),
    "moco": ("MoCo v2: contrastive learning against a queue", 8, {**_MOCO, "temperature": 0.2}),
    "barlow-twins": ("Barlow Twins: the cross-correlation matrix brought to the identity", 9, {"projector": "d1"}),
    "wmse": ("W-MSE: whitening, then the views of an image brought together", 10, {"projector": "wmse"}),
    "vicreg": ("VICReg: variance, invariance, covariance", 11, {"projector": "1024-1024-1024"}),
    "emp-ssl": ("EMP-SSL: the total coding rate", 11, {"projector": "simclr"}),
    "supervised": ("Supervised training, whose representations are probed like any other", 11, {}),
}


def _method(name: str, title: str, chapter: int, settings: dict[str, Any]) -> Experiment:
    metrics = _accuracies("network_", "the network itself") if name == "supervised" else ()
    return Experiment(
        name=name,
        title=title,
        document="ours",
        chapter=chapter,
        module="self_supervised",
        data="cifar10",
        metrics=(*metrics, *_probes(), *_COST),
        settings={"method": name, "probed": "1 3", **settings},
        scales=_SCALES,
        protocol=_protocol,
        any_images=True,
    )


_D1_VICREG: dict[str, Any] = {"method": "vicreg", "views": "d1", "variant": "d1-listing", "schedule": "constant"}


def _of_d1(method: str, network: str) -> Experiment:
    """Document D1's own settings: 30 epochs, batch 256; 10, 20 and 40 of the same training probed too."""
    vicreg = method == "vicreg"
    claim = f"d1-cifar10-{network}-{method}"
    claims = {"linear": f"{claim}-linear", "partial": claim if network == "n2" else None} if vicreg else {}
    at = {e: _accuracies("", f"linear probe, L-BFGS, after {e} epochs") for e in (10, 20, 40)}
    at_d1 = {e: _accuracies("d1_", f"linear probe as D1, after {e} epochs") for e in (10, 20, 40)}
    other = "d1-tinyimagenet-n2-vicreg" if vicreg and network == "n2" else None
    there = _probes(f"{other}-linear" if other else None, other)
    lr, encoder_lr = _N2_RATES
    own = {"partial_lr": lr, "partial_encoder_lr": encoder_lr} if network == "n2" else {}
    settings = (
        {**_D1_VICREG, "epochs": 40, "reported": 30, "probed": "10 20 40", "suspects": 20, **own}
        if vicreg
        else {"views": "none", "n_views": 1, "optimizer": "sgd", "lr": 0.05, "epochs": 30}
    )
    return Experiment(
        name=f"{method}-{network}",
        title=f"{'VICReg' if vicreg else 'Supervised training'} of {network.upper()} at D1's settings",
        document="D1",
        chapter=11,
        module="self_supervised",
        data="cifar10",
        metrics=(
            *(() if vicreg else _accuracies("network_", "the network itself", claim)),
            *_probes(**claims),
            *(
                Metric(f"{metric.name}_{epoch}", metric.title, metric.unit)
                for probe in (at, at_d1)
                for epoch, pair in probe.items()
                for metric in pair
                if vicreg
            ),
            *(Metric(f"suspect_{name}", f"suspect: {text}", "percent") for name, text in SUSPECTS.items() if vicreg),
            *(Metric(f"transfer_{m.name}", f"Tiny ImageNet: {m.title}", m.unit, m.claim) for m in there),
            *_COST,
        ),
        settings={
            "method": method,
            "encoder": network,
            "schedule": "constant",
            "transfer": "tiny-imagenet",
            "drawn": 1000,
            **settings,
        },
        scales=_N2_SCALES[method] if network == "n2" else _SCALES,
        protocol=_protocol,
    )


def _suspect(name: str, title: str, **changes: Any) -> Experiment:
    """Ten epochs of D1's recipe with something in the training that D1 does not state."""
    return Experiment(
        name=name,
        title=f"A suspect: {title}",
        document="D1",
        chapter=11,
        module="self_supervised",
        data="cifar10",
        metrics=(*_frozen(), *_COST),
        settings={**_D1_VICREG, "encoder": "n1", "epochs": 10, "partial_lr": 0.0, **changes},
        scales=_SCALES,
        protocol=_protocol,
    )


def _control(network: str) -> Experiment:
    """Few labels without any pre-training: what the fine-tuned encoders are to be compared with."""
    shares = _few("from scratch")
    return Experiment(
        name=f"controls-{network}",
        title=f"A control: {network.upper()} on few labels without any pre-training",
        document="ours",
        chapter=12,
        module="controls",
        data="cifar10",
        metrics=(*shares, *(Metric(f"transfer_{m.name}", f"Tiny ImageNet: {m.title}", m.unit) for m in shares)),
        settings={"encoder": network},
        scales=_N2_SCALES["controls"] if network == "n2" else {},
        protocol=(
            "a new encoder {encoder} with a linear classifier, 1 % and 10 % of the labels chosen by class, 20 epochs, batch 256, "
            "SGD with momentum, {lr1} on 1 % and {lr10} on 10 % (chosen on validation images of CIFAR-10 with N1, "
            "benchmarks/rates.csv), cosine, last epoch, images as they are; tested once on test images"
        ),
    )


#: With SGD the classifier is trained as in fine-tuning, whatever else moves; so its two honest rows are the ones to compare with.
SUSPECTS = {
    "honest": "none, L-BFGS",
    "tested_on_train": "tested on the training images",
    "trained_on_test": "classifier trained on the test images",
    "trained_on_both": "trained on training and test images",
    "honest_sgd": "none, SGD",
    "statistics": "batch-norm statistics moving, SGD",
    "fine_tuned": "encoder trained too, SGD",
}

_VICREG = {"method": "vicreg", "projector": "1024-1024-1024"}
_WMSE = {"method": "wmse", "projector": "wmse"}  # 64 dimensions

#: By name: the title, and what differs from the settings of the experiment.
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "vicreg": ("VICReg", _VICREG),
    "no_variance": ("without the variance term", _VICREG | {"variance": 0.0}),
    "no_covariance": ("without the covariance term", _VICREG | {"covariance": 0.0}),
    "invariance_only": ("with neither", _VICREG | {"variance": 0.0, "covariance": 0.0}),
    "last_norm": ("batch norm after the last layer, as D1", _VICREG | {"projector": "d1"}),
    "last_norm_no_variance": ("the same without the variance term", _VICREG | {"projector": "d1", "variance": 0.0}),
    "no_projector": ("without a projector", _VICREG | {"projector": "none"}),
    "one_layer": ("projector of one layer of 1024", _VICREG | {"projector": "1024"}),
    "width_256": ("projector of three layers of 256", _VICREG | {"projector": "256-256-256"}),
    "width_4096": ("projector of three layers of 4096", _VICREG | {"projector": "4096-4096-4096"}),
    "no_crop": ("without the crop", _VICREG | {"without": "crop"}),
    "no_flip": ("without the flip", _VICREG | {"without": "flip"}),
    "no_colour": ("without the colour jitter", _VICREG | {"without": "colour"}),
    "no_grey": ("without grey", _VICREG | {"without": "grey"}),
    "batch_64": ("batch 64", _VICREG | {"batch_size": 64}),
    "batch_1024": ("batch 1024", _VICREG | {"batch_size": 1024}),
    "views_4": ("4 views, half the epochs", _VICREG | {"n_views": 4, "shorter": 2}),
    "views_8": ("8 views, a quarter of the epochs", _VICREG | {"n_views": 8, "shorter": 4}),
    "wmse_96": ("W-MSE, batch 288, sub-batches of 96", _WMSE | {"batch_size": 288, "sub_batch": 96}),
    "wmse_128": ("W-MSE, sub-batches of 128", _WMSE | {"sub_batch": 128}),
    "wmse_256": ("W-MSE, whole batches of 256", _WMSE | {"sub_batch": 256}),
    "queue_256": ("MoCo, queue of 256", {"method": "moco", **_MOCO, "queue": 256}),
    "queue_4096": ("MoCo, queue of 4096", {"method": "moco", **_MOCO, "queue": 4096}),
    "queue_16384": ("MoCo, queue of 16384", {"method": "moco", **_MOCO, "queue": 16384}),
}

EXPERIMENTS = (
    Experiment(
        name="floors",
        title="Floors: pixels, principal components, untrained encoders, k-means features",
        document="ours",
        chapter=8,
        module="floors",
        data="cifar10",
        metrics=(
            Metric("pixels", "raw pixels", "percent"),
            Metric("pca", "principal components", "percent"),
            Metric("untrained_n1", "N1, untrained", "percent"),
            Metric("untrained_n2", "N2, untrained", "percent"),
            Metric("untrained_resnet18", "ResNet-18, untrained", "percent"),
            Metric("few_kmeans", "k-means features (Coates and Ng), few", "percent"),
            Metric("kmeans", "k-means features (Coates and Ng)", "percent"),
            Metric("pixels_dimensions", "raw pixels: dimensions", ""),
            Metric("pca_dimensions", "principal components: dimensions", ""),
            Metric("untrained_n1_dimensions", "N1: dimensions", ""),
            Metric("untrained_n2_dimensions", "N2: dimensions", ""),
            Metric("untrained_resnet18_dimensions", "ResNet-18: dimensions", ""),
            Metric("few_kmeans_dimensions", "few k-means features: dimensions", ""),
            Metric("kmeans_dimensions", "k-means features: dimensions", ""),
        ),
        settings={},
        scales={
            "smoke": {"centroids": 64, "few_centroids": 16, "patches": 5000, "untrained": "n1"},
            "full": {"centroids": 4000},
        },
        protocol=(
            "linear probe (L-BFGS) on standardised features, weight decay the best of {weight_decays} on a tenth of the "
            "training images, then all of them, test set used once; PCA to {components}; "
            "untrained encoders with batch-norm statistics of 2,560 training images; k-means with {few_centroids} and "
            "{centroids} centroids of whitened 6×6 patches ({patches} of them), triangle activation, four quarters"
        ),
    ),
    _suspect("vicreg-n1-seen", "VICReg of N1 with the test images among those trained on, without labels", seen=True),
    _suspect("vicreg-n1-colours", "VICReg of N1 with colour jitter and grey in the views", views="simclr"),
    Experiment(
        name="imagenet",
        title="A suspect: weights of ImageNet",
        document="ours",
        chapter=11,
        module="imagenet",
        data="cifar10",
        metrics=tuple(
            Metric(f"{prefix}{metric.name}_{size}", f"{where}{size} px: {metric.title}", metric.unit)
            for prefix, where in (("", ""), ("transfer_", "Tiny ImageNet, "))
            for size in (64, 128)
            for metric in (
                *_accuracies("", "linear probe, L-BFGS"),
                *_accuracies("d1_", "linear probe as D1"),
                *_accuracies("few1_", "linear probe, 1 % of the labels"),
                *_accuracies("few10_", "linear probe, 10 % of the labels"),
            )
        ),
        settings={},
        scales={"smoke": {"sizes": "64"}},
        protocol=(
            "encoder {encoder} with weights from supervised training on ImageNet, frozen, no further training; images brought to "
            "{sizes} pixels a side; linear probe (L-BFGS, weight decay 1e-5, standardised), all labels or 1 % and 10 % chosen by "
            "class; as D1: SGD, 20 epochs, batch 256, rate chosen on a tenth of the training images; tested once on test images"
        ),
    ),
    *(_control(network) for network in ("n1", "n2")),
    Experiment(
        name="ablations",
        title="Ablations: one thing changed at a time",
        document="ours",
        chapter=11,
        module="ablations",
        data="cifar10",
        metrics=(
            *(
                Metric(f"{name}{kind}", f"{title}: {what}", unit)
                for name, (title, _) in ABLATIONS.items()
                for kind, what, unit in (
                    ("", "linear probe", "percent"),
                    ("_rank", "effective rank", ""),
                    ("_spread", "spread", "fraction"),
                    ("_tflop", "training compute", "TFLOP"),
                )
            ),
        ),
        settings={},
        scales={"smoke": {"epochs": 2, "images": 600, "variants": "vicreg no_variance no_covariance invariance_only"}},
        protocol=(
            "encoder {encoder}, {epochs} epochs on {images} of the training images, batch 256 and two views but where the name "
            "says otherwise, Adam {lr}, cosine; linear probe (L-BFGS) on the same images, tested on validation images, last epoch"
        ),
    ),
    Experiment(
        name="step-times",
        title="What a step of each method takes, on one machine",
        document="ours",
        chapter=11,
        module="step_times",
        data="cifar10",
        metrics=tuple(
            Metric(name, title.replace(",", ":").split(":")[0], "ms") for name, (title, _, _) in _METHODS.items()
        ),
        settings={},
        scales={"smoke": {"steps": 2, "turns": 1}},
        protocol=(
            "the methods of the comparison with its settings, encoder N1, {steps} steps of each in turns, the first of which is "
            "not timed; median of the other {turns}; from views to the step of the optimizer, probes and monitors not included"
        ),
    ),
    Experiment(
        name="short-run",
        title="The short run: many patches of few images, for anyone with two cores",
        document="ours",
        chapter=11,
        module="self_supervised",
        data="cifar10",
        metrics=(*_frozen(), *_COST),
        settings={
            "method": "emp-ssl",
            "distortion": 0.2,
            "encoder": "patch-net",
            "projector": "512-512",
            "views": "patches",
            "n_views": 17,
            "patch": 17,
            "stride": 5,
            "flip": True,
            "parts": 2,
            "components": 512,
            "epochs": 2,
            "probed": "1",
            "batch_size": 64,
            "optimizer": "muon",
            "lr": 0.07,
            "partial_lr": 0.0,
        },
        scales={"smoke": {"n_views": 8, "epochs": 1, "probed": "", "stride": 15, "components": 64}},
        protocol=partial(_protocol, tries="benchmarks/short_run.csv"),
        any_images=True,
    ),
    Experiment(
        name="long-run",
        title="The long run: ResNet-18 on a GPU",
        document="ours",
        chapter=11,
        module="self_supervised",
        data="cifar10",
        metrics=(*_frozen(), *_COST),
        settings={
            "method": "emp-ssl",
            "encoder": "resnet18",
            "projector": "2048-1024",
            "views": "patches-enlarged",
            "n_views": 20,
            "patch": 16,
            "stride": 4,
            "flip": True,
            "parts": 2,
            "epochs": 30,
            "batch_size": 64,
            "optimizer": "muon",
            "lr": 0.04,
            "partial_lr": 0.0,
        },
        scales={
            "smoke": {"n_views": 4, "epochs": 1, "images": 256, "stride": 16},
            "cpu": {"epochs": 1, "images": 2000, "stride": 16, "flip": False},
        },
        protocol=partial(_protocol, tries="benchmarks/long_run.csv"),
        any_images=True,
    ),
    *(_method(name, *entry) for name, entry in _METHODS.items()),
    *(_of_d1(method, network) for method in ("supervised", "vicreg") for network in ("n1", "n2")),
)
