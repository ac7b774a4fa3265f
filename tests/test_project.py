"""The files around the package agree with each other, and say nothing of the machine they were written on."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def requirements(*extras: str) -> dict[str, Requirement]:
    """The core requirements and those of ``extras``, by name, with extras of the project's own unfolded."""
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    found = {}
    for requirement in map(Requirement, lines):
        if requirement.name == PROJECT["name"]:
            found |= requirements(*requirement.extras)
        else:
            found[canonicalize_name(requirement.name)] = requirement
    return found


# -- dependencies ------------------------------------------------------------------------------------------------------


def test_environment_yml_lists_what_pyproject_does():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == "replearn"
    assert environment["channels"] == ["conda-forge"]
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert [d for d in environment["dependencies"] if isinstance(d, str)] == [
        f"python{PROJECT['requires-python']}",
        "pip",
    ]
    assert "-e ." in pip
    listed = [Requirement(line) for line in pip if line != "-e ."]
    assert len({r.name for r in listed}) == len(listed), "a package is listed twice"
    ours = {canonicalize_name(r.name): str(r.specifier) for r in listed}
    assert ours == {name: str(r.specifier) for name, r in requirements("dev").items()}


def test_dev_brings_every_extra():
    assert requirements("dev") == requirements(*PROJECT["optional-dependencies"])


def test_bounds_are_lower_bounds():
    # Colab must keep its own torch, torchvision and numpy. Jupyter Book 2 is another program.
    for name, requirement in requirements("dev").items():
        operators = {s.operator for s in requirement.specifier}
        assert operators == ({">=", "<"} if name == "jupyter-book" else {">="}), str(requirement)
        assert requirement.url is None, str(requirement)


def test_lock_names_every_dependency_with_hashes_and_no_address():
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for address in ("://", "file:", "--index-url", "--extra-index-url", "--find-links", " @ "):
        assert address not in text, f"requirements.lock holds {address!r}"
    entries = [entry for entry in text.replace("\\\n", " ").splitlines() if entry.strip() and entry[0] != "#"]
    locked: dict[str, list[Requirement]] = {}
    for entry in entries:
        line, *hashes = entry.split(" --hash=")
        assert hashes, f"no hash: {line}"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h.strip()) for h in hashes), f"not a SHA-256: {line}"
        requirement = Requirement(line)
        locked.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    for name, requirement in requirements("dev").items():
        assert name in locked, f"{name} is not in requirements.lock: run `make lock`"
        for pin in locked[name]:
            (version,) = [s.version for s in pin.specifier if s.operator == "=="]
            assert requirement.specifier.contains(version, prereleases=True), f"{pin} is outside of {requirement}"


# -- files -------------------------------------------------------------------------------------------------------------


def test_no_file_names_a_path_of_the_machine():
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    # In pieces, for this file is searched too; a name before the slash makes it part of an address or of a longer path.
    folders = "|".join(["work/", "root/", "farm/", "tmp/bash", "tmp/data"])
    machine = re.compile(rf"(?<![\w.~$}}*)-])/(?:{folders})|\.\./" + r"shared\b")
    found = []
    for name in filter(None, names):
        path = ROOT / name
        if path.is_file() and b"\0" not in (raw := path.read_bytes()):
            for number, line in enumerate(raw.decode("utf-8", errors="replace").splitlines(), 1):
                if match := machine.search(line):
                    found.append(f"{name}:{number}: {match[0]}")
    assert found == []


def test_licences_are_there_and_named():
    assert PROJECT["license"] == "MIT AND CC-BY-4.0"
    mit, text = ((ROOT / name).read_text(encoding="utf-8") for name in PROJECT["license-files"])
    assert mit.startswith("MIT License")
    assert "CC-BY-4.0" in text
    assert all("2026 The replearn authors" in licence for licence in (mit, text))


def test_citation_and_changelog_have_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert citation["version"] == PROJECT["version"]
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in PROJECT["authors"]]
    assert PROJECT["version"] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted((ROOT / ".github/workflows").glob("*.yml")), ids=lambda p: p.name)
def test_workflows_use_what_the_makefile_has(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}, "writing is for the one job that needs it"
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in workflow["jobs"].values():
        assert "timeout-minutes" in job
        for step in job["steps"]:
            for target in re.findall(r"\bmake ([a-z]+)", step.get("run", "")):
                assert re.search(rf"^{target}:", makefile, re.M), f"no such target: make {target}"


# -- imports -----------------------------------------------------------------------------------------------------------


def modules_after(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``statement``."""
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import replearn_course", {"torch", "torchvision", "sklearn", "matplotlib", "pandas", "numpy", "IPython"}),
        ("import replearn_course.cli", {"torch", "torchvision", "sklearn", "matplotlib", "pandas", "IPython"}),
        ("import replearn_course.checks", {"torchvision", "sklearn", "matplotlib", "pandas", "torch._dynamo"}),
    ],
)
def test_an_import_is_light(statement, heavy):
    assert modules_after(statement) & heavy == set()
