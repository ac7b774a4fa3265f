"""Checks that the probes share."""

from __future__ import annotations

from torch import Tensor

from replearn_course.errors import ReplearnError, check_embeddings, check_labels

__all__ = ["check_split"]


def check_split(**tensors: Tensor) -> None:
    """Check two labelled sets of embeddings, given by name in the order embeddings, labels, embeddings, labels.

    Raises:
        ReplearnError: when one is malformed, or when the two differ in
            dimension, dtype or device.
    """
    (z_name, z), (y_name, y), (other_z_name, other_z), (other_y_name, other_y) = tensors.items()
    check_embeddings(**{z_name: z, other_z_name: other_z})
    check_labels(len(z), **{y_name: y})
    check_labels(len(other_z), **{other_y_name: other_y})
    if z.shape[1] != other_z.shape[1]:
        raise ReplearnError(f"{other_z_name}: expected dimension {z.shape[1]} as {z_name}, got {other_z.shape[1]}")
    if z.dtype != other_z.dtype:
        raise ReplearnError(f"{other_z_name}: expected {z.dtype} as {z_name}, got {other_z.dtype}")
    devices = {str(tensor.device) for tensor in tensors.values()}
    if len(devices) > 1:
        raise ReplearnError(f"{', '.join(tensors)}: expected one device, got {' and '.join(sorted(devices))}")
