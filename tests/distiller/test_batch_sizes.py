"""Batches that several devices do not divide are refused, and named."""

import keras
import numpy as np
import pytest
from helpers import blobs, copies, crossentropy, mlp, moved

import keras_dts

pytestmark = pytest.mark.jax
X, Y = blobs(20)
BEGIN = r"The 2 devices among which `keras.distribution` divides batches must"


def two_devices():
    devices = keras.distribution.list_devices()[:2]
    return keras.distribution.DataParallel(devices=devices).scope()


@pytest.fixture(autouse=True)
def _two_devices(_clean_state):
    with two_devices():
        yield


def made():
    distiller = keras_dts.Distiller(mlp(6, seed=1), mlp(4, seed=2))
    distiller.compile("sgd", crossentropy())
    return distiller


@pytest.fixture(scope="module")
def model():
    with two_devices():
        return made()


def given(examples, **options):
    return {"x": X[:examples], "y": Y[:examples], "verbose": 0, **options}


REFUSED = {
    "a last batch of 3 examples in `x`": given(11, batch_size=8),
    "a batch of 5 examples in `x`": given(20, batch_size=5),
    "a batch of 7 examples in `x`": given(7),
    "a last batch of 1 examples in `validation_data`": given(
        16, batch_size=8, validation_data=(X[:9], Y[:9])
    ),
    "a batch of 3 examples in `validation_data`": given(
        16, validation_data=(X[:9], Y[:9]), validation_batch_size=3
    ),
    "a batch of 5 examples in `validation_split`": given(
        15, validation_split=0.33
    ),
    # The second epoch goes on where the first one stopped.
    "a last batch of 1 examples in `x`": given(
        17, batch_size=8, steps_per_epoch=2, epochs=2
    ),
}


@pytest.mark.parametrize("received", REFUSED)
def test_arrays_are_refused_before_a_step(model, received):
    before = copies(model.student)
    with pytest.raises(ValueError, match=f"{BEGIN}.* Received: {received}"):
        model.fit(**REFUSED[received])
    assert moved(model.student, before) == 0.0


def test_evaluations_and_predictions_are_refused_before_a_step(model):
    for call in (model.evaluate, model.predict):
        options = given(11, batch_size=8)
        if call == model.predict:
            options.pop("y")
        with pytest.raises(ValueError, match="a last batch of 3 examples"):
            call(**options)


# JAX's own, of which `pytest.warns` tells anew.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept")
def test_caches_are_refused_in_evaluations_alone(model, tmp_path):
    cache = keras_dts.cache_teacher(
        model.teacher, (X[:13], Y[:13]), tmp_path, verbose=False
    )
    with pytest.raises(ValueError, match="a last batch of 5 examples in `x`"):
        model.evaluate(cache, batch_size=8)
    with pytest.raises(ValueError, match="of 3 examples in `validation_data`"):
        model.fit(X, Y, batch_size=10, validation_data=cache, verbose=0)
    with pytest.warns(UserWarning, match="The last 5 of 13 examples"):
        model.fit(cache, batch_size=8, verbose=0)


class Batches(keras.utils.PyDataset):
    """Two batches, whose sizes nobody knows before they come."""

    def __init__(self, *sizes):
        super().__init__()
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return X[: self.sizes[index]], Y[: self.sizes[index]]


@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_streams_are_refused_at_the_batch(model, method):
    with pytest.raises(ValueError, match=f"{BEGIN}.*: a batch of 3 examples"):
        getattr(model, method)(Batches(8, 3), verbose=0)


def test_a_batch_that_is_not_divided_is_refused(model):
    for call in (model.train_on_batch, model.test_on_batch):
        with pytest.raises(ValueError, match="a batch of 3 examples in the "):
            call(X[:3], Y[:3], np.ones(3, "float32"))


def test_what_divides_is_taken(model):
    model.fit(**given(17, batch_size=8, steps_per_epoch=2))
    model.fit(Batches(8, 4), verbose=0)
    assert np.isfinite(model.evaluate(**given(10, batch_size=8))).all()


def test_errors_of_others_are_passed_on():
    with pytest.raises(ValueError, match=r"^no more$"):
        made().fit(X, Y, callbacks=[Broken()], verbose=0)


class Broken(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        raise ValueError("no more")
