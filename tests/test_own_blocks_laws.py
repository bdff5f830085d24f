"""`pytest --own-blocks` puts a user's kinds under the laws: the example keeps them, what does not is caught."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import own_blocks as files
from tests.conftest import ROOT

COUNTS_PLACES = '''
from dataclasses import dataclass

import torch

from zoo.nn.positions import Positions, PositionsConfig


@dataclass(frozen=True, kw_only=True)
class CountsPlacesConfig(PositionsConfig, kind="counts_places"):
    """Mistakes the place in the row for the position in the document."""

    factor: bool = False

    def build(self, shape):
        return CountsPlaces()


class CountsPlaces(Positions):
    def embed(self, hidden, positions):
        place = torch.arange(hidden.shape[1], dtype=hidden.dtype)
        return hidden + place[:, None] * torch.arange(hidden.shape[2]).cos()
'''


def judge(path: Path, which: str) -> "subprocess.CompletedProcess[str]":
    """The laws, on what a file registers."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "--show-capture=no"]
    tests = ("tests/test_contracts.py", "tests/test_settings.py")
    return subprocess.run(
        [*command, "--own-blocks", str(path), "-k", which, "-m", "not slow", *tests],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
def test_example_keeps_the_laws() -> None:
    result = judge(files.EXAMPLE, "(test_variant or test_setting) and (kerple or maxout)")
    assert result.returncode == 0, result.stdout[-3000:]
    assert int(result.stdout.rsplit(" passed", 1)[0].split()[-1]) >= 6  # curve and pieces, in each family


@pytest.mark.slow
def test_scheme_that_counts_places_is_caught(tmp_path: Path) -> None:
    result = judge(files.write(tmp_path, COUNTS_PLACES), "test_variant and counts_places")
    assert result.returncode == 1
    assert "hidden states differ" in result.stdout


@pytest.mark.slow
def test_setting_that_does_nothing_is_caught(tmp_path: Path) -> None:
    result = judge(files.write(tmp_path, COUNTS_PLACES), "test_settings and counts_places")
    assert result.returncode == 1
    assert "factor" in result.stdout
