"""Views: random changes of a whole batch of images at once, on the device, an independent draw for each image.

Each transform is called as ``transform(images, generator)`` with images ``(N, C, H, W)`` in [0, 1]. Its few random numbers an
image are drawn on the CPU and moved to the images: a seed gives the same views on every device.

Why not the transforms that exist: those of torchvision 0.29 draw once for a whole batch (64 copies of one image come out as 64
equal views), so they belong into a DataLoader, an image at a time, which takes 5 to 6 times as long at 32 × 32 and twice as
long at 64 × 64. kornia 0.9 draws for each image, but the order of the colour changes once for a batch, aligns the corners of
its crops otherwise than torchvision (0.03 a pixel on noise), and takes 2 to 3 times as long. ``benchmarks/views.py`` measures
the times, here on one thread of a CPU that others used too.
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
