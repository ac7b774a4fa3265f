"""The path to the long run's recipe: a few changes, on half of the images, judged on validation images, in ``long_run.csv``.

``python -m benchmarks.long_run`` is for a GPU: half a minute of training a try, most of an hour without one. Last comes one
epoch of all training images by the recipe, tested once on the test images.
"""

from functools import partial

from benchmarks.tries import Tries

#: Of all tries: half of the images once, and nine patches to an image instead of fifty.
COMMON = {"epochs": "1", "images": "25000", "stride": "8", "flip": "false"}

CHANGES = {
    "the recipe": {"lr": "0.07"},  # more for fewer steps
    "LARS, as the authors": {"optimizer": "lars", "lr": "0.3", "weight_decay": "1e-4"},
    "patches at their own size, twice the epochs": {"views": "patches", "epochs": "2", "lr": "0.07"},
}

if __name__ == "__main__":
    tries = Tries("long-run", COMMON, CHANGES)
    tries.make()
    name = "the recipe, one epoch of all images"
    tries.add(name, partial(tries.measured, {"epochs": "1", "validate": "false"}, name), tested_on="test")
