"""The data among the arguments of Keras's methods, converted by adapters."""

import pytest

from keras_dts.distiller.fit_data import FitData


class Fake:
    """An adapter of inputs of one type, which it wraps."""

    def __init__(self, kind, name):
        self.kind, self.name = kind, name
        self.seen = []

    def takes(self, x):
        return isinstance(x, self.kind)

    def adapt(self, options, *, teacher, training=False):
        self.seen.append((teacher, training, options.pop("batch_size", None)))
        options["x"] = (self.name, options["x"])

    def adapt_batch(self, options, *, teacher):
        self.seen.append(teacher)
        options["x"] = (self.name, options["x"])


def method(
    x=None,
    y=None,
    batch_size=None,
    epochs=1,
    validation_data=None,
    *,
    validation_batch_size=None,
    **kwargs,
):
    """Returns the arguments that differ from their defaults."""
    given = {
        "x": x,
        "y": y,
        "batch_size": batch_size,
        "epochs": epochs,
        "validation_data": validation_data,
        "validation_batch_size": validation_batch_size,
        **kwargs,
    }
    return {k: v for k, v in given.items() if v is not None}


def call(data, change, *args, teacher=False, **kwargs):
    return data.call(method, args, kwargs, change, teacher=teacher)


def test_data_that_keras_takes_are_passed_on():
    fake = Fake(str, "text")
    data = FitData((fake,))
    got = call(data, data.for_evaluation, 1, "labels", 8, _private=3)
    assert got == {
        "x": 1,
        "y": "labels",
        "batch_size": 8,
        "epochs": 1,
        "_private": 3,
    }
    assert fake.seen == []


@pytest.mark.parametrize("positional", [True, False])
def test_arguments_by_position_and_by_name_are_converted(positional):
    data = FitData((Fake(str, "text"),))
    args, kwargs = (("a",), {}) if positional else ((), {"x": "a"})
    got = call(data, data.for_evaluation, *args, epochs=4, **kwargs)
    assert (got["x"], got["epochs"]) == (("text", "a"), 4)


def test_an_adapter_gets_what_the_one_before_it_made():
    data = FitData((Fake(str, "first"), Fake(tuple, "second")))
    got = call(data, data.for_evaluation, "a")
    assert got["x"] == ("second", ("first", "a"))


@pytest.mark.parametrize("teacher", [True, False])
def test_fit_converts_validation_data_too(teacher):
    fake = Fake(str, "text")
    data = FitData((fake,))
    got = call(
        data,
        data.for_fit,
        "a",
        batch_size=8,
        validation_data=("b", "labels"),
        teacher=teacher,
    )
    assert got["x"] == ("text", "a")
    assert got["validation_data"] == ("text", "b")
    # The teacher runs on what trains; the batch size holds for both.
    assert fake.seen == [(True, True, 8), (teacher, False, 8)]


def test_validation_data_may_have_their_own_batch_size():
    fake = Fake(str, "text")
    data = FitData((fake,))
    options = {"batch_size": 8, "validation_batch_size": 4}
    got = call(data, data.for_fit, 1, validation_data="b", **options)
    assert fake.seen == [(False, False, 4)]
    assert got["batch_size"] == 8
    assert "validation_batch_size" not in got
    # Data that no adapter takes are left unchanged.
    got = call(data, data.for_fit, "a", validation_data=(1, 2), **options)
    assert got["validation_data"] == (1, 2)
    assert got["validation_batch_size"] == 4


def test_batches_are_converted_as_batches():
    fake = Fake(str, "text")
    data = FitData((fake,))
    got = call(data, data.for_batch, "a", "labels", teacher=True)
    assert (got["x"], got["y"]) == (("text", "a"), "labels")
    assert fake.seen == [True]
