"""Text stays text on a page."""

import html.parser
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.made_up import HOSTILE
from zoo.report.markup import element, page, showable


class _Reader(html.parser.HTMLParser):
    """Names of elements, and the text between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def written(node: ElementTree.Element) -> str:
    return ElementTree.tostring(node, encoding="unicode", method="html")


@given(st.text())
def test_any_text_comes_back_as_text(text: str) -> None:
    read = _Reader(written(element("p", text, "·", title=text)))
    assert read.names == ["p"]
    assert read.text == f"{showable(text)}·"
    assert [name for name, _ in read.attributes] == ["title"]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_makes_no_element(text: str) -> None:
    read = _Reader(written(element("p", element("b", text), text, data_words=text)))
    assert read.names == ["p", "b"]
    assert [name for name, _ in read.attributes] == ["data-words"]


def test_attributes() -> None:
    node = element("input", class_="a", data_step=3, checked=True, hidden=False, title=None, aria_label="x")
    assert node.attrib == {"class": "a", "data-step": "3", "checked": "checked", "aria-label": "x"}


def test_children_in_order() -> None:
    assert written(element("p", "a", element("b", "c"), "d", None, "e")) == "<p>a<b>c</b>de</p>"


def test_page_fetches_nothing_and_runs_its_own_script_only() -> None:
    text = page("a <title>", [element("p", "x")])
    assert text.startswith("<!doctype html>")
    assert "default-src 'none'" in text
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='", text)
    assert "unsafe-inline'; script" in text, "inline styles are the only thing that is allowed without a hash"
    assert not re.search(r"(src|href)=|url\(|@import", text)
    assert "<title>a &lt;title&gt;</title>" in text


def test_page_can_be_written_as_utf_8() -> None:
    assert page("\ud800", [element("p", "\udfff\x00")]).encode()
