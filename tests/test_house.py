"""The house rules that a program can check: docstrings, mirrored tests, and the sizes that keep code readable.

Each rule is a function from modules to {where: what is wrong}, so that it is tried on made-up sources below before it
judges the package.
"""

import ast
from collections.abc import Callable, Mapping

import pytest

from tests.source_tree import ROOT, FunctionNode, Module, functions, modules_of, read_package

Modules = Mapping[str, Module]
Findings = dict[str, str]

FILE_LINES = 400
FUNCTION_LINES = 60
CONSTRUCTOR_PARAMETERS = 6
FORWARD_BRANCHES = 3

# (rule, where) -> why this one may stay. An entry is added in review and goes when it is no longer needed.
REVIEWED: dict[tuple[str, str], str] = {}


# ------------------------------------------------------------------------------------------------------------ the rules


def missing_docstring(modules: Modules) -> Findings:
    """Files, public classes, functions and methods that do not say what they are."""
    findings = {}
    for module in modules.values():
        if module.tree.body and not ast.get_docstring(module.tree):
            findings[module.path] = "the file does not open with what it is"
        for name, node in public_definitions(module.tree):
            if not ast.get_docstring(node):
                findings[f"{module.path}:{name}"] = "no docstring"
    return findings


def public_definitions(
    node: ast.Module | ast.ClassDef, prefix: str = ""
) -> list[tuple[str, ast.ClassDef | FunctionNode]]:
    """Public classes and functions, and those inside public classes; overloads and property setters left out."""
    found: list[tuple[str, ast.ClassDef | FunctionNode]] = []
    for child in node.body:
        if not isinstance(child, ast.ClassDef | FunctionNode) or child.name.startswith("_"):
            continue
        decorators = [ast.unparse(decorator) for decorator in child.decorator_list]
        if any(name.split(".")[-1] in ("overload", "setter", "deleter") for name in decorators):
            continue
        found.append((prefix + child.name, child))
        if isinstance(child, ast.ClassDef):
            found += public_definitions(child, f"{prefix}{child.name}.")
    return found


def missing_mirror(modules: Modules, tests: Mapping[str, str] | None = None) -> Findings:
    """Files without tests in the file that mirrors them: `zoo/nn/norm.py` is tested by `tests/nn/test_norm.py`."""
    if tests is None:
        files = (ROOT / "tests").rglob("test_*.py")
        tests = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in files}
    findings = {}
    for module in modules.values():
        folder, _, name = module.path.rpartition("/")
        mirror = f"{folder.replace('zoo', 'tests', 1)}/test_{name}"
        if not module.is_package and "def test_" not in tests.get(mirror, ""):
            findings[module.path] = f"no tests in {mirror}"
    return findings


def long_file(modules: Modules) -> Findings:
    """Files of more than FILE_LINES lines."""
    lines = {module.path: len(module.text.splitlines()) for module in modules.values()}
    return {path: f"{count} lines, over {FILE_LINES}" for path, count in lines.items() if count > FILE_LINES}


def long_function(modules: Modules) -> Findings:
    """Functions of more than FUNCTION_LINES lines, docstring and signature counted."""
    findings = {}
    for where, function in all_functions(modules):
        count = (function.end_lineno or function.lineno) - function.lineno + 1
        if count > FUNCTION_LINES:
            findings[where] = f"{count} lines, over {FUNCTION_LINES}"
    return findings


def wide_constructor(modules: Modules) -> Findings:
    """Constructors with more than CONSTRUCTOR_PARAMETERS parameters beside `self`."""
    findings = {}
    for where, function in all_functions(modules):
        count = parameter_count(function) - 1
        if function.name == "__init__" and count > CONSTRUCTOR_PARAMETERS:
            findings[where] = f"{count} parameters, over {CONSTRUCTOR_PARAMETERS}"
    return findings


def parameter_count(function: FunctionNode) -> int:
    """The parameters of a function, `self`, `*args` and `**kwargs` each counted once."""
    arguments = function.args
    named = len(arguments.posonlyargs) + len(arguments.args) + len(arguments.kwonlyargs)
    return named + (arguments.vararg is not None) + (arguments.kwarg is not None)


def branching_forward(modules: Modules) -> Findings:
    """A `forward` with more than FORWARD_BRANCHES branches, or a block's with any: choose at construction."""
    findings = {}
    for where, function in all_functions(modules):
        if function.name != "forward":
            continue
        branches = sum(isinstance(node, ast.If | ast.IfExp | ast.Match) for node in ast.walk(function))
        limit = 0 if where.endswith("Block.forward") else FORWARD_BRANCHES
        if branches > limit:
            findings[where] = f"{branches} branches, over {limit}"
    return findings


def all_functions(modules: Modules) -> list[tuple[str, FunctionNode]]:
    """Every function of the modules, by "path:qualified name"."""
    return [(f"{module.path}:{name}", node) for module in modules.values() for name, node in functions(module)]


Rule = Callable[[Modules], Findings]
RULES: list[Rule] = [
    missing_docstring,
    missing_mirror,
    long_file,
    long_function,
    wide_constructor,
    branching_forward,
]


def judge(rule: Rule, modules: Modules, reviewed: Mapping[tuple[str, str], str]) -> list[str]:
    """What a rule finds beyond the reviewed exceptions, and the exceptions that it no longer needs."""
    findings = rule(modules)
    excused = {where for name, where in reviewed if name == rule.__name__}
    stale = [f"{where}: no longer needs its entry in REVIEWED" for where in sorted(excused - set(findings))]
    return [f"{where}: {what}" for where, what in findings.items() if where not in excused] + stale


# ---------------------------------------------------------------------------------------------------------- the package


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_package_keeps(rule: Rule) -> None:
    findings = judge(rule, read_package(), REVIEWED)
    assert not findings, f"{len(findings)} found:\n" + "\n".join(findings)


def test_exceptions_belong_to_a_rule_and_say_why() -> None:
    assert {name for name, _ in REVIEWED} <= {rule.__name__ for rule in RULES}
    assert all(reason.strip() for reason in REVIEWED.values())


# ---------------------------------------------------------------------------------------------- the rules can each fail


def one_file(source: str) -> Modules:
    return modules_of({"zoo/nn/norm.py": f'"""A file."""\n{source}'})


@pytest.mark.parametrize(
    "source, names",
    [
        ("def visible(): ...", ["visible"]),
        ("async def visible(): ...", ["visible"]),
        ("class Norm: ...", ["Norm"]),
        ('class Norm:\n    """A norm."""\n    def forward(self): ...', ["Norm.forward"]),
        ("class _Norm:\n    def forward(self): ...\ndef _hidden(): ...", []),
        ('class Norm:\n    """A norm."""\n    def __init__(self): ...\n    @size.setter\n    def size(self): ...', []),
        ("@overload\ndef visible(): ...", []),
        ('def visible():\n    """Says what."""\n    def inner(): ...', []),
    ],
)
def test_docstrings(source: str, names: list[str]) -> None:
    assert list(missing_docstring(one_file(source))) == [f"zoo/nn/norm.py:{name}" for name in names]


def test_a_file_says_what_it_is() -> None:
    assert list(missing_docstring(modules_of({"zoo/nn/norm.py": "x = 1", "zoo/nn/__init__.py": ""}))) == [
        "zoo/nn/norm.py"
    ]


def test_mirror() -> None:
    modules = modules_of({"zoo/nn/norm.py": "", "zoo/nn/__init__.py": "", "zoo/errors.py": "", "zoo/nn/mask.py": ""})
    tests = {"tests/nn/test_norm.py": "def test_it(): ...", "tests/nn/test_mask.py": "", "tests/nn/test_errors.py": ""}
    assert missing_mirror(modules, tests) == {
        "zoo/errors.py": "no tests in tests/test_errors.py",
        "zoo/nn/mask.py": "no tests in tests/nn/test_mask.py",
    }


def test_lengths() -> None:
    body = "    x = 1\n"
    at_limit = one_file(f"def f():\n{body * (FUNCTION_LINES - 1)}")
    over = one_file(f"class A:\n    def f(self):\n{('    ' + body) * FUNCTION_LINES}")
    assert long_function(at_limit) == {}
    assert list(long_function(over)) == ["zoo/nn/norm.py:A.f"]
    assert long_file(one_file("x = 1\n" * (FILE_LINES - 1))) == {}
    assert list(long_file(one_file("x = 1\n" * FILE_LINES))) == ["zoo/nn/norm.py"]


@pytest.mark.parametrize(
    "parameters, found",
    [("self, a, b, c, d, e, f", False), ("self, a, b, c, d, e, f, g", True), ("self, a, b, c, /, d, *e, f, **g", True)],
)
def test_constructors(parameters: str, found: bool) -> None:
    assert bool(wide_constructor(one_file(f"class A:\n    def __init__({parameters}): ..."))) == found
    assert not wide_constructor(one_file(f"class A:\n    def forward({parameters}): ..."))


@pytest.mark.parametrize(
    "name, branches, found", [("Attention", 3, False), ("Attention", 4, True), ("Block", 0, False), ("Block", 1, True)]
)
def test_forward_branches(name: str, branches: int, found: bool) -> None:
    kinds = ["if a: pass", "x = 1 if a else 2", "match a:\n            case _: pass", "if b: pass"]
    lines = "".join(f"        {kind}\n" for kind in [*kinds[:branches], "return x"])
    assert bool(branching_forward(one_file(f"class {name}:\n    def forward(self):\n{lines}"))) == found
    assert not branching_forward(one_file(f"class {name}:\n    def reset(self):\n{lines}"))


def test_exceptions_are_exact() -> None:
    modules = one_file("def a(): ...\ndef b(): ...")
    reviewed = {
        (rule, f"zoo/nn/norm.py:{name}"): "a reason" for rule in ("missing_docstring", "other") for name in "ac"
    }
    assert judge(missing_docstring, modules, reviewed) == [
        "zoo/nn/norm.py:b: no docstring",
        "zoo/nn/norm.py:c: no longer needs its entry in REVIEWED",
    ]
