"""docs/tree.md tells the truth: its tree is the real one, and the files on a batch's journey exist."""

import re

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "tree.md").read_text(encoding="utf-8")


def tree_lines() -> list[str]:
    """The lines of the tree, without what is said about them."""
    block = PAGE.split("\n## The tree\n", 1)[1].split("```")[1]
    return [line for line in block.strip("\n").splitlines() if line.strip()]


def paths_in_tree() -> list[str]:
    """The paths that the tree names, folders with a trailing slash."""
    found: list[str] = []
    parents: list[str] = []
    for line in tree_lines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.strip().split()[0]
        parents = parents[:depth]
        found.append("".join(parents) + name)
        if name.endswith("/"):
            parents.append(name)
    return found


def real_paths() -> set[str]:
    """What the tree must name: every folder and file of the package and the recipes, and the top level."""
    top = {"pyproject.toml", "README.md", "Makefile", "CONTRIBUTING.md", "CHANGELOG.md", "LICENSE", "constraints.txt"}
    found = top | {"zoo/", "recipes/", "configs/", "configs/pretrain/", "benchmarks/", "tests/", ".ci/", ".ci/run"}
    found |= {"docs/", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))}
    for folder in ("zoo", "recipes"):
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if path.is_dir() and path.name != "__pycache__":
                found.add(f"{name}/")
            elif path.suffix == ".py" and path.name != "__init__.py":
                found.add(name)
    return found


def test_tree_is_the_real_one() -> None:
    assert sorted(paths_in_tree()) == sorted(real_paths())


def test_files_on_the_journey_exist() -> None:
    named = re.findall(r"`(zoo/[\w./-]*)`", PAGE)
    assert len(named) > 15
    assert not [name for name in named if not (ROOT / name).exists()]


def test_what_is_said_of_a_file_is_whole() -> None:
    """Every line of the tree says what its file is, and none breaks off in the middle."""
    for line in tree_lines():
        said = line.strip().partition(" ")[2].strip()
        assert said or line.strip().endswith("/"), line
        assert not re.search(r"(\b(an?|and|because|of|or|so|the)|[,:;]|et al)$", said), line
