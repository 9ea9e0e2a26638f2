"""The rules of the package's layout that `lint-imports` does not check."""

import ast
import pathlib

import pytest

import keras_dts

PACKAGE = pathlib.Path(keras_dts.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
WINGS = {path.stem for path in PACKAGE.iterdir()} - {"__init__", "py"}
BACKENDS = {"jax", "tensorflow", "torch"}
LINES, BODY = 300, 50


def name_of(path):
    return path.relative_to(PACKAGE.parent).as_posix()


def tree_of(path):
    return ast.parse(path.read_text("utf-8"))


def wing_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(tree):
    """Returns the line, the module and the names of each import in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the module whole"
            yield node.lineno, node.module, [a.name for a in node.names]
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, a.name, []) for a in node.names)


def has_docstring(node):
    return ast.get_docstring(node, clean=False) is not None


def body_lines(function):
    """Returns how many lines a function's body has without its docstring."""
    body = function.body[has_docstring(function) :]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


# Each rule takes a file's path and tree, and yields what breaks it.


def long_modules(path, tree):
    lines = len(path.read_text("utf-8").splitlines())
    if lines > LINES:
        yield f"has {lines} lines, more than {LINES}"


def long_functions(path, tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = body_lines(node)
            if lines > BODY:
                yield f"`{node.name}` has {lines} lines, more than {BODY}"


def faces_that_do_more(path, tree):
    """Yields what is neither an import nor `__all__` in a wing's face.

    The face of the package imports two wings when they are first named.
    """
    if path.name != "__init__.py" or path.parent == PACKAGE:
        return
    for node in tree.body[has_docstring(tree) :]:
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        exports = (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0]) == "__all__"
        )
        if not imports and not exports:
            yield f"line {node.lineno} is neither an import nor `__all__`"


def names_of_the_face(wing):
    face = PACKAGE / wing / "__init__.py"
    if not face.exists():
        return set()
    imports = imports_of(tree_of(face))
    return {name for _, _, names in imports for name in names}


def imports_of_inner_modules(path, tree):
    """Yields imports of another wing that do not go by its face."""
    for line, module, names in imports_of(tree):
        root, *inside = module.split(".")
        if root != "keras_dts" or not inside or inside[0] == wing_of(path):
            continue
        modules = {p.stem for p in (PACKAGE / inside[0]).glob("*.py")}
        modules -= names_of_the_face(inside[0])
        if len(inside) > 1 or modules.intersection(names):
            yield f"line {line} imports what is inside of {module}"


def imports_of_the_root(path, tree):
    """Yields imports of the package itself, not of one of its wings."""
    for line, module, names in imports_of(tree):
        if module == "keras_dts" and not (names and set(names) <= WINGS):
            yield f"line {line} imports the package `keras_dts`"


def imports_of_private_keras(path, tree):
    if "keras.src" in path.read_text("utf-8"):
        yield "uses `keras.src`, which is private"


def imports_of_backends(path, tree):
    if wing_of(path) == "backend":
        return
    for line, module, _ in imports_of(tree):
        if module.split(".")[0] in BACKENDS:
            yield f"line {line} imports {module}; only `backend` may"


RULES = [
    long_modules,
    long_functions,
    faces_that_do_more,
    imports_of_inner_modules,
    imports_of_the_root,
    imports_of_private_keras,
    imports_of_backends,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_module_breaks_the_rule(rule):
    assert len(MODULES) > 50
    faults = [
        f"{name_of(path)}: {fault}"
        for path in MODULES
        for fault in rule(path, tree_of(path))
    ]
    assert not faults, "\n".join(["", *faults])


BROKEN = {
    long_modules: "pass\n" * (LINES + 1),
    long_functions: "def f():\n" + "    pass\n" * (BODY + 1),
    faces_that_do_more: "x = 1\n",
    imports_of_inner_modules: "from keras_dts.losses.kd import KD\n",
    imports_of_the_root: "from keras_dts import Distiller\n",
    imports_of_private_keras: "import keras.src\n",
    imports_of_backends: "def f():\n    import torch.nn\n",
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_finds_what_breaks_it(rule, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path)
    path = tmp_path / "wing" / "__init__.py"
    path.parent.mkdir()
    path.write_text('"""A face."""\n\nimport keras\n\n__all__ = ["keras"]\n')
    assert not [*rule(path, tree_of(path))]
    path.write_text(BROKEN[rule])
    assert len([*rule(path, tree_of(path))]) == 1
