"""Fine-tuning: what is trained moves, what is frozen does not, and the encoder that was given stays as it was."""

import os
import signal
from dataclasses import replace

import pytest
import torch
import training_job
from torch import nn

from replearn_course.errors import ReplearnError
from replearn_course.methods import Supervised
from replearn_course.networks import Encoder
from replearn_course.probes import embed, fine_tune, linear_probe

SETTING = training_job.SETTING


def encoder(seed=0):
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten())
    return Encoder(trunk, (1,), 4 * 64, 6)


@pytest.mark.parametrize(
    ("trained", "weights", "statistics"),
    [("all", True, True), ("classifier", False, False), ("classifier and statistics", False, True)],
)
def test_what_moves(trained, weights, statistics):
    given = encoder()
    before = {k: v.clone() for k, v in given.state_dict().items()}
    data = training_job.images(40)
    found = fine_tune(given, data, data, trained=trained, epochs=2, batch_size=16, setting=SETTING)
    assert all(torch.equal(v, before[k]) for k, v in given.state_dict().items()), "the encoder that was given changed"
    assert all(p.requires_grad for p in given.parameters())
    moved = {k for k, v in found.encoder.state_dict().items() if not torch.equal(v, before[k])}
    assert any("running" in name for name in moved) == statistics
    assert any(name.endswith("weight") for name in moved) == weights


def test_the_classifier_alone_finds_what_the_linear_probe_finds():
    given, train, test = encoder(), training_job.images(80), training_job.images(40, seed=1)
    rule = {"epochs": 200, "batch_size": 80, "lr": 0.5}
    found = fine_tune(given, train, test, trained="classifier", seed=3, setting=SETTING, **rule)
    z, test_z = embed(given, train.images), embed(given, test.images)
    probe = linear_probe(
        z, train.labels, test_z, test.labels, standardise=False, optimizer="sgd", weight_decay=0.0, **rule
    )
    assert found.losses[-1] == pytest.approx(probe.losses[-1], abs=0.02)
    assert found.losses[-1] < found.losses[0] - 0.2
    assert found.top5 == 1.0  # four classes
    logits = found.classifier(z), found.classifier(test_z)
    right = [
        (x.argmax(dim=1) == y).double().mean().item() for x, y in zip(logits, (train.labels, test.labels), strict=True)
    ]
    assert [found.seen, found.top1] == right
    assert found.images == 80


def test_a_rate_of_its_own_for_the_encoder():
    given, data = encoder(), training_job.images(40)
    found = fine_tune(given, data, data, epochs=1, encoder_lr=0.0, setting=SETTING)
    assert torch.equal(found.encoder.to_embedding.weight, given.to_embedding.weight)


def test_the_same_seed_gives_the_same_and_the_global_random_state_stays():
    given, data = encoder(), training_job.images(40)
    state = torch.get_rng_state()
    one, two = (fine_tune(given, data, data, epochs=2, batch_size=16, seed=5, setting=SETTING) for _ in range(2))
    assert one.losses == two.losses
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"trained": "head"}, "trained: expected one of all, classifier, classifier and statistics, got 'head'"),
        ({"epochs": 0}, "epochs: expected a whole number from 1 up"),
        ({"lr": 0.0}, "lr: expected a finite number above 0"),
        ({"encoder_lr": -0.1}, "encoder_lr: expected a finite number from 0 up, got -0.1"),
    ],
)
def test_bad_input(arguments, message):
    data = training_job.images(8)
    with pytest.raises(ReplearnError, match=message):
        fine_tune(encoder(), data, data, setting=SETTING, **arguments)


def test_other_classes_are_refused_whatever_their_number():
    data = training_job.images(8)
    other = replace(data, classes=(*data.classes[:-1], "another"))
    with pytest.raises(
        ReplearnError, match=f"expected the 4 classes of train, got 'another' in the place of '{data.classes[-1]}'"
    ):
        fine_tune(encoder(), data, other, setting=SETTING)
    with pytest.raises(ReplearnError, match="expected the 4 classes of train, got 5"):
        fine_tune(encoder(), data, replace(data, classes=(*data.classes, "more")), setting=SETTING)


def test_an_image_too_many_does_not_stop_batch_norm():
    """Of one image of one pixel there is no variance: a last batch of it would be an error after an epoch's work."""
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(1, 4, 8), nn.BatchNorm2d(4), nn.Flatten())
    data = training_job.images(17)
    assert fine_tune(Encoder(trunk, (1,), 4, 6), data, data, epochs=1, batch_size=8, setting=SETTING).images == 17


def test_fine_tuning_that_is_asked_to_end_gives_no_number(monkeypatch):
    forward, made = Supervised.forward, []

    def interrupted(self, *batch):
        made.append(1)
        if len(made) == 3:  # the flop are counted in the first
            os.kill(os.getpid(), signal.SIGINT)
        return forward(self, *batch)

    monkeypatch.setattr(Supervised, "forward", interrupted)
    data = training_job.images(40)
    with pytest.raises(KeyboardInterrupt):
        fine_tune(encoder(), data, data, epochs=5, setting=SETTING)
    assert len(made) == 3
