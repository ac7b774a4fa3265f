"""replearn_course: representation learning on real data, one room of the package a step of the data's way.

Nothing heavy is imported here: ``import replearn_course`` takes milliseconds, torch comes with the first room that needs it.
"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("replearn-course")
except PackageNotFoundError:  # run from a checkout that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
