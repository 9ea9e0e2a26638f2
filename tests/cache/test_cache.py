"""The teacher's answers on disk: the same training without the teacher."""

import json
import shutil
import subprocess
import sys

import grain
import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import blobs, copies, crossentropy, mlp, moved, tagger
from keras import layers, ops
from scipy.special import log_softmax, logsumexp, softmax
from texts import LABELS, SENTENCES, bert, distil_bert, gpt2

import keras_dts
from keras_dts import losses, metrics
from keras_dts.cache.predictor import TeacherPredictor
from keras_dts.cache.quantization import dequantize, quantize
from keras_dts.logits import top_k as coarse_module
from keras_dts.logits.pair import LogitPair
from keras_dts.temperatures.base import Temperatures

X, Y = blobs(50, classes=12)
WEIGHTS = np.linspace(0.5, 2.0, 50, dtype="float32")


def net(hidden, seed, **kwargs):
    return mlp(hidden, 12, seed, **kwargs)


def distil(teacher=None, student=None, loss=None, rate=0.1, **kwargs):
    teacher = net(16, 1) if teacher is None else teacher
    student = net(4, 2) if student is None else student
    keras.utils.set_random_seed(0)  # for projectors
    distiller = keras_dts.Distiller(
        teacher, student, loss, student_loss_weight=0.3, **kwargs
    )
    distiller.compile(
        keras.optimizers.SGD(rate),
        crossentropy(),
        metrics=["accuracy"],
        distillation_metrics=[metrics.TeacherKL(), metrics.TeacherAgreement()],
    )
    return distiller


def fit(distiller, *data, **kwargs):
    options = {
        "epochs": 3,
        "shuffle": False,
        "verbose": 0,
        "callbacks": [keras_dts.DTS()],
        "batch_size": 16,
    }
    return distiller.fit(*data, **(options | kwargs)).history


def same_logs(logs, others, tolerance=1e-5):
    assert set(logs) == set(others)
    for name in logs:
        np.testing.assert_allclose(
            logs[name], others[name], rtol=tolerance, atol=tolerance
        )


def cached(teacher, data, path, **kwargs):
    return keras_dts.cache_teacher(teacher, data, path, verbose=False, **kwargs)


class Pages(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        rows = slice(16 * index, 16 * index + 16)
        return X[rows], Y[rows], WEIGHTS[rows]


def rows():
    return list(zip(*DATA, strict=True))


def torch_loader():
    from torch.utils.data import DataLoader

    return DataLoader(rows(), 16)


DATA = (X, Y, WEIGHTS)
SOURCES = {
    "arrays": lambda: DATA,
    "a memory map": lambda: DATA,
    "tf.data": lambda: tf.data.Dataset.from_tensor_slices(DATA).batch(16),
    "Grain": lambda: grain.MapDataset.source(rows()).batch(16),
    "PyDataset": Pages,
    "a list of batches": lambda: iter([Pages()[i] for i in range(4)]),
}


# The same training.


@pytest.mark.parametrize(
    "source", [*SOURCES, pytest.param("DataLoader", marks=pytest.mark.torch)]
)
def test_a_cached_teacher_trains_as_one_that_is_there(tmp_path, source):
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


def test_the_teacher_does_not_run(tmp_path, monkeypatch):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)

    def refuse(*args, **kwargs):
        raise AssertionError("the teacher ran")

    monkeypatch.setattr(distiller.teacher, "call", refuse)
    logs = fit(distiller, cache, validation_data=cache)
    assert logs["val_teacher_kl"][-1] < logs["val_teacher_kl"][0]
    # A complete cache is opened, and the teacher is not asked again.
    assert len(cached(distiller.teacher, (X, Y), tmp_path)) == 50


def test_nothing_is_traced_again_after_the_first_epoch(tmp_path):
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


def test_a_cache_is_shuffled_by_the_seed(tmp_path):
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


def test_features_are_cached(tmp_path):
    def losses_():
        return [
            losses.KD(),
            keras.distillation.FeatureDistillation("mse", "feat", "feat"),
        ]

    live = fit(distil(loss=losses_()), X, Y)
    distiller = distil(loss=losses_())
    cache = cached(distiller.teacher, (X, Y), tmp_path, features=["feat"])
    same_logs(fit(distiller, cache), live)


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
def test_probabilities_are_kept_as_they_are_read(tmp_path, dtype):
    teacher = net(16, 1, activation="softmax")
    live = fit(distil(teacher), X, Y)
    cache = cached(teacher, (X, Y), tmp_path, dtype=dtype)
    same_logs(
        fit(distil(teacher), cache), live, 1e-5 if dtype == "float32" else 1e-3
    )


# Raw strings.


@pytest.mark.parametrize("student", [bert, distil_bert])
def test_raw_strings_train_as_with_a_teacher_that_is_there(tmp_path, student):
    teacher = bert(16, seed=1)
    live = fit(distil(teacher, student()), SENTENCES, LABELS, batch_size=2)
    cache = cached(teacher, (SENTENCES, LABELS), tmp_path)
    logs = fit(distil(teacher, student()), cache, batch_size=2)
    same_logs(logs, live)


def test_batches_of_strings_are_kept(tmp_path):
    teacher = bert(16, seed=1)
    data = tf.data.Dataset.from_tensor_slices((SENTENCES, LABELS)).batch(2)
    live = fit(distil(teacher, bert()), data, batch_size=None)
    cached(teacher, data, tmp_path)
    alone = keras_dts.TeacherCache(tmp_path)  # without the data
    assert list(alone.take([2, 0])[0].inputs) == [SENTENCES[2], SENTENCES[0]]
    same_logs(fit(distil(teacher, bert()), alone, batch_size=2), live)


# The most probable classes, and the tail.


def coarse(logits, classes):
    """By SciPy: logits of some classes, and of all others together."""
    kept = np.take_along_axis(logits, classes, -1)
    others = logits.copy()
    np.put_along_axis(others, classes, -np.inf, -1)
    tail = logsumexp(others, axis=-1, keepdims=True)
    return np.concatenate([kept, tail], axis=-1)


def coarse_kl(teacher, student, k, temperature):
    """The divergence of coarse distributions, for each entry."""
    classes = np.argsort(-teacher, axis=-1)[..., :k]
    teacher, student = (
        log_softmax(coarse(x, classes) / temperature, axis=-1)
        for x in (teacher, student)
    )
    return np.sum(np.exp(teacher) * (teacher - student), axis=-1)


def test_the_loss_is_that_of_the_coarse_distributions(tmp_path):
    distiller = distil(rate=0.0, temperature=3.0)
    cache = cached(
        distiller.teacher, (X, Y), tmp_path, top_k=4, dtype="float32"
    )
    logs = fit(distiller, cache, callbacks=[], batch_size=50, epochs=1)
    teacher, student = (
        model.predict(X, verbose=0).astype("float64")
        for model in (distiller.teacher, distiller.student)
    )
    expected = 9.0 * np.mean(coarse_kl(teacher, student, 4, 3.0))
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=1e-5)
    expected = np.mean(coarse_kl(teacher, student, 4, 1.0))
    assert logs["teacher_kl"][0] == pytest.approx(expected, rel=1e-5)
    # Labels outside the classes kept are the tail.
    classes = np.argsort(-teacher, axis=-1)[:, :4]
    found = classes == Y[:, None]
    label = np.where(found.any(1), found.argmax(1), 4)[:, None]
    theirs, ours = (
        -np.take_along_axis(log_softmax(coarse(x, classes), -1), label, 1)
        for x in (teacher, student)
    )
    assert logs["gap"][0] == pytest.approx(np.mean(ours - theirs), rel=1e-5)
    # What the models choose is told exactly.
    agree = np.mean(teacher.argmax(-1) == student.argmax(-1))
    assert logs["teacher_agreement"][0] == pytest.approx(agree)


def test_language_models_keep_the_top_classes_of_each_token(tmp_path):
    teacher, student = gpt2(16, seed=1), gpt2(8, seed=2)
    data = SENTENCES
    distiller = keras_dts.Distiller(teacher, student, temperature=2.0)
    distiller.compile(keras.optimizers.SGD(0.0), crossentropy())
    cache = cached(teacher, data, tmp_path, top_k=5)
    logs = fit(distiller, cache, callbacks=[], batch_size=2, epochs=1)
    x, _, weights = keras.tree.map_structure(
        ops.convert_to_numpy, student.preprocessor(data)
    )
    theirs, ours = (
        ops.convert_to_numpy(model(x)) for model in (teacher, student)
    )
    values = 4.0 * coarse_kl(theirs, ours, 5, 2.0)
    halves = [np.mean(values[i][weights[i] > 0]) for i in ([0, 1], [2, 3])]
    expected = np.mean(halves)
    assert logs["distillation_loss"][0] == pytest.approx(expected, rel=2e-3)
    # 5 times 2 bytes of value and 2 of class, and the tail's 2 bytes.
    assert cache.bytes_per_example == 16 * 22


@pytest.mark.parametrize("top_k", [None, 4])
def test_eight_bits_are_steps_between_the_ends(tmp_path, top_k):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path, top_k=top_k, dtype="uint8")
    (values,) = cache.take(np.arange(50))[0].outputs
    logits = teacher.predict(X, verbose=0).astype("float64")
    if top_k is not None:
        classes = np.argsort(-logits, axis=-1)[:, :top_k]
        logits = coarse(log_softmax(logits, -1), classes)
    span = np.ptp(logits, axis=-1, keepdims=True)
    # Half a step, and float16's rounding of the ends.
    allowed = span / 510 + np.abs(logits).max(-1, keepdims=True) * 2**-11
    assert np.all(np.abs(values - logits) <= allowed)
    assert values.dtype == np.float32
    # A byte for each value, two ends of 2 bytes, and classes of 2 bytes.
    assert cache.bytes_per_example == (16 if top_k is None else 5 + 4 + 8)
    # The teacher's answers are rounded alike before they are compared.
    assert cache.verify(teacher, (X, Y)) < 0.02
    with pytest.raises(ValueError, match="another output_0 for example"):
        cache.verify(teacher, teacher_inputs=lambda x: x + 1.0)
    if top_k is None:
        same_logs(fit(distil(teacher), cache), fit(distil(teacher), X, Y), 0.02)


def test_eight_bits_of_one_value_are_that_value():
    values = np.full((3, 5), -1.5, "float32")
    np.testing.assert_array_equal(dequantize(*quantize(values)), values)
    values = np.array([[-1e9, 0.0, -2.0]])
    low, high, other = dequantize(*quantize(values))[0]
    assert low == -np.finfo("float16").max
    assert high == pytest.approx(0.0, abs=65504 * 2**-23)
    assert abs(other + 2.0) < 130


@pytest.mark.filterwarnings("ignore:Layer InputLayer does not have")
@pytest.mark.parametrize(
    ("teacher_dtype", "student_dtype"),
    [
        ("bfloat16", "float32"),
        ("mixed_bfloat16", "mixed_bfloat16"),
        ("int8", "float32"),
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


@pytest.mark.parametrize("top_k", [None, 5])
def test_cached_language_models_train_in_chunks(tmp_path, top_k):
    teacher = gpt2(16, seed=1)
    cache = cached(teacher, SENTENCES, tmp_path, top_k=top_k)
    logs = []
    for chunk_size in (None, 7):
        distiller = distil(teacher, gpt2(seed=2), chunk_size=chunk_size)
        logs.append(fit(distiller, cache, batch_size=2))
    same_logs(*logs, 1e-4)


def test_coarse_divergences_are_divergences():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 200, 12)) * 3
    whole = np.sum(
        softmax(teacher, -1)
        * (log_softmax(teacher, -1) - log_softmax(student, -1)),
        axis=-1,
    )
    for k in (1, 5, 10):
        logits, classes = coarse_module.top_classes(
            ops.convert_to_tensor(teacher.astype("float32")), k
        )
        found = coarse_kl(teacher, student, k, 1.0)
        assert np.all(found > 0)
        assert np.all(found <= whole + 1e-9)
        head = LogitPair.of_logits(
            logits, student.astype("float32"), None, None
        )
        head = coarse_module.coarse_head(head, classes)
        values = losses.KD(1.0).values(head, ones())
        np.testing.assert_allclose(
            ops.convert_to_numpy(values), found, rtol=1e-4, atol=1e-6
        )
        # A student with the teacher's logits has nothing to learn.
        head = LogitPair.of_logits(
            logits, teacher.astype("float32"), None, None
        )
        head = coarse_module.coarse_head(head, classes)
        values = ops.convert_to_numpy(losses.KD(1.0).values(head, ones()))
        np.testing.assert_allclose(values, 0.0, atol=1e-6)


def ones():
    return Temperatures(*(ops.ones(()) for _ in range(3)))


def test_classes_that_the_student_lacks_are_left_out():
    rng = np.random.default_rng(0)
    teacher, student = rng.normal(size=(2, 20, 12)) * 3
    logits, classes = coarse_module.top_classes(
        ops.convert_to_tensor(teacher.astype("float32")), 11 - 1
    )
    head = LogitPair.of_logits(
        logits, student[:, :9].astype("float32"), None, None
    )
    head = coarse_module.coarse_head(head, classes)
    known = ops.convert_to_numpy(classes) < 9
    assert not known.all()
    p, q = (
        ops.convert_to_numpy(ops.softmax(x))
        for x in (head.teacher, head.student)
    )
    assert np.all(p[:, :-1][~known] == 0)
    assert np.all(q[:, :-1][~known] == 0)
    ours = softmax(student[:, :9], -1)
    kept = np.where(known, ops.convert_to_numpy(classes), 0)
    expected = np.take_along_axis(ours, kept, 1)
    np.testing.assert_allclose(q[:, :-1][known], expected[known], rtol=1e-5)


def test_soft_labels_become_coarse():
    classes = ops.convert_to_tensor(np.array([[2, 0], [1, 7]], "int32"))
    labels = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]], "float32")
    found = coarse_module.coarse_labels(ops.convert_to_tensor(labels), classes)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), [[0.3, 0.1, 0.6], [0.3, 0.0, 0.7]], 1e-6
    )


@pytest.mark.parametrize(
    "loss",
    [losses.ClassCorrelation(), losses.BatchCorrelation(), losses.MLKD()],
)
def test_losses_that_need_every_class_say_so(tmp_path, loss):
    distiller = distil(loss=loss)
    cache = cached(distiller.teacher, (X, Y), tmp_path, top_k=4)
    with pytest.raises(ValueError, match="`top_k` of the cache must be `None`"):
        fit(distiller, cache)


# On disk.


def contents(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete cache of arrays, and one of batches, as bytes."""
    teacher = net(16, 1)
    found = {}
    for kind, data in (("arrays", DATA), ("batches", Pages())):
        path = tmp_path_factory.mktemp("whole") / kind
        cached(teacher, data, path, batch_size=16, top_k=4)
        found[kind] = contents(path)
    return found


@pytest.mark.parametrize("kind", ["arrays", "batches"])
@pytest.mark.parametrize("seed", range(6))
def test_a_run_that_was_killed_goes_on(tmp_path, whole, kind, seed):
    """Cuts every file at any byte that a killed run can leave it at."""
    rng = np.random.default_rng(seed)
    files = whole[kind]
    log = next(name for name in files if name.endswith("blocks.jsonl"))
    cut = int(rng.integers(0, len(files[log])))
    lines = files[log][:cut].count(b"\n")
    blocks = [json.loads(line) for line in files[log].splitlines()]
    names = [n for n in files if not n.endswith((".json", ".jsonl"))]
    header = json.loads(files[log.replace("blocks.jsonl", "header.json")])
    order = [f"{name}.bin" for name, _, _ in header["fields"]]
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        if name == log:
            content = content[:cut]
        elif name in names:
            position = order.index(name.split("/")[-1])
            written = sum(b[2][position] for b in blocks[:lines] if b[2])
            more = int(rng.integers(0, len(content) - written + 1))
            content = content[: written + more]
            # A disk that lost its power may even have other bytes there.
            content += b"?" * int(rng.integers(0, 99))
        file.write_bytes(content)
    data = DATA if kind == "arrays" else Pages()
    cached(net(16, 1), data, tmp_path, batch_size=16, top_k=4)
    assert contents(tmp_path) == files


def test_what_is_there_is_not_asked_again(tmp_path, monkeypatch):
    teacher = net(16, 1)
    asked = []
    predict = TeacherPredictor.predict

    def stop(self, x):
        if len(asked) == 3:
            raise KeyboardInterrupt
        asked.append(len(x))
        return predict(self, x)

    monkeypatch.setattr(TeacherPredictor, "predict", stop)
    with pytest.raises(KeyboardInterrupt):
        cached(teacher, (X, Y), tmp_path, batch_size=10)
    with pytest.raises(ValueError, match="which ends after 30 examples"):
        keras_dts.TeacherCache(tmp_path, X)
    asked.clear()
    cache = cached(teacher, (X, Y), tmp_path, batch_size=20)
    assert asked == [20]
    assert cache.verify(teacher) < 1e-5


def test_parts_are_written_and_read_by_many_processes(tmp_path):
    teacher = net(16, 1)
    for index in (2, 0, 1):
        part = cached(teacher, DATA, tmp_path / "parts", shard=(index, 3))
        assert len(part) in (16, 17)
    whole = cached(teacher, DATA, tmp_path / "whole")
    parts = cached(teacher, DATA, tmp_path / "parts")
    rows = np.random.default_rng(0).permutation(50)
    for one, other in zip(
        keras.tree.flatten(whole.take(rows)),
        keras.tree.flatten(parts.take(rows)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    script = (
        "import sys, numpy, pathlib\n"
        "from keras_dts.cache.reader import RecordReader\n"
        "reader = RecordReader(pathlib.Path(sys.argv[1]))\n"
        "rows = numpy.arange(reader.count)\n"
        "print(reader.read(reader.fields[0], rows).sum())\n"
    )
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE
        )
        for folder in sorted((tmp_path / "parts").iterdir())
    ]
    sums = [float(reader.communicate()[0]) for reader in readers]
    logits = whole.take(np.arange(50))[0].outputs[0]
    assert sum(sums) == pytest.approx(float(np.sum(logits)), rel=1e-4)
    shutil.rmtree(tmp_path / "parts" / "00001-of-00003")
    with pytest.raises(ValueError, match=r"lacks \['00001-of-00003'\]"):
        cached(teacher, DATA, tmp_path / "parts")


def test_a_cache_is_no_code(tmp_path, monkeypatch):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path)
    monkeypatch.setattr("pickle.loads", None)
    monkeypatch.setattr("pickle.Unpickler", None)
    assert len(keras_dts.TeacherCache(tmp_path)) == 50
    kinds = {file.suffix for file in tmp_path.rglob("*") if file.is_file()}
    assert kinds == {".bin", ".json", ".jsonl"}


# What does not belong together.


def test_another_teacher_is_refused(tmp_path):
    cache = cached(net(16, 1), (X, Y), tmp_path)
    other = net(16, 3)
    message = "`teacher` must be the model whose outputs are in the cache"
    with pytest.raises(ValueError, match=message):
        fit(distil(other), cache)
    with pytest.raises(ValueError, match=message):
        cached(other, (X, Y), tmp_path)
    with pytest.raises(ValueError, match=message):
        cache.verify(other)


def changed(row):
    x = X.copy()
    x[row] += 1
    return x


OTHER_DATA = {
    "another example": (lambda: (changed(49), Y), "other inputs"),
    "another order": (lambda: (X[::-1], Y), "other inputs"),
    "fewer": (lambda: (X[:40], Y[:40]), "40 examples, where it has 50"),
    "batches": (Pages, "batches, where it is of arrays"),
}


@pytest.mark.parametrize("case", OTHER_DATA)
def test_other_data_are_refused(tmp_path, case):
    make, message = OTHER_DATA[case]
    teacher = net(16, 1)
    cached(teacher, (X, Y), tmp_path)
    with pytest.raises(ValueError, match=message) as error:
        keras_dts.TeacherCache(tmp_path, make())
    assert "`data` must be the data of the cache" in str(error.value)


def test_other_batches_are_refused(tmp_path):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path)
    with pytest.raises(ValueError, match="another first batch"):
        cached(teacher, tf.data.Dataset.from_tensors((X[:9], Y[:9])), tmp_path)
    with pytest.raises(ValueError, match="arrays, where it is of batches"):
        keras_dts.TeacherCache(tmp_path, DATA)


def test_another_kind_of_cache_is_refused(tmp_path):
    teacher = net(16, 1)
    cached(teacher, (X, Y), tmp_path)
    with pytest.raises(ValueError, match="made with top_k=None, not 4"):
        cached(teacher, (X, Y), tmp_path, top_k=4)
    cache = keras_dts.TeacherCache(tmp_path, (X, Y))
    loss = keras.distillation.FeatureDistillation("mse", "feat", "feat")
    distiller = distil(teacher, loss=[losses.KD(), loss])
    with pytest.raises(ValueError, match=r"without \['feat'\]"):
        fit(distiller, cache)
    distiller = distil(teacher, from_logits=True)
    with pytest.raises(ValueError, match="`from_logits` must be the same"):
        fit(distiller, cache)


def test_a_damaged_file_is_told(tmp_path, whole):
    def restored():
        for name, content in whole["arrays"].items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return tmp_path / "00000-of-00001" / "output_0.bin"

    values = restored()
    values.write_bytes(values.read_bytes()[:-1])
    with pytest.raises(ValueError, match="of 499 bytes, where 500"):
        keras_dts.TeacherCache(tmp_path, DATA)
    values = restored()
    content = bytearray(values.read_bytes())
    content[200] ^= 1
    values.write_bytes(content)
    cache = keras_dts.TeacherCache(tmp_path, DATA)
    with pytest.raises(ValueError, match="block 1 has another checksum"):
        cache.verify(net(16, 1))


def test_an_answer_that_differs_is_told(tmp_path):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path)
    assert cache.verify(teacher, (X, Y)) < 1e-5
    with pytest.raises(ValueError, match="another output_0 for example"):
        cache.verify(teacher, teacher_inputs=lambda x: x + 1.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "`top_k` must be"),
        ({"dtype": "int8"}, "`dtype` must be one of None, 'float32'"),
        ({"views": 2}, "`augment` must be a function if"),
    ],
)
def test_arguments_are_checked(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        cached(net(16, 1), (X, Y), tmp_path, **options)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y[:9]), r"lengths \[9, 50\]"),
        (X[:0], r"lengths \[0\]"),
        (iter([]), "at least one batch"),
        (3, "must be arrays, or yield batches"),
    ],
)
def test_data_are_checked(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        cached(net(16, 1), data, tmp_path)


def test_examples_must_have_one_shape(tmp_path):
    batches = [np.ones((4, length), "int32") for length in (5, 6)]
    with pytest.raises(ValueError, match="must have examples of one shape"):
        cached(tagger(4, 0), iter(batches), tmp_path)


@pytest.mark.parametrize(
    "options", [{"y": Y}, {"sample_weight": WEIGHTS}, {"validation_split": 0.5}]
)
def test_fit_takes_labels_from_the_cache(tmp_path, options):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must not be given"):
        fit(distiller, cache, **options)


# Views.


def shifted(x, rng):
    return x + rng.normal(size=x.shape).astype("float32")


class Seen(keras.layers.Layer):
    """Keeps what it is given, in a state that training may change."""

    def build(self, shape):
        self.kept = self.add_weight(shape=(50, 8), trainable=False)

    def call(self, x):
        if not isinstance(x, keras.KerasTensor) and x.shape[0] in (None, 50):
            self.kept.assign(ops.reshape(x, (50, 8)))
        return x


def test_student_and_teacher_see_the_same_view(tmp_path):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path, augment=shifted, views=3, seed=7)
    shown = []
    for epoch in range(4):
        (inputs, (outputs,), _, _), y = cache.take(np.arange(50), epoch)
        np.testing.assert_allclose(
            outputs, teacher.predict(inputs, verbose=0), atol=1e-5
        )
        np.testing.assert_array_equal(y, Y)
        shown.append(inputs)
    np.testing.assert_array_equal(shown[0], shown[3])
    assert np.all(np.abs(shown[0] - shown[1]).max(1) > 0.1)
    # Example 4's view of epoch 1 is number (1 + 4) % 3.
    rng = np.random.default_rng([7, 4, 2])
    np.testing.assert_array_equal(shown[1][4], shifted(X[4], rng))


def test_fit_goes_through_the_views(tmp_path):
    inputs = keras.Input((8,))
    seen = Seen()
    student = keras.Model(inputs, layers.Dense(12)(seen(inputs)))
    distiller = distil(student=student)
    cache = cached(
        distiller.teacher, (X, Y), tmp_path, augment=shifted, views=2
    )
    shown = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            (kept,) = (w for w in student.get_weights() if w.shape == (50, 8))
            shown.append(np.array(kept))

    for first in (0, 1):
        fit(
            distiller,
            cache,
            batch_size=50,
            epochs=first + 2,
            initial_epoch=first,
            callbacks=[Spy()],
        )
    expected = [cache.take(np.arange(50), e)[0].inputs for e in (0, 1, 1, 2)]
    for one, other in zip(shown, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_batches_are_kept_in_several_views(tmp_path):
    teacher = net(16, 1)
    cached(teacher, Pages(), tmp_path, augment=shifted, views=2)
    cache = keras_dts.TeacherCache(tmp_path)
    for epoch in range(2):
        inputs, (outputs,), _, _ = cache.take(np.arange(50), epoch)[0]
        np.testing.assert_allclose(
            outputs, teacher.predict(inputs, verbose=0), atol=1e-5
        )
        assert np.abs(inputs - X).max() > 0.1


def test_views_must_come_again(tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="from its second argument alone"):
        cached(
            net(16, 1), (X, Y), tmp_path, augment=lambda x, _: x + rng.random()
        )


def test_another_augmentation_is_refused(tmp_path):
    teacher = net(16, 1)
    cached(teacher, (X, Y), tmp_path, augment=shifted, views=2)
    with pytest.raises(ValueError, match="other inputs, or views"):
        cached(
            teacher,
            (X, Y),
            tmp_path,
            augment=lambda x, rng: shifted(x, rng) * 2,
            views=2,
        )
    with pytest.raises(ValueError, match="`augment` must be the function"):
        keras_dts.TeacherCache(tmp_path, (X, Y))


@pytest.mark.filterwarnings("ignore:__array__")
def test_a_student_that_augments_alone_is_warned(tmp_path):
    inputs = keras.Input((8,))
    x = layers.Reshape((2, 4, 1))(inputs)
    x = layers.Flatten()(layers.RandomFlip("horizontal")(x))
    student = keras.Model(inputs, layers.Dense(12)(x))
    distiller = distil(student=student)
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    with pytest.warns(UserWarning, match="augments its inputs by RandomFlip"):
        fit(distiller, cache, epochs=1)


@pytest.mark.filterwarnings("ignore:__array__")
def test_data_that_change_are_warned_of(tmp_path):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(50).batch(16)
    with pytest.warns(UserWarning, match="change each time they are read"):
        cache = cached(net(16, 1), data, tmp_path)
    assert cache.verify(net(16, 1)) < 1e-5
