"""Mermaid itself, fetched for the test and never kept, parses the picture and draws every node of it in a real browser."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from textmill.inspection.mermaid import model_picture
from textmill.models.settings import ModelSettings

MERMAID = "mermaid@11.12.1"


@pytest.fixture(scope="module")
def mermaid(require: Callable[[str], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mermaid's script for browsers, from the npm registry."""
    require("npm")
    require("chromium")
    folder = tmp_path_factory.mktemp("mermaid")
    result = subprocess.run(["npm", "pack", "--silent", MERMAID], cwd=folder, capture_output=True, text=True)
    if result.returncode:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"npm can't fetch {MERMAID}: {result.stderr[-300:]}")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        member = package.extractfile("package/dist/mermaid.min.js")
        assert member is not None
        (folder / "mermaid.min.js").write_bytes(member.read())
    return folder / "mermaid.min.js"


def test_mermaid_draws_every_node(mermaid: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    text = model_picture(ModelSettings(preset="3m").config(8192))
    with playwright.sync_playwright() as start:
        browser = start.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        page.set_content("<p></p>")
        page.add_script_tag(path=str(mermaid))
        drawn = page.evaluate(f"mermaid.render('picture', {json.dumps(text)}).then(result => result.svg)")
        browser.close()
    for part in ("Block × 4", "attention_norm", "Linear 256 → 704", "B × 4 × T × 64", "logits"):
        assert part in drawn, part
    assert drawn.count('class="node ') == len(re.findall(r"^ +n\d+[\[(]", text, flags=re.MULTILINE))
