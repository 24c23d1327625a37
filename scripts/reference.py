"""Write docs/reference/ from the docstrings: everything public, by subject."""

# ruff: noqa: E402 (minidl is found from any folder)
import argparse
import inspect
import re
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import minidl
from minidl import (
    data,
    distributed,
    functional,
    init,
    interop,
    layers,
    losses,
    optim,
    testing,
    training,
)
from minidl.testing import strategies

FOLDER = ROOT / "docs" / "reference"

# What a page is about, and the modules whose names it has: a package of WHOLE, or the last name of a module.
PAGES = {
    "tensors": ("Arrays and Tensors", "backend tensor tape summary"),
    "activations": ("Activations", "activation gates piecewise softmax"),
    "convolution": ("Linear maps and convolution", "linear conv conv_transpose"),
    "images": ("Padding and resizing", "upsample padding spatial"),
    "pooling": ("Pooling", "pool adaptive_pool"),
    "norms": ("Normalisation and dropout", "norm dropout"),
    "sequences": ("Sequences", "embedding recurrent attention positions transformer"),
    "shapes": ("Shapes", "shape"),
    "arithmetic": ("Arithmetic, reductions and derivatives", "elementwise reduction derivative"),
    "containers": ("Layers in general, and chains of them", "base parameter containers"),
    "init": ("Initial weights", "init"),
    "losses": ("Losses", "loss binary_loss regression_loss margin_loss losses"),
    "optimizers": ("Optimizers and schedules", "optim schedules"),
    "data": ("Data", "data"),
    "training": ("Training", "training"),
    "interop": ("Files and other programs", "files interop"),
    "distributed": ("Several processes", "distributed"),
    "testing": ("Testing", "testing"),
}
WHOLE = {"data", "distributed", "files", "interop", "optim", "testing", "training"}
MODULES = [functional, layers, losses, optim, optim.schedules, init, data, training, training.plots]
MODULES += [interop, distributed, testing, strategies]


def public_names() -> dict[str, Any]:
    """Return what is documented, by its name below minidl."""
    found: dict[str, Any] = {}
    for module in MODULES:
        prefix = module.__name__.removeprefix("minidl.")
        found |= {f"{prefix}.{name}": value for name, value in vars(module).items() if belongs(value, module)}
    top = {name: getattr(minidl, name) for name in dir(minidl)}
    elsewhere = {id(value) for value in found.values()}
    return found | {
        name: value for name, value in top.items() if belongs(value, minidl) and id(value) not in elsewhere
    }


def belongs(value: Any, module: ModuleType) -> bool:
    """Say whether a public function or class is a module's own, and not one that it uses."""
    if not (inspect.isfunction(value) or inspect.isclass(value)) or value.__name__.startswith("_"):
        return False
    home = value.__module__
    return home == module.__name__ or (hasattr(module, "__path__") and home.startswith(f"{module.__name__}."))


def its_function(value: Any, names: dict[str, Any]) -> str | None:
    """Return the function that the docstring of a layer or a loss points to first."""
    if value.__module__.split(".")[1] not in ("layers", "losses"):
        return None
    match = re.search(r"(?<!`)`(?:minidl\.)?(functional\.\w+)`(?!`)", inspect.getdoc(value) or "")
    return match[1] if match and match[1] in names else None


def page_of(name: str, names: dict[str, Any]) -> str:
    """Return the page of a name: with its function if it has one, else with its module."""
    value = names[its_function(names[name], names) or name]
    parts = value.__module__.split(".")
    subject = parts[1] if parts[1] in WHOLE else parts[-1]
    return next(page for page, (_, modules) in PAGES.items() if subject in modules.split())


def signature(value: Any) -> str:
    """Return the arguments with their defaults; what they may be, the docstring says."""
    parameters = inspect.signature(value).parameters.values()
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
    return str(inspect.Signature(bare))


def linked(text: str, owner: str, names: dict[str, Any]) -> str:
    """Turn the names between single backticks that have an entry into links to it."""
    here = page_of(owner, names)

    def link(match: re.Match[str]) -> str:
        for name in (match[1].removeprefix("minidl."), f"{owner.rpartition('.')[0]}.{match[1]}"):
            if name in names and name != owner:
                page = page_of(name, names)
                target = ("" if page == here else f"{page}.md") + f"#{anchor(name)}"
                return f"[`{match[1]}`]({target})"
        return match[0]

    return re.sub(r"(?<!`)(?<!^- )`([\w.]+)`(?!`)", link, text, flags=re.MULTILINE)


def anchor(name: str) -> str:
    """Return what the heading of an entry is called in links."""
    return name.replace(".", "").lower()


def section(title: str, body: str) -> str:
    """Return a section of a docstring as Markdown: an example as it stands, arguments as a list."""
    body = textwrap.dedent(body).strip("\n")
    if title == "Example":
        return f"```pycon\n{body}\n```"
    if title in ("Args", "Raises"):
        items = re.sub(r"\n +", " ", body).splitlines()
        body = "\n".join(re.sub(r"^([^:]+): ", r"- `\1`: ", item) for item in items)
        return f"{'Arguments' if title == 'Args' else title}:\n\n{body}"
    return f"{title}: {body}"


def markdown(docstring: str) -> str:
    """Return a docstring as Markdown."""
    pieces = re.split(r"^(Args|Returns|Raises|Example):\n", docstring, flags=re.MULTILINE)
    parts = [pieces[0].strip()]
    for title, body in zip(pieces[1::2], pieces[2::2], strict=True):
        indented, rest = re.fullmatch(r"((?:(?: .*)?\n)*(?: .*)?)((?s:.*))", body).groups()
        parts += [section(title, indented), rest.strip()]
    return "\n\n".join(filter(None, parts))


def entry(name: str, names: dict[str, Any]) -> str:
    """Return what the reference says about a name."""
    value = names[name]
    text = f"## {name}\n\n```text\nminidl.{name}{signature(value)}\n```\n\n"
    text += linked(markdown(inspect.getdoc(value) or ""), name, names)
    return "\n\n".join([text, *members(name, names)])


def members(name: str, names: dict[str, Any]) -> list[str]:
    """Return the properties and methods that a class defines: lines, and a part for each with more to say."""
    value = names[name]
    owned = vars(value) if inspect.isclass(value) else {}
    public = {key: member for key, member in owned.items() if not key.startswith("_") and member.__doc__}
    methods = {key: member for key, member in public.items() if inspect.isfunction(member)}
    sections = re.compile(r"^ +(Args|Example):$", re.MULTILINE)
    longer = {key for key, method in methods.items() if sections.search(method.__doc__)}
    listed = {
        "Properties": [f"- `{key}`: {first(p)}" for key, p in public.items() if isinstance(p, property)],
        "Methods": [f"- `{key}{own(m)}`: {first(m)}" for key, m in methods.items() if key not in longer],
    }
    lists = {title: linked("\n".join(lines), name, names) for title, lines in listed.items() if lines}
    parts = [f"{title}:\n\n{lines}" for title, lines in lists.items()]
    short = name.rpartition(".")[2]
    return parts + [
        f"### {short}.{key}\n\n```text\n{key}{own(methods[key])}\n```\n\n"
        + linked(markdown(inspect.getdoc(methods[key]) or ""), name, names)
        for key in methods
        if key in longer
    ]


def first(member: Any) -> str:
    """Return the first paragraph of a docstring, in one line."""
    return re.sub(r"\s+", " ", member.__doc__.split("\n\n")[0]).strip()


def own(method: Any) -> str:
    """Return the arguments of a method, as its caller writes them."""
    return signature(method).replace("(self, ", "(").replace("(self)", "()")


def reference() -> dict[str, str]:
    """Return the text of each page by its file name."""
    names = public_names()
    rank = {name: i for i, name in enumerate(names)}  # a layer comes after its function
    order = sorted(names, key=lambda name: rank[its_function(names[name], names) or name])
    table, pages = [], {}
    for page, (title, _) in PAGES.items():
        entries = [name for name in order if page_of(name, names) == page]
        head = f"# {title}\n\n<!-- written by scripts/reference.py from the docstrings: change those -->\n\n"
        pages[f"{page}.md"] = head + "\n\n".join(entry(name, names) for name in entries) + "\n"
        listed = ", ".join(f"[`{name.rpartition('.')[2]}`]({page}.md#{anchor(name)})" for name in entries)
        table.append(f"| [{title}]({page}.md) | {listed} |")
    head = "# Reference\n\nEverything public, with formulas and shapes; the tests run every example.\n\n"
    pages["README.md"] = head + "\n".join(["| page | names |", "|---|---|", *table]) + "\n"
    return pages


def main() -> None:
    """Write the pages."""
    argparse.ArgumentParser(prog="scripts/reference.py", description=__doc__).parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name, text in reference().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
