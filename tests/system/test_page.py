"""Tests the report page in headless Chromium: phone width, dark mode, print, keyboard."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from bench.advise.report import write_report
from bench.paths import ROOT
from tests.browser.tools import find_node_modules
from tests.unit.advise.test_ranking import a_study, four
from tests.unit.report.edge_cases import build_all_failed

KEPT = ROOT / "results" / "reference" / "report" / "report.html"
NODE = find_node_modules(ROOT / ".fourways")
PAGES = ("kept", "hard")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="there is no Chromium with its driver: on Debian `apt-get install chromium chromium-driver`",
    ),
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The report that is kept, and one of a run that went wrong."""
    run = build_all_failed(tmp_path_factory.mktemp("results"))
    return {"kept": KEPT, "hard": write_report([run.path], run.path)}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage"):
        options.add_argument(f"--{flag}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(str(shutil.which("chromedriver"))))
    driver.set_script_timeout(150)
    yield driver
    driver.quit()


def opened(browser: webdriver.Chrome, page: Path, *, width: int = 1280, **media: str) -> None:
    """The page at so many pixels, as ``media`` have it: prefers_color_scheme="dark"."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": features})
    browser.get(page.as_uri())


@pytest.mark.parametrize("page", PAGES)
def test_it_asks_for_nothing_but_itself(browser: webdriver.Chrome, pages: dict[str, Path], page: str) -> None:
    browser.get_log("performance")  # what came before
    opened(browser, pages[page])
    sent = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = {one["params"]["request"]["url"] for one in sent if one["method"] == "Network.requestWillBeSent"}
    assert {url for url in urls if not url.startswith("data:")} == {pages[page].as_uri()}


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("page", PAGES)
def test_only_charts_and_tables_are_wider_than_the_window(
    browser: webdriver.Chrome, pages: dict[str, Path], page: str, width: int
) -> None:
    opened(browser, pages[page], width=width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("width", "medium", "scheme"),
    [(360, "", "light"), (1280, "", "light"), (1280, "", "dark"), (1280, "print", "light"), (1280, "print", "dark")],
)
def test_it_is_dark_on_light_or_light_on_dark_as_it_is_asked_for_and_never_empty(
    browser: webdriver.Chrome, pages: dict[str, Path], page: str, width: int, medium: str, scheme: str
) -> None:
    """As a picture of what is seen first. Paper is white."""
    opened(browser, pages[page], width=width)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium, "features": features})
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})["data"]
    with Image.open(io.BytesIO(base64.b64decode(shot))) as picture:
        assert picture.width == width
        grey = picture.convert("L")
        shades = grey.histogram()
    ground = max(range(256), key=shades.__getitem__)
    assert ground < 60 if (medium, scheme) == ("", "dark") else ground > 200
    inked = sum(count for shade, count in enumerate(shades) if abs(shade - ground) > 60) / sum(shades)
    assert 0.01 < inked < 0.5


@pytest.mark.parametrize(("page", "scheme"), [("hard", "light"), ("hard", "dark"), ("kept", "light")])
def test_axe_finds_nothing_serious(browser: webdriver.Chrome, pages: dict[str, Path], page: str, scheme: str) -> None:
    axe = NODE / "axe-core" / "axe.min.js"
    if not axe.exists():
        pytest.skip("axe is not installed: `make test` does it where there is npm")
    opened(browser, pages[page], prefers_color_scheme=scheme)
    # What is folded is looked at as well, on the smaller page; inside a chart there are lines and letters, no page.
    if page == "hard":
        browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    browser.execute_script("for (const one of document.querySelectorAll('svg > :not(title, desc)')) one.remove()")
    browser.execute_script(axe.read_text("utf-8"))
    found = browser.execute_async_script("axe.run(document, {resultTypes: ['violations']}).then(arguments[0])")
    serious = {
        one["id"]: [node["html"][:200] for node in one["nodes"][:3]]
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    }
    assert not serious
    assert found["passes"]


def test_the_first_tab_leads_past_the_navigation(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    opened(browser, pages["hard"])
    webdriver.ActionChains(browser).send_keys(Keys.TAB).perform()
    assert browser.switch_to.active_element.get_attribute("class") == "skip"
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.switch_to.active_element.get_attribute("id") == "answer"


def test_every_part_that_scrolls_is_reached_by_keyboard(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    opened(browser, pages["kept"], width=360)
    unreached: Any = browser.execute_script(
        "return [...document.querySelectorAll('*')].filter(one => one.scrollWidth > one.clientWidth + 1"
        " && ['auto', 'scroll'].includes(getComputedStyle(one).overflowX) && one.tabIndex < 0)"
        ".map(one => one.outerHTML)"
    )
    assert unreached == []


def test_dark_and_light_differ_in_the_charts_too(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        opened(browser, pages["hard"], prefers_color_scheme=scheme)
        grounds.append(
            browser.execute_script(
                "return [getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.querySelector('svg text')).fill]"
            )
        )
    assert grounds == [["rgb(255, 255, 255)", "rgb(20, 23, 26)"], ["rgb(20, 23, 26)", "rgb(232, 234, 237)"]]


def test_the_form_leaves_what_has_all_that_is_needed_and_counts_places_among_it(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    (folder,) = a_study(tmp_path, [*four(), *four(rate_per_s=50.0)]).values()
    opened(browser, write_report([folder], folder))

    def seen() -> list[list[str]]:
        rows: Any = browser.execute_script(
            "return [...document.querySelectorAll('#advise-table tbody tr')].filter(one => one.offsetHeight)"
            ".map(one => [...one.cells].slice(0, 3).map(cell => cell.textContent.trim()))"
        )
        return [row for row in rows if len(row) > 1]

    def choose(name: str, level: str) -> None:
        form = browser.find_element("id", "advise-form")
        Select(form.find_element("name", name)).select_by_visible_text(level)

    both = [
        ["REST, json", "1", "1"],
        ["gRPC, protobuf", "1", "1"],
        ["RabbitMQ, json", "3", "2"],
        ["Kafka, json", "4", "3"],
    ]
    assert seen() == both * 2
    choose("rate_per_s", "50")
    assert seen() == both
    choose("format", "protobuf")
    assert seen() == [both[1]]
    choose("format", "any")
    browser.find_element("css selector", "input[value=redelivery]").click()
    assert seen() == [["RabbitMQ, json", "1", "1"], ["Kafka, json", "2", "2"]]
    assert browser.find_element("id", "advise-status").text == "2 rows, for 1 use that was measured."
    browser.find_element("css selector", "input[value=browser]").click()
    assert seen() == []
    assert "no method has all of this" in browser.find_element("id", "advise-status").text


def test_it_can_be_printed(browser: webdriver.Chrome, pages: dict[str, Path]) -> None:
    opened(browser, pages["hard"], prefers_color_scheme="dark")
    pdf = base64.b64decode(
        browser.execute_cdp_cmd("Page.printToPDF", {"paperWidth": 8.27, "paperHeight": 11.69})["data"]
    )
    assert pdf.startswith(b"%PDF")
    assert 1 <= pdf.count(b"/Type /Page\n") + pdf.count(b"/Type /Page ") <= 12
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@pytest.mark.parametrize("page", PAGES)
def test_it_is_valid_html(pages: dict[str, Path], page: str) -> None:
    program = NODE / ".bin" / "html-validate"
    if not program.exists():
        pytest.skip("html-validate is not installed: `make test` does it where there is npm")
    rules = ROOT / "tests" / "browser" / "htmlvalidate.json"
    done = subprocess.run(
        [program, "--config", rules, pages[page]], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
