"""T5, from text to filled spans: tokenizer → token store → pretrain → try it.

    python -m recipes.t5 [key=value …] [--fresh]

Reproduces the span corruption of Raffel et al. 2020 (arXiv:1910.10683), 15 % noise in spans of 3 tokens on average,
in nano size (4 + 4 layers × 128, 2.4 million parameters) on the documentation of Python's standard library. `zoo
pretrain t5-nano` runs the same steps as one command; here they stand one by one, to be read and changed.

Measured: about two minutes on 2 CPU cores, to a validation loss of 5.36 (8.70 at the first step).
"""

from pathlib import Path

import zoo
from recipes.command_line import run
from zoo.data.corpus import find_or_train, read_corpus
from zoo.training.run import Result, pretrain
from zoo.training.shipped import load_run

TEXTS = (
    "Return the <extra_id_0> of the string.",
    "Raise <extra_id_0> if the file <extra_id_1> not exist.",
)


def main(overrides: list[str], *, fresh: bool = False) -> Result:
    """Runs the pipeline; `overrides` are settings over configs/pretrain/t5-nano.yaml, `fresh` starts anew."""
    # 1. One typed, frozen config holds every choice: configs/pretrain/t5-nano.yaml, then what the command line says.
    config = load_run("t5-nano", overrides).config

    # 2. A Unigram tokenizer with T5's sentinels at the top of its vocabulary is trained on the text (or found again).
    tokenizer = find_or_train(config.data, config.tokenizer)

    # 3. The text becomes a memory-mapped store of token ids, cut into documents; some documents are held out.
    corpus = read_corpus(config.data, tokenizer, sentences=False)
    print(
        f"a tokenizer of {corpus.tokenizer.vocab_size:,} entries, {len(corpus.tokenizer.sentinels)} of them sentinels"
    )

    # 4. Pieces of documents are packed into rows; each is corrupted by itself, and the decoder's part of a piece looks
    #    at the encoder's part of the same piece only. The same call goes on where a stopped run was.
    result = pretrain(config, fresh=fresh, corpus=corpus)

    # 5. The run folder opens by itself: weights, config and tokenizer.
    try_it(result.folder)
    return result


def try_it(folder: Path) -> None:
    """Fills spans."""
    model = zoo.load(folder)
    for text in TEXTS:
        print(f"  {text}\n    → {model.fill(text).text}")


if __name__ == "__main__":
    run(main, __doc__)
