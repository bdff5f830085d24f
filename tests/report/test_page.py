"""The pages: complete, self-contained, and whole at any width, as a browser shows them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report.browser import Browser, browser
from tests.report.made_up import HOSTILE, add_samples, made_up_run
from tests.training.tiny import tiny_run
from zoo.report.folder import read_run
from zoo.report.page import COMPARED, SECTIONS, Pictures, comparison_page, labels, loss_title, run_page
from zoo.report.write import write_comparison, write_report
from zoo.training.run import pretrain

NOTHING = Pictures((), "not drawn")


def ids(text: str) -> list[str]:
    return re.findall(r'<section id="(\w+)"', text)


def test_page_has_every_section_in_order(tmp_path: Path) -> None:
    text = run_page(read_run(made_up_run(tmp_path / "gpt")), NOTHING)
    assert ids(text) == list(SECTIONS)
    assert re.findall(r'<a href="#(\w+)"', text) == list(SECTIONS)
    assert "finished after 399 steps" in text
    assert "not drawn" in text


def test_page_is_small_and_the_same_each_time(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt", steps=20_000))
    text = run_page(run, NOTHING)
    assert len(text) < 1_000_000
    assert run_page(run, NOTHING) == text


def test_remarks_are_on_the_page(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt", finished=False))._replace(remarks=["metrics.csv: damaged <b>"])
    text = run_page(run, NOTHING)
    assert "metrics.csv: damaged &lt;b&gt;" in text
    assert "unfinished: step 399 of 400" in text


def test_hostile_names_and_settings_stay_text(tmp_path: Path) -> None:
    run = read_run(made_up_run(tmp_path / "gpt"))
    evil = "<script>x</script>"
    config = {**run.config, "model": {"kind": evil}}
    run = run._replace(name=evil, config_text=evil, environment={evil: evil}, config=config)
    text = run_page(run, Pictures((), evil))
    assert text.count("<script>") == 1 == text.count("</script>"), "the page's own"


def test_comparison_shows_what_differs(tmp_path: Path) -> None:
    runs = [read_run(made_up_run(tmp_path / name, positions=name)) for name in ("rotary", "alibi")]
    text = comparison_page(runs, tmp_path)
    assert ids(text) == list(COMPARED)
    differing = re.findall(r"<tr><td><code>([\w.]+)</code></td><td>(.*?)</td><td>(.*?)</td></tr>", text)
    assert differing == [("model.positions", "rotary", "alibi")]
    assert "different tokenizers" not in text


def test_comparison_warns_of_different_tokenizers(tmp_path: Path) -> None:
    runs = [read_run(made_up_run(tmp_path / name)) for name in ("a", "b")]
    other = runs[1]._replace(config={**runs[1].config, "tokenizer": {"kind": "byte_level_bpe"}})
    assert "losses a token do not compare" in comparison_page([runs[0], other], tmp_path)
    assert "The configs are the same but for the name." in comparison_page(runs, tmp_path)


def test_comparison_marks_the_lowest_of_what_compares(tmp_path: Path) -> None:
    bits = "validation/causal_lm/bits_per_byte"
    runs = []
    for name, loss, bit in (("a", 2.0, 3.5), ("b", 2.5, 3.25)):
        run = read_run(made_up_run(tmp_path / name))
        last = {"validation/loss": loss, bits: bit}
        columns = {**run.log.columns, **{column: run.log.columns["validation/loss"].copy() for column in last}}
        for column, value in last.items():
            columns[column][-1] = value
        runs.append(run._replace(log=run.log._replace(columns=columns)))
    results = element_of(comparison_page(runs, tmp_path))
    assert re.findall("<b>(.*?)</b>", results) == ["2.000", "3.250"]
    other = runs[1]._replace(config={**runs[1].config, "tokenizer": {"kind": "byte_level_bpe"}})
    results = element_of(comparison_page([runs[0], other], tmp_path))
    assert re.findall("<b>(.*?)</b>", results) == ["3.250"]
    assert results.index(bits) < results.index("validation/loss")


def element_of(page: str) -> str:
    """The table of results of a page."""
    return page.partition('class="results"')[2].partition("</table>")[0]


def test_comparison_has_a_title_of_its_own_for_each_curve(tmp_path: Path) -> None:
    runs = [read_run(made_up_run(tmp_path / name)) for name in ("a", "b")]
    rest = {"validation_ema/loss": "validation/loss", "train/added_loss": "train/loss"}
    rest |= {f"{side}/causal_lm/bits_per_byte": "validation/loss" for side in ("validation", "validation_ema")}
    for number, run in enumerate(runs):
        columns = {**run.log.columns, **{name: run.log.columns[like] for name, like in rest.items()}}
        runs[number] = run._replace(log=run.log._replace(columns=columns))
    titles = re.findall(r"<figcaption><b>([^<]*)", comparison_page(runs, tmp_path))
    assert len(set(titles)) == len(titles) >= 8
    assert {"Training loss", "Validation loss", "Training added loss", "Averaged weights: validation loss"} <= {*titles}
    assert "Validation bits per byte of causal lm" in titles
    assert titles[:2] == ["Validation loss", "Training loss"]


def test_title_of_an_objective() -> None:
    assert loss_title("train/masked_lm/loss") == "Training loss of masked lm"


def test_comparison_leads_to_reports_that_are_there(tmp_path: Path) -> None:
    folders = [made_up_run(tmp_path / "runs" / name) for name in ("a", "b")]
    (folders[0] / "report.html").touch()
    text = comparison_page([read_run(folder) for folder in folders], tmp_path)
    assert 'href="runs/a/report.html"' in text
    assert 'href="runs/b/report.html"' not in text


def test_more_runs_than_colours(tmp_path: Path) -> None:
    runs = [read_run(made_up_run(tmp_path / f"run-{number}", steps=80)) for number in range(10)]
    assert "c1 dashed" in comparison_page(runs, tmp_path)


def test_labels_tell_runs_apart(tmp_path: Path) -> None:
    folders = [made_up_run(tmp_path / place) for place in ("one/gpt", "two/gpt")]
    assert labels([read_run(folder) for folder in folders]) == ["one/gpt", "two/gpt"]
    assert labels([read_run(folders[0])]) == ["gpt"]


# ------------------------------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def shown() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each sort: a made-up long run with hostile samples, a real one, a comparison."""
    folder = tmp_path_factory.mktemp("pages")
    long = made_up_run(folder / "a-run-with-quite-a-long-name-that-has-to-break-somewhere")
    add_samples(long)
    real = pretrain(tiny_run(folder, "t5", "trainer.validate_every=2"), folder / "t5").folder
    other = made_up_run(folder / "other", positions="alibi")
    return {
        "long": write_report(long)[0],
        "real": write_report(real)[0],
        "comparison": write_comparison([long, other], folder / "comparison.html")[0],
    }


VISIBLE_PLOTS = """
[...document.querySelectorAll(".chart")].map(chart =>
  [...chart.querySelectorAll(".plot")].filter(plot => plot.offsetHeight).length)
"""
VISIBLE_SECTIONS = "[...document.querySelectorAll('section')].filter(one => one.offsetHeight > 60).map(one => one.id)"
WIDER_THAN_THE_SCREEN = """
[...document.querySelectorAll("main *")].filter(node => {
  for (let up = node.parentElement; up; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== "visible" && up !== document.documentElement) return false;
  const box = node.getBoundingClientRect();
  return box.width && (box.right > WIDTH + 1 || box.left < -1);
}).map(node => node.tagName + "." + node.getAttribute("class") + " " + node.textContent.slice(0, 40))
"""


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", ["long", "real", "comparison"])
def test_whole_at_any_width_and_without_complaint(
    name: str, width: int, dark: bool, shown: Browser, pages: dict[str, Path]
) -> None:
    shown.complaints.clear()
    shown.open(pages[name], width=width, dark=dark)
    for switch in ("against-tokens", "scale-log", "against-time", "against-steps", "scale-linear"):
        shown.ask(f"document.querySelector('label[for={switch}]').click()")
        assert set(shown.ask(VISIBLE_PLOTS)) == {1}, f"each chart shows one plot after {switch}"
    keys = COMPARED if name == "comparison" else SECTIONS
    assert shown.ask(VISIBLE_SECTIONS) == list(keys)
    assert shown.ask("document.documentElement.scrollWidth") <= width
    assert shown.ask(WIDER_THAN_THE_SCREEN.replace("WIDTH", str(width))) == []
    assert shown.ask("document.fonts.size") == 0
    light = "rgb(20, 23, 26)" if dark else "rgb(251, 251, 250)"
    assert shown.ask("getComputedStyle(document.body).backgroundColor") == light
    assert shown.complaints == []


@pytest.mark.slow
def test_hostile_samples_are_seen_and_not_obeyed(shown: Browser, pages: dict[str, Path]) -> None:
    shown.complaints.clear()
    shown.open(pages["long"], width=1280)
    assert shown.ask("document.title") == pages["long"].parent.name
    assert shown.ask("document.querySelector('#injected')") is None
    prompts = shown.ask("[...document.querySelectorAll('.prompt')].map(node => node.textContent)")
    assert prompts[0] == HOSTILE[0]
    assert len(prompts) == len(HOSTILE) + 2
    assert shown.complaints == []


@pytest.mark.slow
def test_pointer_shows_values(shown: Browser, pages: dict[str, Path]) -> None:
    shown.open(pages["long"], width=1280)
    place = shown.ask(
        "(() => { const plot = [...document.querySelectorAll('.plot')].find(p => p.offsetHeight);"
        " plot.scrollIntoView({block: 'center'}); const box = plot.getBoundingClientRect();"
        " return [box.left + box.width / 2, box.top + box.height / 2]; })()"
    )
    shown.point(*place)
    said = shown.ask("[...document.querySelectorAll('.values')].filter(v => !v.hidden).map(v => v.textContent).join()")
    assert re.match(r"step (199|201|20[0-9]|19[0-9])", said), said
    assert "validation" in said
    assert "training" in said


@pytest.mark.slow
def test_pointer_reads_attention(shown: Browser, pages: dict[str, Path]) -> None:
    shown.open(pages["real"], width=1280)
    place = shown.ask(
        "(() => { const map = document.querySelector('.maps svg'); map.scrollIntoView({block: 'center'});"
        " const box = map.getBoundingClientRect(); return [box.left + box.width / 2, box.top + 2]; })()"
    )
    shown.point(*place)
    said = shown.ask("document.querySelector('.said').textContent")
    assert re.fullmatch(r"“.+” gives “.+” [\d.]+ %", said), said


@pytest.mark.slow
def test_browser_notices_what_is_wrong(shown: Browser, tmp_path: Path) -> None:
    """The check itself can fail: an error of a script, a refused request, a word that is too wide."""
    bad = tmp_path / "bad.html"
    bad.write_text(
        "<!doctype html><meta name=viewport content='width=device-width'><main><p style='width:2000px'>wide</p></main>"
        "<script>console.error('said'); fetch('https://example.invalid/x'); undefined.thrown</script>",
        encoding="utf-8",
    )
    shown.complaints.clear()
    shown.open(bad, width=360)
    said = " ".join(shown.complaints)
    assert "said" in said
    assert "threw" in said
    assert "example.invalid" in said
    assert shown.ask(WIDER_THAN_THE_SCREEN.replace("WIDTH", "360"))
