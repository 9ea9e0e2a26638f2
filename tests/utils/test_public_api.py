"""The public names: complete, documented, registered, and light to import."""

import importlib
import inspect
import os
import pathlib
import subprocess
import sys

import keras
import pytest
from public import MODULES, PUBLIC

import keras_dts

CLASSES = [
    (module, name)
    for module, name in PUBLIC
    if inspect.isclass(getattr(importlib.import_module(module), name))
]


def test_the_list_is_sorted_and_true():
    for module in MODULES:
        names = importlib.import_module(module).__all__
        # Constants, classes and functions, each in the order of the alphabet.
        kinds = [(not n.isupper(), n[0].islower(), n) for n in names]
        assert kinds == sorted(kinds)
        for name in names:
            assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize(("module", "name"), CLASSES)
def test_docstrings_name_every_argument(module, name):
    kind = getattr(importlib.import_module(module), name)
    text = inspect.getdoc(kind)
    assert text.splitlines()[0].endswith(".")
    if issubclass(kind, tuple) or inspect.isabstract(kind):
        return
    for argument in inspect.signature(kind.__init__).parameters.values():
        if (
            argument.name != "self"
            and argument.kind is not argument.VAR_KEYWORD
        ):
            assert f"{argument.name}: " in text, argument.name


FUNCTIONS = [
    (module, name)
    for module, name in PUBLIC
    if inspect.isfunction(getattr(importlib.import_module(module), name))
]


@pytest.mark.parametrize(("module", "name"), FUNCTIONS)
def test_docstrings_of_functions_are_complete(module, name):
    function = getattr(importlib.import_module(module), name)
    text = inspect.getdoc(function)
    signature = inspect.signature(function)
    assert all(f"{argument}: " in text for argument in signature.parameters)
    returns = signature.return_annotation not in (None, "None")
    assert ("Returns:" in text) == returns
    assert "Raises:" in text


@pytest.mark.parametrize("name", ["Distiller", "DynamicTemperature", "DTS"])
def test_the_three_names_have_examples_errors_and_a_reference(name):
    text = inspect.getdoc(getattr(keras_dts, name))
    for part in ("Args:", "Raises:", "Example:", ">>>", "Reference:"):
        assert part in text


@pytest.mark.parametrize(("module", "name"), PUBLIC)
def test_every_name_has_an_example(module, name):
    thing = getattr(importlib.import_module(module), name)
    if inspect.ismodule(thing):
        return
    text = inspect.getdoc(thing)
    bare = inspect.isclass(thing) and issubclass(thing, tuple)
    if not bare and "\nAbstract" not in text:
        example = text.partition("\nExample:\n")[2]
        assert example.startswith(">>>")


@pytest.mark.parametrize("name", ["Distiller", "DynamicTemperature"])
def test_classes_are_registered_with_keras(name):
    kind = getattr(keras_dts, name)
    registered = keras.saving.get_registered_name(kind)
    assert registered == f"keras_dts>{name}"


def test_only_public_keras_is_used():
    package = pathlib.Path(keras_dts.__file__).parent
    for path in package.rglob("*.py"):
        assert "keras.src" not in path.read_text(), path


def test_importing_the_package_imports_nothing_optional():
    """In a process of its own, since this one has imported everything."""
    script = (
        "import sys, keras\n"
        "def new():\n"
        "    names = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "    return sorted(names - sys.stdlib_module_names)\n"
        "before = set(sys.modules)\n"
        "import keras_dts\n"
        "print(*new(), *{'keras_dts.data', 'keras_dts.plots'} & {*sys.modules})"
        "\n"
        "print(keras_dts.data.load.__name__, keras_dts.plots.plot_run.__name__)"
        "\n"
        "print(*new())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        check=True,
        text=True,
        env={**os.environ},
    )
    assert done.stdout.splitlines() == [
        "keras_dts",
        "load plot_run",
        "keras_dts",
    ]


def test_a_name_that_the_package_lacks_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        keras_dts.nothing  # noqa: B018
