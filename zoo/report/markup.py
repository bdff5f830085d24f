"""HTML and SVG as trees, so that text stays text: whatever a sample or a config holds, it is shown and never obeyed.

Two walls. Pages are trees of `xml.etree`, which escapes every text and attribute when it is written. And a page carries
a content security policy: nothing is fetched from anywhere, and no script runs but the page's own, known by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

Child = Element | str | None

_UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
"""Control characters and halves of surrogate pairs: no page can hold them."""


def element(name: str, /, *children: Child, **attributes: object) -> Element:
    """An element of HTML or SVG.

        element("td", "12", class_="number", data_step=3)  →  <td class="number" data-step="3">12</td>

    Args:
        name: of the element.
        children: elements and text, in order; None is left out.
        attributes: `class_` is class, `data_step` is data-step; None and False are left out, True is the bare name.
    """
    made = Element(name)
    for key, value in attributes.items():
        if value is not None and value is not False:
            key = key.rstrip("_").replace("_", "-")
            made.set(key, key if value is True else showable(str(value)))
    for child in children:
        if isinstance(child, str):
            _append_text(made, showable(child))
        elif child is not None:
            made.append(child)
    return made


def _append_text(parent: Element, text: str) -> None:
    if len(parent):
        parent[-1].tail = (parent[-1].tail or "") + text
    else:
        parent.text = (parent.text or "") + text


def showable(text: str) -> str:
    """The text with a � for each character that no page can hold."""
    return _UNSHOWABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def page(title: str, body: list[Child]) -> str:
    """A whole page with the style and the script of reports inside it; it needs no file and no network.

    Args:
        title: of the window.
        body: what is on it.
    """
    files = resources.files("zoo.report")
    style, script = (files.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", style),
    )
    root = element("html", head, element("body", *body, element("script", script)), lang="en")
    return f"<!doctype html>\n{ElementTree.tostring(root, encoding='unicode', method='html')}\n"
