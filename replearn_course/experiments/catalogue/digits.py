"""Siamese and triplet networks on MNIST, chapters 3 and 4."""

from __future__ import annotations

from replearn_course.experiments.experiment import Experiment, Metric

__all__ = ["EXPERIMENTS"]

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

EXPERIMENTS = (
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
