"""What a representation is worth.

Probes of frozen embeddings take them ``(N, d)`` with integer labels ``(N,)``; those of words take word vectors and what people
say of the words; ``fine_tune`` takes an encoder and images, and trains a copy. All leave their input as it was, and give rates
as fractions in [0, 1].
"""

from replearn_course.probes.embed import embed
from replearn_course.probes.few_shot import few_shot_accuracy
from replearn_course.probes.fine_tune import FineTuned, fine_tune
from replearn_course.probes.geometry import CollapseMonitor, alignment, effective_rank, spread, uniformity
from replearn_course.probes.knn import KNN, knn
from replearn_course.probes.linear import LinearProbe, linear_probe
from replearn_course.probes.report import Report, Row, report
from replearn_course.probes.retrieval import Retrieval, retrieval
from replearn_course.probes.verification import Verification, accuracy_at, choose_threshold, verification
from replearn_course.probes.words import (
    Analogies,
    Similarity,
    analogies,
    read_analogies,
    read_pairs,
    similarity,
    spearman,
)

__all__ = [
    "KNN",
    "Analogies",
    "CollapseMonitor",
    "FineTuned",
    "LinearProbe",
    "Report",
    "Retrieval",
    "Row",
    "Similarity",
    "Verification",
    "accuracy_at",
    "alignment",
    "analogies",
    "choose_threshold",
    "effective_rank",
    "embed",
    "few_shot_accuracy",
    "fine_tune",
    "knn",
    "linear_probe",
    "read_analogies",
    "read_pairs",
    "report",
    "retrieval",
    "similarity",
    "spearman",
    "spread",
    "uniformity",
    "verification",
]
