"""`Comparison` and `Row`: the table, the units, and JSON."""

import dataclasses
import json

import numpy as np
import pytest

from keras_dts.results import Comparison, Row

ROWS = [
    Row("alone", 1_210, [0.5, 0.6, 0.7], [1.0, 2.0, 4.5]),
    Row("a longer name", 99_178, [1.0, 1.0, 0.7], [10.0, 11.0, 12.0]),
]
FOUND = Comparison(ROWS, [0, 1, 2], "accuracy", {"keras": "3.15", "jax": "1"})


def test_the_table_has_means_deviations_and_versions():
    assert FOUND.table().splitlines() == [
        "method          test accuracy (%)   parameters   seconds",
        "--------------------------------------------------------",
        "alone               60.00 ± 10.00        1,210       2.5",
        "a longer name       90.00 ± 17.32       99,178      11.0",
        "",
        "Mean and standard deviation over 3 seeds; seconds of one training.",
        "keras 3.15, jax 1",
    ]


def test_the_teacher_is_the_first_row_of_the_table():
    teacher = Row("teacher", 5, [1.0], [7.0])
    lines = dataclasses.replace(FOUND, teacher=teacher).table().splitlines()
    assert lines[2].split() == ["teacher", "100.00", "5", "7.0"]
    # The decimal points are aligned.
    assert lines[2].index(".") == lines[3].index(".")


def test_one_seed_has_no_standard_deviation():
    row = Row("x", 1, [0.5], [1.0])
    assert row.std is None
    lines = Comparison([row], [0], "acc", {"keras": "3"}).table().splitlines()
    assert lines[2].split() == ["x", "50.00", "1", "1.0"]
    assert lines[-2:] == ["One seed.", "keras 3"]


@pytest.mark.parametrize(
    ("metric", "values", "label", "text"),
    [
        ("loss", [0.5, 1.0], "test loss", "0.7500 ± 0.3536"),
        ("mae", [12.0, 13.0], "test mae", "12.50 ± 0.71"),
        ("mae", [5e4, 6e4], "test mae", "55000 ± 7071"),
        ("mae", [2e-3, 4e-3], "test mae", "0.003000 ± 0.001414"),
        ("mae", [0.0, 0.0], "test mae", "0.0000 ± 0.0000"),
        ("loss", [np.nan, 1.0], "test loss", "nan ± nan"),
        ("accuracy", [0.5, 0.5], "test accuracy (%)", "50.00 ± 0.00"),
        ("top_5_accuracy", [0.25, 0.75], None, "50.00 ± 35.36"),
    ],
)
def test_only_accuracies_are_shown_in_percent(metric, values, label, text):
    found = Comparison([Row("x", 1, values, [1.0, 1.0])], [0, 1], metric, {})
    assert found.label == (label or f"test {metric} (%)")
    assert found.texts(found.rows) == [text]


def test_a_comparison_is_restored_from_json():
    teacher = Row("teacher", 5, [1.0], [7.0])
    found = dataclasses.replace(FOUND, teacher=teacher)
    read = json.loads(json.dumps(found.to_dict()))
    assert read["rows"][0] == {
        "method": "alone",
        "parameters": 1_210,
        "values": [0.5, 0.6, 0.7],
        "seconds": [1.0, 2.0, 4.5],
        "mean": pytest.approx(0.6),
        "std": pytest.approx(0.1),
        "seconds_mean": 2.5,
    }
    for row in (read["teacher"], *read["rows"]):
        for name in ("mean", "std", "seconds_mean"):
            row.pop(name)
    again = Comparison(
        **{
            **read,
            "rows": [Row(**row) for row in read["rows"]],
            "teacher": Row(**read["teacher"]),
        }
    )
    assert again == found
    assert FOUND.to_dict()["teacher"] is None
