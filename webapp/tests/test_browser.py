"""The page in a real browser, served by a real gunicorn over real Parquet files."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from .samples import MONTH

WEBAPP = Path(__file__).parents[1]
OUTPUT = Path(__file__).parent / "output"
CHART = WEBAPP / "retail_webapp/static/vendor/chart.umd.min.js"
CHROMIUM = shutil.which("chromium")
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = [
    pytest.mark.filterwarnings("error"),
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt install chromium"),
    pytest.mark.skipif(not CHART.exists(), reason="no Chart.js: make artefacts"),
]


@pytest.fixture
def server(month: Path, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(WEBAPP),
        "USE_HDFS": "false",
        "ANALYSIS_PATH": str(month),
        "QUARANTINE_PATH": str(tmp_path / "quarantine"),
        "REPORT_PATH": str(tmp_path / "last_run.json"),
        "KAFKA_BOOTSTRAP_SERVERS": "",
        "REFRESH_SECONDS": "0.2",
        "SLOW_REFRESH_SECONDS": "0.2",
        "DASHBOARD_BIND": address,
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:retail_webapp.gunicorn_conf"]
    log = tmp_path / "gunicorn.log"
    with log.open("w") as out:
        process = subprocess.Popen([*command, "retail_webapp:create_app()"], env=environment, stdout=out, stderr=out)
        try:
            wait_for(f"http://{address}/healthz", log)
            yield f"http://{address}"
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=15)
    assert code == 0, log.read_text()


def wait_for(address: str, log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"no answer from {address}: {log.read_text()}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A page that remembers what its console said."""

    def __init__(self, browser: Browser, width: int, scheme: Literal["light", "dark"]) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.page: Page = self.context.new_page()
        self.problems: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def open(self, address: str) -> Page:
        self.page.goto(address)
        expect(self.page.locator("#categories tbody tr").first).to_be_visible()
        return self.page


@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark"), (360, "light")]
)
def test_charts_and_tables_show_without_any_complaint(
    server: str, browser: Browser, width: int, scheme: Literal["light", "dark"]
) -> None:
    visit = Visit(browser, width, scheme)
    page = visit.open(server)
    OUTPUT.mkdir(exist_ok=True)
    expect(page.locator("#daily tbody tr")).to_have_count(len(MONTH))
    expect(page.locator("#daily tfoot")).to_contain_text("9,007,199,254,741,003.62")
    expect(page.locator("[data-figure=orders]")).to_have_text("14")
    expect(page.locator("#windows .empty")).to_contain_text("no brokers")
    for panel in ("daily", "products", "categories"):
        assert drawn_pixels(page, panel) > 100, f"nothing is drawn in {panel}"
    page.screenshot(path=OUTPUT / f"dashboard-{width}-{scheme}.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert visit.problems == []
    visit.context.close()


def drawn_pixels(page: Page, panel: str) -> int:
    count = page.evaluate(
        """async (panel) => {
            await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
            const canvas = document.querySelector(`#${panel} canvas`);
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((value, index) => index % 4 === 3 && value > 0).length;
        }""",
        panel,
    )
    return int(count)


def test_filters_live_in_the_address(server: str, browser: Browser) -> None:
    visit = Visit(browser, 1280, "light")
    page = visit.open(server)
    page.locator("[name=category]").select_option("Food")
    expect(page.locator("[data-figure=revenue]")).to_have_text("3.60")
    assert page.url.endswith("?category=Food")
    page.locator("#products tbody a", has_text="Milk").click()
    expect(page.locator("[data-figure=revenue]")).to_have_text("1.20")
    assert "product=Milk" in page.url
    page.reload()
    expect(page.locator("[data-figure=revenue]")).to_have_text("1.20")
    page.go_back()
    expect(page.locator("[data-figure=revenue]")).to_have_text("3.60")
    page.get_by_role("link", name="Reset").click()
    expect(page.locator("[data-figure=days]")).to_have_text("3")
    assert page.url == f"{server}/"
    page.goto(f"{server}/?from=2030-01-01")
    expect(page.locator("#daily .empty")).to_have_text("Nothing matches these filters.")
    assert visit.problems == []
    visit.context.close()


def test_a_source_that_goes_away_is_announced(server: str, browser: Browser, month: Path) -> None:
    visit = Visit(browser, 1280, "light")
    page = visit.open(server)
    shutil.move(month, month.with_name("aside"))
    notice = page.locator("#daily [data-part=notice]")
    expect(notice).to_contain_text("showing the last good data", timeout=15_000)
    expect(page.locator("#daily tbody tr")).to_have_count(len(MONTH))
    expect(page.get_by_role("status")).to_contain_text("cannot be read", timeout=15_000)
    shutil.move(month.with_name("aside"), month)
    expect(notice).to_be_hidden(timeout=15_000)
    assert visit.problems == []
    visit.context.close()


def test_the_keyboard_reaches_everything_in_order(server: str, browser: Browser) -> None:
    visit = Visit(browser, 1280, "light")
    page = visit.open(server)
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.name || document.activeElement.id || ''"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"no visible focus on {reached[-1]}"
        if "csv" in reached:
            break
    names = list(dict.fromkeys(name for name in reached if name))
    assert names == ["from", "to", "category", "product", "limit", "reset", "csv"]
    assert visit.problems == []
    visit.context.close()
