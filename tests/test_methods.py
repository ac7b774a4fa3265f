"""Self-supervised methods: which projections enter which loss, and what MoCo moves where and when."""

import copy
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
import training_job
from torch import nn

from replearn_course import methods
from replearn_course.errors import ReplearnError
from replearn_course.losses import barlow_twins, emp_ssl, info_nce, nt_xent, vicreg, w_mse
from replearn_course.networks import Encoder, projector

KINDS = ("simclr", "barlow-twins", "wmse", "vicreg", "emp-ssl")


def encoder():
    torch.manual_seed(1)
    trunk = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
    return Encoder(trunk, (1,), 3 * 36, 8).double()


def head():
    torch.manual_seed(2)
    return projector(8, (6, 4)).double()


def views(n_views=2, n=12):
    generator = torch.Generator().manual_seed(3)
    return [torch.rand(n, 1, 6, 6, generator=generator, dtype=torch.float64) for _ in range(n_views)]


MADE = {
    "simclr": (lambda: methods.SimCLR(encoder(), head(), 0.3), lambda z: nt_xent(z, 0.3)),
    "barlow-twins": (lambda: methods.BarlowTwins(encoder(), head(), 0.01), lambda z: barlow_twins(z, 0.01)),
    "wmse": (lambda: methods.WMSE(encoder(), head(), 12), lambda z: w_mse(z, 12)),
    "vicreg": (
        lambda: methods.VICReg(encoder(), head(), "paper", invariance=3.0, variance=5.0, covariance=7.0),
        lambda z: vicreg(z, "paper", 3.0, 5.0, 7.0),
    ),
    "emp-ssl": (
        lambda: methods.EMPSSL(encoder(), head(), similarity=20.0, eps=0.3),
        lambda z: emp_ssl(z, eps=0.3, similarity=20.0),
    ),
}


@pytest.mark.parametrize("n_views", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_is_that_of_the_projections_of_all_views(kind, n_views):
    make, loss = MADE[kind]
    method, seen = make(), views(n_views)
    together = method.projector(method.encoder(torch.cat(seen)))
    expected = loss(together.view(n_views, 12, 4))
    expected.loss.backward()
    again = make()
    found = again(*seen)
    found["loss"].backward()
    assert set(found) == set(expected._fields)
    for name, value in expected._asdict().items():
        assert torch.allclose(found[name], value), name
    for (name, p), q in zip(again.named_parameters(), method.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad), name


@pytest.mark.parametrize("kind", ["SimCLR", "MoCo", "BarlowTwins", "WMSE", "VICReg", "EMPSSL"])
def test_an_empty_projector_is_one_and_keeps_the_representation(kind):
    method = getattr(methods, kind)(encoder(), nn.Sequential())
    assert list(method.projector.children()) == []


@pytest.mark.parametrize("kind", [*KINDS, "moco"])
def test_bad_views(kind):
    method = methods.MoCo(encoder(), head(), queue=8) if kind == "moco" else MADE[kind][0]()
    one, other = views()
    with pytest.raises(ReplearnError, match="a batch needs two images or more to compare, got 1"):
        method(one[:1], other[:1])
    with pytest.raises(
        ReplearnError, match=r"views: expected all of one shape, got \(12, 1, 4, 6\) and \(12, 1, 6, 6\)"
    ):
        method(one, other[:, :, :4])


def test_views_alone_make_no_pair():
    with pytest.raises(ReplearnError, match="views: expected 2 or more of each image, got 1"):
        MADE["vicreg"][0]()(views()[0])


def test_the_loss_is_in_float32_whatever_the_networks_are_in():
    method = MADE["vicreg"][0]().float()
    seen = [view.float() for view in views()]
    with torch.autocast("cpu", torch.bfloat16):
        z = method.project(seen)
        assert method.projector(method.encoder(seen[0])).dtype == torch.bfloat16
        assert z.dtype == torch.float32
        assert torch.equal(method.loss(z).loss, vicreg(z, "paper", 3.0, 5.0, 7.0).loss)


def test_what_is_whitened_is_projected_in_float32():
    method = MADE["wmse"][0]().float()
    seen = [view.float() for view in views()]
    with torch.autocast("cpu", torch.bfloat16):
        h = method.encoder(torch.cat(seen))
        z = method.project(seen).flatten(0, 1)
    assert torch.equal(z, method.projector(h.float()))


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (methods.SimCLR, (8, 128)),
        (methods.MoCo, (8, 128)),
        (methods.BarlowTwins, (8192, 8192, 8192)),
        (methods.WMSE, (1024, 64)),
        (methods.VICReg, (8192, 8192, 8192)),
        (methods.EMPSSL, (4096, 4096, 1024)),
    ],
)
def test_the_projector_of_the_paper(make, layers):
    with torch.device("meta") if make is not methods.MoCo else torch.device("cpu"):
        method = make(Encoder(nn.Flatten(), (1,), 4, 8))
    assert tuple(m.out_features for m in method.projector if isinstance(m, nn.Linear)) == layers


# -- MoCo --------------------------------------------------------------------------------------------------------------


def moco(**settings):
    torch.manual_seed(4)
    return methods.MoCo(encoder(), head(), **{"queue": 20, "temperature": 0.3, **settings}).double()


def test_moco_asks_with_one_view_and_answers_with_the_other():
    method, (query, key) = moco(), views()
    before = copy.deepcopy(method)
    found = method(query, key)
    with torch.no_grad():
        keys = before.key_projector(before.key_encoder(key))
    expected = info_nce(before.projector(before.encoder(query)), keys, before.queue, 0.3)
    assert torch.allclose(found["loss"], expected.loss)
    found["loss"].backward()
    expected.loss.backward()
    for p, q in zip(method.encoder.parameters(), before.encoder.parameters(), strict=True):
        assert torch.allclose(p.grad, q.grad)
    assert all(p.grad is None and not p.requires_grad for p in method.key_encoder.parameters())
    assert torch.allclose(method.queue[:12], F.normalize(keys, dim=1))
    assert torch.equal(method.queue[12:], before.queue[12:])


def test_the_queue_is_a_ring():
    method = moco(queue=5)
    method.queue.zero_()
    for first in (0, 3, 6):
        method.enqueue(torch.arange(first, first + 3, dtype=torch.float64)[:, None].expand(3, 4))
    assert method.queue[:, 0].tolist() == [5, 6, 7, 8, 4]  # 0 to 8 were written, the last five are there
    assert method.oldest == 4
    method.enqueue(torch.arange(20, 27, dtype=torch.float64)[:, None].expand(7, 4))
    assert sorted(method.queue[:, 0].tolist()) == [22, 23, 24, 25, 26]


def test_the_copy_follows_slowly_and_before_the_keys_are_made():
    method = moco(momentum=0.9)
    for p in method.encoder.parameters():
        nn.init.constant_(p, 1.0)
    before = [p.clone() for p in method.key_encoder.parameters()]
    method(*views())
    for k, was in zip(method.key_encoder.parameters(), before, strict=True):
        assert torch.allclose(k, 0.9 * was + 0.1)
    assert all((p == 1).all() for p in method.encoder.parameters())


def test_evaluation_moves_nothing():
    method = moco().eval()
    before = copy.deepcopy(method.state_dict())
    method(*views())
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())


def test_batch_norm_sees_the_keys_in_shuffled_parts():
    method, (_, key) = moco(groups=5), views()
    torch.manual_seed(5)
    found = method.keys(key)
    torch.manual_seed(5)
    order = torch.randperm(12)
    expected = torch.empty(12, 4, dtype=torch.float64)
    for part in order.split([3, 3, 2, 2, 2]):  # of equal size but for one, where the groups do not divide the batch
        expected[part] = method.key_projector(method.key_encoder(key[part]))
    assert torch.allclose(found, expected)
    assert not torch.allclose(found, method.key_projector(method.key_encoder(key)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queue": 0}, "queue: expected a whole number from 1 up, got 0"),
        ({"momentum": 1.5}, "momentum: expected between 0 and 1, got 1.5"),
        ({"groups": 0}, "groups: expected a whole number from 1 up, got 0"),
        ({"temperature": 0.0}, "temperature: expected a finite number above 0, got 0"),
    ],
)
def test_bad_settings_of_moco(settings, message):
    with pytest.raises(ReplearnError, match=message):
        moco(**settings)


def test_a_group_of_moco_has_two_images_or_more():
    moco(groups=6)(*views())
    with pytest.raises(ReplearnError, match="groups: 7 of 12 images leave some with fewer than two"):
        moco(groups=7)(*views())


def test_moco_takes_two_views():
    with pytest.raises(ReplearnError, match="views: expected 2 or more of each image, got 1"):
        moco()(*views(1))
    with pytest.raises(ReplearnError, match="views: MoCo compares two, a query and a key, got 3"):
        moco()(*views(3))


# -- supervised --------------------------------------------------------------------------------------------------------


def test_supervised_is_cross_entropy_over_all_views():
    torch.manual_seed(6)
    method = methods.Supervised(encoder(), 3).double()
    seen, labels = views(2), torch.arange(12) % 3
    found = method(*seen, labels)
    logits = method.classifier(method.encoder(torch.cat(seen)))
    assert torch.allclose(found["loss"], F.cross_entropy(logits, torch.cat([labels, labels])))
    assert found["accuracy"] == (logits.argmax(dim=1) == torch.cat([labels, labels])).float().mean()


def test_supervised_needs_classes():
    with pytest.raises(ReplearnError, match="classes: expected 2 or more, got 1"):
        methods.Supervised(encoder(), 1)


# -- several processes -------------------------------------------------------------------------------------------------


def test_every_method_trains_with_two_processes_as_with_one(tmp_path):
    kinds = [*KINDS, "moco", "supervised"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += [training_job.__file__, "ranks", ",".join(kinds), str(tmp_path / "rank")]
    done = subprocess.run(command, env=training_job.one_thread(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    ranks = [torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in range(2)]
    for kind in kinds:
        alone = training_job.train_together(kind)
        for name, value in alone.items():
            for rank in ranks:
                assert torch.allclose(rank[kind][name], value, rtol=1e-6, atol=1e-9), (kind, name)
            assert torch.equal(ranks[0][kind][name], ranks[1][kind][name]), (kind, name)
