"""Watch the size budget of minidl/: no file over 250 lines of code, no function over 40.

A line of code is one that is neither blank nor only a comment nor part of a docstring.
"""

import argparse
import ast
import io
import sys
import tokenize
from pathlib import Path

FILE_LIMIT = 250
FUNCTION_LIMIT = 40
PACKAGE = Path(__file__).resolve().parent.parent / "minidl"
LAYOUT = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}


def code_lines(source: str) -> set[int]:
    """Return the numbers of the lines that hold code."""
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and ast.get_docstring(node, clean=False) is not None:
                lines.difference_update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


def function_sizes(source: str) -> list[tuple[str, int, int]]:
    """Return the name, the first line and the lines of code of every function, decorators excluded."""
    lines = code_lines(source)
    return [
        (node.name, node.lineno, len(lines.intersection(range(node.lineno, (node.end_lineno or 0) + 1))))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def main() -> int:
    """Print each file or function over its limit, then the total; return 1 if there was one."""
    parser = argparse.ArgumentParser(
        prog="scripts/size.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "folder", nargs="?", type=Path, default=PACKAGE, help="what to count (default: minidl)"
    )
    folder = parser.parse_args().folder
    offences, total, files = [], 0, sorted(folder.rglob("*.py"))
    for path in files:
        source = path.read_text(encoding="utf-8")
        name = path.relative_to(folder.parent).as_posix()
        size = len(code_lines(source))
        total += size
        if size > FILE_LIMIT:
            offences.append(f"{name}: {size} lines of code, limit {FILE_LIMIT}")
        offences += [
            f"{name}:{first}: {function} has {length} lines of code, limit {FUNCTION_LIMIT}"
            for function, first, length in function_sizes(source)
            if length > FUNCTION_LIMIT
        ]
    print(*offences, f"{total} lines of code in {len(files)} files", sep="\n")
    return 1 if offences else 0


if __name__ == "__main__":
    sys.exit(main())
