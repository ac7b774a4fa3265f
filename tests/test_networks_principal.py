"""Principal components of a representation against a singular value decomposition."""

import pytest
import torch

from replearn_course.errors import ReplearnError
from replearn_course.networks import Pixels, PrincipalComponents
from replearn_course.probes import embed


def correlated(n: int) -> torch.Tensor:
    """Images ``(n, 2, 2, 2)`` whose pixels vary together, off centre."""
    generator = torch.Generator().manual_seed(0)
    return (torch.randn(n, 8, generator=generator) @ torch.randn(8, 8, generator=generator) + 3).reshape(n, 2, 2, 2)


def test_components_are_those_of_the_training_images():
    train, test = correlated(50), correlated(60)[50:]
    components = PrincipalComponents.fit(Pixels(8), embed(Pixels(8), train), 3)
    assert components.embedding_size == 3
    x = train.flatten(1)
    _, _, v = torch.linalg.svd(x - x.mean(dim=0), full_matrices=False)
    expected = (test.flatten(1) - x.mean(dim=0)) @ v[:3].T
    assert torch.allclose(components(test).abs(), expected.abs(), atol=1e-4)  # a direction has no sign
    variances = components(train).var(dim=0)
    assert variances[0] > variances[1] > variances[2]


def test_all_components_keep_distances():
    x = correlated(20)
    components = PrincipalComponents.fit(Pixels(8), x.flatten(1), 8)
    assert torch.allclose(torch.cdist(components(x), components(x)), torch.cdist(x.flatten(1), x.flatten(1)), atol=1e-4)


@pytest.mark.parametrize("k", [0, 9])
def test_more_components_than_there_are(k):
    with pytest.raises(ReplearnError, match=f"k: expected 1 to 8, the smaller side of z, got {k}"):
        PrincipalComponents.fit(Pixels(8), correlated(20).flatten(1), k)


def test_representations_that_are_none():
    with pytest.raises(ReplearnError, match=r"z: expected shape \(N, d\)"):
        PrincipalComponents.fit(Pixels(8), correlated(20), 3)
