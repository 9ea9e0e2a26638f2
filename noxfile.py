"""Checks in environments of their own; `nox -l` lists them."""

import nox

nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["lint", "types", "tests"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
DEV = nox.project.dependency_groups(PYPROJECT, "dev", "docs")
PINS = ("--constraint", "requirements/test.txt")


@nox.session
def lint(session: nox.Session) -> None:
    """Checks style, format, spelling and imports."""
    session.install(*PINS, "ruff", "codespell", "import-linter")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("codespell")
    session.run("lint-imports", "--no-logo", "--no-cache")


@nox.session
def types(session: nox.Session) -> None:
    """Checks the types of the package."""
    session.install(*PINS, "mypy", "--editable", ".[data,demo,text]")
    session.run("mypy")


@nox.session
@nox.parametrize("backend", ["jax", "tensorflow", "torch"])
def tests(session: nox.Session, backend: str) -> None:
    """Runs the tests on one backend."""
    session.install(*PINS, backend)
    session.install(*PINS, *DEV, "--editable", ".[data,demo,examples,text]")
    _pytest(session, backend)


@nox.session
def oldest(session: nox.Session) -> None:
    """Runs the tests on JAX with the oldest Keras that is allowed."""
    session.install(
        *DEV, *_oldest_keras(), "--editable", ".[jax,data,demo,examples,text]"
    )
    _pytest(session, "jax")


def _oldest_keras() -> list[str]:
    return [
        requirement.replace(">=", "==")
        for requirement in PYPROJECT["project"]["dependencies"]
        if requirement.startswith("keras")
    ]


def _pytest(session: nox.Session, backend: str) -> None:
    session.run(
        *("python", "-m", "pytest", "-n", "2", "--dist", "loadfile"),
        *session.posargs,
        env={"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
