"""The page of what opens, and how equal it is, made from the tables and from what the tests measure.

    python -m tests.interop.table        writes docs/architectures.md, and its first table into README.md

A column is one function of the name of an architecture: a line in COLUMNS. Figures are the worst over all cases and
classes of the architecture, padded on both sides; they differ a little from machine to machine, and the test of the
page holds each to the tolerance of the tests.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

from tests.conftest import ROOT
from tests.interop import classes
from tests.interop.cases import CASES
from tests.interop.classes import CLASSES
from tests.interop.parity import TOLERANCE, Difference, parity, round_trip
from tests.interop.writing import CHANGES_IN_THE_MIDST, NEW_TOKENS, WRITERS, writes_the_same
from zoo.interop.listing import Listed, architectures

PAGE = ROOT / "docs" / "architectures.md"
FRONT = ROOT / "README.md"
BEGIN, END = "<!-- The table is made by: python -m tests.interop.table -->\n", "<!-- (end of the table) -->\n"
"""What the table of README.md stands between."""

INTRODUCTION = f"""# What opens

Folders of these architectures open with us and are written by us, `config.json` and safetensors, by one table for each
in `zoo/interop/`: the table says what each field of the config and each tensor is here, and is read in both directions.
No architecture has modelling code of its own. A field that would change what a model computes and that the table does
not know is refused by its name.

This page is made by `python -m tests.interop.table` from what `tests/interop/test_parity.py`,
`test_classes.py` and `test_writing.py` measure, without a network, on random weights of odd sizes:

- **logits, loss, gradients**: the largest relative difference from transformers, both in float64, over all cases and
  classes, padded on the left and on the right (hidden states where a class has no head); the tests allow
  {TOLERANCE:g}, and 0 is the same bits. Each gradient is judged by the larger of its own norm and the mean norm of all;
- **round trip**: weights from a file of theirs to us and back are the same bits, and the config means the same;
- **generation**: {NEW_TOKENS} tokens behind each of three prompts of unequal length in one batch, with caches, greedily
  and with 3 beams, are the tokens that transformers' `generate` writes (–: no class of it writes texts).
"""
CLOSING = """
## Good to know

- **Base models** (`BertModel`, `LlamaModel`, …) open as models without a head; the pooler of BERT, RoBERTa and ALBERT
  is the head `pooler`. A file of theirs may lack it: then there is no such head, and transformers draws a pooler when
  it opens what we wrote, which its hidden states do not depend on.
- **Names** are read with and without the prefix of the base model (hub files of GPT-2 and BLOOM lack it), and norms
  with TensorFlow's `gamma` and `beta`.
- **A file may have parts that its class does not use**, as the published BERT has (it says `BertForMaskedLM` and has
  the pooler and the pair classifier): they are left out, and `zoo.interop.left_out` names them. Anything else that is
  missing, left over or of another shape is an error that lists all of it.
- **Fields that only other programs read** are left out, as in transformers: `attn_factor` of `rope_scaling`
  (DeepSeek-R1-0528-Qwen3; vLLM reads it, transformers reads `attention_factor`), `transformers.js_config`,
  `sentence_transformers`.
- **Labels**: `id2label` becomes the `labels` of the head and is written again. `problem_type` chooses a loss in
  transformers, and no logit depends on it: any opens (so do cross-encoders, whose one class without a `problem_type`
  means regression there), and what a folder says goes out again. No objective here trains such a head; a model of
  ours is written with `single_label_classification`.
- **Decoders that classify** read the last token that is no padding. transformers finds it by `pad_token_id`, we by the
  padding of the batch: give the config a `pad_token_id` before transformers classifies more than one row.
- **BART and T5 classify** at the end token of the input, which the decoder reads once more and one place later: give
  `decoder_tokens` as the input moved by one, with the token in front that the decoder begins with (BART: the end
  token, T5: padding). So do their classes for question answering, which mark places of what the decoder reads.
- **bart-large-cnn and bart-large-xsum** have a tokenizer with one id more (`<mask>`) than their table has rows. Such a
  folder is refused, and the error says which files to change, or to take away, to open it.
- **`T5EncoderModel`, `T5ForTokenClassification`** (mT5's, too) and **`BartForCausalLM`** are halves of a model, and are
  refused by their names; the whole opens.
- **DeepSeek-V3 and R1** are published in FP8, which does not open; their conversions to BF16 do. The layer behind the
  last, which predicts a further token, is left out with a note, as in transformers.
- **DistilBERT's `dropout`** acts on attention's branch, too, when it is trained here.
- **longrope** changes its frequencies where a text passes the original length. Here a model has those of the length
  that its config says; transformers' `generate` changes in the midst of a text and keeps the keys of the old ones, so
  that case is left out of the last column.
- **mT5 and T5 v1.1** have an output layer of their own, whatever `tie_word_embeddings` says in what transformers 5
  saves.
"""

# ------------------------------------------------------------------------------------------------------------- columns


@functools.cache
def worst(architecture: str) -> Difference:
    """The largest differences over all cases and classes of an architecture."""
    found = [
        parity(name, padding, "reference")
        for name, case in CASES.items()
        if case.architecture == architecture
        for padding in ("left", "right")
    ]
    found += [
        classes.parity(architecture, name, padding)
        for of, name in CLASSES
        if of == architecture
        for padding in classes.paddings(architecture, name)
    ]
    return Difference(*map(max, zip(*found, strict=True)))


def figure(number: float) -> str:
    """A difference with one digit."""
    return f"{number:.0e}" if number else "0"


def comes_back(architecture: str) -> str:
    """A tick, once weights of every case and class have made the way to us and back."""
    for name, case in CASES.items():
        if case.architecture == architecture:
            round_trip(name)
    for of, name in CLASSES:
        if of == architecture:
            classes.round_trip(of, name)
    return "✓"


def writes(architecture: str) -> str:
    """A tick, once every case has written what transformers writes; a dash where none writes."""
    names = [name for name in WRITERS if CASES[name].architecture == architecture and name not in CHANGES_IN_THE_MIDST]
    for name in names:
        assert writes_the_same(name, 1), name
        assert writes_the_same(name, 3), name
    return "✓" if names else "–"


COLUMNS: dict[str, Callable[[str], str]] = {
    "logits": lambda architecture: figure(worst(architecture).logits),
    "loss": lambda architecture: figure(worst(architecture).loss),
    "gradients": lambda architecture: figure(worst(architecture).gradients),
    "round trip": comes_back,
    "generation": writes,
}
"""What is said of each architecture, by the name of the column."""


# ---------------------------------------------------------------------------------------------------------------- page


def page() -> str:
    """The whole page as Markdown."""
    listed = architectures()
    lines = [INTRODUCTION, figures(), "## Classes", "", "| `model_type` | paper | classes |", row(["---"] * 3)]
    lines += [row((f"`{one.name}`", one.paper, _classes(one))) for one in listed]
    return "\n".join(lines) + "\n" + CLOSING


def figures() -> str:
    """The table of figures, a line for each architecture."""
    columns = ("`model_type`", "opens", *COLUMNS)
    lines = [row(columns), row(["---"] * len(columns))]
    lines += [
        row((f"`{one.name}`", one.opens, *(say(one.name) for say in COLUMNS.values()))) for one in architectures()
    ]
    return "\n".join(lines) + "\n"


def row(cells: Iterable[str]) -> str:
    """A line of a table."""
    return f"| {' | '.join(cells)} |"


def _classes(one: Listed) -> str:
    return ", ".join(f"`{name}`" for name in one.classes)


def main() -> None:
    """Writes the page, and the table into README.md."""
    text = page()
    PAGE.write_text(text, encoding="utf-8")
    before, _, rest = FRONT.read_text(encoding="utf-8").partition(BEGIN)
    table = next(part for part in text.split("\n\n") if part.startswith("|"))
    FRONT.write_text(f"{before}{BEGIN}\n{table}\n\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)} and the table of {FRONT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
