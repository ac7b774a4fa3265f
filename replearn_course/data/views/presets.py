"""The views of the methods, by name; and views with one augmentation taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from replearn_course.data.views.base import Compose, Transform
from replearn_course.data.views.colour import ColourJitter, Grey, Solarize
from replearn_course.data.views.crops import HorizontalFlip, RandomCrop, RandomResizedCrop
from replearn_course.data.views.filters import GaussianBlur
from replearn_course.errors import ReplearnError, unknown_name

__all__ = ["PRESETS", "preset", "without"]

Steps = tuple[Transform, ...]
SMALLEST = 8


def _d1(size: int) -> list[Steps]:
    """D1 (section 7.3): torchvision's random resized crop as it comes, and a flip."""
    return [(RandomResizedCrop(size), HorizontalFlip(p=0.5))]


def _simclr(size: int) -> list[Steps]:
    """SimCLR for CIFAR-10 (appendix B.9): crop, flip and colours of strength 0.5; no blur.

    Chen et al., "A simple framework for contrastive learning of visual representations", https://arxiv.org/abs/2002.05709:
    the colours of strength s are jitter of 0.8 s, 0.8 s, 0.8 s and 0.2 s with probability 0.8, then grey with 0.2
    (appendix A). Its crops have an area of 0.08 to 1 and are resized bicubically; here bilinearly.
    """
    return [(*_d1(size)[0], ColourJitter(0.4, 0.4, 0.4, 0.1, p=0.8), Grey(p=0.2))]


def _barlow(size: int) -> list[Steps]:
    """Barlow Twins: blur with probability 1 and 0.1, solarisation with 0 and 0.2 in the first and the second view.

    Zbontar et al., "Barlow Twins", https://arxiv.org/abs/2103.03230, section 2.2, and its code,
    https://github.com/facebookresearch/barlowtwins: the augmentations of BYOL, https://arxiv.org/abs/2006.07733, table 6.
    The kernel of the blur is a tenth of the side, as SimCLR has it: 3 pixels at 32, 7 at 64, where ImageNet's images have 23.
    solo-learn takes the blur out of both views on CIFAR (its ``asymmetric.yaml``): ``without(views, "blur")``.
    """
    colours = (*_d1(size)[0], ColourJitter(0.4, 0.4, 0.2, 0.1, p=0.8), Grey(p=0.2))
    radius = max(1, size // 20)
    return [
        (*colours, GaussianBlur(radius)),
        (*colours, GaussianBlur(radius, p=0.1), Solarize(p=0.2)),
    ]


def _patches(size: int) -> list[Steps]:
    """Squares of a quarter of the area, pixel for pixel, with the colours of SimCLR: a quarter of the work of a whole view.

    After Tong et al., "EMP-SSL", https://arxiv.org/abs/2304.03977, whose code turns the hue by up to 0.2, and blurs and
    solarises one patch in ten each.
    """
    return [(RandomCrop(size // 2), *_simclr(size)[0][1:])]


def _patches_enlarged(size: int) -> list[Steps]:
    """The patches of :func:`_patches` enlarged to the size of the image, as EMP-SSL has them."""
    return [(RandomResizedCrop(size, area=(0.25, 0.25), ratio=(1.0, 1.0)), *_simclr(size)[0][1:])]


# Each gives the steps of the first view, of the second, ...; a further view begins anew with the first.
PRESETS: dict[str, Callable[[int], list[Steps]]] = {
    "none": lambda size: [()],
    "d1": _d1,
    "simclr": _simclr,
    "barlow": _barlow,
    "patches": _patches,
    "patches-enlarged": _patches_enlarged,
}


def preset(name: str, image_size: int, n_views: int = 2) -> tuple[Compose, ...]:
    """The transforms of a method for images of ``image_size × image_size``.

    * ``"none"``: the images as they are;
    * ``"d1"``: random resized crop with torchvision's defaults, and a flip;
    * ``"simclr"``: these, and jitter of the colours and grey, in the strength that SimCLR takes for CIFAR-10;
    * ``"barlow"``: two kinds of views, blurred mostly and solarised at times, with the probabilities of Barlow Twins;
    * ``"patches"``: squares of a quarter of the area at their own size, half the side, with SimCLR's flip and colours;
    * ``"patches-enlarged"``: these patches resized to the size of the image.

    Args:
        name: one of ``PRESETS``.
        image_size: side of the images, 8 or more pixels.
        n_views: 1 or more; where the views differ in kind, the kinds take turns.

    Returns:
        One transform a view.

    Raises:
        ReplearnError: for an unknown name, a smaller image or fewer views.
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    if image_size < SMALLEST:
        raise ReplearnError(f"image_size: expected {SMALLEST} or more pixels, got {image_size}")
    if n_views < 1:
        raise ReplearnError(f"n_views: expected 1 or more, got {n_views}")
    kinds = [Compose(steps) for steps in PRESETS[name](image_size)]
    return tuple(kinds[view % len(kinds)] for view in range(n_views))


def without(views: Sequence[Compose], name: str) -> tuple[Compose, ...]:
    """The same views with one augmentation taken out of each.

    Args:
        views: such as a :func:`preset`.
        name: the ``name`` of the transform: ``"crop"``, ``"flip"``, ``"colour"``, ``"grey"``, ``"blur"``, ``"solarize"``, ...

    Raises:
        ReplearnError: for a name that no view has.
    """
    known = {step.name for view in views for step in view.steps}
    if name not in known:
        raise unknown_name("augmentation", name, known)
    return tuple(Compose(tuple(step for step in view.steps if step.name != name)) for view in views)
