"""Which experiments there are. Quick to import: the code of an experiment is loaded when it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from replearn_course.errors import unknown_name

__all__ = ["EXPERIMENTS", "Experiment", "Metric", "find"]


@dataclass(frozen=True)
class Metric:
    """A number that an experiment measures.

    Attributes:
        name: its key in what the experiment's ``run`` returns.
        title: what a table calls it.
        unit: ``"fraction"``, ``"epochs"``, ``"seconds"``, …
        claim: the id of the document's number of the same thing, if it has one.
    """

    name: str
    title: str
    unit: str = "fraction"
    claim: str | None = None


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Attributes:
        name: what ``replearn run`` calls it.
        title: one line.
        document: D0 to D3, or ``"ours"``.
        chapter: of the book.
        module: below ``replearn_course.experiments``; it has ``Settings`` (a frozen dataclass), ``run(context, settings)``
            for one seed, and ``figures(context, settings)`` for the pictures of the first seed.
        data: the dataset.
        text: whether that is a text, and another can take its place.
        any_images: whether that is images, and any others can take their place, labelled or not.
        metrics: what it measures, in the order of the table.
        settings: what differs from the defaults of ``Settings``.
        scales: what differs at a scale.
        protocol: how the numbers come about, with the settings' names in braces.
    """

    name: str
    title: str
    document: str
    chapter: int
    module: str
    data: str
    metrics: tuple[Metric, ...]
    settings: dict[str, Any]
    scales: dict[str, dict[str, Any]]
    protocol: str
    text: bool = False
    any_images: bool = False


_DIGITS = [str(d) for d in range(10)]

_TRIPLET_PROTOCOL = (
    "random triplets, drawn {drawn}, batch {batch_size}, margin {margin}, Adam {lr}, ReduceLROnPlateau factor {factor} "
    "patience {lr_patience} and early stopping patience {patience} on the loss of validation triplets (a tenth of the training "
    "images), trained on {images} of the others, at most {epochs} epochs, weights of the last epoch; linear probe (L-BFGS) on "
    "frozen, un-augmented, standardised embeddings of the images trained on; test set used once"
)

_TRIPLET_SCALES = {
    "smoke": {"epochs": 12, "lr": 2e-3},
    "cpu": {"epochs": 8, "images": 20_000, "lr": 3e-4},
}

_WORD_METRICS = (
    Metric("analogies", "analogies, all"),
    Metric("semantic", "analogies, semantic"),
    Metric("syntactic", "analogies, syntactic"),
    Metric("analogies_asked", "analogies asked, of 19,544", "questions"),
    Metric("wordsim353", "WordSim-353, rank correlation", "correlation"),
    Metric("simlex999", "SimLex-999, rank correlation", "correlation"),
    Metric("rare_words", "Stanford rare words, rank correlation", "correlation"),
    Metric("rare_words_found", "rare words: pairs with two vectors, of 2,034", "pairs"),
    Metric("pairs", "your word pairs, rank correlation", "correlation"),
    Metric("pairs_found", "your word pairs with two vectors", "pairs"),
    Metric("loss", "mean loss of a pair, last epoch", "nats"),
)

_WORD_PROTOCOL = (
    "{architecture}, {dim} dimensions, window {window}, {negatives} negatives, subsampling {sample}, words of {min_count} or more "
    "occurrences, {epochs} epochs, learning rate {lr} falling to {least_lr}; {streams} streams in blocks of {block} with {shared} "
    "shared negatives; vectors of the last step. Analogies by 3CosAdd among the 30,000 most frequent words, the question's "
    "words left out, questions with a rarer word not asked; Spearman's correlation of cosine and human score over the pairs "
    "with two vectors. Streams, blocks, shared negatives and caps were chosen on wiki2015 with these files in view, by single "
    "epochs; the rest are the usual settings"
)

_WORD_SCALES: dict[str, dict[str, Any]] = {
    "smoke": {"dim": 50, "sample": 1e-3, "epochs": 5},
    "cpu": {"epochs": 1},
}

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            name="word2vec",
            title="word2vec by skip-gram with negative sampling",
            document="D2",
            chapter=2,
            module="words",
            data="wikipedia",
            metrics=_WORD_METRICS,
            settings={},
            scales=_WORD_SCALES,
            protocol=_WORD_PROTOCOL,
            text=True,
        ),
        Experiment(
            name="word2vec-cbow",
            title="word2vec by continuous bag of words with negative sampling",
            document="D2",
            chapter=2,
            module="words",
            data="wikipedia",
            metrics=_WORD_METRICS,
            settings={"architecture": "cbow"},
            scales=_WORD_SCALES,
            protocol=_WORD_PROTOCOL,
            text=True,
        ),
        Experiment(
            name="fasttext",
            title="fastText: skip-gram on words and their character n-grams",
            document="D2",
            chapter=2,
            module="words",
            data="wikipedia",
            metrics=_WORD_METRICS,
            settings={"ngrams": True},
            scales=_WORD_SCALES,
            protocol=_WORD_PROTOCOL.replace(
                "{dim} dimensions", "n-grams of {least} to {most} letters, {dim} dimensions"
            ),
            text=True,
        ),
        Experiment(
            name="mnist-siamese",
            title="Siamese networks on MNIST pairs: verification by distance and by probability",
            document="D3",
            chapter=3,
            module="mnist_siamese",
            data="mnist",
            metrics=(
                Metric("hadsell_auc", "AUC, contrastive loss (Hadsell)"),
                Metric("d3_auc", "AUC, contrastive loss (form of D3)"),
                Metric("verifier_auc", "AUC, probability of sameness"),
                Metric("hadsell_eer", "equal error rate, Hadsell"),
                Metric("d3_eer", "equal error rate, form of D3"),
                Metric("verifier_eer", "equal error rate, probability"),
                Metric("hadsell_pair_accuracy", "accuracy on pairs, Hadsell"),
                Metric("d3_pair_accuracy", "accuracy on pairs, form of D3"),
                Metric("verifier_pair_accuracy", "accuracy on pairs, probability"),
                Metric("hadsell_accuracy", "linear probe, Hadsell"),
                Metric("d3_accuracy", "linear probe, form of D3"),
                Metric("verifier_accuracy", "linear probe, probability"),
            ),
            settings={},
            scales={
                "smoke": {"epochs": 6, "lr": 2e-3, "batch_size": 64},
                "cpu": {"epochs": 5},
            },
            protocol=(
                "random pairs, half of one class, new each epoch, batch {batch_size}, margin {margin} (in D3's form on the squared "
                "distance), Adam {lr}, {epochs} "
                "epochs, weights of the last epoch; ROC on one random pair for each test image, threshold chosen on validation "
                "pairs; linear probe as for the triplets; test set used once"
            ),
        ),
        Experiment(
            name="mnist-one-shot",
            title="One-shot recognition of digits never seen in training",
            document="D3",
            chapter=3,
            module="mnist_one_shot",
            data="mnist",
            metrics=(
                Metric("one_shot", "5-way 1-shot accuracy, unseen digits"),
                Metric("five_shot", "5-way 5-shot accuracy, unseen digits"),
                Metric("pixels_one_shot", "the same with raw pixels, 1 shot"),
                Metric("pixels_five_shot", "the same with raw pixels, 5 shots"),
                Metric("untrained_one_shot", "the same with the untrained network, 1 shot"),
                Metric("seen_one_shot", "5-way 1-shot accuracy, digits seen in training"),
                Metric("unseen_auc", "AUC of verification, pairs of unseen digits"),
                Metric("seen_auc", "AUC of verification, pairs of seen digits"),
            ),
            settings={},
            scales={
                "smoke": {"epochs": 6, "lr": 2e-3, "batch_size": 64, "episodes": 200},
                "cpu": {"epochs": 5},
            },
            protocol=(
                "five digits drawn by the seed are left out of training; Siamese network with the contrastive loss on the other "
                "five, batch {batch_size}, margin {margin}, Adam {lr}, {epochs} epochs, weights of the last epoch; {episodes} "
                "episodes on test images: one (five) labelled images of each of the five unseen digits, one query, the nearest "
                "(mean of the) labelled decides"
            ),
        ),
        Experiment(
            name="mnist-triplet-2d",
            title="Triplet network with 2-D embeddings at D3's settings",
            document="D3",
            chapter=4,
            module="mnist_triplet",
            data="mnist",
            metrics=(
                Metric("accuracy", "accuracy, linear probe"),
                Metric("knn", "accuracy, 5 nearest neighbours"),
                Metric("recall_at_1", "Recall@1 on the test set"),
                Metric("map_at_r", "MAP@R on the test set"),
                Metric("stop_epoch", "epochs trained", "epochs", "d3-mnist-2d-stop-epoch"),
                Metric("active", "active triplets in the last epoch"),
            ),
            settings={"embedding_size": 2, "epochs": 30, "patience": 5},
            scales=_TRIPLET_SCALES,
            protocol=_TRIPLET_PROTOCOL,
        ),
        Experiment(
            name="mnist-triplet-64d",
            title="Triplet network with 64-D embeddings at D3's settings, and a linear classifier",
            document="D3",
            chapter=4,
            module="mnist_triplet",
            data="mnist",
            metrics=(
                Metric("accuracy", "accuracy, linear probe", claim="d3-mnist-64d-accuracy"),
                Metric("top5", "top-5 accuracy, linear probe"),
                Metric("knn", "accuracy, 5 nearest neighbours"),
                Metric("recall_at_1", "Recall@1 on the test set"),
                Metric("map_at_r", "MAP@R on the test set"),
                Metric("stop_epoch", "epochs trained", "epochs", "d3-mnist-64d-stop-epoch"),
                Metric("active", "active triplets in the last epoch"),
                *(
                    Metric(
                        f"{kind}_{row}",
                        f"{kind}, {'digit ' if row in _DIGITS else ''}{row}",
                        claim=f"d3-mnist-64d-{kind}-{row}",
                    )
                    for row in [*_DIGITS, "macro", "weighted"]
                    for kind in ("precision", "recall", "f1")
                ),
            ),
            settings={"embedding_size": 64, "epochs": 50, "patience": 8},
            scales=_TRIPLET_SCALES,
            protocol=_TRIPLET_PROTOCOL,
        ),
        Experiment(
            name="mnist-triplet-64d-once",
            title="Triplet network with 64-D embeddings at D3's settings, but the triplets drawn once",
            document="D3",
            chapter=4,
            module="mnist_triplet",
            data="mnist",
            metrics=(
                Metric("accuracy", "accuracy, linear probe", claim="d3-mnist-64d-accuracy"),
                Metric("knn", "accuracy, 5 nearest neighbours"),
                Metric("map_at_r", "MAP@R on the test set"),
                Metric("stop_epoch", "epochs trained", "epochs", "d3-mnist-64d-stop-epoch"),
                Metric("active", "active triplets in the last epoch"),
            ),
            settings={"embedding_size": 64, "epochs": 50, "patience": 8, "drawn": "once"},
            scales=_TRIPLET_SCALES,
            protocol=_TRIPLET_PROTOCOL,
        ),
        Experiment(
            name="mnist-triplet-recipe",
            title="The improved recipe: P×K batches, mining within the batch, views",
            document="ours",
            chapter=4,
            module="mnist_recipe",
            data="mnist",
            metrics=(
                Metric("accuracy", "accuracy, linear probe"),
                Metric("knn", "accuracy, 5 nearest neighbours"),
                Metric("recall_at_1", "Recall@1 on the test set"),
                Metric("map_at_r", "MAP@R on the test set"),
                Metric("val_accuracy", "accuracy, linear probe, validation split"),
                Metric("seconds", "training time", "seconds"),
                Metric("tflop", "training compute", "TFLOP"),
            ),
            settings={},
            scales={
                "smoke": {"epochs": 6, "batches": 5, "width": 16},
                "cpu": {"epochs": 5, "width": 16},
            },
            protocol=(
                "batches of {p} classes × {k} images, {miner} with margin {margin}, rotations to {degrees}°, scale ±{resize}, "
                "shear ±{shear}, shifts to {shift} of the side, Adam {lr} with warm-up and cosine, {epochs} × {batches} batches, "
                "weights of the last step; linear probe (L-BFGS) on frozen, un-augmented, standardised embeddings of the "
                "training split; recipe chosen on the validation split, test set used once"
            ),
        ),
    )
}


def find(name: str) -> Experiment:
    """An experiment by name.

    Raises:
        ReplearnError: for an unknown name, with the nearest known one.
    """
    if name not in EXPERIMENTS:
        raise unknown_name("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]
