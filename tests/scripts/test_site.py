"""The site is built offline without a warning, refuses broken links, and loads nothing from elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scripts import _site

ROOT = Path(__file__).resolve().parents[2]
ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
FOREIGN_STYLE = re.compile(r"""(?:@import\s+|url\()["']?(?:https?:)?//""", re.IGNORECASE)
MARKDOWN = re.compile(r"\]\(|\*\*|``|^\s*(?:- |\d\. |\| |#+ )", re.MULTILINE)
LOADING = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("iframe", "src"),
    ("source", "src"),
    ("video", "src"),
}
needs_mkdocs = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("mkdocs", "material"))), reason='needs pip install ".[docs]"'
)


def build(config: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--config-file",
        str(config),
        "--site-dir",
        str(folder),
    ]
    nowhere = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    environment = {**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


class Page(HTMLParser):
    """What a page loads, and what stands in it as text outside code."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.words: list[str] = []
        self._verbatim = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.loaded += [value or "" for key, value in attributes if (tag, key) in LOADING]
        self._verbatim += tag in ("code", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._verbatim -= tag in ("code", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._verbatim:
            self.words.append(data)

    def foreign(self) -> list[str]:
        return [name for name in self.loaded if ELSEWHERE.match(name)]

    def left_over(self) -> list[str]:
        return MARKDOWN.findall("".join(self.words))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    result = build(ROOT / "mkdocs.yml", folder)
    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr
    return folder


def test_a_page_stands_in_the_navigation_once() -> None:
    entries = re.findall(r"([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(entries) > 30
    assert sorted(entries) == sorted(set(entries))


@needs_mkdocs
def test_every_page_is_built(site: Path) -> None:
    docs = ROOT / "docs"
    pages = [path.relative_to(docs).with_suffix(".html").as_posix() for path in docs.rglob("*.md")]
    assert len(pages) > 30
    assert [page for page in pages if not (site / page.replace("README", "index")).exists()] == []


@needs_mkdocs
def test_a_page_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert all(len(page.loaded) > 2 for page in pages.values())
    assert {path.name: page.foreign() for path, page in pages.items() if page.foreign()} == {}
    for path, page in pages.items():  # the page for what is not found names its files from the root
        found = [(site / name[1:] if name.startswith("/") else path.parent / name) for name in page.loaded]
        assert [str(file) for file in found if not file.exists()] == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert len(styles) > 2
    assert [found for style in styles for found in FOREIGN_STYLE.findall(style)] == []


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css?family=x">',
        '<link rel="preconnect" href="HTTPS://fonts.example">',
        '<img src="http://pictures.example/badge.svg">',
    ],
)
def test_what_comes_from_elsewhere_is_found(text: str) -> None:
    assert len(Page(text).foreign()) == 1
    assert Page('<a href="https://example.org">x</a><img src="x.png">').foreign() == []


def test_a_style_from_elsewhere_is_found() -> None:
    assert FOREIGN_STYLE.search("@import 'https://fonts.example/css'")
    assert FOREIGN_STYLE.search("src:url(//fonts.example/x.woff2)")
    assert not FOREIGN_STYLE.search(
        'mask-image:url("data:image/svg+xml;utf8,<svg xmlns=http://www.w3.org/2000/svg>")'
    )


@needs_mkdocs
def test_no_markdown_is_left_on_a_page(site: Path) -> None:
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert {path.name: page.left_over() for path, page in pages.items() if page.left_over()} == {}


@pytest.mark.parametrize(
    "text", ["see [it](it.md)", "**so", "<p>a list:\n- one</p>", "| a | b |", "## Title"]
)
def test_markdown_on_a_page_is_found(text: str) -> None:
    assert Page(text).left_over()
    assert not Page(f"<pre><code>{text}</code></pre> a - b").left_over()


@needs_mkdocs
def test_a_link_to_a_source_file_leads_to_a_page_that_shows_it(site: Path) -> None:
    assert 'href="source/examples/custom_op.py.html"' in (site / "tensors.html").read_text(encoding="utf-8")
    shown = (site / "source/examples/custom_op.py.html").read_text(encoding="utf-8")
    assert 'class="highlight"' in shown


@needs_mkdocs
@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("[nowhere](nowhere.md)", "target is not found among documentation files"),
        ("[no such part](index.md#nowhere)", "there is no such anchor on this page"),
        ("![no picture](nowhere.png)", "target is not found among documentation files"),
        ("[no such test](../tests/test_nowhere.py)", "target is not found among documentation files"),
        ("[of one machine](/index.md)", "absolute link"),
    ],
)
def test_a_broken_link_stops_the_build(link: str, complaint: str, tmp_path: Path) -> None:
    config = planted(tmp_path, f"# Title\n\n{link}\n")
    result = build(config, tmp_path / "site")
    assert result.returncode != 0
    assert complaint in result.stderr


@needs_mkdocs
def test_a_page_without_a_place_in_the_navigation_stops_the_build(tmp_path: Path) -> None:
    config = planted(tmp_path, "# Title\n")
    assert build(config, tmp_path / "site").returncode == 0
    (tmp_path / "docs" / "forgotten.md").write_text("# Forgotten\n", encoding="utf-8")
    assert 'not included in the "nav"' in build(config, tmp_path / "site").stderr


def planted(folder: Path, text: str) -> Path:
    """The configuration of a site of one page, otherwise as ours."""
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text(text, encoding="utf-8")
    lines = [f"INHERIT: {(ROOT / 'mkdocs.yml').as_posix()}", "nav: [index.md]", "extra_css: []"]
    lines += ["theme: {logo: null, favicon: null}", f"hooks: [{(ROOT / 'scripts/_site.py').as_posix()}]"]
    (folder / "mkdocs.yml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "mkdocs.yml"


@pytest.mark.parametrize(
    ("page", "target", "name"),
    [
        ("files.md", "../tests/test_files.py", "tests/test_files.py"),
        ("reference/data.md", "../../examples/digits.py", "examples/digits.py"),
        ("files.md", "../tests", None),  # a folder
        ("files.md", "../tests/nowhere.py", None),
        ("files.md", "../../minidl/tensor.py", None),  # outside the project
        ("reference/data.md", "../training.md", None),  # a page as it is
    ],
)
def test_what_a_page_may_show(page: str, target: str, name: str | None) -> None:
    assert _site.outside(page, target) == name


def test_links_are_rewritten_and_others_left_alone() -> None:
    text = "[a](../tests/test_files.py) [b](softmax.md) [c](../reference/x.md#y) `../tests/test_files.py`"
    assert _site.relinked(text, "files.md") == text.replace(
        "](../tests/test_files.py)", "](source/tests/test_files.py.md)"
    )
    assert _site.relinked("[a](../../tests/test_files.py)", "reference/data.md") == (
        "[a](../source/tests/test_files.py.md)"
    )
