"""Reads this package's docstrings for the reference."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import griffe

# An example ends where the next section begins, or the docstring.
_EXAMPLE = re.compile(r"^Example:\n(.*?)(?=^[A-Z]\w+:\n|\Z)", re.M | re.S)
_ENTRY = re.compile(r"^::: (\S+)", re.M)
_NAME = re.compile(r"(?<!`)`(keras_dts(?:\.\w+)+)`(?!`)")
_CONSTANT = re.compile(r"[A-Z][A-Z_]+$")
_FENCE = re.compile(r"^( *)(`{3,}|~{3,}).*?^\1\2", re.M | re.S)


def entries() -> dict[str, str]:
    """Returns the full names in the reference, by their last parts."""
    pages = sorted(Path(__file__).parent.joinpath("api").glob("*.md"))
    return {
        name.rpartition(".")[2]: name
        for page in pages
        for name in _ENTRY.findall(page.read_text())
    }


def outside_fences(text: str, change: Callable[[str], str]) -> str:
    """Changes Markdown where it is no code."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


class Docstrings(griffe.Extension):
    """Makes sections of examples, and links of names that have an entry.

    Examples stand below "Example:" without an indent, as doctest reads them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entries = entries()

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrites the docstring of an object."""
        if obj.docstring is None:
            return
        text = _EXAMPLE.sub(_section, obj.docstring.value)
        obj.docstring.value = outside_fences(text, self._linked)

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Shows the values of constants that are defaults of arguments."""
        for function in _functions(pkg):
            for argument in function.parameters:
                name = str(argument.default)
                if _CONSTANT.match(name):
                    path = function.resolve(name)
                    argument.default = pkg.modules_collection[path].value

    def _linked(self, text: str) -> str:
        """Turns full names of what has an entry into links to it."""

        def link(match: re.Match[str]) -> str:
            name = match[1]
            entry = self._entries.get(name.rpartition(".")[2])
            return f"[`{name}`][{entry}]" if entry else match[0]

        return _NAME.sub(link, text)


def _functions(scope: griffe.Object) -> Iterator[griffe.Function]:
    """Returns the functions and methods of a package."""
    for member in scope.members.values():
        if isinstance(member, griffe.Function):
            yield member
        elif isinstance(member, griffe.Module | griffe.Class):
            yield from _functions(member)


def _section(match: re.Match[str]) -> str:
    lines = match[1].rstrip().splitlines()
    body = "\n".join(f"    {line}".rstrip() for line in lines)
    return f"Examples:\n{body}\n\n"
