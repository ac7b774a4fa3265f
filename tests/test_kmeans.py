"""k-means features: the whitening whitens, and the features are those of a loop over places and centroids."""

import pytest
import torch

from replearn_course.errors import ReplearnError
from replearn_course.networks import KMeansFeatures
from replearn_course.networks.kmeans import _normalise


def images(n=20, channels=3, height=9, width=8, seed=0):
    """Noise that is smooth from left to right, so that pixels are correlated."""
    noise = torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(seed))
    return noise.cumsum(dim=3) / width


def fitted(data=None, **settings):
    return KMeansFeatures.fit(images() if data is None else data, **{"k": 5, "patch": 3, "patches": 400, **settings})


def all_patches(data, p):
    """Each patch of each image, flattened as ``(C, row, column)``."""
    return torch.stack(
        [
            image[:, r : r + p, c : c + p].flatten()
            for image in data
            for r in range(data.shape[2] - p + 1)
            for c in range(data.shape[3] - p + 1)
        ]
    )


def normalised(patch):
    """By the paper's formula for pixels from 0 to 255."""
    x = patch.double() * 255
    return (x - x.mean()) / (x.var(correction=0) + 10).sqrt()


def test_a_patch_is_normalised_as_in_the_paper():
    patches = all_patches(images(2), 3)
    expected = torch.stack([normalised(patch) for patch in patches])
    assert torch.allclose(_normalise(patches.double()), expected, atol=1e-12)
    assert _normalise(torch.full((1, 9), 0.3)).abs().max() < 1e-5  # a flat one


def test_the_whitening_whitens_what_varies():
    data, eps = images(100, 1), 1e-3
    network = fitted(data, k=1, patches=20_000, eps=eps)
    x = _normalise(all_patches(data, 3).double())
    values, vectors = torch.linalg.eigh(x.T.cov(correction=0))
    white = (x - network.mean.double()) @ network.whitening.double()
    found = vectors.T @ white.T.cov(correction=0) @ vectors
    # Each direction gets the variance λ / (λ + ε): 1, but 0 along that of all pixels, which normalising has taken away.
    assert torch.allclose(found, (values / (values + eps)).diag(), atol=0.05)
    assert values[0] < 1e-12
    assert values[1] > 30 * eps
    assert torch.allclose(network.whitening, network.whitening.T, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(9, 8), (6, 6), (4, 5), (3, 3)])
def test_features_by_a_loop(height, width):
    network, data = fitted().double(), images(3, 3, height, width, seed=1).double()
    rows, columns, k = height - 2, width - 2, 5
    maps = torch.empty(3, rows, columns, k, dtype=torch.float64)
    for n, image in enumerate(data):
        for r in range(rows):
            for c in range(columns):
                x = (normalised(image[:, r : r + 3, c : c + 3].flatten()) - network.mean) @ network.whitening
                distances = torch.stack([(x - centroid).norm() for centroid in network.centroids])
                maps[n, r, c] = (distances.mean() - distances).clamp_min(0)
    halves = lambda n: (slice(0, -(-n // 2)), slice(n // 2, n))  # noqa: E731
    quarters = [[maps[:, r, c].mean(dim=(1, 2)) for c in halves(columns)] for r in halves(rows)]
    expected = torch.stack([torch.stack(row, dim=2) for row in quarters], dim=2)  # (N, K, 2, 2)
    found = network(data)
    assert found.shape == (3, network.embedding_size) == (3, 4 * k)
    assert torch.allclose(found, expected.flatten(1), atol=1e-7)
    assert (maps == 0).any()  # the triangle leaves out what is far


def test_centroids_are_means_of_their_patches():
    """Patches of two kinds alone, so that there is one answer."""
    kinds = torch.stack([torch.eye(3), torch.eye(3).flip(0)]).repeat(10, 1, 1)[:, None]
    network = fitted(kinds, k=2)
    x = torch.stack([normalised(kind.flatten()) for kind in kinds[:2]]).float()
    white = (x - network.mean) @ network.whitening
    assert torch.allclose(torch.cdist(network.centroids, white).min(dim=1).values, torch.zeros(2), atol=1e-3)
    assert network.centroids[0].dot(network.centroids[1]) < 0


def test_the_same_seed_gives_the_same_features():
    one, two, other = (fitted(seed=seed)(images()) for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.allclose(one, other)


def test_features_do_not_depend_on_the_batch_and_are_kept_with_the_weights():
    network, data = fitted(), images()
    assert torch.allclose(network(data), torch.cat([network(image[None]) for image in data]), atol=1e-5)
    again = KMeansFeatures(*(torch.zeros_like(t) for t in (network.centroids, network.mean, network.whitening)))
    again.load_state_dict(network.state_dict())
    assert torch.equal(again(data), network(data))
    assert not list(network.parameters())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fitted(patch=9), r"images: expected floating \(N, C, H, W\) with sides from 9, the patch, up, got"),
        (lambda: fitted(images()[0]), r"images: expected floating \(N, C, H, W\) .*, got \(3, 9, 8\)"),
        (lambda: fitted(images().to(torch.uint8)), r"got \(20, 3, 9, 8\) of torch.uint8"),
        (lambda: fitted(k=401), "k: expected 1 to 400, the number of patches, got 401"),
        (lambda: fitted(k=0), "k: expected 1 to 400, the number of patches, got 0"),
        (lambda: fitted()(images(channels=1)), r"expected floating \(N, 3, H, W\) .*, got \(20, 1, 9, 8\)"),
        (lambda: fitted()(images(height=2)), "with sides from 3, the patch, up"),
        (
            lambda: KMeansFeatures(torch.zeros(4, 10), torch.zeros(10), torch.eye(10)),
            r"centroids: expected \(K, 3 p p\) of square patches, got \(4, 10\)",
        ),
    ],
)
def test_what_cannot_be_is_said(call, message):
    with pytest.raises(ReplearnError, match=message):
        call()
