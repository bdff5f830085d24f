"""`python -m zoo`."""

from zoo import __main__
from zoo.cli import main


def test_module_is_the_command() -> None:
    assert __main__.main is main.main
