"""The public names: complete, documented, registered, and light to import."""

import importlib
import inspect
import os
import subprocess
import sys

import keras
import pytest
from public import MODULES, PUBLIC

import keras_dts

THINGS = {
    f"{module}.{name}": getattr(importlib.import_module(module), name)
    for module, name in PUBLIC
}


def test_the_list_is_sorted_and_true():
    for module in MODULES:
        names = importlib.import_module(module).__all__
        # Constants, classes and functions, each in the order of the alphabet.
        kinds = [(not n.isupper(), n[0].islower(), n) for n in names]
        assert kinds == sorted(kinds)
        for name in names:
            assert hasattr(importlib.import_module(module), name)


def undocumented(kind):
    """Yields what the docstring of a class lacks."""
    text = inspect.getdoc(kind)
    if not text.splitlines()[0].endswith("."):
        yield "a first line that is a sentence"
    if issubclass(kind, tuple) or inspect.isabstract(kind):
        return
    for argument in inspect.signature(kind.__init__).parameters.values():
        named = argument.name == "self" or f"{argument.name}: " in text
        if not named and argument.kind is not argument.VAR_KEYWORD:
            yield argument.name


def undocumented_of_function(function):
    """Yields what the docstring of a function lacks."""
    text = inspect.getdoc(function)
    signature = inspect.signature(function)
    yield from (a for a in signature.parameters if f"{a}: " not in text)
    returns = signature.return_annotation not in (None, "None")
    if ("Returns:" in text) != returns:
        yield "what it returns"
    if "Raises:" not in text:
        yield "what it raises"


def test_docstrings_are_complete():
    lacks = {}
    for name, thing in THINGS.items():
        if inspect.isclass(thing):
            lacks[name] = [*undocumented(thing)]
        elif inspect.isfunction(thing):
            lacks[name] = [*undocumented_of_function(thing)]
    assert len(lacks) > 40
    assert {name: missing for name, missing in lacks.items() if missing} == {}


def test_the_three_names_have_examples_errors_and_a_reference():
    for name in ("Distiller", "DynamicTemperature", "DTS"):
        text = inspect.getdoc(getattr(keras_dts, name))
        for part in ("Args:", "Raises:", "Example:", ">>>", "Reference:"):
            assert part in text, name


def has_example(thing):
    text = inspect.getdoc(thing)
    bare = inspect.isclass(thing) and issubclass(thing, tuple)
    if bare or "\nAbstract" in text:
        return True
    return text.partition("\nExample:\n")[2].startswith(">>>")


def test_every_name_has_an_example():
    things = {n: t for n, t in THINGS.items() if not inspect.ismodule(t)}
    assert [n for n, thing in things.items() if not has_example(thing)] == []


def test_classes_are_registered_with_keras():
    for name in ("Distiller", "DynamicTemperature"):
        kind = getattr(keras_dts, name)
        registered = keras.saving.get_registered_name(kind)
        assert registered == f"keras_dts>{name}"


def test_importing_the_package_imports_nothing_optional():
    """In a process of its own, since this one has imported everything."""
    script = (
        "import sys, keras\n"
        "def new():\n"
        "    names = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "    return sorted(names - sys.stdlib_module_names)\n"
        "before = set(sys.modules)\n"
        "import keras_dts\n"
        "later = {f'keras_dts.{n}' for n in ('data', 'generation', 'plots')}\n"
        "print(*new(), *later & {*sys.modules})\n"
        "print(keras_dts.data.load.__name__, keras_dts.plots.plot_run.__name__)"
        "\n"
        "print(keras_dts.OnPolicyDistiller.__name__)\n"
        "print(*new())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ},
    )
    own = "keras_dts keras_dts_command"
    assert done.stdout.splitlines() == [
        own,
        "load plot_run",
        "OnPolicyDistiller",
        own,
    ]


def test_the_package_lists_its_public_names():
    listed = {name for name in dir(keras_dts) if not name.startswith("__")}
    assert listed == {
        *keras_dts.__all__,
        *("OnPolicyDistiller", "data", "generation", "plots"),
    }
    assert "__version__" in dir(keras_dts)


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        keras_dts.nothing  # noqa: B018
