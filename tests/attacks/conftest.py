"""Counts what attacks lead to, and prints the counts as a table."""

import collections

import pytest

COUNTS = pytest.StashKey()


def pytest_configure(config):
    config.stash[COUNTS] = {}


@pytest.fixture
def outcomes(request):
    """A counter of outcomes, which the table shows in a row of its own."""
    counter = collections.Counter()
    request.config.stash[COUNTS][request.node.name] = counter
    return counter


def pytest_terminal_summary(terminalreporter, config):
    counts = config.stash.get(COUNTS, {})
    if counts:
        terminalreporter.section("attacks")
    for name, counter in counts.items():
        listed = ", ".join(f"{n} {what}" for what, n in sorted(counter.items()))
        terminalreporter.write_line(
            f"{name}: {counter.total()} tried: {listed}"
        )
