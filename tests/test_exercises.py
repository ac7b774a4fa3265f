"""The exercises: generated files, checks, wrong answers, and the student's commands."""

from __future__ import annotations

import collections
import copy
import doctest
import inspect
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
import torch
import typer
from typer.testing import CliRunner
from wrong_answers import WRONG, ch02, ch03, ch04, ch08, ch09, ch10, ch11, ch12  # noqa: F401  # importing them fills WRONG

from replearn_course import student
from replearn_course.checks import check
from replearn_course.checks.core import NOT_DONE, exercises, run, run_one
from replearn_course.errors import ReplearnError
from replearn_course.exercises import chapters, resolve
from replearn_course.student_cli import register

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))
import make_exercises  # noqa: E402

NAMES = list(exercises())
SOLVED = {c.name: student.load(ROOT / "solutions" / c.file) for c in chapters().values()}
UNTOUCHED = {c.name: student.load(ROOT / "exercises" / c.file) for c in chapters().values()}


def answer(loaded, name):
    chapter, short = name.split(".")
    return loaded[chapter].names[short]


# The five invariants.


def test_generated_files_are_up_to_date():
    assert make_exercises.drifted() == []


def test_drift_is_named(tmp_path, capsys):
    for folder in ("solutions", "exercises"):
        (tmp_path / folder).mkdir()
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    for chapter in chapters().values():
        (tmp_path / "solutions" / chapter.file).write_text(chapter.source)
    assert make_exercises.main([], root=tmp_path) == 0
    assert make_exercises.main(["--check"], root=tmp_path) == 0
    (tmp_path / "exercises" / "ch04_triplet.py").write_text("edited")
    (tmp_path / "exercises" / "ch99_stray.py").write_text("")
    assert make_exercises.main(["--check"], root=tmp_path) == 1
    err = capsys.readouterr().err
    assert "ch04_triplet.py" in err
    assert "ch99_stray.py" in err
    assert "ch03_siamese" not in err


def test_every_exercise_has_checks_hints_and_a_text():
    assert sorted(NAMES) == sorted(name for c in chapters().values() for name in c.exercises)
    for chapter in chapters().values():
        assert len(chapter.exercises) >= 4
        for name in chapter.exercises:
            assert 2 <= len(chapter.hints(name)) <= 3
            assert f'check("{name}", {name.split(".")[1]})' in chapter.source


@pytest.mark.parametrize("name", NAMES)
def test_untouched_fails_every_check_with_not_done_yet(name):
    assert UNTOUCHED[name.split(".")[0]].error == ""
    for one in exercises()[name]:
        outcome = run_one(one, answer(UNTOUCHED, name))
        assert (outcome.passed, outcome.message) == (False, NOT_DONE), one.name


@pytest.mark.parametrize("name", NAMES)
def test_solution_passes_every_check(name):
    result = run(name, answer(SOLVED, name))
    assert result.passed, str(result)


@pytest.mark.parametrize("one", WRONG, ids=lambda w: f"{w.exercise}-{w.fn.__name__}")
def test_wrong_answer_is_rejected_with_a_hint_that_names_the_mistake(one):
    result = run(one.exercise, one.fn)
    assert not result.passed
    assert result.outcomes[-1].check == one.check
    assert one.word in result.outcomes[-1].hint


def test_at_least_three_wrong_answers_each():
    counts = collections.Counter(w.exercise for w in WRONG)
    assert all(counts[name] >= 3 for name in NAMES), counts


@pytest.mark.parametrize("name", NAMES)
def test_each_check_alone_catches_some_wrong_answer(name):
    caught_alone = set()
    for one in (w for w in WRONG if w.exercise == name):
        failed = [c.name for c in exercises()[name] if not run_one(c, one.fn).passed]
        if len(failed) == 1:
            caught_alone.update(failed)
    assert caught_alone == {c.name for c in exercises()[name]}


# What checks must accept, survive and leave alone.


def test_other_right_answers_pass():
    def triplet_loss(anchor, positive, negative, margin=1.0):
        return torch.nn.functional.triplet_margin_loss(anchor, positive, negative, margin=margin, eps=0.0)

    def verification_auc(distances, same):
        near = [d for d, s in zip(distances.tolist(), same.tolist(), strict=True) if s]
        far = [d for d, s in zip(distances.tolist(), same.tolist(), strict=True) if not s]
        return sum((a < b) + 0.5 * (a == b) for a in near for b in far) / (len(near) * len(far))

    def recall_at_k(z, labels, k):
        hits = []
        for q in range(len(z)):
            others = sorted((float((z[q] - z[i]).norm()), i) for i in range(len(z)) if i != q)
            if (labels == labels[q]).sum() > 1:
                hits.append(any(labels[i] == labels[q] for _, i in others[:k]))
        return sum(hits) / len(hits)

    assert check("ch03.pairwise_distances", torch.cdist).outcomes[-1].check == "near points far from the origin"
    assert check("ch03.pairwise_distances", lambda x, y: torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist"))
    assert check("ch04.triplet_loss", triplet_loss)
    assert check("ch03.verification_auc", verification_auc)
    assert check("ch04.recall_at_k", recall_at_k)


def test_other_right_answers_of_chapter_2_pass():
    def keep_probability(counts, sample):
        threshold = sample * int(counts.sum())  # as word2vec.c computes it
        return torch.tensor([min(1.0, ((c / threshold) ** 0.5 + 1) * threshold / c) for c in counts.tolist()])

    def character_ngrams(word, least=3, most=6):
        marked = "<" + word + ">"
        ends = {n: range(n, len(marked) + 1) for n in range(least, most + 1)}
        return tuple(marked[end - n : end] for n in ends for end in ends[n] if n < len(marked))

    def skipgram_pairs(ids, widths):  # tables (T, 2W + 1)
        offsets = torch.cat([torch.arange(-int(widths.max()), 0), torch.arange(1, int(widths.max()) + 1)])
        context = torch.arange(len(ids))[:, None] + offsets
        inside = (offsets.abs() <= widths[:, None]) & (context >= 0) & (context < len(ids))
        return torch.stack([ids.repeat_interleave(inside.sum(1)), ids[context[inside]]], 1)

    def skipgram_pairs_by_slices(ids, widths):  # as many operations as the window is wide
        pairs, places = [], torch.arange(len(ids))
        for offset in range(1, int(widths.max()) + 1):
            for centre, context in ((places[offset:], places[:-offset]), (places[:-offset], places[offset:])):
                near = widths[centre] >= offset
                pairs.append(torch.stack([centre[near], context[near]], 1))
        found = torch.cat(pairs)
        return ids[found[(found[:, 0] * len(ids) + found[:, 1]).argsort()]]

    def unseen_vector(word, rows, least=3, most=6):
        total, count = 0 * next(iter(rows.values())), 0
        for ngram in character_ngrams(word, least, most):
            if ngram in rows:
                total, count = total + rows[ngram], count + 1
        return total / max(count, 1)

    def negative_sampling_loss(v, u, negatives):
        scores = torch.cat([-u[:, None], negatives], dim=1) @ v[:, :, None]
        return torch.logaddexp(scores, torch.zeros(())).sum() / len(v)

    def spearman(x, y):
        def ranks(values):
            ordered = sorted(values.tolist())
            return [ordered.index(v) + (ordered.count(v) + 1) / 2 for v in values.tolist()]

        return torch.corrcoef(torch.tensor([ranks(x), ranks(y)]))[0, 1]

    def negative_sampling_gradient(v, u, negatives):
        by_v, by_u, by_negatives = torch.zeros_like(v), torch.zeros_like(u), torch.zeros_like(negatives)
        for b, centre in enumerate(v):
            for target, row, by_row in [
                (1, u[b], by_u[b]),
                *((0, n, by_negatives[b, k]) for k, n in enumerate(negatives[b])),
            ]:
                error = ((centre @ row).sigmoid() - target) / len(v)
                by_v[b] += error * row
                by_row += error * centre
        return [by_v, by_u, by_negatives]

    assert check("ch02.keep_probability", keep_probability)
    assert check("ch02.character_ngrams", character_ngrams)
    assert check("ch02.skipgram_pairs", skipgram_pairs)
    assert check("ch02.skipgram_pairs", skipgram_pairs_by_slices)
    assert check("ch02.unseen_vector", unseen_vector)
    assert check("ch02.negative_sampling_loss", negative_sampling_loss)
    assert check("ch02.spearman", spearman)
    assert check("ch02.negative_sampling_gradient", negative_sampling_gradient)


def raises(*_args, **_kwargs):
    raise KeyError("what")


def leaves(*_args, **_kwargs):
    sys.exit(3)


def mute(*_args, **_kwargs):
    return None


def shaped(*_args, **_kwargs):
    return torch.zeros(7, 7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (raises, "KeyError: 'what'\n          at line"),
        (leaves, "SystemExit"),
        (mute, "got None"),
        (shaped, "expected"),
        (lambda: None, "TypeError"),
        (5, "expected a function, got int"),
        (lambda *a, **k: "text", "got str"),
    ],
)
def test_check_never_raises_and_says_what_came(name, fn, said, capsys):
    result = check(name, fn)
    assert not result.passed
    assert result.status == "wrong"
    assert said in capsys.readouterr().out


def test_other_right_answers_of_chapters_11_and_12_pass():
    def variance_term(z, target=1.0, eps=1e-4):
        centred = z - z.mean(0)
        return torch.relu(target - torch.sqrt(centred.square().sum(0) / (len(z) - 1) + eps)).mean()

    def invariance_term(z):
        return 2 * (z - z.mean(0)).square().sum(2).mean(1).sum() / (len(z) - 1)

    def covariance_term(z):
        covariance = torch.cov(z.T)
        return covariance.fill_diagonal_(0).square().sum() / len(covariance)

    def coding_rate(z, eps_squared=0.2):
        factor = z.shape[1] / (len(z) * eps_squared)
        return (1 + factor * torch.linalg.svdvals(z).square()).log().sum() / 2

    def embedding_at_the_floor(n, copies):  # Helmert's columns, each beside its copies
        columns = torch.ones(n, n, dtype=torch.float64).triu(1) - torch.diag(torch.arange(n, dtype=torch.float64))
        columns = torch.nn.functional.normalize(columns[:, 1:], dim=0) * (n - 1) ** 0.5
        return columns.repeat_interleave(copies, dim=1)

    def label_fraction(labels, fraction, generator):  # one shuffle of all images
        order = torch.randperm(len(labels), generator=generator)
        members = [order[labels[order] == c] for c in labels.unique()]
        if any(round(fraction * len(m)) == 0 for m in members):
            raise ValueError("a class without images")
        return torch.cat([m[: round(fraction * len(m))] for m in members]).sort().values

    def label_fraction_rounding_half_up(labels, fraction, generator):
        chosen = []
        for c in labels.unique():
            members = (labels == c).nonzero()[:, 0]
            count = int(fraction * len(members) + 0.5)
            if count == 0:
                raise ValueError("a class without images")
            chosen.append(members[torch.randperm(len(members), generator=generator)[:count]])
        return torch.cat(chosen)

    def frozen_features(encoder, images):
        return copy.deepcopy(encoder).eval()(images).detach()

    def fine_tuning_groups(model, head, encoder_lr, head_lr):  # a group for each parameter
        of_head = {id(p) for p in head.parameters()}
        return [{"params": p, "lr": head_lr if id(p) in of_head else encoder_lr} for p in model.parameters()]

    def seen_before(train, test):
        _, content = torch.cat([train, test]).flatten(1).unique(dim=0, return_inverse=True)
        return torch.isin(content[len(train) :], content[: len(train)])

    def mcnemar(right_a, right_b):  # by logarithms
        n, rarer = (right_a != right_b).sum(), min((right_a & ~right_b).sum(), (right_b & ~right_a).sum())
        k = torch.arange(int(rarer) + 1).double()
        logs = torch.lgamma(n + 1.0) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1) - n * torch.tensor(2.0).log()
        return (2 * logs.exp().sum()).clamp(max=1)

    assert check("ch11.variance_term", variance_term)
    assert check("ch11.invariance_term", invariance_term)
    assert check("ch11.covariance_term", covariance_term)
    assert check("ch11.coding_rate", coding_rate)
    assert check("ch11.embedding_at_the_floor", embedding_at_the_floor)
    assert check("ch12.label_fraction", label_fraction)
    assert check("ch12.label_fraction", label_fraction_rounding_half_up)
    assert check("ch12.frozen_features", frozen_features)
    assert check("ch12.fine_tuning_groups", fine_tuning_groups)
    assert check("ch12.seen_before", seen_before)
    assert check("ch12.mcnemar", mcnemar)


def test_a_loop_without_end_is_stopped(monkeypatch):
    def random_triplets(labels, n, generator):
        positive = anchor = int(torch.randint(len(labels), (1,), generator=generator))
        while True:
            try:
                positive += anchor
            except Exception:
                break

    monkeypatch.setattr("replearn_course.checks.core.TIME_LIMIT", 0.1)
    outcome = run("ch04.random_triplets", random_triplets).outcomes[-1]
    assert not outcome.passed
    assert "never ends" in outcome.message
    assert "at line" in outcome.message


def test_shapes_are_named(capsys):
    assert not check("ch03.pairwise_distances", lambda x, y: torch.zeros(2, 3))
    out = capsys.readouterr().out
    assert "expected shape (3, 2), got shape (2, 3)" in out
    assert "in <lambda>([[0, 0], [1, 2], [-1, 0.5]], [[3, 4], [0, -2]])" in out


def test_strings_and_rows_are_shown(capsys):
    check("ch02.character_ngrams", lambda word, least=3, most=6: [0] * 20)
    out = capsys.readouterr().out
    assert "expected ['<whe', 'wher', 'here', 'ere>', '<wher', 'where', 'here>']\n" in out
    assert f"got      [{'0, ' * 12}...]\n" in out
    assert "in <lambda>('where', 4, 5)" in out
    check("ch02.unseen_vector", lambda word, rows, least=3, most=6: torch.zeros(2))
    assert "in <lambda>('cat', {'<ca': [2, 0], 'cat': [0, 4], " in capsys.readouterr().out


def test_cut_graph_is_named(capsys):
    right = answer(SOLVED, "ch04.batch_all_sorted")
    check("ch04.batch_all_sorted", lambda z, labels, margin: right(z, labels, margin).detach())
    assert "no gradient" in capsys.readouterr().out


def test_unknown_exercise_suggests_the_nearest(capsys):
    result = check("ch04.tripletloss", mute)
    assert not result.passed
    assert "did you mean 'ch04.triplet_loss'" in capsys.readouterr().out


def test_global_random_state_is_left_alone():
    torch.manual_seed(0)
    want = torch.rand(1)
    torch.manual_seed(0)
    check("ch04.random_triplets", next(w.fn for w in WRONG if w.fn.__name__ == "negatives_by_global_chance"))
    assert torch.rand(1) == want


def test_the_docstrings_examples_are_true():
    for chapter, loaded in SOLVED.items():
        for name, fn in loaded.names.items():
            if inspect.isfunction(fn) and fn.__module__ == Path(chapters()[chapter].file).stem:
                found = doctest.DocTestFinder().find(fn, name, globs=dict(loaded.names))
                assert sum(len(t.examples) for t in found) >= 1
                for test in found:
                    assert doctest.DocTestRunner().run(test).failed == 0


# Notebooks.


@pytest.mark.parametrize("chapter", chapters().values(), ids=lambda c: c.name)
def test_untouched_notebook_runs_to_its_end(chapter, capsys):
    notebook = nbformat.reads((ROOT / "exercises" / chapter.file).with_suffix(".ipynb").read_text(), as_version=4)
    nbformat.validate(notebook)
    assert len({c["id"] for c in notebook.cells}) == len(notebook.cells)
    space = {"__name__": "__main__"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, space)
    assert capsys.readouterr().out.count(NOT_DONE) == len(chapter.exercises)


@pytest.mark.parametrize("chapter", chapters().values(), ids=lambda c: c.name)
def test_exercises_hold_no_solution(chapter):
    for text in (chapter.script(), chapter.notebook("https://example.org/a/b")):
        assert "SOLUTION" not in text
        assert text.count("NotImplementedError") == len(chapter.exercises) + 1  # and once in the introduction
    for name in chapter.exercises:
        body = chapter.solution(name).split('"""')[-1].strip().splitlines()
        assert not any(line.strip() in chapter.script() for line in body if len(line) > 30)


def test_on_colab_the_install_cell_keeps_torch(monkeypatch):
    called = []
    monkeypatch.setitem(sys.modules, "google.colab", sys)
    monkeypatch.setattr("subprocess.run", lambda command, **_: called.append(command))
    source = json.loads(chapters()["ch04"].notebook("https://example.org/a/b"))["cells"][0]["source"]
    exec("".join(source), {})
    (command,) = called
    assert "replearn-course @ git+https://example.org/a/b" in command
    assert f"torch=={version('torch')}" in command


# The student's commands.

app = typer.Typer()
register(app)


def replearn(*args):
    return CliRunner().invoke(app, [str(a) for a in args])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    assert replearn("init", tmp_path / "mine").exit_code == 0
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def solve(folder, *names):
    """Write the course's solutions of some exercises into the student's files."""
    for name in names:
        chapter = chapters()[name.split(".")[0]]
        path = folder / chapter.file
        body = chapter.solution(name).rsplit('"""', 1)[1]
        head = path.read_text().index(f"def {name.split('.')[1]}(")
        text = path.read_text()
        path.write_text(text[:head] + text[head:].replace('\n    raise NotImplementedError("not done yet")', body, 1))


def test_init_keeps_what_is_there(folder):
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        f"{Path(c.file).stem}{end}" for c in chapters().values() for end in (".py", ".ipynb")
    )
    (folder / "ch03_siamese.py").write_text("mine")
    (folder / "ch04_triplet.py").unlink()
    out = replearn("init", folder).output
    assert "kept" in out
    assert (folder / "ch03_siamese.py").read_text() == "mine"
    assert (folder / "ch04_triplet.py").read_text() == chapters()["ch04"].script()


def test_init_where_a_file_stands(tmp_path):
    (tmp_path / "file").write_text("")
    error = replearn("init", tmp_path / "file").exception
    assert isinstance(error, ReplearnError)
    assert "file" in str(error)


def test_check_untouched_solved_and_wrong(folder):
    result = replearn("check")
    assert result.exit_code == 1
    assert result.output.count(NOT_DONE) == len(NAMES)
    solve(folder, "ch04.triplet_loss")
    for target in ("ch04.triplet_loss", "triplet_loss"):
        result = replearn("check", target)
        assert result.exit_code == 0
        assert result.output == "ch04.triplet_loss: passed, all 4 checks\n"
    path = folder / "ch04_triplet.py"
    path.write_text(path.read_text().replace(".clamp(min=0).mean()", ".mean().clamp(min=0)"))
    result = replearn("check", "ch04_triplet.py")
    assert result.exit_code == 1
    assert "Hint: the hinge comes after the mean" in result.output


def test_check_of_a_file_that_does_not_load(folder):
    path = folder / "ch04_triplet.py"
    whole = path.read_text()
    path.write_text(whole.replace("import torch\n", "import torch\nimport torhc\n", 1))
    output = replearn("check", "triplet_loss").output
    assert "ModuleNotFoundError: No module named 'torhc'" in output
    assert "ch04_triplet.py, line" in output
    assert "import torhc" in output
    path.write_text(whole.replace("def batch_hard(", "def batch_hard((", 1))
    output = replearn("check", "triplet_loss").output
    assert "SyntaxError" in output
    assert "def batch_hard((" in output
    path.write_text(whole.replace("def batch_hard(", "def batch_harder(", 1).replace("batch_hard)", "batch_harder)"))
    assert "no function batch_hard in" in replearn("check", "batch_hard").output


def test_an_error_at_the_end_leaves_the_functions_above_it(folder):
    solve(folder, "ch04.triplet_loss")
    path = folder / "ch04_triplet.py"
    path.write_text(path.read_text() + "\n1 / 0\n")
    assert replearn("check", "triplet_loss").exit_code == 0


def test_unknown_targets_and_folders(folder, tmp_path, monkeypatch):
    for command in ("check", "hint", "reset", "solution", "watch"):
        error = replearn(command, "triplet_los").exception
        assert isinstance(error, ReplearnError), command
        assert "triplet_loss" in str(error)
    monkeypatch.chdir(tmp_path)
    for command in ("check", "progress", "watch"):
        error = replearn(command).exception
        assert isinstance(error, ReplearnError)
        assert "replearn init" in str(error)
    assert replearn("progress", "--dir", folder).exit_code == 0


def test_hint_goes_on_step_by_step():
    first, second = replearn("hint", "triplet_loss"), replearn("hint", "ch04.triplet_loss", 2)
    assert "hint 1 of 2" in first.output
    assert "replearn hint ch04.triplet_loss 2" in first.output
    assert "hinge" in second.output
    assert "replearn hint" not in second.output
    assert "hints 1 to 2" in str(replearn("hint", "triplet_loss", 3).exception)
    assert "expected one" in str(replearn("hint", "ch04").exception)


def test_progress(folder):
    solve(folder, *chapters()["ch02"].exercises, "ch03.one_shot", "ch03.pairwise_distances")
    path = folder / "ch03_siamese.py"
    path.write_text(path.read_text().replace("distances.argmin(dim=1)", "distances.argmax(dim=1)"))
    rows = json.loads(replearn("progress", "--json").output)
    by_name = {r["exercise"]: r for r in rows}
    assert list(by_name) == [n for c in chapters().values() for n in c.exercises]
    assert by_name["ch03.pairwise_distances"]["status"] == "passed"
    assert by_name["ch03.one_shot"] == {
        "exercise": "ch03.one_shot",
        "chapter": "ch03",
        "status": "wrong",
        "checks_passed": 0,
        "checks": 3,
    }
    output = replearn("progress").output
    assert "Words: 7 of 7 done" in output
    assert "Siamese networks: 1 of 6 done" in output
    assert "Next: ch03.one_shot, ch03_siamese.py line" in output


def test_reset_of_one_exercise_keeps_the_others_and_a_copy(folder):
    path = folder / "ch04_triplet.py"
    solve(folder, "ch04.triplet_loss", "ch04.batch_hard")
    path.write_text("# my notes\n" + path.read_text())
    before = path.read_text()
    output = replearn("reset", "ch04.triplet_loss").output
    assert "ch04_triplet.py.1.bak" in output
    assert (folder / "ch04_triplet.py.1.bak").read_text() == before
    assert path.read_text().startswith("# my notes\n")
    assert replearn("check", "triplet_loss").output.strip().endswith(NOT_DONE)
    assert replearn("check", "batch_hard").exit_code == 0
    assert "nothing to reset" in replearn("reset", "ch04.triplet_loss").output
    replearn("reset", "ch04")
    assert path.read_text() == chapters()["ch04"].script()
    assert (folder / "ch04_triplet.py.2.bak").exists()


def test_reset_mends_what_cannot_be_parsed(folder):
    path = folder / "ch03_siamese.py"
    path.write_text(path.read_text().replace("def one_shot(", "def one_shot((("))
    replearn("reset", "one_shot")
    assert path.read_text() == chapters()["ch03"].script()
    path.write_text("")
    assert "replearn reset ch03" in str(replearn("reset", "one_shot").exception)


def test_solution_after_a_pass_or_on_request(folder):
    refused = replearn("solution", "triplet_loss")
    assert refused.exit_code == 1
    assert "clamp" not in refused.output
    assert "clamp" in replearn("solution", "triplet_loss", "--force").output
    solve(folder, "ch04.triplet_loss")
    shown = replearn("solution", "triplet_loss")
    assert shown.exit_code == 0
    assert "clamp(min=0).mean()" in shown.output
    assert "SOLUTION" not in shown.output


def after_some_looks(monkeypatch, *edits):
    """Instead of each sleep of `watch`, run the next edit; Ctrl-C after the last."""
    left = list(edits)

    def sleep(_seconds):
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    monkeypatch.setattr(time, "sleep", sleep)


def test_watch_checks_what_changed_until_ctrl_c(folder, monkeypatch):
    path = folder / "ch04_triplet.py"

    def touch():
        os.utime(path, ns=(1, 1))

    def gone():
        path.rename(folder / "elsewhere")

    def back_with_another_import():
        (folder / "elsewhere").rename(path)
        path.write_text("\n" + path.read_text().replace("import torch\n", "import torch\nimport math\n", 1))

    after_some_looks(
        monkeypatch, lambda: None, lambda: solve(folder, "ch04.triplet_loss"), touch, gone, back_with_another_import
    )
    result = replearn("watch", "ch04")
    assert result.exit_code == 0
    assert "0 of 6 exercises pass" in result.output
    assert result.output.count("ch04.triplet_loss: passed") == 3  # the edit, the save without a change, the import
    assert result.output.count(NOT_DONE) == 0
    assert "Next: ch04.recall_at_k" in result.output
    assert result.output.endswith("Watching ended.\n")


def test_check_with_watch_is_watch(folder, monkeypatch):
    after_some_looks(monkeypatch)
    assert "Ctrl-C ends" in replearn("check", "ch03", "--watch").output


def test_resolve():
    assert resolve("ch04") == chapters()["ch04"].exercises == resolve("some/ch04_triplet.py")
    assert resolve("batch_hard") == ["ch04.batch_hard"]


def test_checks_import_nothing_slow():
    code = (
        "import sys, replearn_course.checks.core as c;"
        "[c.run_one(one, lambda *a, **k: 0) for of_one in c.exercises().values() for one in of_one];"
        "heavy = ('torchvision', 'sklearn', 'scipy', 'pandas', 'matplotlib', 'torch._dynamo');"
        "slow = [m for m in heavy if m in sys.modules];"
        "sys.exit(', '.join(slow) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_wheel_carries_the_sources_inside_the_package(tmp_path):
    package = tmp_path / "site" / "replearn_course"
    shutil.copytree(ROOT / "replearn_course", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "solutions", package / "_solutions", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        f"from pathlib import Path; from replearn_course import student; student.init(Path({str(tmp_path / 'mine')!r}))"
    )
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(tmp_path / "site")}, check=True)
    assert (tmp_path / "mine" / "ch04_triplet.py").read_text() == chapters()["ch04"].script()
    notebook = (tmp_path / "mine" / "ch04_triplet.ipynb").read_text()
    assert notebook == (ROOT / "exercises" / "ch04_triplet.ipynb").read_text()


def test_commands_that_check_nothing_do_not_import_torch(tmp_path):
    code = (
        "import sys, typer; from replearn_course.student_cli import register; app = typer.Typer(); register(app);"
        f"app(['init', {str(tmp_path / 'mine')!r}], standalone_mode=False);"
        "app(['hint', 'triplet_loss'], standalone_mode=False);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
