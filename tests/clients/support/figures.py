"""Figures that tests measure, printed at the end of the run."""

import pytest

FIGURES = []


@pytest.fixture
def figure():
    """Keeps a measured line for the end of the run."""
    return FIGURES.append


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("figures")
        for line in FIGURES:
            terminalreporter.write_line(line)
