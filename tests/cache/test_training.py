"""A training from a cache is the training with the live teacher."""

import grain
import keras
import numpy as np
import pytest
import tensorflow as tf
from caches import (
    DATA,
    WEIGHTS,
    Pages,
    X,
    Y,
    cached,
    distil,
    fit,
    net,
    same_logs,
)
from helpers import copies, crossentropy, moved
from keras import layers
from text_runs import tokens
from texts import LABELS, SENTENCES, bert, distil_bert, gpt2

import keras_dts
from keras_dts import losses


def rows():
    return list(zip(*DATA, strict=True))


def torch_loader():
    from torch.utils.data import DataLoader

    return DataLoader(rows(), 16)


SOURCES = {
    "arrays": lambda: DATA,
    "a memory map": lambda: DATA,
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices(DATA).batch(16),
    "Grain": lambda: grain.MapDataset.source(rows()).batch(16),
    "PyDataset": Pages,
    "a list of batches": lambda: iter([Pages()[i] for i in range(4)]),
}


@pytest.mark.parametrize(
    "source", [*SOURCES, pytest.param("DataLoader", marks=pytest.mark.torch)]
)
def test_a_cache_trains_as_the_live_teacher(tmp_path, source):
    data = SOURCES.get(source, torch_loader)()
    if source == "a memory map":
        np.save(tmp_path / "x.npy", X)
        data = (np.load(tmp_path / "x.npy", mmap_mode="r"), Y, WEIGHTS)
    live = distil()
    logs = fit(live, X, Y, sample_weight=WEIGHTS)
    distiller = distil()
    cache = cached(distiller.teacher, data, tmp_path / "cache")
    same_logs(fit(distiller, cache), logs)
    assert moved(distiller.student, copies(live.student)) < 1e-5
    assert len(cache) == 50


def test_training_from_a_cache_does_not_run_the_teacher(tmp_path, monkeypatch):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)

    def refuse(*args, **kwargs):
        raise AssertionError("the teacher ran")

    monkeypatch.setattr(distiller.teacher, "call", refuse)
    logs = fit(distiller, cache, validation_data=cache)
    assert logs["val_teacher_kl"][-1] < logs["val_teacher_kl"][0]
    # A complete cache is opened, and the teacher does not run.
    assert len(cached(distiller.teacher, (X, Y), tmp_path)) == 50


def test_a_step_is_traced_in_the_first_epoch_only(tmp_path):
    traces = []

    class Counting(keras.losses.Loss):
        def call(self, y_true, y_pred):
            traces.append(1)
            return crossentropy().call(y_true, y_pred)

    distiller = distil()
    distiller.compile("sgd", Counting())
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    fit(distiller, cache, batch_size=25, epochs=1)
    after_one = len(traces)
    fit(distiller, cache, batch_size=25, epochs=4, initial_epoch=1)
    expected = 6 if keras.config.backend() == "torch" else 0
    assert len(traces) - after_one == expected


def test_the_random_seed_shuffles_a_cache(tmp_path):
    orders = []

    class Spy(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            orders[-1].append(round(float(logs["gap"]), 4))

    cache = cached(net(16, 1), (X, Y), tmp_path)
    for seed, shuffle in ((0, False), (5, True), (5, True)):
        orders.append([])
        distiller = distil(rate=0.0)
        keras.utils.set_random_seed(seed)
        fit(distiller, cache, shuffle=shuffle, callbacks=[Spy()], batch_size=10)
    assert orders[0][:5] == orders[0][5:10]
    assert orders[1] == orders[2]
    assert orders[1][:5] != orders[1][5:10]
    # Every example once an epoch: the running mean ends where it must.
    assert orders[1][4] == pytest.approx(orders[0][4], abs=1e-3)


def test_evaluate_and_predict_take_caches(tmp_path):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    np.testing.assert_allclose(
        distiller.predict(cache, verbose=0),
        distiller.predict(X, verbose=0),
        atol=1e-6,
    )
    options = {"verbose": 0, "return_dict": True}
    same_logs(
        distiller.evaluate(cache, batch_size=7, **options),
        distiller.evaluate(X, Y, batch_size=7, **options),
    )
    whole = fit(distil(), X, Y, validation_data=(X, Y))
    same_logs(fit(distil(), cache, validation_data=cache), whole)


def test_feature_losses_read_cached_features(tmp_path):
    def losses_():
        return [
            losses.KD(),
            keras.distillation.FeatureDistillation("mse", "feat", "feat"),
        ]

    live = fit(distil(loss=losses_()), X, Y)
    distiller = distil(loss=losses_())
    cache = cached(distiller.teacher, (X, Y), tmp_path, features=["feat"])
    same_logs(fit(distiller, cache), live)


@pytest.mark.parametrize("paths", [["feat", "out"], ["out", "feat"]])
def test_features_are_cached_by_their_paths(tmp_path, paths):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path, features=paths)
    features = cache.take(np.arange(50))[0].features
    for path in paths:
        layer = keras.Model(teacher.input, teacher.get_layer(path).output)
        np.testing.assert_allclose(
            features[path], layer.predict(X, verbose=0), atol=1e-5
        )


def two_outputs(hidden, seed):
    inputs = keras.Input((8,))
    x = layers.Dense(hidden, activation="relu")(inputs)
    outputs = {"a": layers.Dense(12)(x), "b": layers.Dense(3)(x)}
    return keras.Model(inputs, outputs)


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
def test_models_with_several_outputs(tmp_path):
    teacher, student = two_outputs(16, 1), two_outputs(4, 2)
    start = copies(student)
    logs = []
    for x in (X, cached(teacher, X, tmp_path)):
        student.set_weights(start)
        distiller = keras_dts.Distiller(
            teacher, student, {"a": losses.KD(), "b": None}
        )
        distiller.compile(keras.optimizers.SGD(0.1), loss=None)
        logs.append(fit(distiller, x, callbacks=[]))
    same_logs(*logs)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_softmax_teacher_logs_as_the_live_teacher(tmp_path, dtype):
    teacher = net(16, 1, activation="softmax")
    live = fit(distil(teacher), X, Y)
    cache = cached(teacher, (X, Y), tmp_path, dtype=dtype)
    same_logs(
        fit(distil(teacher), cache), live, 1e-5 if dtype == "float32" else 1e-3
    )


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
@pytest.mark.parametrize(
    ("teacher_dtype", "student_dtype"),
    [
        ("bfloat16", "float32"),
        ("mixed_bfloat16", "mixed_bfloat16"),
        ("int8", "mixed_bfloat16"),
    ],
)
def test_teachers_of_any_precision(tmp_path, teacher_dtype, student_dtype):
    def precise(hidden, seed, dtype):
        keras.config.set_dtype_policy(dtype)
        model = net(hidden, seed)
        keras.config.set_dtype_policy("float32")
        return model

    if teacher_dtype == "int8":
        teacher = net(16, 1)
        teacher.quantize("int8")
    else:
        teacher = precise(16, 1, teacher_dtype)
    whole = net(16, 1)
    feature = keras.distillation.FeatureDistillation("mse", "feat", "feat")

    def run(teacher, *data):
        student = precise(4, 2, student_dtype)
        return fit(distil(teacher, student, [losses.KD(), feature]), *data)

    live = run(teacher, X, Y)
    cache = cached(teacher, (X, Y), tmp_path, features=["feat"])
    assert cache.verify(teacher, (X, Y)) < 1e-3
    same_logs(run(teacher, cache), live, 1e-3)
    # What the teacher lost in precision is all that differs.
    expected = run(whole, X, Y)
    assert live["loss"] == pytest.approx(expected["loss"], rel=0.03)


# Raw strings.


@pytest.mark.torch
def test_cached_strings_reach_a_student_with_another_tokenizer(tmp_path):
    teacher = bert(16, seed=1)
    live = fit(distil(teacher, distil_bert()), SENTENCES, LABELS, batch_size=2)
    cache = cached(teacher, (SENTENCES, LABELS), tmp_path)
    logs = fit(distil(teacher, distil_bert()), cache, batch_size=2)
    same_logs(logs, live)


@pytest.mark.torch
def test_a_cache_stores_batches_of_strings(tmp_path):
    teacher = bert(16, seed=1)
    data = tf.data.Dataset.from_tensor_slices((SENTENCES, LABELS)).batch(2)
    live = fit(distil(teacher, bert()), data, batch_size=None)
    cached(teacher, data, tmp_path)
    alone = keras_dts.TeacherCache(tmp_path)  # without the data
    assert list(alone.take([2, 0])[0].inputs) == [SENTENCES[2], SENTENCES[0]]
    same_logs(fit(distil(teacher, bert()), alone, batch_size=2), live)


def test_a_language_models_cached_top_k_trains_in_chunks(tmp_path):
    teacher = gpt2(16, seed=1)
    cache = cached(teacher, tokens(teacher, SENTENCES), tmp_path, top_k=5)
    logs = []
    for chunk_size in (None, 7):
        distiller = distil(teacher, gpt2(seed=2), chunk_size=chunk_size)
        logs.append(fit(distiller, cache, batch_size=2))
    same_logs(*logs, 1e-4)
