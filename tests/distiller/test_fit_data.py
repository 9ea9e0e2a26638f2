"""The data among the arguments of Keras's methods, converted by adapters."""

import pytest

from keras_dts.distiller.fit_data import FitData, converted


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
    self,
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


class Model:
    """A model that converts the data of its methods."""

    def __init__(self, *adapters, evaluates_teacher=False):
        self.evaluates_teacher = evaluates_teacher
        self.fit_data = FitData(
            adapters,
            lambda: self.evaluates_teacher,
            lambda y: None,
            lambda: 1,
        )

    fit = converted(method, FitData.for_fit)
    evaluate = converted(method, FitData.for_evaluation)
    predict = converted(method, FitData.for_prediction)
    train_on_batch = converted(method, FitData.for_training_batch)
    test_on_batch = converted(method, FitData.for_evaluation_batch)
    predict_on_batch = converted(method, FitData.for_prediction_batch)


def test_data_that_keras_takes_are_passed_on():
    fake = Fake(str, "text")
    got = Model(fake).evaluate(1, "labels", 8, _private=3)
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
    args, kwargs = (("a",), {}) if positional else ((), {"x": "a"})
    got = Model(Fake(str, "text")).evaluate(*args, epochs=4, **kwargs)
    assert (got["x"], got["epochs"]) == (("text", "a"), 4)


def test_an_adapter_gets_what_the_one_before_it_made():
    got = Model(Fake(str, "first"), Fake(tuple, "second")).evaluate("a")
    assert got["x"] == ("second", ("first", "a"))
    got = Model(Fake(str, "first"), Fake(tuple, "second")).test_on_batch("a")
    assert got["x"] == ("second", ("first", "a"))


@pytest.mark.parametrize("teacher", [True, False])
def test_fit_converts_validation_data_too(teacher):
    fake = Fake(str, "text")
    got = Model(fake, evaluates_teacher=teacher).fit(
        "a", batch_size=8, validation_data=("b", "labels")
    )
    assert got["x"] == ("text", "a")
    assert got["validation_data"] == ("text", "b")
    # The teacher runs on what trains; the batch size holds for both.
    assert fake.seen == [(True, True, 8), (teacher, False, 8)]


def test_validation_data_may_have_their_own_batch_size():
    fake = Fake(str, "text")
    options = {"batch_size": 8, "validation_batch_size": 4}
    got = Model(fake).fit(1, validation_data="b", **options)
    assert fake.seen == [(False, False, 4)]
    assert got["batch_size"] == 8
    assert "validation_batch_size" not in got
    # Data that no adapter takes are left unchanged.
    got = Model(fake).fit("a", validation_data=(1, 2), **options)
    assert got["validation_data"] == (1, 2)
    assert got["validation_batch_size"] == 4


@pytest.mark.parametrize("teacher", [True, False])
def test_batches_are_converted_as_batches(teacher):
    fake = Fake(str, "text")
    model = Model(fake, evaluates_teacher=teacher)
    got = model.train_on_batch("a", "labels")
    assert (got["x"], got["y"]) == (("text", "a"), "labels")
    assert model.test_on_batch("b")["x"] == ("text", "b")
    assert model.predict_on_batch("c")["x"] == ("text", "c")
    # The teacher runs where something trains, or compares with it.
    assert fake.seen == [True, teacher, False]


@pytest.mark.parametrize("teacher", [True, False])
def test_the_teacher_never_runs_for_predictions(teacher):
    fake = Fake(str, "text")
    model = Model(fake, evaluates_teacher=teacher)
    model.predict("a", batch_size=2)
    model.evaluate("b", batch_size=3)
    assert fake.seen == [(False, False, 2), (teacher, False, 3)]


def test_whether_evaluations_run_the_teacher_may_change():
    fake = Fake(str, "text")
    model = Model(fake)
    model.evaluate("a")
    model.evaluates_teacher = True
    model.evaluate("a")
    assert [teacher for teacher, *_ in fake.seen] == [False, True]


def test_a_converted_method_keeps_its_signature_and_name():
    assert Model.fit.__wrapped__ is method
    assert Model.fit.__doc__ == method.__doc__
    with pytest.raises(TypeError, match="multiple values for argument 'x'"):
        Model().fit("a", x="b")
