"""The command line inside the test process."""

import pytest

from tests.cli.tiny import Command, run_command


@pytest.fixture
def command() -> Command:
    """Runs `zoo` in this process."""
    return run_command
