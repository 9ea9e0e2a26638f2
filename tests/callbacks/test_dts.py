"""`DTS` and the temperature in `fit`, its logs and its progress."""

import csv

import keras
import numpy as np
import pytest
from helpers import blobs, crossentropy, mlp, number

from keras_dts import DTS, Distiller, DynamicTemperature
from keras_dts.losses import KD
from keras_dts.temperatures import CurriculumTemperature

X, Y = blobs()
SEEN = {"loss", "student_loss", "distillation_loss", "temperature", "gap"}


def distiller(**kwargs):
    model = Distiller(mlp(16, seed=1), mlp(seed=2), **kwargs)
    model.compile(keras.optimizers.SGD(0.05), crossentropy())
    return model


def test_progress_bar_history_and_csv_show_the_parts(tmp_path, capsys):
    history = distiller().fit(
        X,
        Y,
        epochs=2,
        callbacks=[DTS(), keras.callbacks.CSVLogger(tmp_path / "log.csv")],
        verbose=2,
    )
    assert set(history.history) == SEEN
    printed = capsys.readouterr().out
    assert all(f"{name}: " in printed for name in SEEN)
    with (tmp_path / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2
    for name in SEEN:
        logged = [float(row[name]) for row in rows]
        assert logged == pytest.approx(history.history[name])


def test_tensorboard_shows_the_parts(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator
    from tensorboard.util import tensor_util

    history = distiller().fit(
        X,
        Y,
        epochs=2,
        callbacks=[DTS(), keras.callbacks.TensorBoard(tmp_path)],
        verbose=0,
    )
    events = event_accumulator.EventAccumulator(str(tmp_path / "train"))
    events.Reload()
    tags = {tag.removeprefix("epoch_") for tag in events.Tags()["tensors"]}
    assert tags >= SEEN
    (_, last) = events.Tensors("epoch_temperature")
    value = float(tensor_util.make_ndarray(last.tensor_proto))
    assert value == pytest.approx(history.history["temperature"][-1])


def test_progress_is_the_share_of_the_epochs():
    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            noted.append(number(self.model.temperature.progress))

    noted: list = []
    distiller().fit(
        X,
        Y,
        batch_size=32,
        epochs=4,
        initial_epoch=1,
        callbacks=[DTS(), Note()],
        verbose=0,
    )
    expected = [0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    assert noted == pytest.approx(expected)


def test_step_granularity_ends_at_one():
    policy = DynamicTemperature(granularity="step", momentum=0.0)
    model = distiller(temperature=policy)
    logs = model.fit(X, Y, batch_size=16, epochs=3, verbose=0).history
    assert number(policy.progress) == pytest.approx(1.0, abs=1e-6)
    assert number(policy.progress_per_step) == pytest.approx(1 / 12)
    assert logs["temperature"][-1] == pytest.approx(2.0)


def test_missing_bounds_of_a_constant_are_the_published_ones():
    model = distiller(temperature=4.0)
    model.fit(X, Y, callbacks=[DTS()], verbose=0)
    assert model.temperature.bounds == (4.0, 2.0, 4.0)
    model = distiller(temperature=4.0)
    model.fit(X, Y, callbacks=[DTS(8.0, maximum=9.0)], verbose=0)
    assert model.temperature.bounds == (8.0, 4.0, 9.0)


def test_missing_bounds_of_a_policy_are_its_own():
    model = distiller(temperature=DynamicTemperature(6.0, 3.0, 7.0))
    model.fit(X, Y, callbacks=[DTS(minimum=1.0)], verbose=0)
    assert model.temperature.bounds == (6.0, 1.0, 7.0)


def test_fit_moves_a_temperature_that_is_not_constant():
    model = distiller(temperature=DynamicTemperature())
    model.fit(X, Y, epochs=2, verbose=0)
    assert number(model.temperature.progress) == 1.0
    model = distiller(temperature=4.0)
    model.fit(X, Y, epochs=2, verbose=0)
    assert number(model.temperature.progress) == 0.0
    assert number(model.temperature.temperature) == 4.0


def test_the_policy_of_a_loss_moves_too():
    policy = DynamicTemperature(4.0, 1.0, 4.0)
    model = Distiller(mlp(16, seed=1), mlp(seed=2), KD(temperature=policy))
    model.compile(keras.optimizers.SGD(0.05), crossentropy())
    model.fit(X, Y, batch_size=2, epochs=4, verbose=0)
    assert number(policy.progress) == 1.0
    assert number(policy.temperature) == pytest.approx(1.0, abs=0.1)


def test_fit_takes_callbacks_in_any_form():
    for callbacks in (
        None,
        DTS(),
        (DTS(),),
        keras.callbacks.CallbackList([DTS()]),
    ):
        model = distiller(temperature=DynamicTemperature())
        model.fit(X, Y, 32, 2, 0, callbacks)
        assert number(model.temperature.progress) == 1.0


def test_a_second_fit_continues_from_the_temperature():
    model = distiller()
    for _ in range(2):
        logs = model.fit(X, Y, epochs=30, callbacks=[DTS()], verbose=0).history[
            "temperature"
        ]
    # The cosine starts again, the momentum continues from the last fit.
    assert logs[0] == pytest.approx(2.19 + 0.1 * 1.81, abs=0.15)


def cosine(epochs=4):
    """The temperature from 8 to 2 after each epoch of so many."""
    shares = np.arange(1, epochs + 1) / epochs
    return np.maximum(2.0, 4 * (1 + np.cos(np.pi * shares)))


def without_momentum(**kwargs):
    return distiller(
        temperature=DynamicTemperature(
            8.0, 2.0, 8.0, momentum=0.0, gap_scale=None, **kwargs
        )
    )


def one_epoch(model, given, **kwargs):
    logs = model.fit(X, Y, callbacks=given, verbose=0, **kwargs).history
    return logs["temperature"]


WAYS = {
    "one call": [{"epochs": 4}],
    "a call for each epoch": 4 * [{"epochs": 1}],
    "calls of two": 2 * [{"epochs": 2}],
    "initial_epoch": [{"initial_epoch": e, "epochs": e + 1} for e in range(4)],
    "both": [{"epochs": 1}, {"initial_epoch": 1, "epochs": 4}],
}


@pytest.mark.parametrize("way", WAYS)
def test_a_training_of_several_calls_has_one_schedule(way):
    model = without_momentum()
    temperatures = []
    for call in WAYS[way]:
        temperatures += one_epoch(model, [DTS(epochs=4)], **call)
    assert temperatures == pytest.approx([*cosine()], abs=1e-5)
    # It stays at its end.
    model.fit(X, Y, callbacks=[DTS(epochs=4)], verbose=0)
    assert number(model.temperature.progress) == 1.0


def test_a_schedule_of_steps_goes_on_from_call_to_call():
    def ends(calls):
        model = without_momentum(granularity="step")
        found = []
        for call in calls:
            one_epoch(model, [DTS(epochs=4)], batch_size=16, **call)
            found.append(number(model.temperature.progress))
        return found

    assert ends(WAYS["a call for each epoch"]) == pytest.approx(
        [0.25, 0.5, 0.75, 1.0], abs=1e-5
    )
    assert ends(2 * [{"epochs": 2}]) == pytest.approx([0.5, 1.0], abs=1e-5)


def test_a_loop_over_fit_is_resumed_from_a_checkpoint(tmp_path):
    path = tmp_path / "run.weights.h5"
    temperatures = []
    for epoch in range(4):
        model = without_momentum()  # as in a new process
        if epoch:
            model.load_weights(path)
        temperatures += one_epoch(model, [DTS(epochs=4)])
        model.save_weights(path)
    assert temperatures == pytest.approx([*cosine()], abs=1e-5)


def test_other_policies_count_the_epochs_of_the_whole_training_too():
    learned = CurriculumTemperature(epochs=4)
    model = distiller(
        temperature=DynamicTemperature(),
        distillation_losses=[KD(), KD(temperature=learned)],
    )
    for _ in range(2):
        model.fit(X, Y, callbacks=[DTS(epochs=4)], verbose=0)
    assert number(learned.strength) == pytest.approx(0.5)


@pytest.mark.parametrize("epochs", [0, 2.5, True, "4"])
def test_a_training_has_a_whole_number_of_epochs(epochs):
    with pytest.raises(ValueError, match="`epochs` must be a whole number of"):
        DTS(epochs=epochs)


def test_a_loop_that_is_always_at_the_end_is_warned_of_once(recwarn):
    def said():
        return [str(w.message) for w in recwarn if w.category is UserWarning]

    for constant in (distiller(), distiller(temperature="auto")):
        for _ in range(2):
            one_epoch(constant, [])
    model = without_momentum()
    one_epoch(model, [], epochs=2)  # the whole training
    one_epoch(model, [])
    assert said() == []
    for call in ({}, {}, {"initial_epoch": 3, "epochs": 4}):
        one_epoch(model, [], **call)
    (message,) = said()
    assert "at the end of its schedule since the last call" in message
    assert "`DTS(epochs=...)` says how many" in message
