"""Why document D1's figures for N2 and Tiny ImageNet cannot come from its stated protocol: what each slip would give."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from replearn_course.data import ImageSet
from replearn_course.networks import Representation
from replearn_course.probes import embed, fine_tune, linear_probe
from replearn_course.scale import Setting

__all__ = ["suspects"]


def suspects(
    encoder: Representation,
    train: ImageSet,
    test: ImageSet,
    *,
    epochs: int,
    lr: float,
    encoder_lr: float,
    seed: int,
    setting: Setting,
) -> dict[str, float]:
    """Top-1 accuracy of one encoder under the protocol and under each slip of the catalogue, ``suspect_…``.

    Args:
        encoder: pre-trained; left as it was.
        train: training images.
        test: test images, here on purpose also where they do not belong.
        epochs: of training by SGD on all labels: of the classifier alone, with moving statistics, and with the encoder.
        lr: of the classifier.
        encoder_lr: of the encoder where it is trained.
        seed: of fine-tuning.
        setting: device, precision, threads.
    """
    z = {"train": embed(encoder, train.images), "test": embed(encoder, test.images)}
    y = {"train": train.labels.cpu(), "test": test.labels.cpu()}
    both = torch.cat([z["train"], z["test"]]), torch.cat([y["train"], y["test"]])
    rates: dict[str, Any] = {"lr": lr, "encoder_lr": encoder_lr, "seed": seed, "setting": setting}
    has_statistics = any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in encoder.modules())
    fit_linear = partial(linear_probe, device=train.images.device)
    honest = fit_linear(z["train"], y["train"], z["test"], y["test"])
    found = {
        "honest": honest.top1,
        "tested_on_train": (honest.predict(z["train"]) == y["train"]).double().mean().item(),
        "trained_on_test": fit_linear(z["test"], y["test"], z["test"], y["test"]).top1,
        "trained_on_both": fit_linear(*both, z["test"], y["test"]).top1,
        "honest_sgd": fine_tune(encoder, train, test, trained="classifier", epochs=epochs, **rates).top1,
        "fine_tuned": fine_tune(encoder, train, test, epochs=epochs, **rates).top1,
    }
    if has_statistics:
        slip = fine_tune(encoder, train, test, trained="classifier and statistics", epochs=epochs, **rates)
        found["statistics"] = slip.top1
    return {f"suspect_{name}": value for name, value in found.items()}
