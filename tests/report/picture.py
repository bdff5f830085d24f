"""The picture of a report that the README shows: a desktop in light, beside it a phone in dark.

    python -m tests.report.picture runs/gpt-5m docs/report.png

Needs Chromium. The report is taken as it lies in the run folder; `zoo report <folder>` makes it anew first.
"""

import base64
import sys
import tempfile
from pathlib import Path

from tests.report.browser import Browser, browser

DESKTOP, PHONE = (830, 830), (252, 798)
"""Width and height of the two windows in the picture, in its pixels."""
DESKTOP_WIDTH, PHONE_WIDTH = 1160, 360
"""How wide the two windows are; both are drawn smaller than that."""


def take(report: Path, picture: Path) -> Path:
    """Writes the picture of a report file, as PNG."""
    with browser() as chromium, tempfile.TemporaryDirectory() as folder:
        desktop, phone, page = Path(folder, "desktop.png"), Path(folder, "phone.png"), Path(folder, "page.html")
        chromium.open(report, width=DESKTOP_WIDTH, height=DESKTOP[1] * DESKTOP_WIDTH // DESKTOP[0])
        chromium.picture(desktop, whole=False)
        chromium.open(report, width=PHONE_WIDTH, height=PHONE[1] * PHONE_WIDTH // PHONE[0], dark=True)
        scroll(chromium, "Model")
        chromium.picture(phone, whole=False)
        page.write_text(side_by_side(desktop, phone), encoding="utf-8")
        chromium.open(page, width=DESKTOP[0] + PHONE[0] + 28, height=DESKTOP[1])
        return chromium.picture(picture, whole=False)


def scroll(chromium: Browser, heading: str) -> None:
    """Brings the section below a heading to the top of the window."""
    script = f"[...document.querySelectorAll('h2')].find(one => one.textContent === '{heading}').scrollIntoView()"
    chromium.ask(f"{script}; window.scrollBy(0, -16)")


def side_by_side(desktop: Path, phone: Path) -> str:
    """A page that shows two pictures."""

    def image(path: Path, size: tuple[int, int], style: str) -> str:
        data = base64.b64encode(path.read_bytes()).decode()
        return f'<img src="data:image/png;base64,{data}" style="width:{size[0]}px;height:{size[1]}px;{style}">'

    shown = image(desktop, DESKTOP, "") + image(phone, PHONE, "margin:16px 14px;border-radius:10px")
    return f'<body style="margin:0;display:flex;align-items:flex-start;background:#e9eaee">{shown}</body>'


if __name__ == "__main__":
    run, where = (Path(argument) for argument in sys.argv[1:])
    print(take(run / "report.html", where))
