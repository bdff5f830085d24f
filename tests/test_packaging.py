"""The package as it is installed: safe version ranges, tested versions inside them, and a wheel with all its parts."""

import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.source_tree import PACKAGE, ROOT, read_package

# package -> versions with a known hole that our range must leave out, and what the hole is
UNSAFE: dict[str, dict[str, str]] = {
    "torch": {
        "2.5.1": "CVE-2025-32434: a weights-only load executes code",
        "2.9.1": "CVE-2026-24747: a weights-only load corrupts memory",
    },
    "pytorch-lightning": {
        "2.6.0": "CVE-2026-31221: a checkpoint is unpickled",
        "2.6.2": "CVE-2026-44484: a hijacked release that steals credentials",
        "2.6.3": "CVE-2026-44484: a hijacked release that steals credentials",
        "2.6.5": "CVE-2026-58659: a checkpoint's hyper-parameter is imported and called",
    },
    "omegaconf": {"2.3.0": "alias expansion without a bound"},
    "PyYAML": {"5.3.1": "CVE-2020-14343: a full load constructs objects"},
    "datasets": {"3.6.0": "runs the scripts of data sets"},
    "safetensors": {"0.8.0rc0": "saving over the file that is open leaves zeros"},
    "tokenizers": {"0.23.2": "panics on crafted files"},
    "transformers": {
        "4.57.6": "CVE-2026-1839: random states are unpickled",
        "5.2.0": "CVE-2026-4372: a config field downloads and runs code",
    },
    "jinja2": {"3.1.5": "CVE-2025-27516: a template leaves the sandbox by the attr filter"},
    "wandb": {"0.28.0": "deadlocks; keys in debug logs"},
}

# what comes in the wheel of another distribution
SHIPPED_WITHIN = {"lightning_fabric"}  # of pytorch-lightning
# the import name where it is not the distribution's
IMPORT_NAMES = {
    "huggingface-hub": "huggingface_hub",
    "pytorch-lightning": "pytorch_lightning",
    "pyyaml": "yaml",
    "backports-zstd": "backports",
}


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def requirements(*extras: str) -> dict[str, Requirement]:
    """Requirements of the package and of the named extras, by canonical name."""
    project = pyproject()["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return {canonicalize_name(requirement.name): requirement for requirement in map(Requirement, lines)}


def constraint_lines() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def constraints() -> dict[str, Version]:
    pairs = (line.split("==") for line in constraint_lines())
    return {canonicalize_name(name): Version(version) for name, version in pairs}


EXTRAS = tuple(name for name in pyproject()["project"]["optional-dependencies"] if name not in ("test", "all"))
"""What the package itself may import where it is installed."""
EVERYTHING = requirements(*EXTRAS, "test")


# --------------------------------------------------------------------------------------------------------- the versions


@pytest.mark.parametrize("name, version", [(name, version) for name in UNSAFE for version in UNSAFE[name]])
def test_ranges_leave_out_unsafe_versions(name: str, version: str) -> None:
    requirement = EVERYTHING[canonicalize_name(name)]
    assert not requirement.specifier.contains(version, prereleases=True), f"{requirement}: {UNSAFE[name][version]}"


@pytest.mark.parametrize("name", EVERYTHING)
def test_dependency_is_a_range_with_a_floor(name: str) -> None:
    operators = {specifier.operator for specifier in EVERYTHING[name].specifier}
    assert ">=" in operators, f"{EVERYTHING[name]} has no floor"
    assert "==" not in operators, f"{EVERYTHING[name]} is one version; those belong in constraints.txt"


@pytest.mark.parametrize("name", EVERYTHING)
def test_tested_version_lies_in_the_range(name: str) -> None:
    assert name in constraints(), f"{name} is not in constraints.txt"
    assert EVERYTHING[name].specifier.contains(constraints()[name]), (
        f"{constraints()[name]} is outside {EVERYTHING[name]}"
    )


def test_constraints_are_plain_exact_versions() -> None:
    # no folders, no addresses, no options, and no local versions such as +cpu: they exist on some machines only
    odd = [line for line in constraint_lines() if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line)]
    assert not odd
    assert len(constraints()) == len(constraint_lines()), "a package is named twice"


def test_constraints_cover_what_gets_installed() -> None:
    """Whatever the installed dependencies need is constrained too, or pinned exactly by the package that needs it."""
    known, seen, missing = constraints(), set(), set()
    waiting = [(requirement.name, frozenset(requirement.extras)) for requirement in EVERYTHING.values()]
    while waiting:
        name, extras = waiting.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            lines = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # an extra that this environment goes without
            continue
        for line in lines:
            needed = Requirement(line)
            if needed.marker and not any(needed.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                continue
            if canonicalize_name(needed.name) in known:
                waiting.append((needed.name, frozenset(needed.extras)))
            elif not any(specifier.operator == "==" for specifier in needed.specifier):
                missing.add(f"{needed.name} (for {name})")
    assert not missing


@pytest.mark.parametrize("name", EVERYTHING)
def test_dependency_says_why_it_is_there(name: str) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    entry = rf'^ +"{re.escape(EVERYTHING[name].name)}[<>=!,.0-9]+(; python_version [^"]+)?", +# \w'
    assert re.search(entry, text, flags=re.MULTILINE), f"{name} has no comment beside it"


def test_imports_are_declared() -> None:
    declared = {IMPORT_NAMES.get(name, name) for name in requirements(*EXTRAS)} | SHIPPED_WITHIN
    declared |= {*sys.stdlib_module_names, "compression", PACKAGE}  # compression: Python's own since 3.14
    undeclared = {
        f"{module.path}:{imported.line}: {imported.name}"
        for module in read_package().values()
        for imported in module.imports
        if imported.name.split(".")[0] not in declared
    }
    assert not undeclared


def test_declared_libraries_are_imported() -> None:
    used = {imported.name.split(".")[0] for module in read_package().values() for imported in module.imports}
    assert not {name for name in requirements() if IMPORT_NAMES.get(name, name) not in used}


# ------------------------------------------------------------------------------------------ what is built and installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    backend = pytest.importorskip("hatchling.build", reason="hatchling comes with the extra `test`")
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return folder / backend.build_wheel(str(folder))


def shipped_configs() -> set[str]:
    return {file.relative_to(ROOT).as_posix() for file in (ROOT / "configs").rglob("*.yaml")}


def test_wheel_holds_the_package_and_its_configs(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert shipped_configs(), "no configs to ship"
    assert {f"{PACKAGE}/{path}" for path in shipped_configs()} <= names
    assert {module.path for module in read_package().values()} <= names
    assert {f"{PACKAGE}/report/page.{kind}" for kind in ("css", "js")} <= names, "a report is drawn with them"
    assert f"{PACKAGE}/py.typed" in names, "type checkers ignore a package without it"
    assert all(name.startswith(f"{PACKAGE}/") for name in names), "tests, recipes and the like stay out"


def test_wheel_names_licence_and_console_script(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (entry_points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
    assert "zoo = zoo.cli.main:main" in archive.read(entry_points).decode()
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_console_script_can_be_called() -> None:
    module, _, function = pyproject()["project"]["scripts"]["zoo"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


@pytest.mark.slow
def test_installed_wheel_finds_its_configs(wheel: Path, tmp_path: Path) -> None:
    """Away from the working tree the package has its configs inside, and the command line answers."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            archive.extract(name, tmp_path)
    program = (
        "import pathlib, sys, zoo; folder = pathlib.Path(zoo.__file__).parent\n"
        "print(folder.parent, len(list((folder / 'configs').rglob('*.yaml'))))\n"
        "from zoo.cli.main import main; sys.argv = ['zoo', '--help']; main()"
    )
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[0] == f"{tmp_path} {len(shipped_configs())}"


# ----------------------------------------------------------------------------------------------------------- the set-up


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    described = re.findall(r"^([a-z-]+):.*  ## \S", text, flags=re.MULTILINE)
    assert sorted(phony.split()) == sorted(described)


def test_ci_runs_every_stage_in_order() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "for target in venv lint types test test-slow; do" in script.read_text(encoding="utf-8")
