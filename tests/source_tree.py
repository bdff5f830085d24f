"""The package's source as text, for the tests of layers, house rules and packaging. Nothing is imported or run."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "zoo"

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One imported name: `from a.b import c` and `import a.b.c` both say "a.b.c"."""

    name: str
    line: int
    for_types_only: bool


@dataclass(frozen=True)
class Module:
    """One source file.

    Attributes:
        name: dotted, without `__init__`. path: from the repository root, with slashes. text: the source.
    """

    name: str
    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed source."""
        return ast.parse(self.text, filename=self.path)

    @property
    def is_package(self) -> bool:
        """Whether this is an `__init__.py`."""
        return self.path.endswith("__init__.py")

    @property
    def room(self) -> str:
        """The part of the package that the file stands in: "nn" of "zoo.nn.norm", "" of the package itself."""
        return self.name.removeprefix(PACKAGE).removeprefix(".").split(".")[0]

    @cached_property
    def imports(self) -> list[Import]:
        """Every import of the file, those inside functions too."""
        guarded = {
            id(node)
            for block in ast.walk(self.tree)
            if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING")
            for statement in block.body
            for node in ast.walk(statement)
        }
        return [
            Import(name, node.lineno, id(node) in guarded)
            for node in ast.walk(self.tree)
            for name in self._imported_by(node)
        ]

    def _imported_by(self, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Import):
            return [alias.name for alias in node.names]
        if not isinstance(node, ast.ImportFrom):
            return []
        package = self.name.split(".") if self.is_package else self.name.split(".")[:-1]
        start = package[: len(package) + 1 - node.level] if node.level else []
        stem = ".".join([*start, *([node.module] if node.module else [])])
        return [f"{stem}.{alias.name}" for alias in node.names]


def modules_of(sources: Mapping[str, str]) -> dict[str, Module]:
    """Modules by dotted name, out of sources by path."""
    modules = {}
    for path, text in sources.items():
        name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        modules[name] = Module(name, path, text)
    return modules


def read_package() -> dict[str, Module]:
    """All modules of the package, by dotted name."""
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    return modules_of({file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files})


def own_module(imported: str, modules: Mapping[str, Module]) -> Module | None:
    """The module of the package that an imported name lies in ("zoo.nn.norm" for "zoo.nn.norm.RMSNorm"), if any."""
    if imported.count(".") < 2:  # "zoo.load" is a name of the package itself unless it is a module
        return modules.get(imported) or modules.get(imported.partition(".")[0])
    while "." in imported and imported not in modules:
        imported = imported.rpartition(".")[0]
    return modules.get(imported) if "." in imported else None


def own_room(imported: str, modules: Mapping[str, Module]) -> str | None:
    """The room of the package that an imported name lies in, "" for the package itself, None for other libraries."""
    package, _, rest = imported.partition(".")
    if package != PACKAGE:
        return None
    room = rest.partition(".")[0]
    return room if any(module.room == room for module in modules.values()) else ""


def functions(module: Module) -> Iterator[tuple[str, FunctionNode]]:
    """Every function of the file with its qualified name ("Attention.forward"), nested ones too."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, FunctionNode]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, FunctionNode):
                yield prefix + child.name, child
            inner = f"{prefix}{child.name}." if isinstance(child, FunctionNode | ast.ClassDef) else prefix
            yield from visit(child, inner)

    yield from visit(module.tree, "")
