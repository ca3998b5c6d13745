"""The report in a real browser: it renders at every width and on paper, and asks no machine for anything.

Chromium or Chrome is taken from POLYCONTRAST_BROWSER or from the path; without one these tests skip.
"""

import json
import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from polycontrast.metrics import statistics
from polycontrast.metrics.tables import Failure

from . import drawn_report

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--disable-domain-reliability", "--disable-extensions", "--no-pings", "--hide-scrollbars",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
)  # fmt: skip
NOBODY = "not an origin"  # who asks, in the browser's log, where no page does
# Told by the page itself: how many pictures can be drawn, and how far the page is wider than the window. All of it
# happens within the load event, which the browser waits for; of what comes later it may print nothing.
PROBE = """<script>
addEventListener("load", () => {
  document.querySelectorAll("details").forEach(one => one.open = true);
  const images = [...document.images], paper = document.createElement("canvas").getContext("2d");
  const drawn = image => {
    try { paper.drawImage(image, 0, 0); } catch { return false; }
    return image.naturalWidth > 0;
  };
  const cut = [...document.querySelectorAll("h1, h2, h3, p, dd, li, summary, figcaption, pre")]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1).map(one => one.textContent.slice(0, 40));
  document.documentElement.dataset.probe = JSON.stringify({
    images: images.length, drawn: images.filter(drawn).length, cut,
    sections: [...document.querySelectorAll("section")].map(one => one.id), width: innerWidth,
    wider: document.documentElement.scrollWidth - innerWidth,
  });
});
</script></body>"""


@pytest.fixture(name="browser", scope="module")
def _browser() -> str:
    found = os.environ.get("POLYCONTRAST_BROWSER") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium or Chrome: set POLYCONTRAST_BROWSER to one")
    return found


@pytest.fixture(name="report", scope="module")
def _report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 20 cases and three contrasts with everything in it, one case's name meant to harm."""
    out = tmp_path_factory.mktemp("report")
    cases = [drawn_report.HOSTILE.format(port=9), *(f"Case_{i:03d}" for i in range(1, 20))]
    drawn = drawn_report.draw(cases, ("T1", "T1ce", "FLAIR"), ("polycontrast", "brasyn", "dai2020", "slice-max"))
    drawn.failures = [Failure("Lost", "T1", "no prediction: Lost_t1_synth.nii.gz is expected once " * 3)]
    drawn_report.draw_mosaics(out, drawn)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "RESAMPLES", 50)
        drawn.write(out, command="polycontrast eval " + "--very-long-argument /some/folder/of/a/long/path " * 5)
    return out / "report.html"


def run(browser: str, page: Path, profile: Path, *options: str) -> str:
    """What the browser prints after it has opened the page."""
    done = subprocess.run(
        [browser, *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()],
        capture_output=True, encoding="utf-8", timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def probe(browser: str, report: Path, folder: Path, width: int) -> dict[str, Any]:
    """What the page says of itself in a window of this width; for this alone its policy is lifted."""
    text = report.read_text(encoding="utf-8")
    page = folder / "probed.html"
    page.write_text(re.sub(r"<meta http-equiv=[^>]+>", "", text).replace("</body>", PROBE), encoding="utf-8")
    dom = run(browser, page, folder / "profile", f"--window-size={width},900", "--dump-dom")
    found = re.search(r'data-probe="([^"]+)"', dom)
    assert found, "the probe did not run"
    result: dict[str, Any] = json.loads(unescape(found[1]))
    return result


def test_it_is_under_five_megabytes_for_twenty_cases(report: Path) -> None:
    assert report.stat().st_size < 5_000_000


def visit(browser: str, page: Path, folder: Path) -> tuple[Path, set[str]]:
    """A screenshot of a page, and what the page, not the browser by itself, asked other machines for.

    Nothing can leave: the proxy is a port where nobody listens. The browser's own log tells who asked.
    """
    picture, log = folder / "page.png", folder / "net.json"
    run(
        browser, page, folder / "profile", "--proxy-server=127.0.0.1:9", "--proxy-bypass-list=<-loopback>",
        f"--log-net-log={log}", "--window-size=1280,2000", f"--screenshot={picture}",
    )  # fmt: skip
    asked = set()
    for event in json.loads(log.read_text(encoding="utf-8"))["events"]:
        told = event.get("params", {})
        if told.get("initiator", NOBODY) != NOBODY and not told["url"].startswith(("data:", "file:")):
            asked.add(told["url"])
        if "<file:" in told.get("group_id", ""):  # a connection for a page from a file, if only to be ready
            asked.add(told["group_id"].partition(" ")[0])
    return picture, asked


def test_it_asks_no_machine_for_anything_and_is_not_blank(browser: str, report: Path, tmp_path: Path) -> None:
    picture, asked = visit(browser, report, tmp_path)
    assert asked == set()
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape == (2000, 1280)
    assert 0.6 < (pixels > 240).mean() < 0.99  # white paper
    assert (pixels < 90).mean() > 0.01  # and dark text


def test_a_request_would_have_been_seen(browser: str, tmp_path: Path) -> None:
    page = tmp_path / "calls.html"
    page.write_text('<link rel="preconnect" href="https://ready.invalid"><img src="http://picture.invalid/a.png">')
    _, asked = visit(browser, page, tmp_path)
    assert {"http://picture.invalid/a.png", "https://ready.invalid"} <= asked


@pytest.mark.parametrize("width", [1280, 400])
def test_every_picture_is_decoded_and_nothing_is_cut(browser: str, report: Path, tmp_path: Path, width: int) -> None:
    told = probe(browser, report, tmp_path, width)
    assert told["drawn"] == told["images"] == report.read_text(encoding="utf-8").count("<img ") == 3 * (4 + 3)
    assert told["sections"] == [
        "summary", "protocols", "significance", "patients", "cases", "images", "downstream", "intensities",
        "sharpness", "joint", "made",
    ]  # fmt: skip
    assert told["cut"] == []
    assert told["wider"] <= 0  # wide tables scroll in their own box
    assert told["width"] <= max(width, 500)  # a browser may not open a window narrower than that


def test_it_can_be_printed(browser: str, report: Path, tmp_path: Path) -> None:
    paper = tmp_path / "report.pdf"
    run(browser, report, tmp_path / "profile", f"--print-to-pdf={paper}", "--no-pdf-header-footer")
    pages = len(re.findall(rb"/Type\s*/Page\b", paper.read_bytes()))
    assert 5 <= pages <= 40
