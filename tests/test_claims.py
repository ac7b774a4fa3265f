"""The ledger of claims: complete, well formed, and consistent where the documents' own tables can be checked."""

import csv
from collections import Counter
from importlib.resources import files

import pytest

COLUMNS = [
    "id",
    "document",
    "place",
    "system",
    "dataset",
    "metric",
    "value",
    "spread",
    "unit",
    "protocol",
    "kind",
    "reading",
    "source",
]
UNITS = {"percent", "fraction", "count", "ratio", "epochs", "pixels", "degrees", "dimensions", "embedding units"}
DIGITS = [str(d) for d in range(10)]
HALF = 0.005  # what rounding to two digits may hide


@pytest.fixture(scope="module")
def table() -> list[dict[str, str]]:
    with (files("replearn_course") / "ledger" / "claims.csv").open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture(scope="module")
def value(table):
    by_id = {row["id"]: float(row["value"]) for row in table}
    return by_id.__getitem__


def test_columns(table):
    for row in table:
        assert list(row) == COLUMNS, f"wrong number of fields: {row['id']}"
        assert None not in row.values(), row["id"]
        assert all(cell == cell.strip() for cell in row.values()), f"stray space: {row['id']}"
        for column in ("id", "document", "place", "metric", "value", "unit", "kind"):
            assert row[column], f"{row['id']}: no {column}"


def test_ids_are_unique_slugs_that_begin_with_the_document(table):
    ids = [row["id"] for row in table]
    assert [i for i, n in Counter(ids).items() if n > 1] == []
    for row in table:
        assert row["id"].startswith(row["document"].lower() + "-")
        assert set(row["id"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")


def test_values_are_numbers_in_the_range_of_their_unit(table):
    for row in table:
        number, spread = float(row["value"]), float(row["spread"] or 0)
        assert row["unit"] in UNITS, row["id"]
        assert number >= 0, row["id"]
        assert spread >= 0, row["id"]
        if row["unit"] in ("percent", "fraction"):
            assert number <= {"percent": 100, "fraction": 1}[row["unit"]], row["id"]
        if row["unit"] in ("count", "epochs", "pixels", "dimensions"):
            assert number == int(number), row["id"]


def test_counts(table):
    counts = Counter((row["document"], row["kind"]) for row in table)
    figures = {d: counts[d, "result"] + counts[d, "quoted"] for d in ("D0", "D1", "D2", "D3")}
    assert figures == {"D0": 6, "D1": 46, "D2": 79, "D3": 39}
    facts = {d: counts[d, "fact"] for d in figures}
    assert facts == {"D0": 8, "D1": 58, "D2": 2, "D3": 27}
    assert sum(counts.values()) == len(table) == 265, "an unknown document or kind"


def test_only_quoted_figures_and_facts_have_a_source_and_own_results_a_protocol(table):
    for row in table:
        if row["kind"] == "result":
            assert row["protocol"], f"{row['id']}: a result without its protocol"
            assert not row["source"], f"{row['id']}: a result of the document's own has no other source"
    # D2 measured nothing; D0 and D3 quote nothing.
    assert {row["kind"] for row in table if row["document"] == "D2"} == {"quoted", "fact"}
    assert {row["kind"] for row in table if row["document"] in ("D0", "D3")} == {"result", "fact"}
    unnamed = {row["system"] for row in table if row["kind"] == "quoted" and not row["source"]}
    assert unnamed == {"supervised training"}, "the one row of D1's ImageNet table without a reference"


def test_spreads_stand_where_the_documents_give_them(table):
    spread = [row for row in table if row["spread"]]
    assert {row["document"] for row in spread} == {"D2"}
    assert sum("facenet" in row["id"] for row in spread) == 10
    assert sum("meles" in row["id"] for row in spread) == len(spread) - 10 == 42


# -- D3: the classification report checks itself -----------------------------------------------------------------------


def test_d3_supports_are_the_mnist_test_set(value):
    supports = [value(f"d3-mnist-64d-support-{d}") for d in DIGITS]
    assert supports == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert sum(supports) == value("d3-mnist-64d-support-total") == 10_000


@pytest.mark.parametrize("metric", ["precision", "recall", "f1"])
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_d3_averages_follow_from_the_rows_to_rounding(value, metric, average):
    rows = [value(f"d3-mnist-64d-{metric}-{d}") for d in DIGITS]
    weights = [value(f"d3-mnist-64d-support-{d}") if average == "weighted" else 1.0 for d in DIGITS]
    mean = sum(w * r for w, r in zip(weights, rows, strict=True)) / sum(weights)
    assert abs(mean - value(f"d3-mnist-64d-{metric}-{average}")) <= 2 * HALF


def test_d3_f1_is_the_harmonic_mean_of_its_row(value):
    for d in DIGITS:
        p, r, f = (value(f"d3-mnist-64d-{metric}-{d}") for metric in ("precision", "recall", "f1"))
        assert abs(2 * p * r / (p + r) - f) <= 2 * HALF, f"digit {d}"


def test_d3_accuracy_lies_between_98_1_and_99_1_percent(value):
    recalls = [value(f"d3-mnist-64d-recall-{d}") for d in DIGITS]
    supports = [value(f"d3-mnist-64d-support-{d}") for d in DIGITS]
    low = sum(s * (r - HALF) for s, r in zip(supports, recalls, strict=True)) / 10_000
    high = sum(s * min(1.0, r + HALF) for s, r in zip(supports, recalls, strict=True)) / 10_000
    assert (round(low, 3), round(high, 3)) == (0.981, 0.991)
    assert low <= value("d3-mnist-64d-accuracy") <= high


def test_d3_settings(value):
    assert (value("d3-mnist-2d-stop-epoch"), value("d3-mnist-64d-stop-epoch")) == (21, 18)
    for size, patience, epochs in (("2d", 5, 30), ("64d", 8, 50)):
        assert value(f"d3-mnist-{size}-stop-patience") == patience
        assert value(f"d3-mnist-{size}-epochs") == epochs
        assert value(f"d3-mnist-{size}-stop-epoch") < epochs, "it stopped early"
        assert value(f"d3-mnist-{size}-margin") == 1.5
        assert value(f"d3-mnist-{size}-learning-rate") == 1e-4


# -- D0, D1, D2: what their text says of their tables ------------------------------------------------------------------


def test_d0_bound_is_4_8_13_6_and_26_times_the_distance(value):
    ratios = [
        2 * value(f"d0-omniglot-row{i}-max-distance") / value(f"d0-omniglot-row{i}-centroid-distance")
        for i in (1, 2, 3)
    ]
    assert [round(r, 1) for r in ratios] == [4.8, 13.6, 26.3]


def test_d1_differences_follow_from_its_table(value):
    n1, n2 = value("d1-cifar10-n1-supervised-top1"), value("d1-cifar10-n2-supervised-top1")
    vicreg = value("d1-cifar10-n2-vicreg-linear-top1")
    assert (n1, n2, vicreg) == (70.6, 68.1, 89.6)
    assert value("d1-cifar10-n2-vicreg-gain") == pytest.approx(vicreg - n2) == 21.5
    assert value("d1-supervised-difference") == pytest.approx(n1 - n2)
    assert round(value("d1-n2-parameters") / value("d1-n1-parameters")) == value("d1-parameter-ratio")


def test_d1_top5_is_never_below_top1(table, value):
    pairs = [row["id"] for row in table if row["id"].startswith("d1-") and row["id"].endswith("-top5")]
    assert len(pairs) == 21
    for top5 in pairs:
        assert value(top5) > value(top5.replace("-top5", "-top1"))


def test_d1_datasets_add_up(value):
    for name, splits in (("cifar10", ("train", "test")), ("tinyimagenet", ("train", "val", "test"))):
        classes = value(f"d1-{name}-classes")
        assert classes * sum(value(f"d1-{name}-{s}-per-class") for s in splits) == value(f"d1-{name}-images")
        for split in ("train", "test"):
            assert classes * value(f"d1-{name}-{split}-per-class") == value(f"d1-{name}-{split}")


def test_d2_tables_agree_where_they_overlap(table, value):
    # The 128-D embedding of FaceNet's table of sizes is NN1 of its table of architectures.
    assert value("d2-facenet-dim128-val") == value("d2-facenet-nn1-val") == 87.9
    # MeLES's default recipe stands in four tables with one score.
    default = ("pairs-random-slices", "losses-contrastive", "models-lgbm-meles", "encoders-gru")
    assert {value(f"d2-meles-{row}-age") for row in default} == {0.639}
    assert {value(f"d2-meles-{row}-gender") for row in default} == {0.871, 0.872}
    panel = {
        name: (value(f"d2-dimred-mnist-{name}-auc"), value(f"d2-dimred-mnist-{name}-gs"))
        for name in ("tsne", "umap", "trimap", "pca")
    }
    assert panel == {"tsne": (0.97, 0.90), "umap": (0.95, 0.91), "trimap": (0.94, 0.92), "pca": (0.38, 1.00)}
