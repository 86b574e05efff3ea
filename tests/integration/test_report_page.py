# SPDX-License-Identifier: BSD-3-Clause
"""The page in a real browser."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hepfool.attacks import CONSERVAttack
from hepfool.statistics import CheckSettings
from hepfool.study import write_study
from tests.judged import judged_attack
from tests.specimens import SineClassifier, events

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
#: Counts images that cannot be shown, and sorts the first table by its second column, twice.
PROBE = """
<script>
window.addEventListener("load", () => {
  const button = document.querySelector("table.sortable th:nth-child(2) button"), table = button.closest("table");
  const column = () => [...table.tBodies[0].rows].map((row) => row.cells[1].textContent.trim()).join(",");
  button.click();
  const up = column();
  button.click();
  const images = [...document.images];
  document.body.dataset.broken = images.filter((image) => !image.naturalWidth).length;
  document.body.dataset.images = images.length;
  document.body.dataset.up = up;
  document.body.dataset.down = column();
});
</script>
"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"no browser to open the page with: none of {', '.join(BROWSERS)} is installed")
    return found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    attack = CONSERVAttack(n_iterations=1, n_bins=20, max_js_distance=0.03)
    settings = CheckSettings(n_data=300.0, checks=("chi2", "correlations"), n_toys=20)
    study = judged_attack(events(400), SineClassifier(), attack, seed=1, checks=settings)
    return write_study(study, tmp_path_factory.mktemp("report") / "out") / "report.html"


def run(browser: str, page: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    profile = f"--user-data-dir={page.parent / 'profile'}"
    command = [browser, *options, profile, "--virtual-time-budget=5000", *arguments, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.slow
def test_the_page_shows_everything_without_a_complaint(browser: str, page: Path, tmp_path: Path) -> None:
    probed = tmp_path / "probed.html"
    text = page.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>")
    # The page's policy allows its own script only.
    digest = base64.b64encode(hashlib.sha256(PROBE[len("\n<script>") : -len("</script>\n")].encode()).digest())
    probed.write_text(text.replace("script-src ", f"script-src 'sha256-{digest.decode()}' "), encoding="utf-8")
    shown = run(browser, probed, "--dump-dom")
    assert "CONSOLE" not in shown.stderr
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', shown.stdout[shown.stdout.index("<body") :][:2000]))
    assert found["images"] == "6"
    assert found["broken"] == "0"
    numbers = [float(number) for number in found["up"].split(",")]
    assert len(numbers) > 2
    assert numbers == sorted(numbers)
    assert found["down"] == ",".join(reversed(found["up"].split(",")))


@pytest.mark.slow
def test_the_page_prints(browser: str, page: Path, tmp_path: Path) -> None:
    printed = tmp_path / "page.pdf"
    run(browser, page, f"--print-to-pdf={printed}")
    content = printed.read_bytes()
    assert content.startswith(b"%PDF")
    assert content.count(b"/Subtype /Image") >= 5
