"""The documentation site in a real browser: built, served on loopback, every page opened at desktop and phone width.

Screenshots are left in out/site. Without Chromium and its driver the tests that need one are skipped, unless
TFQ_QRNN_REQUIRE_BROWSER=1, as in CI.
"""

import base64
import functools
import html.parser
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

from tfq_qrnn import __version__

pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
WIDTHS = {"desktop": 1280, "phone": 390}
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder, missing = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("missing")
    for name in ("tensorflow", "keras", "cirq", "tfq_qrnn"):  # `make docs` installs none of them
        (missing / f"{name}.py").write_text(f"raise ImportError('The site is built without {name}.')")
    # As `make docs` does. No --quiet: that drops the warnings before --strict counts them.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(missing)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def server(site):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    binary = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        message = "Chromium and chromedriver are not installed: make browser"
        if os.environ.get("TFQ_QRNN_REQUIRE_BROWSER") == "1":
            pytest.fail(message)
        pytest.skip(message)
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in [*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options, webdriver.ChromeService(driver))
    chrome.get("about:blank")
    for log in ("browser", "performance"):  # of the browser's own first page
        chrome.get_log(log)
    yield chrome
    chrome.quit()


class Page(html.parser.HTMLParser):
    """What a page links to, and the anchors that it has."""

    def __init__(self, path):
        super().__init__()
        self.targets, self.anchors = [], set()
        self.feed(path.read_text())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[key] for key in ("id", "name") if attributes.get(key)}
        self.targets += [attributes[key] for key in ("href", "src") if attributes.get(key)]


def test_no_link_image_or_anchor_is_broken(site):
    pages = {path: Page(path) for path in site.rglob("*.html")}
    assert len(pages) > 15
    broken = []
    for path, page in pages.items():
        for target in page.targets:
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                assert parts.scheme in ("https", "data"), (path, target)
                continue
            base = site if path.name == "404.html" else path.parent
            file = (base / urllib.parse.unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            file = file / "index.html" if file.is_dir() else file
            anchor = urllib.parse.unquote(parts.fragment)
            if not file.exists() or (anchor and file in pages and anchor not in pages[file].anchors):
                broken.append(f"{path.relative_to(site)}: {target}")
    assert broken == []


def test_every_page_shows_the_version(site):
    assert f"<title>tfq_qrnn {__version__}</title>" in (site / "index.html").read_text()
    assert f"- tfq_qrnn {__version__}</title>" in (site / "get_started" / "index.html").read_text()


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("csv", "your_sequences/"),
        ("padding", "your_sequences/"),
        ("early stopping", "your_sequences/"),
        ("KerasTuner", "your_sequences/"),
        ("greedy", "attention/"),
        ("PennyLane", "coming_from/"),
        ("KerasLayer", "coming_from/"),
        ("Colab", "notebooks/first_model/"),
        ("citation", ""),
    ],
)
def test_the_index_of_the_search_has_what_users_look_for(site, words, page):
    index = json.loads((site / "search" / "search_index.json").read_text())["docs"]
    pages = {entry["location"].split("#")[0] for entry in index if words.casefold() in json.dumps(entry).casefold()}
    assert page in pages


def test_api_shows_what_users_call_with_examples_and_call_arguments_laid_out(site):
    text = "".join(path.read_text() for path in sorted(site.glob("api/*/index.html")))
    assert "<blockquote>" not in text  # what Markdown makes of >>>
    assert text.count('<span class="gp">&gt;&gt;&gt; </span>') > 100
    assert 'id="tfq_qrnn.QRNNCell.summary"' in text
    for inner in ("QRNNCell.step_weights", "backends.Noisy.draw", "tracing.Trace.check_index"):
        assert f'id="tfq_qrnn.{inner}"' not in text
    section = text.split("Call arguments:")[1]  # of QRNN
    assert "<code>initial_state</code></b>" in section[: section.index("Returns:")]


def set_width(browser, width):
    metrics = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def problems(browser, server, width):
    """What is wrong with the page that is open."""
    script = """
        const bad = [...document.images].filter(i => i.complete && i.naturalWidth === 0).map(i => 'image ' + i.src);
        const wide = document.documentElement.scrollWidth;
        return [...bad, ...(wide > arguments[0] ? ['is ' + wide + ' wide'] : [])];
    """
    yield from browser.execute_script(script, width)
    for entry in browser.get_log("browser"):
        yield f"{entry['level']} in the console: {entry['message']}"
    for entry in browser.get_log("performance"):
        event = json.loads(entry["message"])["message"]
        if event["method"] == "Network.requestWillBeSent":
            url = event["params"]["request"]["url"]
            if not url.startswith((server, "data:", "blob:")):
                yield f"asks for {url}"


def take_picture(browser, path):
    # The whole width, and the first screens
    size = browser.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 3000), "scale": 1}
    picture = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    path.write_bytes(base64.b64decode(picture["data"]))


@pytest.mark.parametrize("device", WIDTHS)
def test_every_page_looks_right(site, server, browser, device):
    """As far as a program can see: pictures load, nothing sticks out, no error, and no other host is asked."""
    set_width(browser, WIDTHS[device])
    pictures = ROOT / "out" / "site"
    pictures.mkdir(parents=True, exist_ok=True)
    found = []
    for path in sorted(site.rglob("index.html")):
        page = path.parent.relative_to(site).as_posix()
        browser.get(server + ("" if page == "." else f"{page}/"))
        found += [f"/{page}: {problem}" for problem in problems(browser, server, WIDTHS[device])]
        take_picture(browser, pictures / f"{page.replace('/', '-').replace('.', 'start')}-{device}.png")
    assert found == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("failed call to cuInit", "troubleshooting/"),
        ("FSimGate", "physicists/"),
        ("place_ring", "hardware/"),
        ("trainable_circuit", "circuits/"),
        ("recurrent_dropout", "keras_users/"),
        ("csv", "your_sequences/"),
    ],
)
def test_search_finds(server, browser, words, page):
    set_width(browser, WIDTHS["desktop"])
    browser.get(server)
    field = browser.find_element("css selector", "[data-md-component=search-query]")
    field.click()
    field.send_keys(words)
    found, end = [], time.monotonic() + 20  # the index loads with the first search
    while not any(page in link for link in found) and time.monotonic() < end:
        links = browser.find_elements("css selector", ".md-search-result__link")
        found = [link.get_attribute("href") for link in links]
    assert any(page in link for link in found), found
