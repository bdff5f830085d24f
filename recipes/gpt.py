"""GPT, from text to continued text: tokenizer → token store → pretrain → try it.

    python -m recipes.gpt [key=value …] [--fresh]

A decoder-only model with GPT-2's choices (Radford et al. 2019) in nano size (4 layers × 128, 1.3 million parameters)
on the documentation of Python's standard library. `zoo pretrain gpt-nano` runs the same steps as one command; here
they stand one by one, to be read and changed.

Measured: about two minutes on 2 CPU cores, to a validation loss of 5.33 (8.29 at the first step).
"""

from pathlib import Path

import zoo
from recipes.command_line import run
from zoo.data.corpus import find_or_train, read_corpus
from zoo.training.run import Result, pretrain
from zoo.training.shipped import load_run

PROMPTS = ("Return the number of ", "Raise ValueError if ")


def main(overrides: list[str], *, fresh: bool = False) -> Result:
    """Runs the pipeline; `overrides` are settings over configs/pretrain/gpt-nano.yaml, `fresh` starts anew."""
    # 1. One typed, frozen config holds every choice: configs/pretrain/gpt-nano.yaml, then what the command line says.
    config = load_run("gpt-nano", overrides).config

    # 2. A byte-level BPE is trained on the text (or found again, where it was before).
    tokenizer = find_or_train(config.data, config.tokenizer)

    # 3. The text becomes a memory-mapped store of token ids, cut into documents; some documents are held out.
    corpus = read_corpus(config.data, tokenizer, sentences=False)
    print(f"a tokenizer of {corpus.tokenizer.vocab_size:,} entries")

    # 4. Documents are laid end to end and cut into rows; no document sees its neighbour. The same call goes on where a
    #    stopped run was.
    result = pretrain(config, fresh=fresh, corpus=corpus)

    # 5. The run folder opens by itself: weights, config and tokenizer.
    try_it(result.folder)
    return result


def try_it(folder: Path) -> None:
    """Continues prompts."""
    model = zoo.load(folder)
    for prompt in PROMPTS:
        text = model.generate(prompt, max_new_tokens=40, temperature=0.7, top_k=40, seed=1)
        print(f"  {prompt}│{' '.join(text.split())}")


if __name__ == "__main__":
    run(main, __doc__)
