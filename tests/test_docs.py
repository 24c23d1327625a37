"""Every Python block of the README and of the pages in docs/ runs as it stands."""

import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    path.relative_to(ROOT).as_posix() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
]
# The reference is written from the docstrings, and their examples run where they stand.
WRITTEN_BY_HAND = [page for page in PAGES if not page.startswith("docs/reference/")]
FENCE = re.compile(r"^ *```(?P<info>[^\n`]*)\n(?P<body>.*?)^ *``` *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)(?P<target>[^)#\s]+)")


def blocks(text: str) -> list[tuple[int, str]]:
    """The Python blocks of a page, each with the number of its first line; there is no way to opt out."""
    found = []
    for match in FENCE.finditer(text):
        info = match["info"].strip()
        if info.lower().startswith(("py", "{")):
            assert info == "python", f"a block marked {info!r}: every Python block is run, mark it python"
            found.append((text.count("\n", 0, match.start("body")) + 1, match["body"]))
    return found


def run(name: str, text: str) -> None:
    """Run the blocks of a page in order, in one namespace; a traceback shows the line of the page."""
    namespace: dict[str, object] = {"__name__": "__main__"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for first_line, body in blocks(text):
            exec(compile("\n" * (first_line - 1) + body, name, "exec"), namespace)


@pytest.mark.parametrize("page", WRITTEN_BY_HAND)
def test_every_block_of_the_page_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    run(str(ROOT / page), text)


@pytest.mark.parametrize("page", PAGES)
def test_every_link_into_the_repository_leads_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    targets = LINK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert [target for target in targets if not (folder / target).exists()] == []


def test_the_readme_shows_code() -> None:
    assert blocks((ROOT / "README.md").read_text(encoding="utf-8"))


def test_blocks_share_a_namespace_and_a_failure_names_its_line() -> None:
    page = "# Title\n\n```python\nx = 1\n```\n\n```text\nnot code\n```\n\n```python\nassert x == 2\n```\n"
    with pytest.raises(AssertionError) as caught:
        run("page.md", page)
    assert caught.traceback[-1].lineno == 11  # counted from 0


def test_a_warning_in_a_block_is_a_failure() -> None:
    with pytest.raises(UserWarning, match="old"):
        run("page.md", "```python\nimport warnings\nwarnings.warn('old')\n```\n")


@pytest.mark.parametrize("info", ["python no-run", "py", "python3", "{python}", "Python"])
def test_a_block_cannot_opt_out(info: str) -> None:
    with pytest.raises(AssertionError, match="every Python block is run"):
        blocks(f"```{info}\nx\n```\n")
