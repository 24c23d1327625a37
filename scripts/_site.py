"""A hook of MkDocs: what a page links to outside docs/, such as a test or an example, becomes a page too."""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = re.compile(r"(?<=\]\()(?:\.\./)+[\w./-]+(?=[)#])")


def outside(page: str, target: str) -> str | None:
    """Return the name below the root of a file that a page shows; None for what a page cannot show.

    Args:
        page: the name of the page below docs/.
        target: the link in it, relative to the page.
    """
    name = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), target))
    shown = name.partition("/")[0] in {"examples", "minidl", "scripts", "tests"} and (ROOT / name).is_file()
    return name if shown else None


def as_page(name: str) -> str:
    """Return a source file as Markdown, which the search passes over."""
    text = (ROOT / name).read_text(encoding="utf-8")
    kind = {".py": "python", ".yml": "yaml"}.get(Path(name).suffix, "text")
    head = "---\nsearch: {exclude: true}\nhide: [navigation, toc]\n---\n"
    return f"{head}# {name}\n\n``````{kind}\n{text}``````\n"


def relinked(markdown: str, page: str) -> str:
    """Return a page whose links to source files lead to the pages of these."""

    def link(match: re.Match[str]) -> str:
        name = outside(page, match[0])
        return posixpath.relpath(f"source/{name}.md", posixpath.dirname(page) or ".") if name else match[0]

    return OUTSIDE.sub(link, markdown)


def on_files(files: Any, config: Any) -> Any:
    """Add a page for each source file that some page links to."""
    from mkdocs.structure.files import File

    pages = {page.src_uri: page.content_string for page in files.documentation_pages()}
    names = {outside(page, target) for page, text in pages.items() for target in OUTSIDE.findall(text)}
    for name in sorted(filter(None, names)):
        files.append(File.generated(config, f"source/{name}.md", content=as_page(name)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Let the links of a page lead there."""
    return relinked(markdown, page.file.src_uri)
