"""The HTML page in a real browser: clicks, filters, deep links, keyboard, both schemes, a phone."""

from __future__ import annotations

import functools
import itertools
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_html import EVIL, ROOT, results, verdict

from verify import html
from verify.html import beside as beside_files
from verify.html.beside import Beside, Change, Changed
from verify.spec import Case, Status, Verdict
from verify.summary import Group

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not BROWSER, reason="there is no Chromium: apt-get install chromium"),
]
DESK, PHONE = {"width": 1440, "height": 1000}, {"width": 390, "height": 844}
READY = "html[data-ready]"
# what WCAG calls contrast, of every element that holds text, against the nearest background
CONTRAST = r"""() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = c => {
    canvas.fillStyle = c;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = c => {
    const [r, g, b] = rgb(c).map(v => linear(v / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const bare = e => /rgba\(0, 0, 0, 0\)/.test(getComputedStyle(e).backgroundColor);
  const told = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  const seen = new Map();
  for (const e of document.querySelectorAll("body *")) {
    if (!e.checkVisibility() || !told(e)) continue;
    if (e.closest("script, style, noscript, .sr, .skip")) continue;
    let at = e;
    while (at !== document.body && bare(at)) at = at.parentElement;
    const back = getComputedStyle(at).backgroundColor;
    const style = getComputedStyle(e), ink = e instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(ink), light(back)].sort((x, y) => y - x);
    seen.set(`${ink} on ${back}, ${e.tagName}.${e.getAttribute("class")}`, (a + 0.05) / (b + 0.05));
  }
  return [...seen].length > 10 ? [...seen].filter(([, ratio]) => ratio < 4.5) : "nothing seen";
}"""
NAMELESS = """all => all.filter(e =>
  !(e.ariaLabel || e.textContent || e.labels?.[0]?.innerText || "").trim()).map(e => e.outerHTML)"""
TWICE = """() => {
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  return ids.length - new Set(ids).size;
}"""


def cases() -> list[Verdict]:
    """A few real ops on two devices, with growth, and one that is wrong."""
    made = []
    for device in ("cpu", "numpy"):
        for op in ("exp", "conv", "bad"):
            for judge in ("forward", "vjp", "growth"):
                for n in (1, 30, 1000):
                    case = Case(op, judge, device, "float32", ((n, 2),), layout="strided")
                    v = Verdict(case.id, Status.PASS, rho=n / 2000, ulp=n / 100, seconds=0.01)
                    v.worst = f"y[0] = {n}"
                    v.torch_rho, v.torch_ulp = (2.0, 0.5) if judge == "forward" else (None, None)
                    if judge == "growth":
                        v.ulp, v.budget = None, {"error": 1e-7, "exponent, signed": 0.5}
                    if op == "bad" and judge == "vjp":
                        v = replace(v, status=Status.FAIL, rho=5100.0)
                        v.message = f"dx[0] = {n}\n{EVIL}"
                        v.budget = {"error": 2.0, "bound": 1.0, "rounding of mul": 0.5}
                    made.append(v)
    return [*made, verdict("later", Status.SKIP, message="until May")]


@functools.cache
def text() -> str:
    """The page of these cases, with everything beside it."""
    speed = beside_files.speed(Path(__file__).with_name("speed.json"))
    speed["limits"] = [(1, {"copy": 1e12, "copy 16 KiB": 5e12, "read": 2e12, "float32": 1e13})]
    speed["rows"][0][3:] = [0.1, 0.1, 0.1, 1, 1, 100, 50, 0.4]
    files = ("cpu", "torch")
    accuracy = [beside_files.accuracy(ROOT / f"reports/accuracy-{name}.json") for name in files]
    accuracy[0]["rows"][2]["domain"] = [[-1, -3, 0.5], [-1, 2, 0.75], [1, -3, 0.5], [1, 2, 0.9]]
    change = Change("PASS", "FAIL", cases()[-2].id, EVIL, True)
    line = ["exp", 3, 3, 0.1, 0.2, 0.1, 0.4, 1, 1]
    changed = Changed("before.jsonl", "1 verdict changed", True, [change], ["a note"], [], [line])
    found = results(*cases(), devices=("cpu", "numpy"))
    return html.report(*found, Beside(changed, speed, accuracy))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    os.environ.setdefault("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    with sync_api.sync_playwright() as p:
        made = p.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield made
        made.close()


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """A page from the disk; whatever it says on its console, or asks of a network, is a failure."""
    said: list[str] = []
    contexts = []

    def open_(address: str = "", page: str = "", scheme: str = "light", **size: Any) -> Any:
        path = tmp_path / "r.html"
        path.write_text(page or text())
        context = browser.new_context(viewport=size or DESK, color_scheme=scheme)
        contexts.append(context)
        found = context.new_page()
        found.on("console", lambda message: said.append(message.text))
        found.on("pageerror", lambda error: said.append(str(error)))
        found.on("request", lambda r: r.url.startswith("file:") or said.append(r.url))
        found.goto(path.as_uri() + address)
        found.wait_for_selector(READY)
        return found

    yield open_
    for context in contexts:
        context.close()
    assert not said


def count(page: Any) -> str:
    return str(page.inner_text("#count"))


def settled(page: Any, words: str) -> None:
    sync_api.expect(page.locator("#count")).to_contain_text(words)


def test_it_opens_on_all_cases_failures_first(opened: Open) -> None:
    page = opened()
    assert count(page) == "55 of 55 cases: 48 PASS, 6 FAIL, 1 SKIP"
    assert page.inner_text("#failures-h") == "Failures (6)"
    first = page.locator(".failure").first
    assert first.get_attribute("open") is not None
    assert "dx[0] = 1" in first.inner_text()
    assert EVIL in first.inner_text(), "text, not markup"
    assert "50 % of the bound" in first.inner_text()
    assert first.locator(".copy code").inner_text().startswith("needle-verify --replay bad/vjp/")
    tops = [page.locator(f"#{i}").bounding_box()["y"] for i in ("failures", "coverage", "cases")]
    assert tops == sorted(tops)


def test_a_cell_opens_its_cases_and_back_returns(opened: Open) -> None:
    page = opened()
    page.get_by_role("button", name=re.compile("^bad, vjp: 6 FAIL")).click()
    settled(page, "6 of 55 cases: 6 FAIL")
    assert page.evaluate("location.hash") == "#op=bad&judge=vjp"
    assert page.locator(".cases tbody tr").count() == 6
    assert page.evaluate("document.activeElement.id") == "cases"
    page.go_back()
    settled(page, "55 of 55")
    assert page.locator("#op").is_hidden()
    page.go_forward()
    settled(page, "6 of 55")


def test_an_empty_cell_says_why(opened: Open) -> None:
    page = opened()
    cell = page.get_by_role("button", name="exp, fd: no case, differences need float64")
    letter = cell.inner_text()
    reason = page.locator("#reasons div", has_text="differences need float64").first
    assert reason.locator("dt").inner_text() == letter
    cell.click()
    assert "No case: differences need float64" in page.inner_text("#case-box")
    assert page.locator(".matrix td").evaluate_all("all => all.every(td => td.innerText.trim())")


def test_layouts_are_columns_too_and_cells_say_rho(opened: Open) -> None:
    page = opened()
    page.get_by_label("Columns", exact=True).select_option("layout")
    page.get_by_label("Rows", exact=True).select_option("yes")
    heads = page.locator(".matrix thead th").all_inner_texts()
    assert heads[1:4] == ["compact", "strided", "offset"]
    page.get_by_label("Cells say", exact=True).select_option("rho")
    cell = page.get_by_role("button", name=re.compile("^exp, strided, cpu, float32: 9 PASS"))
    assert cell.inner_text() == "0.50"
    mixed = page.get_by_role("button", name=re.compile("^exp, mixed, cpu, float32: no case"))
    assert "it has one input" in mixed.get_attribute("title")
    cell.click()
    settled(page, "9 of 55")


def test_filters_search_and_clear(opened: Open) -> None:
    page = opened()
    page.get_by_label("Device", exact=True).select_option("numpy")
    settled(page, "27 of 55")
    page.get_by_label("Status", exact=True).select_option("wrong")
    settled(page, "3 of 55 cases: 3 FAIL")
    assert page.locator(".failure").count() == 3
    page.get_by_role("button", name="Clear filters").click()
    settled(page, "55 of 55")
    page.keyboard.type("1000x2 grow")
    settled(page, "6 of 55")
    assert page.evaluate("new URLSearchParams(location.hash.slice(1)).get('q')") == "1000x2 grow"
    page.keyboard.press("Escape")
    settled(page, "55 of 55")
    page.fill("#q", "exp/vjp/cpu")
    settled(page, "3 of 55")
    page.fill("#q", "no such thing")
    settled(page, "0 of 55")
    assert "No case fits the filter" in page.inner_text("#matrix-box")


def test_deep_links(opened: Open) -> None:
    page = opened("#op=conv&device=numpy")
    settled(page, "9 of 55")
    assert page.inner_text("#op-h").startswith("conv")
    assert page.get_by_label("Op", exact=True).input_value() == "conv"
    page.evaluate("location.hash = 'op=exp'")
    settled(page, "18 of 55")
    assert "has no op nobody" in count(opened("#op=nobody"))
    assert "27 of 55" in count(opened("#device=numpy"))
    assert "55 of 55" in count(opened("#coverage")), "a section is no filter"


def test_an_op_has_its_pictures(opened: Open) -> None:
    page = opened("#op=exp")
    op = page.locator("#op")
    titles = op.locator("h3").all_inner_texts()
    assert titles[:4] == [
        "Error in ULP of the result", "Error by its bound: rho", "ULP by size", "rho by size",
    ]  # fmt: skip
    assert {"Growth with the length of the sum", "exp over its domain, float32",
            "Speed beside torch"} <= set(titles)  # fmt: skip
    names = op.locator("svg[role=img]").evaluate_all("all => all.map(s => s.ariaLabel)")
    assert any(name.startswith("cpu · float32: ULP of 6 cases") for name in names)
    assert any(name.startswith("numpy · float32: rho of 9 cases") for name in names)
    assert op.locator("polyline.line").count() == 4, "both signs of the domain, both dtypes"
    assert "torch · float32: ULP of 3 cases, half ≤ 0.50, 99 % ≤ 0.50, worst 0.50" in str(names)
    assert not op.locator("rect.over").count(), "torch's rho beyond 1 is no failure"
    table = op.locator("table").first.inner_text()
    assert "torch · float32\t3\t\t2.00\t2.00\t2.00\t0.50" in table, "torch itself side by side"
    assert "its rho is by the bound of cpu · float32" in op.inner_text()
    assert "n^0.50" in op.inner_text()
    assert "y[0] = 1000" in op.inner_text(), "the worst case's equation"
    assert page.locator("#op circle.dot").count() >= 15


def test_speed_roofline_and_changes(opened: Open) -> None:
    page = opened()
    chart = page.locator("#speed svg.chart")
    assert chart.get_attribute("aria-label").startswith("Roofline: 1")
    assert chart.locator("polyline.limit").count() == 2, "the roofs of memory and of the caches"
    assert "1000 GB/s copy, 2000 GB/s read," in page.inner_text("#ratios"), "of memory"
    page.get_by_text("GB/s by the size of what is moved").click()
    assert "16 KiB\t5000" in page.inner_text("#ratios details"), "and of the caches"
    assert "Roofline, float32, 1 thread(s)" in page.inner_text("#ratios")
    assert "40 %" in page.inner_text("#ratios")
    rows = page.locator("#ratios tbody").first.locator("tr")
    assert rows.count() == 15
    page.locator("#ratios").get_by_role("button", name="Show 15 more").click()
    assert rows.count() == 30
    assert EVIL in page.inner_text("#change-list")
    page.locator("#change-list").get_by_role("button").first.click()
    settled(page, "3 of 55")


def test_a_case_opens_with_its_equation_and_its_line(opened: Open) -> None:
    page = opened("#op=exp&judge=vjp&device=cpu")
    toggle = page.locator(".cases .toggle").first
    assert toggle.get_attribute("aria-expanded") == "false"
    toggle.click()
    detail = page.locator("tr.detail")
    assert "y[0] = 1000" in detail.inner_text()
    line = "needle-verify --replay exp/vjp/cpu/float32/1000x2/-/strided/interior/seed0"
    assert detail.locator("code").inner_text() == line
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    detail.get_by_role("button", name="Copy the line").click()
    sync_api.expect(detail.get_by_text("Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == line
    toggle.click()
    assert detail.count() == 0


def test_the_keyboard_reaches_everything(opened: Open) -> None:
    page = opened()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "q"
    for _ in range(200):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.cell')"):
            break
    focused = "document.activeElement.ariaLabel"
    assert page.evaluate(focused).startswith("exp, forward")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid", "focus is seen"
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused).startswith("conv, vjp")
    page.keyboard.press("End")
    assert page.evaluate(focused).startswith("conv, trajectory")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.textContent") == "conv", "the op itself"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settled(page, "6 of 55")
    assert page.evaluate("location.hash") == "#op=conv&judge=forward"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.tagName") == "SELECT", "the order of the cases"


def test_an_op_and_a_judge_leave_layouts(opened: Open) -> None:
    """Op, judge, device, type, layout: each step of the matrix tells one more of them apart."""
    page = opened()
    page.get_by_role("button", name=re.compile("^exp, vjp: 6 PASS")).click()
    heads = page.locator(".matrix thead th").all_inner_texts()
    assert heads[:3] == ["device · type", "compact", "strided"]
    assert page.get_by_label("Columns", exact=True).is_disabled()
    page.get_by_role("button", name=re.compile("^exp, strided, numpy, float32: 3 PASS")).click()
    settled(page, "3 of 55")
    told = page.evaluate("location.hash")
    assert told == "#op=exp&judge=vjp&device=numpy&dtype=float32&layout=strided"
    page.get_by_role("button", name="Back to all ops").click()
    settled(page, "55 of 55")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("address", ["", "#op=bad"])
def test_contrasts(opened: Open, scheme: str, address: str) -> None:
    page = opened(address, scheme=scheme)
    page.wait_for_selector("#times tbody tr")
    assert page.evaluate(CONTRAST) == []


def test_both_schemes_and_the_toggle(opened: Open) -> None:
    back = "getComputedStyle(document.body).backgroundColor"
    light, dark = (opened(scheme=s) for s in ("light", "dark"))
    assert sum(json.loads(re.sub(r"rgb\((.*)\)", r"[\1]", light.evaluate(back)))) > 600
    assert sum(json.loads(re.sub(r"rgb\((.*)\)", r"[\1]", dark.evaluate(back)))) < 150
    wanted = dark.evaluate(back)
    light.get_by_role("button", name="Switch to dark colours").click()
    assert light.evaluate(back) == wanted
    light.reload()
    light.wait_for_selector(READY)
    assert light.evaluate(back) == wanted, "it is remembered"


@pytest.mark.parametrize("address", ["", "#op=bad", "#op=exp&judge=fd"])
def test_a_phone(opened: Open, address: str) -> None:
    page = opened(address, **PHONE)
    page.wait_for_selector("#times table")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide == PHONE["width"], "only tables scroll sideways"
    small = page.locator("button:visible, select:visible, input:visible").evaluate_all(
        "all => all.filter(b => b.getBoundingClientRect().height < 24).map(b => b.outerHTML)"
    )
    assert not small, "a finger hits them"


def test_names_for_those_who_do_not_see(opened: Open) -> None:
    page = opened("#op=bad")
    named = page.locator("button, select, input, svg[role=img], summary")
    assert named.evaluate_all(NAMELESS) == []
    heads = page.locator("h1, h2, h3, h4, h5").evaluate_all("all => all.map(h => +h.tagName[1])")
    assert all(b - a <= 1 for a, b in itertools.pairwise(heads)), "no level is left out"
    assert page.locator("th:not([scope])").count() == 0
    assert page.evaluate(TWICE) == 0


def test_a_run_of_which_nothing_is_there_yet(opened: Open) -> None:
    late = Group("exp", "forward", "cpu", "float32")
    page = opened(page=html.report(*results(planned=5, boxed=[late])))
    assert count(page) == "0 of 0 cases"
    cell = page.get_by_role("button", name=re.compile("^exp, forward: no case"))
    assert "time was up" in cell.get_attribute("title")


@pytest.mark.slow
def test_a_hundred_thousand_cases_open_and_filter(opened: Open) -> None:
    made = [
        Verdict(
            Case(f"op{op}", judge, device, dtype, ((n + 1, 3),), layout="strided").id,
            Status.FAIL if op == 7 and n == 3 else Status.PASS,
            rho=0.3, ulp=0.5, seconds=0.001,
        )
        for op in range(120)
        for judge in ("forward", "vjp", "errors", "batch", "across")
        for device in ("cpu", "numpy")
        for dtype in ("float32", "float64")
        for n in range(42)
    ]  # fmt: skip
    assert len(made) > 100_000
    page = opened(page=html.report(*results(*made, devices=("cpu", "numpy"))))
    assert page.inner_text("#count").startswith("100,800 of 100,800")
    assert page.locator("body *").count() < 6000, "what is not seen is not made"
    start = time.monotonic()
    page.get_by_label("Status", exact=True).select_option("wrong")
    settled(page, "20 of 100,800")
    page.fill("#q", "op7 errors")
    settled(page, "4 of 100,800")
    print(f"two filters in {time.monotonic() - start:.2f} s")  # noqa: T201
    box = page.locator("#matrix-box")
    page.get_by_role("button", name="Clear filters").click()
    for _ in range(20):
        box.evaluate("b => b.scrollTop = b.scrollHeight")
        page.wait_for_timeout(30)
    assert page.locator(".matrix tbody tr").count() == 120, "all of them, when scrolled to"
