"""Where sentences start: a rule, not a model, because next-sentence pairs need no better.

A sentence ends at . ! ? or … (and the quotes and brackets that close behind it) before white space and anything but a
small letter; at the full-width stops of Chinese and Japanese; and at a blank line. A stop after a known abbreviation or
a single initial ends nothing.
"""

from __future__ import annotations

import re

# The first character is of one small set of rare ones, which a search finds fast; each alternative can begin at few
# places and never gives back what it took, so that no text takes quadratic time.
_CANDIDATE = re.compile(
    r"""[.!?…"'”’)\]»\n\u3002\uff01\uff1f](?:
      (?<=[.!?…"'”’)\]»])\s++        # white space behind a stop or what closes behind it
    | (?<=\n)[^\S\n]*+\n\s*+        # a blank line
    | (?<=[\u3002\uff01\uff1f])(?![\u3002\uff01\uff1f\u300d\u300f”])  # full-width stops need no white space
    )""",
    re.VERBOSE,
)
_STOPS, _CLOSING = ".!?…", "\"'”’)]»"
_MOST_CLOSING = 4
_LAST_WORD = re.compile(r"([^\W\d_]+(?:\.[^\W\d_]+)*)\.\Z")
_WINDOW = 24
"""Characters before a candidate that are looked at: longer than any abbreviation."""

_TITLES = "mr mrs ms dr prof rev hon st sr jr messrs mme mlle gen col capt lt sgt maj adm gov sen rep"
_PLACES = "no vol vols ch chap p pp fig figs eq sec ed eds trans dept inc ltd co corp u.s u.k"
_OTHERS = "e.g i.e cf viz vs al approx ca est a.m p.m b.c a.d jan feb mar apr jun jul aug sept oct nov dec"
_ABBREVIATIONS = frozenset(" ".join([_TITLES, _PLACES, _OTHERS]).split())


def sentence_starts(text: str) -> list[int]:
    """Character offsets at which the sentences of `text` start, ascending, the first one 0; [] where there is no text.

    The pieces between the offsets partition the text: white space goes with the sentence before it.
    """
    if not text or text.isspace():
        return [0] if text else []
    starts = [0]
    for candidate in _CANDIDATE.finditer(text):
        start, stop = candidate.span()
        start += text[start] != "\n"  # the stop, or what closes behind it
        if stop < len(text) and _ends_sentence(text, start, stop):
            starts.append(stop)
    return starts


def _ends_sentence(text: str, start: int, stop: int) -> bool:
    if start == 0:
        return False
    if start == stop or (stop - start > 1 and text.count("\n", start, stop) > 1):  # a full-width stop, or a blank line
        return True
    if text[stop].islower():
        return False
    before = text[max(0, start - _WINDOW) : start]
    sentence = before.rstrip(_CLOSING)
    if not sentence or sentence[-1] not in _STOPS or len(before) - len(sentence) > _MOST_CLOSING:
        return False
    if sentence[-1] != ".":
        return True
    word = _LAST_WORD.search(sentence, sentence.rfind(" ") + 1)
    if word is None:
        return True
    return word[1].lower() not in _ABBREVIATIONS and (len(word[1]) > 1 or word[1] == "I")
