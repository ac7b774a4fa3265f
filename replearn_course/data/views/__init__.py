"""Views: random changes of a whole batch of images at once, on the device, an independent draw for each image.

Each transform is called as ``transform(images, generator)`` with images ``(N, C, H, W)`` in [0, 1]. Its few random numbers an
image are drawn on the CPU and moved to the images: a seed gives the same views on every device.
"""

from replearn_course.data.views.affine import RandomAffine
from replearn_course.data.views.base import Compose, Sometimes, Transform, draw_views
from replearn_course.data.views.colour import ColourJitter, Grey, Solarize
from replearn_course.data.views.crops import HorizontalFlip, RandomCrop, RandomResizedCrop
from replearn_course.data.views.filters import GaussianBlur, Sobel
from replearn_course.data.views.presets import PRESETS, preset, without

__all__ = [
    "PRESETS",
    "ColourJitter",
    "Compose",
    "GaussianBlur",
    "Grey",
    "HorizontalFlip",
    "RandomAffine",
    "RandomCrop",
    "RandomResizedCrop",
    "Sobel",
    "Solarize",
    "Sometimes",
    "Transform",
    "draw_views",
    "preset",
    "without",
]
