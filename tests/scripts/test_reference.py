"""The reference has every public name once, says what the docstrings say, and its links lead somewhere."""

import inspect
import re
from collections import Counter

import pytest

import minidl
from minidl import data, distributed, functional, interop, layers, losses, optim, testing, training
from minidl.losses import Loss
from scripts import reference

NAMES = reference.public_names()
PAGES = reference.reference()
HEADING = re.compile(r"^## (\S+)$", re.MULTILINE)


def anchors(page: str) -> list[str]:
    return [name.replace(".", "").lower() for name in HEADING.findall(page)]


def test_the_pages_are_up_to_date() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in reference.FOLDER.iterdir()}
    assert sorted(written) == sorted(PAGES)
    stale = [name for name, text in PAGES.items() if written[name] != text]
    assert stale == [], "run scripts/reference.py"


def test_every_public_name_has_one_entry() -> None:
    entries = Counter(name for page in PAGES.values() for name in HEADING.findall(page))
    public = {
        f"{module.__name__.removeprefix('minidl.')}.{name}"
        for module in (data, distributed, functional, interop, layers, optim, testing, training)
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("minidl.")
    }
    public |= {f"losses.{value.__name__}" for value in vars(losses).values() if is_loss(value)}
    assert public <= set(entries)
    assert set(entries.values()) == {1}


def test_every_name_at_the_top_has_an_entry() -> None:
    top = {name: getattr(minidl, name) for name in dir(minidl) if not name.startswith("_")}
    named = {
        name: value for name, value in top.items() if inspect.isclass(value) or inspect.isfunction(value)
    }
    documented = {id(value) for value in NAMES.values()}
    assert len(named) > 80
    assert [name for name, value in named.items() if id(value) not in documented] == []
    assert {"Tensor", "asarray", "no_grad", "save_weights", "summary"} <= set(NAMES)


def test_every_name_has_a_docstring() -> None:
    assert [name for name, value in NAMES.items() if not inspect.getdoc(value)] == []


def is_loss(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Loss)


def test_headings_of_a_page_have_anchors_of_their_own() -> None:
    for text in PAGES.values():
        assert len(set(anchors(text))) == len(anchors(text))


def test_every_link_leads_to_an_entry() -> None:
    targets = [
        (target or page, anchor)
        for page, text in PAGES.items()
        for target, anchor in re.findall(r"\]\(([\w.]*)#(\w+)\)", text)
    ]
    assert len(targets) > 80 + len(NAMES)  # the table lists them all
    assert [(page, anchor) for page, anchor in targets if anchor not in anchors(PAGES[page])] == []


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("functional.")])
def test_a_function_says_what_goes_in_and_comes_out_and_shows_it(name: str) -> None:
    text = reference.entry(name, NAMES)
    for part in ("\nArguments:\n", "\nReturns: ", "\nRaises:\n", "\n```pycon\n>>> "):
        assert part in text


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith(("layers.", "losses."))])
def test_a_layer_or_loss_has_a_function_or_an_example_of_its_own(name: str) -> None:
    assert (
        reference.its_function(NAMES[name], NAMES)
        or "```pycon" in reference.entry(name, NAMES)
        or (name == "layers.Identity")
    )


def test_a_docstring_becomes_markdown() -> None:
    docstring = (
        "Add.\n\n``y = x + b``\n\nArgs:\n    x: ``(N, C)``, or\n        more.\n    b: a number.\n\nReturns:\n"
        "    ``(N, C)``.\n\nExample:\n    >>> 1 + 1\n    2\n\nSource: Peano,\n1889."
    )
    assert reference.markdown(docstring) == (
        "Add.\n\n``y = x + b``\n\nArguments:\n\n- `x`: ``(N, C)``, or more.\n- `b`: a number.\n\n"
        "Returns: ``(N, C)``.\n\n```pycon\n>>> 1 + 1\n2\n```\n\nSource: Peano,\n1889."
    )


def test_the_only_argument_may_go_over_lines() -> None:
    text = reference.markdown("Add.\n\nArgs:\n    x: one,\n        or more.\n\nReturns:\n    it.")
    assert text == "Add.\n\nArguments:\n\n- `x`: one, or more.\n\nReturns: it."


def test_a_method_is_a_line_or_where_it_has_arguments_to_explain_a_part() -> None:
    lists, backward = reference.members("Tensor", NAMES)[1:]
    assert "- `item()`: Return the single element as a Python number." in lists
    assert "backward" not in lists
    assert backward.startswith("### Tensor.backward\n\n```text\nbackward(upstream=None)\n```\n\nAdd the")
    assert "Arguments:\n\n- `upstream`: the gradient" in backward
    assert "- `T`: The tensor with its axes reversed." in reference.members("Tensor", NAMES)[0]


def test_an_argument_is_not_taken_for_a_function_of_its_name() -> None:
    assert "\n- `warm_up`: the share" in PAGES["optimizers.md"]


def test_a_layer_stands_with_the_function_that_it_points_to() -> None:
    assert reference.its_function(layers.Pad, NAMES) == "functional.pad"
    assert "see [`functional.pad`](#functionalpad)" in PAGES["images.md"]
    assert HEADING.findall(PAGES["images.md"])[:2] == ["functional.pad", "layers.Pad"]


def test_signatures_show_defaults_and_no_types() -> None:
    assert reference.signature(functional.softmax) == "(x, axis=-1)"
