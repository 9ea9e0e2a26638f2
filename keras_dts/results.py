"""Results of compared methods, and their table."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """Holds the results of one method.

    Args:
        method: The name of the method.
        parameters: The student's number of parameters.
        values: The test metric of each seed.
        seconds: The seconds of each seed's training, with compilation.
    """

    method: str
    parameters: int
    values: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return float(np.mean(self.values))

    @property
    def std(self) -> float | None:
        """The values' sample standard deviation; `None` for one seed."""
        return float(np.std(self.values, ddof=1)) if self.values[1:] else None

    @property
    def seconds_mean(self) -> float:
        """The mean of the seconds."""
        return float(np.mean(self.seconds))


@dataclass(frozen=True)
class Comparison:
    """Holds the results of `keras_dts.compare`.

    Args:
        rows: A row for each method, in the order of `methods`.
        seeds: The seeds.
        metric: The name of the metric.
        versions: The versions of Python, Keras, its backend and keras-dts.
        teacher: The teacher's row, or `None` if it was not measured.
    """

    rows: list[Row]
    seeds: list[int]
    metric: str
    versions: dict[str, str]
    teacher: Row | None = None

    @property
    def in_percent(self) -> bool:
        """Whether the metric is an accuracy, which is shown in %."""
        return self.metric == "acc" or self.metric.endswith("accuracy")

    @property
    def label(self) -> str:
        """The name of the metric, with its unit."""
        return f"test {self.metric}" + (" (%)" if self.in_percent else "")

    def table(self) -> str:
        """Returns the comparison as a table, with the versions below."""
        rows = [self.teacher, *self.rows] if self.teacher else self.rows
        cells = [("method", self.label, "parameters", "seconds")]
        cells += [
            (row.method, text, f"{row.parameters:,}", f"{row.seconds_mean:.1f}")
            for row, text in zip(rows, self.texts(rows), strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [_line(row, widths) for row in cells]
        lines.insert(1, "-" * len(lines[0]))
        versions = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        return "\n".join([*lines, "", self._note(), versions])

    def texts(self, rows: Iterable[Row]) -> list[str]:
        """Returns the mean and deviation of each row as texts of one width."""
        rows = list(rows)
        factor = 100 if self.in_percent else 1
        digits = 2 if self.in_percent else _digits(row.mean for row in rows)
        means = [f"{factor * row.mean:.{digits}f}" for row in rows]
        stds = [
            "" if row.std is None else f" ± {factor * row.std:.{digits}f}"
            for row in rows
        ]
        # Padded, so that the decimal points are aligned.
        left, right = max(map(len, means)), max(map(len, stds))
        return [
            f"{mean:>{left}}{std:<{right}}"
            for mean, std in zip(means, stds, strict=True)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Returns the comparison as a dictionary that JSON can hold."""
        return {
            **asdict(self),
            "rows": [_to_dict(row) for row in self.rows],
            "teacher": _to_dict(self.teacher) if self.teacher else None,
        }

    def _note(self) -> str:
        if len(self.seeds) == 1:
            return "One seed."
        return (
            f"Mean and standard deviation over {len(self.seeds)} seeds; "
            "seconds of one training."
        )


def _to_dict(row: Row) -> dict[str, Any]:
    return {
        **asdict(row),
        "mean": row.mean,
        "std": row.std,
        "seconds_mean": row.seconds_mean,
    }


def _digits(means: Iterable[float]) -> int:
    """Returns the decimals that leave the largest mean four digits."""
    sizes = [abs(mean) for mean in means if mean and math.isfinite(mean)]
    return max(0, 3 - math.floor(math.log10(max(sizes)))) if sizes else 4


def _line(cells: Iterable[str], widths: list[int]) -> str:
    first, *others = (
        f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}"
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "   ".join([first, *others])
