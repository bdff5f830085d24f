"""What opens is listed whole, from the tables."""

from tests.source_tree import ROOT
from zoo.heads import HeadConfig
from zoo.interop import ARCHITECTURES
from zoo.interop.listing import architectures


def test_every_architecture_with_all_that_it_has() -> None:
    listed = {row.name: row for row in architectures()}
    assert list(listed) == sorted(ARCHITECTURES)
    assert listed["bert"].classes == (*ARCHITECTURES["bert"].classes,)
    heads = ("language_model", "sequence_classification", "token_classification", "span_extraction")
    assert listed["gpt2"].heads == heads
    for row in listed.values():
        assert row.opens
        assert row.paper
        assert {*row.heads} <= {*HeadConfig.choices}


def test_papers_are_those_that_the_tables_name() -> None:
    for row in architectures():
        assert row.paper in (ROOT / "zoo" / "interop" / f"{row.name}.py").read_text(encoding="utf-8").split('"""')[1]
