"""The embedded corpus: there, large enough, the same each time, and nothing is imported to make it."""

import hashlib
import os
import subprocess
import sys

import pytest

from zoo.data import stdlib
from zoo.data.stdlib import StdlibConfig
from zoo.errors import ConfigError


def test_size_and_content() -> None:
    docs, code = (list(StdlibConfig(parts=(part,)).documents()) for part in ("docs", "code"))
    assert sum(map(len, docs)) > 1_500_000
    assert sum(map(len, code)) > 6_000_000
    assert min(len(docs), len(code)) > 200
    assert StdlibConfig(parts=("docs", "code")).size() == sum(map(len, [*docs, *code]))
    text = "\n".join(docs)
    assert "JSON (JavaScript Object Notation)" in text  # json's docstring
    assert any(document.startswith("json\n\n") for document in docs)
    assert any("def namedtuple(" in source for source in code)
    names = [module.name for module in stdlib._modules()]
    assert names == sorted(names)
    assert not [name for name in names if {"test", "tests", "idlelib", "site-packages"} & set(name.split("."))]


def test_docstrings_stand_under_their_names_in_the_order_of_the_source() -> None:
    source = '"""Top."""\nclass A:\n    """A class."""\n    def f(self):\n        """A method."""\ndef g(): pass\n'
    assert stdlib._docstrings(stdlib._Module("m", source)) == "m\n\nTop.\n\nm.A\n\nA class.\n\nm.A.f\n\nA method.\n"
    assert stdlib._docstrings(stdlib._Module("m", "x = 1")) == ""
    assert stdlib._docstrings(stdlib._Module("m", "def (")) == ""


def test_another_process_reads_the_same_and_imports_no_module() -> None:
    code = (
        "import sys, hashlib, sysconfig; sysconfig.get_paths(); from zoo.data.stdlib import StdlibConfig\n"
        "before = set(sys.modules); config = StdlibConfig(); text = chr(0).join(config.documents())\n"
        "imported = [name for name in set(sys.modules) - before if not name.startswith('encodings')]\n"
        "print(config.fingerprint(), hashlib.sha256(text.encode()).hexdigest(), imported)"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    here = StdlibConfig()
    content = hashlib.sha256(chr(0).join(here.documents()).encode()).hexdigest()
    assert run.stdout.split() == [here.fingerprint(), content, "[]"]


def test_parts() -> None:
    assert len({StdlibConfig(parts=parts).fingerprint() for parts in (("docs",), ("code",), ("docs", "code"))}) == 3
    for parts in ((), ("docs", "docs")):
        with pytest.raises(ConfigError, match=r"parts: .* must name docs, code, or each once"):
            StdlibConfig(parts=parts)
