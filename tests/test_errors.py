"""Errors have one root, and a config error keeps the path of its key."""

import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

from zoo import errors
from zoo.config import build
from zoo.errors import MOST_LISTED, MOST_SHOWN, Collected, ConfigError, TextError, ZooError, cut, quoted
from zoo.training.config import RunConfig

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
KINDS = [kind for kind in CLASSES if issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_one_root(kind: type[ZooError]) -> None:
    assert issubclass(kind, ZooError)
    with pytest.raises(ZooError, match="the disk is full"):
        raise kind("the disk is full")


def test_they_are_there_after_a_plain_import() -> None:
    code = "import sys, zoo; print(zoo.errors.ZooError.__name__, 'torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout == "ZooError False\n", ran.stderr


def test_key_comes_first() -> None:
    assert str(ConfigError("must be above 0", "model.dim")) == "model.dim: must be above 0"
    assert str(ConfigError("must be above 0")) == "must be above 0"


def test_key_grows_from_the_inside() -> None:
    error = ConfigError("is wrong", "dim").under("model").under("")
    assert (error.key, error.reason) == ("model.dim", "is wrong")
    assert ConfigError("is wrong").under("model").key == "model"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_errors_cross_processes(kind: type[ZooError]) -> None:
    """A worker process hands its error back pickled."""
    copy = pickle.loads(pickle.dumps(kind("in a worker")))
    assert type(copy) is kind
    assert str(copy) == "in a worker"


def test_what_to_say_beside_a_key_is_told_by_its_path() -> None:
    inner = ConfigError("is of others", "path", beside="kind=text")
    assert str(inner) == "path: is of others; say kind=text too"
    wrong = Collected()
    wrong.take(inner.under("source").followed_by(" (see a)"))
    wrong.add("is wrong", "dim")
    with pytest.raises(ConfigError) as caught:
        wrong.raise_any()
    error = pickle.loads(pickle.dumps(caught.value)).under("data")
    assert "data.source.path: is of others (see a); say data.source.kind=text too;" in str(error)
    assert "data.dim: is wrong" in str(error)


def test_config_error_crosses_processes_with_its_key() -> None:
    copy = pickle.loads(pickle.dumps(ConfigError("is wrong", "model.dim")))
    assert (str(copy), copy.key, copy.reason) == ("model.dim: is wrong", "model.dim", "is wrong")


def test_text_error_crosses_processes_with_its_number() -> None:
    copy = pickle.loads(pickle.dumps(TextError("is empty", 3)))
    assert (str(copy), copy.number, copy.reason) == ("text 3: is empty", 3, "is empty")


def test_what_is_wrong_with_several_settings_is_one_error() -> None:
    wrong = Collected()
    wrong.raise_any()  # nothing is
    with wrong.taken():
        raise ConfigError("is too small", "dim")
    wrong.add("is unknown", "dimm")
    with pytest.raises(ConfigError) as caught:
        wrong.raise_any()
    again = Collected()
    again.add("is wrong", "seed")
    again.take(caught.value.under("model"))
    with pytest.raises(ConfigError) as caught:
        again.raise_any()
    assert str(caught.value) == (
        "3 settings are wrong:\n  seed: is wrong;\n  model.dim: is too small;\n  model.dimm: is unknown"
    )
    copy = pickle.loads(pickle.dumps(caught.value))
    assert [error.key for error in (copy, *copy.others)] == ["seed", "model.dim", "model.dimm"]
    assert str(copy) == str(caught.value)
    assert str(copy.renamed(str.upper)).count("MODEL.DIM") == 2


def test_a_list_of_what_is_wrong_has_an_end() -> None:
    others = [ConfigError("no", str(number)) for number in range(2, 100)]
    lines = str(ConfigError("no", "1", others)).split("\n")
    assert lines[0] == "99 settings are wrong:"
    assert lines[-2:] == [f"  {MOST_LISTED}: no;", f"  and {99 - MOST_LISTED} more"]


def test_what_is_wrong_with_several_texts_crosses_processes() -> None:
    copy = pickle.loads(pickle.dumps(TextError("is empty", 3, [TextError("is long", 5)])))
    assert str(copy) == "2 texts cannot be taken:\n  text 3: is empty;\n  text 5: is long"
    assert [error.number for error in (copy, *copy.others)] == [3, 5]


def test_what_a_message_quotes_is_cut_in_its_middle() -> None:
    assert quoted("short") == "'short'"
    assert cut("a" * MOST_SHOWN) == "a" * MOST_SHOWN
    shown = quoted("begin" + "x" * 100_000 + "end")
    assert len(shown) <= MOST_SHOWN
    assert shown.startswith("'begin")
    assert shown.endswith("end'")


LONG = "word " * 10_000


@pytest.mark.parametrize(
    "settings",
    [
        {LONG: 1},
        {"data": {LONG: 1}},
        {"data": {LONG: {"deep": 1}}},
        {"seed": LONG},
        {"name": [LONG]},
        {"data": LONG},
        {"data": {"source": LONG}},
        {"model": {"preset": LONG}},
        {"objectives": {LONG: {"kind": LONG}}},
        {"model": {"block": {"kind": LONG}}},
    ],
)
def test_a_config_error_stays_short_whatever_stands_in_the_config(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        build(RunConfig, settings)
    assert len(str(caught.value)) < 1_500
