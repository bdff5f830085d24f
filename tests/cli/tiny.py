"""A command line that runs inside the test process, and configs of runs that take a second."""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from zoo.cli.main import main


class Outcome(NamedTuple):
    """What a command left: its exit status, stdout and stderr."""

    status: int
    out: str
    err: str


Command = Callable[..., Outcome]

SENTENCES = (
    "Return a list of words.",
    "The length of a text is a number.",
    "There was an error in the file!",
    "What is the name of the list?",
    "Some texts have words.",
)

MODELS = {
    "encoder": "{preset: bert-nano, %s}",
    "decoder": "{preset: gpt-nano, %s}",
    "encoder_decoder": "{preset: t5-nano, head_dim: 8, %s}",
}
SPECIAL_TOKENS = {"encoder": "bert", "decoder": "gpt", "encoder_decoder": "t5"}
OBJECTIVES = {
    "encoder": "{masked_lm: {kind: masked_lm}, next_sentence: {kind: next_sentence}}",
    "decoder": "{causal_lm: {kind: causal_lm}}",
    "encoder_decoder": "{span_corruption: {kind: span_corruption}}",
}
SIZE = "dim: 16, num_layers: 2, num_heads: 2, feed_forward_dim: 32, max_length: 48, vocab_size: null"


def run_command(*arguments: object) -> Outcome:
    """Runs `zoo` with these arguments in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main([str(argument) for argument in arguments])
    return Outcome(status, out.getvalue(), err.getvalue())


def tiny_config(family: str, text: Path) -> str:
    """YAML of a run that takes a second: 16 wide, 2 layers, bytes for tokens, 4 steps."""
    return "\n".join(
        (
            f"name: tiny-{family}",
            f"model: {MODELS[family] % SIZE}",
            f"tokenizer: {{kind: bytes, special_tokens: {SPECIAL_TOKENS[family]}}}",
            "data:",
            f"  source: {{kind: text, path: {text}, document: blank_line}}",
            "  validation_fraction: 0.2",
            f"objectives: {OBJECTIVES[family]}",
            "trainer: {max_steps: 4, batch_size: 4, log_every: 2, accelerator: cpu}",
            "",
        )
    )


class Workshop(NamedTuple):
    """A folder with a text, the configs of three tiny runs and, in `runs`, what they left.

    Attributes:
        folder: where it all is. trained: what `zoo pretrain` said, by family.
    """

    folder: Path
    trained: dict[str, Outcome]

    def config(self, family: str) -> Path:
        """The config of a family's run."""
        return self.folder / f"tiny-{family}.yaml"

    def run(self, family: str) -> Path:
        """The run folder of a family."""
        return self.folder / "runs" / f"tiny-{family}"
