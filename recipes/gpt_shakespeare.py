"""A GPT that writes Shakespeare letter by letter, with the settings of nanoGPT's CPU example.

    python -m recipes.gpt_shakespeare data.source.path=input.txt [key=value …] [--fresh]

4 layers × 128, 64 characters of context, 12 rows a step, 2,000 steps: about a minute and a half on 2 CPU cores.
Measured over the whole held-out tenth, three seeds: a validation loss of 1.771 to 1.777, where nanoGPT's loop leaves
1.891 to 1.909 (benchmarks/README.md says what differs). The text is karpathy/char-rnn, data/tinyshakespeare/input.txt
(1.1 MB, public domain).
"""

import zoo
from recipes.command_line import run
from zoo.training.run import Result, pretrain
from zoo.training.shipped import load_run


def main(overrides: list[str], *, fresh: bool = False) -> Result:
    """Trains, reports, writes; `overrides` go over configs/pretrain/gpt-shakespeare.yaml, `fresh` starts anew."""
    config = load_run("gpt-shakespeare", overrides).config
    result = pretrain(config, fresh=fresh)
    loss = result.metrics["validation/loss"]
    print(
        f"validation loss {loss:.3f} nats per character after {result.steps:,} steps of {result.seconds:.0f} s in all"
    )
    model = zoo.load(result.folder)
    text = "\n"
    for piece in range(12):  # the model has 64 positions: each piece is written with the last 32 characters in view
        text += model.generate(text[-32:], max_new_tokens=32, temperature=0.8, seed=piece)
    print(text)
    return result


if __name__ == "__main__":
    run(main, __doc__)
