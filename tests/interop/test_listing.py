"""What opens is listed whole, from the tables."""

import re

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


def test_they_are_dated_by_the_month_in_which_they_were_described() -> None:
    for _, table in ARCHITECTURES.items():
        assert re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", table.described)
        if number := re.fullmatch(r"arXiv:(\d\d)(\d\d)\.\d{5}", table.paper):
            assert table.described == f"20{number[1]}-{number[2]}"
