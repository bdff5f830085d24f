"""Errors have one root, and a config error keeps the path of its key."""

import inspect
import pickle

import pytest

from zoo import errors
from zoo.errors import ConfigError, ZooError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_one_root(kind: type[ZooError]) -> None:
    assert issubclass(kind, ZooError)
    with pytest.raises(ZooError, match="the disk is full"):
        raise kind("the disk is full")


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


def test_config_error_crosses_processes_with_its_key() -> None:
    copy = pickle.loads(pickle.dumps(ConfigError("is wrong", "model.dim")))
    assert (str(copy), copy.key, copy.reason) == ("model.dim: is wrong", "model.dim", "is wrong")
