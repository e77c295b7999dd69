"""axe-core, fetched from npm when a test wants it and kept outside the repository, run on a page as it stands."""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Page

PACKAGE, SHA256 = "axe-core@4.14.1", "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
IMPACTS = ("serious", "critical")
FETCH_SECONDS = 90
# The policy of the page does not hold for what the browser's own protocol evaluates, so nothing of ours is loosened for this.
# A rule's own impact is that of all its findings (axe-core, checkResult.impact = rule.impact): lesser rules need not run.
RUN = """async ([impacts, only]) => {
  const grave = axe._audit.rules.filter(({ enabled, impact }) => enabled && (!impact || impacts.includes(impact))).map(({ id }) => id);
  const options = { resultTypes: ["violations"], preload: false, runOnly: { type: "rule", values: only ?? grave } };
  const { violations } = await axe.run(document, options);
  return violations.filter(({ impact }) => impacts.includes(impact)).flatMap(({ id, nodes }) =>
    nodes.map(({ html, any }) => `${id}: ${html.slice(0, 200)} (${any.map((check) => check.message).join("; ").slice(0, 160)})`));
}"""


def axe_script(folder: Path) -> str:
    """The script, from `folder` or from the registry; skips the test where there is neither, and fails it where a browser is required."""
    archive = folder / f"{PACKAGE.replace('@', '-')}.tgz"
    if not archive.is_file():
        fetch(archive)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        archive.unlink()
        pytest.fail(f"{PACKAGE} from the registry is not the archive that this test knows")
    with tarfile.open(archive) as members:
        script = members.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def fetch(archive: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        without("npm is not installed")
    command = [npm, "pack", PACKAGE, "--silent", "--fetch-retries=1", "--fetch-timeout=30000", "--pack-destination", str(archive.parent)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=FETCH_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        without(f"the npm registry gave no {PACKAGE}: {getattr(error, 'stderr', '') or error}")


def without(reason: str) -> NoReturn:
    if os.environ.get("FEILUN_REQUIRE_BROWSER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def findings(page: Page, script: str, only: tuple[str, ...] = ()) -> list[str]:
    """What is seriously wrong with the page as it stands, a line for each place."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(script)
    found: list[str] = page.evaluate(RUN, [IMPACTS, only or None])
    return found
