"""The README tells the truth: its tree is the real one, its files exist, its Python runs, its commands are known."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from zoo.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return README.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def tree_lines() -> list[str]:
    """The lines of the tree, without what is said about them."""
    block = section("The tree").split("```")[1]
    return [line for line in block.strip("\n").splitlines() if line.strip()]


def paths_in_tree() -> set[str]:
    """The paths that the tree names, folders with a trailing slash."""
    found: set[str] = set()
    parents: list[str] = []
    for line in tree_lines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.strip().split()[0]
        parents = parents[:depth]
        found.add("".join(parents) + name)
        if name.endswith("/"):
            parents.append(name)
    return found


def real_paths() -> set[str]:
    """What the tree must name: every folder and file of the package and the recipes, and the top level."""
    top = {"pyproject.toml", "README.md", "Makefile", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "constraints.txt"}
    found = top | {"zoo/", "recipes/", "configs/", "configs/pretrain/", "benchmarks/", "tests/", ".ci/", ".ci/run"}
    for folder in ("zoo", "recipes"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.is_dir() and path.name != "__pycache__":
                found.add(f"{name}/")
            elif path.suffix == ".py" and path.name != "__init__.py":
                found.add(name)
    return found


def test_tree_is_the_real_one() -> None:
    assert paths_in_tree() == real_paths()


def test_named_files_exist() -> None:
    named = set(re.findall(r"`((?:zoo|recipes|configs|tests)/[\w./-]*)`", README))
    assert len(named) > 20
    assert not [name for name in named if not (ROOT / name).exists()]


def test_shipped_configs_that_are_named_exist() -> None:
    from zoo.training.shipped import shipped_configs

    for name in re.findall(r"zoo (?:pretrain|config) ([\w.-]+)", README):
        assert name in shipped_configs(), name


def test_verbs_are_known() -> None:
    verbs = set(re.findall(r"^\$? ?zoo (\w+)", README, flags=re.MULTILINE))
    assert verbs
    assert not [verb for verb in verbs if not (ROOT / "zoo" / "cli" / f"{verb}.py").exists()]


def test_first_lines_of_python_run(capsys: pytest.CaptureFixture[str]) -> None:
    code = section("First lines of Python").split("```python")[1].split("```")[0]
    exec(compile(code, "README.md", "exec"), {})
    assert "bert-base" in capsys.readouterr().out


def test_the_error_that_is_shown_is_the_error(capsys: pytest.CaptureFixture[str]) -> None:
    shown = re.search(r"^\$ zoo (.+)\n(error: .+)…\)$", README, flags=re.MULTILINE)
    assert shown
    assert main(shown[1].split()) == 2
    assert capsys.readouterr().err.startswith(shown[2])


def test_no_placeholders_are_left() -> None:
    assert not re.findall(r"DEMO_\w+|\bTREE\b|TODO", README)
