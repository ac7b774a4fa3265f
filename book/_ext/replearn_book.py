"""Sphinx extension of the book: pages made from data while it builds, and links to the package's names.

The tables are written from the ledger and the benchmarks, and typed nowhere. They go into ``_generated``, beside the
pages that include them.
"""

from __future__ import annotations

import json
import pkgutil
import re
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import replearn_course
from replearn_course.files import atomic_write, read_csv
from replearn_course.results import format_value

# Leaves the rows that hold all the words, without a script and without a name of its own, as the slider does.
FILTER = """```{raw} html
<label class="replearn-filter">Show rows with <input type="search" placeholder="such as FaceNet accuracy" oninput="
const words=this.value.toLowerCase().split(/\\s+/),has=e=>words.every(w=>e.textContent.toLowerCase().includes(w));
for(const c of document.querySelectorAll('div.claims')){const rows=[...c.querySelectorAll('tbody tr')];
for(const r of rows)r.hidden=!has(r);c.hidden=rows.every(r=>r.hidden)}"></label>
```
"""

DOCUMENTS = {
    "D0": "Embedding of collections",
    "D1": "Self-supervised learning with VICReg",
    "D2": "Metric learning",
    "D3": "Siamese and triplet networks",
}
UNITS = {"fraction": "", "count": "", "ratio": "", "percent": "%"}
KINDS = {"result": "its own result", "quoted": "quoted from another paper", "fact": "a fact or setting"}

# The order of the API page: as data flows. A module that is not named here follows in alphabetical order.
FLOW = (
    "scale",
    "data",
    "networks",
    "losses",
    "methods",
    "words",
    "training",
    "probes",
    "experiments",
    "results",
    "plots",
    "slider",
    "wordmap",
    "checks",
)
NOT_API = {"cli", "ledger", "student_cli", "words_cli"}


def setup(app: Any) -> dict[str, Any]:
    app.connect("config-inited", lambda app, config: generate(Path(app.srcdir)))
    app.connect("missing-reference", resolve_own_name)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def generate(book: Path) -> None:
    """Write every generated page."""
    from replearn_course import results

    benchmarks = book.parent / "benchmarks" / "results.json"
    pages = {
        "measured": measured(results.results()),
        "claims": claims(results.claims()),
        "benchmarks": speed(json.loads(benchmarks.read_text()) if benchmarks.exists() else []),
        "word_vectors": word_vectors(
            *(
                read_csv(f) if (f := book.parent / "benchmarks" / name).exists() else []
                for name in ("words.csv", "growth.csv")
            )
        ),
        "api": api(),
        "motion": motion(book / "ch04_triplet.ipynb"),
    }
    for name, text in pages.items():
        path = book / "_generated" / f"{name}.md"
        if not path.exists() or path.read_text() != text:
            atomic_write(path, text)


def measured(rows: Sequence[Mapping[str, Any]]) -> str:
    """All measurements, beside what the documents claim: a table for each run, with what its rows share below it."""
    if not rows:
        return "No run is in the ledger yet. `replearn run mnist-triplet-2d --record` adds one.\n"
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        runs.setdefault((row["experiment"], row["scale"]), []).append(row)
    return "\n".join(measured_run(run) for run in runs.values())


def measured_run(rows: Sequence[Mapping[str, Any]]) -> str:
    run = rows[0]
    shown = table(
        ["Metric", "Claimed", "Measured"],
        (
            [
                escape(row["metric"]),
                claimed(row),
                escape(format_value(row["value"], row["spread"], row["unit"])),
            ]
            for row in rows
        ),
    )
    how = [run["data"], f"scale {run['scale']}", seeds(run["seeds"]), run["device"], str(run["date"])[:10]]
    return f"### {code(run['experiment'])}\n\n{shown}\n{escape(' · '.join(how))}. {escape(run['protocol'])}.\n"


def claimed(row: Mapping[str, Any]) -> str:
    """What the document says, and which; a dash where it says nothing."""
    text = escape(format_value(row["claimed"]))
    return text if row["claimed"] in (None, "") else f"{text} ({escape(row['document'])})"


def seeds(given: Any) -> str:
    """Write how many seeds, whether a run lists them or counts them."""
    count = len(given) if isinstance(given, Sequence) else int(given)
    return f"{count} seed{'s' if count > 1 else ''}"


def claims(rows: Sequence[Mapping[str, Any]]) -> str:
    """Every number of the documents, by document and place, with the protocols and our readings below each table."""
    parts = [FILTER]
    for document, title in DOCUMENTS.items():
        own = [row for row in rows if row["document"] == document]
        if not own:
            continue
        parts.append(f"### {document}: {title}\n\n{len(own)} numbers.\n")
        places: dict[str, list[Mapping[str, Any]]] = {}
        for row in own:
            places.setdefault(re.sub(r", rows? .*", "", row["place"]), []).append(row)
        parts.extend(claims_of_place(place, group) for place, group in places.items())
    return "\n".join(parts)


def claims_of_place(place: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """The numbers of one place; what all of them share stands below the table, as a column it would only repeat."""
    notes: dict[str, int] = {}
    lines = []
    for row in rows:
        note = notes.setdefault(row["reading"], len(notes) + 1) if row["reading"] else ""
        unit = f" {UNITS.get(row['unit'], escape(row['unit']))}".rstrip()
        system = ", ".join(filter(None, [escape(row["system"]), escape(row["dataset"])]))
        lines.append([system, escape(row["metric"]), value(row["value"], row["spread"]) + unit, kind(row), str(note)])
    columns = {"System, data": True, "Metric": True, "Value": True}
    columns["Kind"] = len({line[3] for line in lines}) > 1
    columns["Note"] = len({line[4] for line in lines}) > 1
    keep = [i for i, shown in enumerate(columns.values()) if shown]
    text = f"**{escape(place[:1].upper() + place[1:])}**\n\n"
    text += table([list(columns)[i] for i in keep], [[line[i] for i in keep] for line in lines])
    below = [] if columns["Kind"] else [f"{kind(rows[0])[:1].upper() + kind(rows[0])[1:]}."]
    below += [f"Protocol as stated: {escape(p)}." for p in dict.fromkeys(row["protocol"] for row in rows) if p]
    if notes and not columns["Note"]:
        below.append(escape(next(iter(notes))))
    text += "".join(f"\n{line}\n" for line in below)
    if columns["Note"]:
        text += "\n" + "".join(f"{i}. {escape(note)}\n" for note, i in notes.items())
    return f"::::{{container}} claims\n{text}::::\n"


def kind(row: Mapping[str, Any]) -> str:
    return escape(KINDS.get(row["kind"], row["kind"])) + (f": {escape(row['source'])}" if row.get("source") else "")


def motion(chapter: Path) -> str:
    """The first slider that a chapter recorded, for the home page."""
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"] if chapter.exists() else []
    pages = ["".join(o["data"].get("text/html", "")) for c in cells for o in c.get("outputs", []) if "data" in o]
    figure = next((page for page in pages if "replearn-slider" in page), "")
    return f"```{{raw}} html\n{figure}\n```\n"


def speed(rows: Sequence[Mapping[str, Any]]) -> str:
    """The benchmarks: ours beside the peer's, of one interleaved run."""
    if not rows:
        return "Not measured here yet: `make bench` writes `benchmarks/results.json`, and the next build shows it.\n"
    peers: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        peers.setdefault(row["peer"], []).append(row)
    text = "\n".join(speed_against(peer, group) for peer, group in peers.items())
    machines = dict.fromkeys((row["machine"], str(row["date"])[:10]) for row in rows)
    return text + "".join(f"\nMeasured on {escape(machine)}, {escape(date)}.\n" for machine, date in machines)


def speed_against(peer: str, rows: Sequence[Mapping[str, Any]]) -> str:
    columns = {
        "ours_s": "Ours, s",
        "peer_s": "Peer, s",
        "ratio": "Times faster",
        "ours_mib": "Ours, MiB",
        "peer_mib": "Peer, MiB",
    }
    measured = [key for key in columns if any(row.get(key) is not None for row in rows)]
    lines = ([escape(row["name"]), *(number(row.get(key)) for key in measured)] for row in rows)
    head = ["What", *(columns[key] for key in measured)]
    return f"**Against {escape(peer)}**\n\n{table(head, lines, numbers=len(measured))}"


def word_vectors(runs: Sequence[Mapping[str, str]], growth: Sequence[Mapping[str, str]]) -> str:
    """Word vectors by each side: what they are worth beside what they cost, and how the cost grows."""
    if not runs:
        return "Not measured here yet: `make bench` writes `benchmarks/words.csv`.\n"
    qualities = {"analogies": "Analogies", "wordsim353": "WordSim", "simlex999": "SimLex", "rare_words": "Rare words"}
    rates = {"words_per_second": "words/s", "words_per_cpu_second": "words/CPU s"}
    groups: dict[tuple[str, str], list[Mapping[str, str]]] = {}
    for row in runs:
        groups.setdefault((row["model"], row["system"]), []).append(row)
    lines = []
    for (model, system), of_side in groups.items():
        cells = [f"{escape(model)}, {of_side[0]['epochs']} ep.", escape(system), str(len(of_side))]
        for key, digits in [*((q, 3) for q in qualities), *((r, 0) for r in rates)]:
            numbers = [float(row[key]) for row in of_side if row[key]]
            mean = statistics.fmean(numbers) if digits else statistics.median(numbers)
            spread = f" ± {statistics.stdev(numbers):.{digits}f}" if digits and len(numbers) > 1 else ""
            cells.append(f"{mean:,.{digits}f}{spread}")
        lines.append(cells)
    head = ["Model", "Side", "Seeds", *qualities.values(), *rates.values()]
    text = table(head, lines, numbers=len(head) - 2)
    first = runs[0]
    text += f"\n{escape(first['data'])}; {escape(first['machine'])}, {first['threads']} threads, {first['gflops']} GFLOP/s; "
    text += f"{first['date']}. Means ± standard deviations, medians of the rates.\n"
    if growth:
        what = {"dimension": "dimensions", "vocabulary": "words of the vocabulary", "words": "words of text"}
        sizes: dict[tuple[str, int], dict[str, str]] = {}
        for row in growth:
            sizes.setdefault((row["grows"], int(row["size"])), {})[row["system"].split()[0]] = row["words_per_second"]
        rows = (
            [f"{size:,} {what[grows]}", *(f"{int(rate[s]):,}" if s in rate else "–" for s in ("ours", "gensim"))]
            for (grows, size), rate in sizes.items()
        )
        text += f"\n**How the cost grows**\n\n{table(['One epoch of skip-gram', 'Ours, words/s', 'gensim'], rows, numbers=2)}"
    return text


def api() -> str:
    """One section for each public module that the package has."""
    found = {m.name for m in pkgutil.iter_modules(replearn_course.__path__) if m.name[0] != "_"} - NOT_API
    order = [name for name in FLOW if name in found] + sorted(found.difference(FLOW))
    return "\n".join(
        f"## {name}\n\n```{{eval-rst}}\n.. automodule:: replearn_course.{name}\n   :members:\n```\n" for name in order
    )


def resolve_own_name(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Resolve what Sphinx cannot: a name of the package that is public elsewhere, or that the page does not show.

    ``replearn_course.losses.triplet.TripletLoss`` (where it is defined) links to ``replearn_course.losses.TripletLoss``
    (where it is public). Constants and type aliases stay plain code. A name that the package lacks stays an error.
    """
    from sphinx.util.nodes import make_refnode

    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    package, *path = target.split(".") if target.startswith("replearn_course.") else ["", target]
    name = path[-1]
    for end in range(1, len(path)):
        public = ".".join([package, *path[:end], name])
        if entry := env.get_domain("py").objects.get(public):
            return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, public)
    modules = [module for key, module in sys.modules.items() if key.startswith("replearn_course.")]
    return contnode if any(hasattr(module, name) for module in modules) else None


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers: int = 0) -> str:
    """A Markdown table of cells that are Markdown already; the last columns, so many, hold numbers and end in line."""
    lines = [head, ["---"] * (len(head) - numbers) + ["---:"] * numbers, *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def escape(text: Any) -> str:
    """Plain text as Markdown that shows it."""
    return re.sub(r"([\\`*_{}\[\]<>$|#~^])", r"\\\1", str(text if text is not None else "").replace("\n", " "))


def code(text: Any) -> str:
    return f"`{text}`"


def number(cell: Any) -> str:
    """A number to four significant digits; text, which says its own precision, as it stands."""
    return f"{cell:.4g}" if isinstance(cell, float) else escape(cell)


def value(cell: Any, spread: Any = None) -> str:
    return number(cell) + (f" ± {number(spread)}" if spread not in (None, "") else "")
