"""Compiled equals eager, for every kind of every choice and each field of it.

What is compared are hidden states of packed rows and the gradients of all weights.

torch.compile captures and differentiates the backbone here (backend aot_eager, which runs the captured graphs with
torch's own operators): what is tested is that nothing in our code is lost or frozen on the way. Generated kernels are
the business of the backend, and of the nano models in `tests/test_compile.py`.
"""

from collections.abc import Iterator

import pytest
import torch

from tests import cells
from tests.cells import Cell
from tests.test_contracts import assert_equal, build, outcome, packed

GRAPH_BREAKS = {
    "feed_forward": ("mixture",)  # how many tokens an expert gets is known only when they are there
}
"""Kinds that need more than one graph, and why."""


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def kinds() -> Iterator[Cell]:
    """Each value of each axis, variants too, in a decoder where that has it."""
    for axis, values in cells.axes(with_variants=True).items():
        for value in values:
            choice = {axis: value}
            if axis != "family" and not cells.is_refused({"family": "decoder"} | choice):
                choice = {"family": "decoder"} | choice
            yield cells.needs(choice)


KINDS = [cell for cell in kinds() if len(cell) > 1 or "family" in cell]


def may_break(cell: Cell) -> bool:
    """Whether more than one graph is expected."""
    return any(cell.get(axis, "").partition("/")[0] in kinds for axis, kinds in GRAPH_BREAKS.items())


@pytest.mark.slow
@pytest.mark.parametrize("cell", KINDS, ids=cells.name_of)
def test_compiled_is_eager(cell: Cell) -> None:
    expected = outcome(build(cells.config_of(cell)), packed)
    model = build(cells.config_of(cell))
    model.backbone.forward = torch.compile(model.backbone.forward, backend="aot_eager")  # type: ignore[method-assign]
    assert_equal(outcome(model, packed), expected, "compiled")
    breaks = torch._dynamo.utils.counters["graph_break"]
    assert bool(breaks) == may_break(cell), dict(breaks)
