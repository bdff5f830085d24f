"""The compatibility page, made from the code: what goes with what, and what is refused, with the reason.

    python -m tests.compatibility        writes docs/compatibility.md

Nothing on it is typed by hand. A tick stands for tests that run: `tests/test_contracts.py` (families, kernels, packing,
padding, caches; all pairs) and `tests/test_compiled_choices.py` (compilation). Anything else is the sentence of the
refusal.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import torch

from tests import cells
from tests.cells import Cell
from tests.conftest import ROOT
from tests.nn.attend.cases import differentiable
from tests.test_compiled_choices import may_break
from tests.test_contracts import FORWARD_ONLY, KERNEL
from zoo.config import build, merged
from zoo.errors import ConfigError
from zoo.models import ModelConfig
from zoo.nn.attend import KERNELS, Demand

PAGE = ROOT / "docs" / "compatibility.md"
FAMILIES = tuple(ModelConfig.choices)
INTRODUCTION = """# What goes with what

This page is made from the code by `python -m tests.compatibility`, and a test holds it to it. Here is each kind of each
part of a model config and each alternative of each field, but for plain numbers and for {left_out}. A ✓ is a test that
runs, in float64, on hidden states and on the gradients of all weights:

- **encoder, decoder, encoder_decoder**: the family can have it (`tests/test_contracts.py`, which also checks that no
  place sees the future or a neighbour document);
- **{kernels}**: this kernel computes what the reference computes (where this says *forward*,
  on hidden states only, because the kernel has no backward on CPUs; its gradients are tested where a GPU is);
- **packed**: documents packed into one row, padded on the left and on the right, are what they are alone;
- **cached**: computed piece by piece on a cache, a row is what it is at once;
- **compiled**: torch.compile gives what eager execution gives (`tests/test_compiled_choices.py`); *graphs* means:
  in more than one graph.

`kind/field=value` is a kind with one of its own fields changed; *changed* is a sample of a field that has no list of
alternatives, *on* an optional group with its defaults. A number is a note below the tables: why it cannot be;
a blank says that the question does not arise.

The kernel `varlen` {varlen}: it serves packed rows on such devices and is tested there.
"""


class Notes:
    """Reasons, each with a number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def mark(self, reason: str) -> str:
        """The number of a reason, as it stands in a table."""
        reason = without_legal(" ".join(reason.split()))
        return f"[{self.numbers.setdefault(reason, len(self.numbers) + 1)}](#notes)"

    def lines(self) -> Iterable[str]:
        """The notes, in the order of their numbers."""
        yield from (f"{number}. {reason}" for reason, number in self.numbers.items())


def without_legal(reason: str) -> str:
    """A refusal without the list of all that is legal."""
    return re.sub(r" \(legal: .*\)(?=$|; say )", "", reason)


def page() -> str:
    """The whole page as Markdown."""
    notes = Notes()
    kernels = (*differentiable(), *FORWARD_ONLY)
    columns = ("choice", *FAMILIES, *kernels, "packed", "cached", "compiled")
    left_out = ", ".join(f"`{path}` ({reason})" for path, reason in cells.NO_AXIS.items())
    lines = [INTRODUCTION.format(kernels=", ".join(kernels), varlen=_varlen(), left_out=left_out)]
    for axis, values in cells.axes(with_variants=True).items():
        lines += [f"## {axis}", "", _row(columns), _row(["---"] * len(columns))]
        for value in values:
            cell = {axis: value}
            marks = [_family(cell, family, notes) for family in FAMILIES]
            marks += [_kernel(cell, kernel, notes) for kernel in kernels]
            marks += [_packed(cell, notes), _cached(cell, notes), _compiled(cell)]
            lines.append(_row([f"`{value}`", *marks]))
        lines.append("")
    lines += ["## Notes", "", *notes.lines(), "", *_pairs()]
    return "\n".join(lines) + "\n"


def _row(columns: Iterable[str]) -> str:
    return f"| {' | '.join(columns)} |"


def _varlen() -> str:
    return KERNELS["varlen"].refusal(Demand("cpu", torch.float64, gradients=False)) or "runs here"


def _family(cell: Cell, family: str, notes: Notes) -> str:
    if cell.get("family", family) != family:
        return ""
    reason = cells.refusal(cell | {"family": family})
    return "✓" if reason is None else notes.mark(reason)


def _kernel(cell: Cell, kernel: str, notes: Notes) -> str:
    if KERNEL in cell:
        return ""
    if kernel not in FORWARD_ONLY:
        reason = cells.refusal(cell | {KERNEL: kernel})
        return "✓" if reason is None else notes.mark(reason)
    try:
        build(ModelConfig, merged(cells.settings_of(_legal(cell)), {"attention": {"kernel": kernel}}))
    except ConfigError as error:
        return notes.mark(str(error))
    return "forward"


def _packed(cell: Cell, notes: Notes) -> str:
    mixing = cells.config_of(_legal(cell)).parts_that_mix_rows()
    if not mixing:
        return "✓"
    reasons = "; ".join(f"{path} {reason}" for path, reason in dict(mixing).items())
    return f"in evaluation {notes.mark(f'In training the part at {reasons}: there its result depends on the batch.')}"


def _cached(cell: Cell, notes: Notes) -> str:
    reasons = [cells.refusal(cell | {"family": family}) for family in FAMILIES if _is_causal(family)]
    if cell.get("family") is not None and not _is_causal(cell["family"]):
        return ""
    return "✓" if None in reasons else notes.mark(str(reasons[0]))


def _is_causal(family: str) -> bool:
    return ModelConfig.choices[family].causal


def _compiled(cell: Cell) -> str:
    return "graphs" if may_break(cell) else "✓"


@functools.cache
def _needs(items: tuple[tuple[str, str], ...]) -> Cell:
    return cells.needs(dict(items))


def _legal(cell: Cell) -> Cell:
    return _needs(tuple(cell.items()))


def _pairs() -> Iterable[str]:
    """What is refused of all pairs of kinds."""
    choices = cells.axes()
    refused = [pair for pair in cells.pairs(choices) if cells.is_refused(dict(pair))]
    total = len(cells.pairs(choices))
    yield "## Pairs that are refused"
    yield ""
    yield (
        f"Of {total:,} pairs of these choices (variants of a kind left out) {total - len(refused):,} are held by a "
        f"model that `tests/test_contracts.py` runs, with whatever else the two need; the other {len(refused):,} are "
        "refused when a config is loaded, each of the two as it is without further settings of its own:"
    )
    yield ""
    yield _row(("one", "other", "refusal"))
    yield _row(["---"] * 3)
    for one, other in sorted(refused):
        reason = without_legal(cells.refusal(dict((one, other))) or "")
        yield _row((f"`{one[0]}={one[1]}`", f"`{other[0]}={other[1]}`", reason))


def main() -> None:
    """Writes the page."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
