"""Checks of the exercises: ``check("ch04.triplet_loss", triplet_loss)`` says whether an answer is right, or why not.

A check calls the student's function on tiny CPU tensors and compares with an independent oracle: a loop, a property, a
function of torch. It never looks at the solution.
"""

from replearn_course.checks.core import Result, check, muted

__all__ = ["Result", "check", "muted"]
