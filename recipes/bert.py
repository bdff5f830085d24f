"""BERT, from text to filled masks: tokenizer → token store → pretrain → try it.

    python -m recipes.bert [key=value …] [--fresh]

Reproduces the objectives of Devlin et al. 2018 (arXiv:1810.04805), masked language modelling and next sentence
together, in nano size (4 layers × 128, 1.4 million parameters) on the documentation of Python's standard library.
`zoo pretrain bert-nano` runs the same steps as one command; here they stand one by one, to be read and changed.

Measured: about two minutes on 2 CPU cores, to a validation loss of 6.60 (masked LM and next sentence
together; 9.03 at the first step).
"""

from pathlib import Path

import zoo
from recipes.command_line import run
from zoo.data.corpus import find_or_train, read_corpus
from zoo.training.run import Result, pretrain
from zoo.training.shipped import load_run

# Two minutes teach little more than which words are frequent: these want a frequent word.
TEXTS = (
    "return the length of [MASK] list",
    "the name of [MASK] file is the first argument of the function .",
    "the value of the name is the same as [MASK] value of the type",
)


def main(overrides: list[str], *, fresh: bool = False) -> Result:
    """Runs the pipeline; `overrides` are settings over configs/pretrain/bert-nano.yaml, `fresh` starts anew."""
    # 1. One typed, frozen config holds every choice: configs/pretrain/bert-nano.yaml, then what the command line says.
    config = load_run("bert-nano", overrides).config

    # 2. A WordPiece tokenizer is trained on the text (or found again, where it was before).
    tokenizer = find_or_train(config.data, config.tokenizer)

    # 3. The text becomes a memory-mapped store of token ids, cut into documents and sentences, some held out.
    corpus = read_corpus(config.data, tokenizer, sentences=True)
    print(f"a tokenizer of {corpus.tokenizer.vocab_size:,} entries")

    # 4. Rows [CLS] A [SEP] B [SEP], noise, loss, optimizer step, and a checkpoint now and then. The same call goes on
    #    where a stopped run was.
    result = pretrain(config, fresh=fresh, corpus=corpus)

    # 5. The run folder opens by itself: weights, config and tokenizer.
    try_it(result.folder)
    return result


def try_it(folder: Path) -> None:
    """Fills masks."""
    model = zoo.load(folder)
    for text in TEXTS:
        print(f"  {text}")
        for choices in model.fill(text, top=3).blanks:
            print("    → " + ", ".join(f"{choice.text} ({choice.probability:.0%})" for choice in choices))


if __name__ == "__main__":
    run(main, __doc__)
