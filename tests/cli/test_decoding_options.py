"""Options of decoding: only those that were given are handed on."""

import typer
from typer.main import get_command

from zoo.cli.decoding_options import EarlyStopping, Stop, Temperature, given_options


def test_what_was_not_given_is_left_out() -> None:
    seen = []
    app = typer.Typer()

    @app.command()
    def run(
        context: typer.Context, temperature: Temperature = None, stop: Stop = None, early_stopping: EarlyStopping = None
    ) -> None:
        seen.append(given_options(context, ("temperature", "stop", "early_stopping")))

    command = get_command(app)
    for arguments in ([], ["--temperature", "0", "--stop", "a", "--stop", "b", "--early-stopping", "true"]):
        command.main(arguments, standalone_mode=False)
    assert seen == [{}, {"temperature": 0.0, "stop": ["a", "b"], "early_stopping": True}]
