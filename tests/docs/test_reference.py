"""The reference has an entry for each public name."""

import importlib
import pathlib
import re
import sys

from public import PUBLIC

REFERENCE = pathlib.Path(__file__).parents[2] / "docs" / "api"


def resolved(name):
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def entries():
    """Returns what the pages of the reference have an entry for."""
    text = "\n".join(p.read_text() for p in sorted(REFERENCE.glob("*.md")))
    return [resolved(name) for name in re.findall(r"^::: (\S+)", text, re.M)]


def test_every_public_name_has_one_entry():
    found = entries()
    assert len(set(map(id, found))) == len(found)
    missing = []
    for module, name in PUBLIC:
        thing = getattr(importlib.import_module(module), name)
        if type(thing) is type(sys):
            there = (REFERENCE / f"{name}.md").exists()
        else:
            there = any(entry is thing for entry in found)
        missing += [] if there else [f"{module}.{name}"]
    assert missing == []
