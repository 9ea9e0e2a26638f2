"""The names of a cache's fields, which lie on disk."""

import json

from caches import Pages, X, Y, cached, net

from keras_dts.cache.fields import FieldKind


def names_in(path):
    (header,) = path.rglob("header.json")
    return {name for name, _, _ in json.loads(header.read_text())["fields"]}


def test_the_names_on_disk(tmp_path):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path / "a", features=["feat"], dtype="uint8")
    assert names_in(tmp_path / "a") == {
        "output_0",
        "output_0_ends",
        "feature_0",
        "x_0",
        "y_0",
        "weight_0",
    }
    cached(teacher, (X, Y), tmp_path / "b", top_k=3)
    assert names_in(tmp_path / "b") == {"output_0", "classes_0"}


def test_names_are_numbered_without_gaps():
    fields = {"output_0", "output_1", "output_3", "output_0_ends"}
    assert FieldKind.OUTPUT.names_in(fields) == ["output_0", "output_1"]
    assert FieldKind.RANGE.names_in(fields) == ["output_0_ends"]
    assert FieldKind.CLASSES.names_in(fields) == []
