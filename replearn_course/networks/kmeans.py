"""Features without a network that is trained: k-means on whitened patches (Coates, Ng and Lee)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.errors import ReplearnError
from replearn_course.networks.encoders import Representation

__all__ = ["KMeansFeatures"]


class KMeansFeatures(Representation):
    r"""Each place of an image by its nearness to K centroids of patches, summed over the four quarters: ``(N, 4 K)``.

    A patch of :math:`p \times p` pixels, normalised to zero mean and unit variance (with a constant for flat ones) and whitened
    by ZCA, gets the *triangle* activation :math:`f_k = \max(0, \bar d - d_k)`, with :math:`d_k` its distance to centroid k and
    :math:`\bar d` the mean of these.

    Args:
        centroids: ``(K, C p p)``, in the whitened space.
        mean: ``(C p p,)`` of the normalised patches.
        whitening: ``(C p p, C p p)``, symmetric.
        channels: C.

    Source: Coates, Ng and Lee 2011, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", section 3,
    https://proceedings.mlr.press/v15/coates11a.html: 77.9 % on CIFAR-10 with 1600 centroids, 79.6 % with 4000, by a linear SVM.
    """

    centroids: Tensor
    mean: Tensor
    whitening: Tensor

    def __init__(self, centroids: Tensor, mean: Tensor, whitening: Tensor, channels: int = 3) -> None:
        super().__init__()
        self.patch = round((centroids.shape[1] / channels) ** 0.5)
        if centroids.shape[1] != channels * self.patch**2:
            raise ReplearnError(
                f"centroids: expected (K, {channels} p p) of square patches, got {tuple(centroids.shape)}"
            )
        self.embedding_size = 4 * len(centroids)
        for name, tensor in {"centroids": centroids, "mean": mean, "whitening": whitening}.items():
            self.register_buffer(name, tensor)

    @classmethod
    def fit(
        cls, images: Tensor, k: int = 1600, *, patch: int = 6, patches: int = 200_000, eps: float = 0.1, seed: int = 0
    ) -> KMeansFeatures:
        """Learn the whitening and the centroids from patches at random places of unlabelled images.

        Args:
            images: ``(N, C, H, W)`` float in [0, 1].
            k: centroids.
            patch: side of a patch in pixels.
            patches: how many are drawn.
            eps: added to the eigenvalues of the covariance, which is that of patches of unit variance.
            seed: of the draws.

        Raises:
            ReplearnError: for images smaller than a patch, or fewer patches than centroids.
        """
        from sklearn.cluster import KMeans

        n, channels, height, width = images.shape
        if min(height, width) < patch:
            raise ReplearnError(f"images: expected {patch} pixels a side at least, got {height} x {width}")
        if patches < k:
            raise ReplearnError(f"patches: expected as many as the {k} centroids at least, got {patches}")
        generator = torch.Generator().manual_seed(seed)
        which, rows, columns = (
            torch.randint(high, (patches, 1, 1), generator=generator)
            for high in (n, height - patch + 1, width - patch + 1)
        )
        step = torch.arange(patch)
        drawn = images.cpu()[which, :, rows + step[:, None], columns + step]  # (patches, p, p, C)
        x = _normalise(drawn.permute(0, 3, 1, 2).flatten(1))
        mean = x.mean(dim=0)
        values, vectors = torch.linalg.eigh((x - mean).double().T @ (x - mean).double() / len(x))
        whitening = ((vectors * (values + eps).rsqrt()) @ vectors.T).float()
        found = KMeans(k, n_init=1, init="random", max_iter=30, random_state=seed).fit(((x - mean) @ whitening).numpy())
        return cls(torch.from_numpy(found.cluster_centers_).float(), mean, whitening, channels)

    def forward(self, images: Tensor) -> Tensor:
        """Features ``(N, 4 K)`` of images ``(N, C, H, W)`` in [0, 1]."""
        n, _, height, width = images.shape
        x = F.unfold(images, self.patch).transpose(1, 2)  # (N, places, C p p)
        x = (_normalise(x) - self.mean) @ self.whitening
        distances = torch.cdist(x, self.centroids.expand(n, -1, -1))  # (N, places, K)
        activation = (distances.mean(dim=2, keepdim=True) - distances).relu_()
        maps = activation.transpose(1, 2).unflatten(2, (height - self.patch + 1, width - self.patch + 1))
        quarters = F.adaptive_avg_pool2d(maps, 2)  # the mean: the sum but for a factor that the probe's scaling removes
        return quarters.flatten(1)


def _normalise(x: Tensor) -> Tensor:
    """Each patch to zero mean and unit variance; the constant is the paper's 10 for pixels up to 255."""
    x = x - x.mean(dim=-1, keepdim=True)
    return x / (x.square().mean(dim=-1, keepdim=True) + 10 / 255**2).sqrt()
