"""The report in a real browser: sorting, filtering, keyboard, no script error, no request. Needs chromium installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from synthetic import mini_results

from benchmarks.report import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine to open the report with")

# Runs before the page's own scripts: notes errors and every request that is not for the page itself.
WATCH = """
<script>
window.seen = [];
addEventListener("error", (event) => seen.push("error: " + event.message));
const requests = (list) => list.getEntries().forEach((entry) => seen.push("request: " + entry.name));
new PerformanceObserver(requests).observe({type: "resource", buffered: true});
</script>
"""
ACT = """
<script>
const table = document.querySelector("#table-detection table");
const column = [...table.querySelectorAll("tr.heads th")].findIndex((th) => th.textContent.startsWith("AP (%)"));
const button = table.querySelectorAll("tr.heads th")[column].querySelector("button");
const shown = () => [...table.querySelectorAll("tbody tr:not(.block)")].filter((r) => !r.hidden);
const values = () => shown().map((r) => r.cells[column].dataset.sort);
const report = {original: values().join()};
button.focus();
report.focused = document.activeElement === button;
button.click(); report.descending = values().join(); report.aria = button.parentElement.getAttribute("aria-sort");
button.click(); report.ascending = values().join();
button.click(); report.restored = values().join(); report.blocks = table.querySelectorAll("tr.block").length;
const input = document.querySelector("#table-detection input");
input.value = "pdarts"; input.dispatchEvent(new Event("input"));
report.filtered = shown().map((r) => r.dataset.name).join();
report.visibleBlocks = [...table.querySelectorAll("tr.block")].filter((b) => !b.hidden).length;
report.filters = [...document.querySelectorAll("figure.table")].every(
  (f) => Boolean(f.querySelector("input")) === (f.querySelectorAll("tbody tr:not(.block)").length > 5));
report.wide = document.documentElement.scrollWidth > innerWidth;
report.seen = seen.join("; ");
document.title = JSON.stringify(report);
</script>
"""


def test_sorting_filtering_and_silence(tmp_path: Path) -> None:
    text = write_report(tmp_path, mini_results()).read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(text.replace("<head>", f"<head>{WATCH}").replace("</body>", f"{ACT}</body>"), encoding="utf-8")
    found = run(page)
    descending = [float(value) for value in found["descending"].split(",")]
    assert descending == sorted(descending, reverse=True)
    assert [float(value) for value in found["ascending"].split(",")] == descending[::-1]
    assert found["restored"] == found["original"]
    assert found["aria"] == "descending"
    assert found["focused"] == "true"
    assert int(found["blocks"]) == 5
    assert found["filtered"].split(",") == ["pdarts_cifar10", "pdarts@digits"]
    assert int(found["visibleBlocks"]) == 2
    assert found["filters"] == "true"  # on every table of more than five rows, and on no other
    assert found["seen"] == ""


def test_a_phone_needs_no_sideways_scrolling_of_the_page(tmp_path: Path) -> None:
    text = write_report(tmp_path, mini_results()).read_text(encoding="utf-8")
    page = tmp_path / "page.html"
    page.write_text(text.replace("<head>", f"<head>{WATCH}").replace("</body>", f"{ACT}</body>"), encoding="utf-8")
    assert run(page, "500,900")["wide"] == "false"  # 500 is the narrowest window that chromium makes


def run(page: Path, window: str = "1280,900") -> dict[str, str]:
    """What the page's last script noted in its title."""
    quiet = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-quic"]
    quiet += ["--no-first-run", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]
    place = [f"--window-size={window}", f"--user-data-dir={page.parent / 'profile'}"]
    command = [str(CHROMIUM), *quiet, *place, "--dump-dom", page.as_uri()]
    dump = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    title = re.search(r"<title>(\{.*?\})</title>", dump, re.DOTALL)
    assert title is not None, dump[-2000:]
    return dict(re.findall(r'"(\w+)":"?([^"{}]*?)"?(?=,"|\})', title[1]))
