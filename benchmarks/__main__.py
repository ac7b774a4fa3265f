"""Run the benchmarks and write ``benchmarks/results.json``."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import pipeline, ssl_losses, ssl_training, triplets, views, words
from replearn_course.files import read_json, write_json

RESULTS = Path(__file__).with_name("results.json")
BENCHMARKS = {
    "triplets": triplets.rows,
    "ssl_losses": ssl_losses.rows,
    "ssl_training": ssl_training.rows,
    "pipeline": pipeline.rows,
    "views": views.rows,
    "words": words.rows,
}


def main() -> None:
    """Print each row as it comes, and replace it in the results unless ``--quick``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=BENCHMARKS, help="one benchmark instead of all")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; nothing is written")
    arguments = parser.parse_args()

    for name, rows in BENCHMARKS.items():
        if arguments.only not in (None, name):
            continue
        for row in rows(arguments.quick):
            mib = "" if row["ours_mib"] is None else f", {row['ours_mib']} against {row['peer_mib']} MiB"
            print(f"{row['name']}: {row['ours_s']} s against {row['peer_s']} s, {row['ratio']} times{mib}", flush=True)
            print(f"    {row['peer']}", flush=True)
            if not arguments.quick:
                _record(row)


def _record(row: dict) -> None:
    """Put the row in the place of the one of its name, at once: a run that is stopped keeps what it measured."""
    known = read_json(RESULTS) if RESULTS.exists() else []
    write_json(RESULTS, [r for r in known if r["name"] != row["name"]] + [row])


if __name__ == "__main__":
    main()
