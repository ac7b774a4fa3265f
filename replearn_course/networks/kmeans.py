"""Features without a network that is trained: k-means on whitened patches (Coates, Ng and Lee)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from replearn_course.errors import ReplearnError, check_tensors
from replearn_course.networks.encoders import Representation

__all__ = ["KMeansFeatures"]


class KMeansFeatures(Representation):
    r"""Each place of an image by its nearness to K centroids of patches, the mean over each of the four quarters: ``(N, 4 K)``.

    A patch of :math:`p \times p` pixels, normalised to zero mean and unit variance (with a constant for flat ones) and whitened
    by ZCA, gets the *triangle* activation :math:`f_k = \max(0, \bar d - d_k)`, with :math:`d_k` its distance to centroid k and
    :math:`\bar d` the mean of these. Where the places of a side are odd in number, the middle ones belong to both halves.

    Args:
        centroids: ``(K, C p p)``, in the whitened space.
        mean: ``(C p p,)`` of the normalised patches.
        whitening: ``(C p p, C p p)``, symmetric.
        channels: C.

    Raises:
        ReplearnError: for centroids that are not of square patches.

    Source: Coates, Ng and Lee 2011, "An Analysis of Single-Layer Networks in Unsupervised Feature Learning", section 3,
    https://proceedings.mlr.press/v15/coates11a.html: 77.9 % on CIFAR-10 with 1600 centroids, 79.6 % with 4000, by a linear SVM.
    Deviation: the mean over a quarter in place of the sum, a factor that the probe's standardisation removes.
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
        self.channels, self.embedding_size = channels, 4 * len(centroids)
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
            ReplearnError: for what is no batch of images, images smaller than a patch, or fewer patches than centroids.
        """
        from sklearn.cluster import KMeans

        _check(images, patch)
        if not 1 <= k <= patches:
            raise ReplearnError(f"k: expected 1 to {patches}, the number of patches, got {k}")
        n, channels, height, width = images.shape
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
        """Features ``(N, 4 K)`` of images ``(N, C, H, W)`` in [0, 1].

        Raises:
            ReplearnError: for another number of channels, or images smaller than a patch.
        """
        _check(images, self.patch, self.channels)
        n, _, height, width = images.shape
        x = F.unfold(images, self.patch).transpose(1, 2)  # (N, places, C p p)
        x = (_normalise(x) - self.mean) @ self.whitening
        distances = torch.cdist(x, self.centroids.expand(n, -1, -1))  # (N, places, K)
        activation = (distances.mean(dim=2, keepdim=True) - distances).relu_()
        maps = activation.transpose(1, 2).unflatten(2, (height - self.patch + 1, width - self.patch + 1))
        return F.adaptive_avg_pool2d(maps, 2).flatten(1)


def _check(images: Tensor, patch: int, channels: int | None = None) -> None:
    check_tensors(images=images)
    shape = tuple(images.shape)
    if len(shape) != 4 or not images.is_floating_point() or channels not in (None, shape[1]) or min(shape[2:]) < patch:
        wanted = f"floating (N, {channels or 'C'}, H, W) with sides from {patch}, the patch, up"
        raise ReplearnError(f"images: expected {wanted}, got {shape} of {images.dtype}")


def _normalise(x: Tensor) -> Tensor:
    """Each patch to zero mean and unit variance; the constant is the paper's 10 for pixels up to 255."""
    x = x - x.mean(dim=-1, keepdim=True)
    return x / (x.square().mean(dim=-1, keepdim=True) + 10 / 255**2).sqrt()
