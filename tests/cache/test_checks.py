"""Caches, teachers, data and arguments that do not belong together."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from caches import DATA, WEIGHTS, Pages, X, Y, cached, distil, fit, net
from helpers import tagger, two_replicas

import keras_dts
from keras_dts import losses


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


def test_a_cache_with_other_arguments_is_refused(tmp_path):
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


@pytest.mark.tensorflow
def test_replicas_cannot_write_or_verify_a_cache(tmp_path):
    strategy = two_replicas()
    with strategy.scope():
        teacher = net(16, 1)
        for data in ((X, Y), tf.data.Dataset.from_tensors((X, Y))):
            with pytest.raises(
                ValueError,
                match=r"`cache_teacher` must be called outside of "
                r"`strategy.scope\(\)`.* Received: a strategy with 2 replicas",
            ):
                cached(teacher, data, tmp_path / "inside")
    assert not (tmp_path / "inside").exists()
    # A teacher of the strategy writes the same cache outside of it.
    cache = cached(teacher, (X, Y), tmp_path / "outside")
    np.testing.assert_allclose(
        cache.take(np.arange(50))[0].outputs[0], teacher(X), atol=1e-6
    )
    with (
        strategy.scope(),
        pytest.raises(ValueError, match="`verify` must be called outside"),
    ):
        cache.verify(teacher)


def test_a_teacher_must_compute_one_output_for_each_example(tmp_path):
    x = keras.Input((8,))
    twice = keras.layers.Concatenate(axis=0)([x, x])
    teacher = keras.Model(x, keras.layers.Dense(12)(twice))
    with pytest.raises(ValueError, match=r"Received: 20 in .* of 10 examples"):
        cached(teacher, X, tmp_path, batch_size=10)


def test_verify_finds_an_output_that_differs(tmp_path):
    teacher = net(16, 1)
    cache = cached(teacher, (X, Y), tmp_path)
    assert cache.verify(teacher, (X, Y)) < 1e-5
    with pytest.raises(ValueError, match="another output_0 for example"):
        cache.verify(teacher, teacher_inputs=lambda x: x + 1.0)


WHOLE = "must be a whole number of at least"


NO_PARTS = [
    (2, 2),
    (-1, 2),
    (0, 0),
    ("a", 2),
    (0, 10**6),
    (0.0, 2),
    (True, 2),
    1,
    (0, 1, 2),
]
NO_PART_MESSAGE = r"`shard` must be `None` or `\(index, count\)`"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, f"`top_k` {WHOLE} 1"),
        ({"top_k": 2.5}, f"`top_k` {WHOLE} 1"),
        ({"dtype": "int8"}, "`dtype` must be one of None, 'float32'"),
        ({"views": 2}, "`augment` must be a function if"),
        ({"views": 1.5}, f"`views` {WHOLE} 1"),
        ({"batch_size": 0}, f"`batch_size` {WHOLE} 1"),
        ({"batch_size": 2.5}, f"`batch_size` {WHOLE} 1"),
        ({"seed": -1}, f"`seed` {WHOLE} 0"),
        ({"seed": "x"}, f"`seed` {WHOLE} 0"),
        ({"from_logits": "yes"}, "`from_logits` must be one of True, False"),
        ({"augment": 3}, "`augment` must be `None` or a function"),
        ({"teacher_inputs": 3}, "`teacher_inputs` must be `None` or a"),
        ({"features": ["nope"]}, "no layer 'nope'"),
        ({"teacher": None}, "`teacher` must be a trained Keras model"),
        ({"teacher": "t.keras"}, "`teacher` must be a trained Keras model"),
        ({"teacher": keras.Sequential()}, "and so a built one"),
        *(({"shard": shard}, NO_PART_MESSAGE) for shard in NO_PARTS),
        ({"shard": (0, 51)}, "at least one example to each part"),
    ],
)
def test_arguments_are_checked(tmp_path, options, message):
    options = {"teacher": net(16, 1)} | options
    with pytest.raises(ValueError, match=message):
        cached(data=(X, Y), path=tmp_path / "cache", **options)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X, Y[:9]), r"lengths \[9, 50\]"),
        (X[:0], r"lengths \[0\]"),
        (iter([]), "at least one batch"),
        (3, "must be arrays, or yield batches"),
        ("text", "must be arrays, or yield batches"),
        ([(X, Y), (X, Y)], r"as `iter\(batches\)` does"),
        (iter([(X[:4], np.full(4, 1j))]), "y_0 of dtype complex128"),
    ],
)
def test_data_are_checked(tmp_path, data, message):
    with pytest.raises(ValueError, match=message):
        cached(net(16, 1), data, tmp_path / "cache")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("shard", NO_PARTS)
def test_parts_are_checked_where_a_cache_is_opened_too(tmp_path, shard):
    with pytest.raises(ValueError, match=NO_PART_MESSAGE):
        keras_dts.TeacherCache(tmp_path, shard=shard)


def test_parts_of_another_number_are_refused(tmp_path):
    teacher = net(16, 1)
    cached(teacher, X, tmp_path)
    message = "one of the 1 parts that `path` has"
    with pytest.raises(ValueError, match=message):
        cached(teacher, X, tmp_path, shard=(0, 3))
    with pytest.raises(ValueError, match=message):
        keras_dts.TeacherCache(tmp_path, shard=(0, 3))
    assert len(cached(teacher, X, tmp_path)) == 50


def test_a_folder_that_is_no_part_is_left_alone(tmp_path):
    (tmp_path / "abcde-of-fghij").mkdir()
    assert len(cached(net(16, 1), X, tmp_path)) == 50


def test_a_long_list_of_missing_parts_is_cut(tmp_path):
    teacher = net(16, 1)
    for index in range(2):
        cached(teacher, X, tmp_path, shard=(index, 50))
    with pytest.raises(ValueError, match=r"and 43 more$"):
        cached(teacher, X, tmp_path)


HUGE = {"float32": np.inf, "float16": 1e5, "uint8": 1e5}


@pytest.mark.parametrize("value", [np.nan, -np.inf, "too large"])
@pytest.mark.parametrize("dtype", HUGE)
@pytest.mark.parametrize("top_k", [None, 3])
def test_outputs_that_are_not_finite_are_refused(tmp_path, dtype, value, top_k):
    """Those of example 40 alone: the block before it stays."""
    if top_k and value == "too large":
        value = np.nan
    value = HUGE[dtype] if value == "too large" else value

    def teacher_inputs(x):
        x = np.array(x)
        x[np.all(x == X[40], axis=-1)] = value
        return x

    teacher = keras.Sequential([keras.Input((8,)), keras.layers.Identity()])
    with pytest.raises(
        ValueError, match=r"in output_0 of example 40$"
    ) as error:
        cached(
            teacher,
            X,
            tmp_path,
            dtype=dtype,
            top_k=top_k,
            teacher_inputs=teacher_inputs,
        )
    assert "`teacher` must compute finite numbers" in str(error.value)
    with pytest.raises(ValueError, match="which ends after 32 examples"):
        keras_dts.TeacherCache(tmp_path, X)


@pytest.mark.parametrize(
    "rows", [[-1], [50], [0.7], [True], 3, [], [[1]], ["1"], None]
)
def test_rows_are_checked(tmp_path, rows):
    cache = cached(net(16, 1), X, tmp_path)
    with pytest.raises(ValueError, match=r"`rows` must be a list .* 0 to 49"):
        cache.take(rows)


@pytest.mark.parametrize("batch_size", [0, -4, 2.5])
def test_the_batch_size_of_a_cache_is_checked(tmp_path, batch_size):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    with pytest.raises(ValueError, match=f"`batch_size` {WHOLE} 1"):
        fit(distiller, cache, batch_size=batch_size)


def changed_blocks(index, part):
    """Data of 50 examples of which one part of one example differs."""
    data = [array.copy() for array in DATA]
    data[part][index] += 1
    return tuple(data)


PARTS = {0: "other inputs, or views", 1: "other labels", 2: "other sample weig"}


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("batches", [False, True])
def test_verify_compares_all_data(tmp_path, monkeypatch, part, batches):
    def source(data):
        rows = range(50)
        return iter([tuple(a[[i]] for a in data) for i in rows])

    monkeypatch.setattr("keras_dts.cache.examples.SAMPLED_BLOCKS", 2)
    teacher = net(16, 1)
    made = source(DATA) if batches else DATA
    cache = cached(teacher, made, tmp_path, batch_size=1)
    other = changed_blocks(20, part)
    if batches:
        opened, other = cache, source(other)
        cache.verify(teacher, source(DATA))
    else:
        opened = keras_dts.TeacherCache(tmp_path, other)
        assert opened.compared == "2 of 50 blocks"
        with pytest.raises(ValueError, match=f"{PARTS[part]}.*from 20 on"):
            opened.verify(teacher)
    with pytest.raises(ValueError, match=f"{PARTS[part]}.*from 20 on"):
        opened.verify(teacher, other)


def test_verify_refuses_more_and_fewer_batches(tmp_path):
    teacher = net(16, 1)
    pages = [Pages()[i] for i in range(4)]
    cache = cached(teacher, iter(pages), tmp_path)
    with pytest.raises(ValueError, match="another batch after 48 examples"):
        cache.verify(teacher, iter(pages[:3]))
    with pytest.raises(ValueError, match="more batches"):
        cache.verify(teacher, iter([*pages, pages[0]]))


def test_a_cache_says_what_opening_compared(tmp_path):
    cache = cached(net(16, 1), DATA, tmp_path / "a", batch_size=10)
    assert repr(cache).endswith(
        "50 examples, compared with data: 5 of 5 blocks)"
    )
    cached(net(16, 1), Pages(), tmp_path / "b")
    assert keras_dts.TeacherCache(tmp_path / "b").compared == "nothing"
    opened = keras_dts.TeacherCache(tmp_path / "b", Pages())
    assert opened.compared == "1 of 4 blocks"


def test_labels_may_be_left_out(tmp_path):
    cached(net(16, 1), DATA, tmp_path)
    assert len(keras_dts.TeacherCache(tmp_path, X).take([0])) == 1


def test_numbers_in_another_byte_order_are_kept(tmp_path):
    batches = iter([(X[:4].astype(">f4"), Y[:4].astype(">i4"))])
    cached(net(16, 1), batches, tmp_path)
    x, y = keras_dts.TeacherCache(tmp_path).take([0, 3])
    np.testing.assert_array_equal(x.inputs, X[[0, 3]])
    np.testing.assert_array_equal(y, Y[[0, 3]])


def test_examples_must_have_one_shape(tmp_path):
    batches = [np.ones((4, length), "int32") for length in (5, 6)]
    with pytest.raises(ValueError, match="must have examples of one shape"):
        cached(tagger(4, 0), iter(batches), tmp_path)


@pytest.mark.parametrize(
    "options", [{"y": Y}, {"sample_weight": WEIGHTS}, {"validation_split": 0.5}]
)
def test_labels_beside_a_cache_are_refused(tmp_path, options):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    (name,) = options
    with pytest.raises(ValueError, match=f"`{name}` must not be given"):
        fit(distiller, cache, **options)


@pytest.mark.filterwarnings("ignore:__array__")
def test_data_that_change_warn(tmp_path):
    data = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(50).batch(16)
    with pytest.warns(UserWarning, match="change each time they are read"):
        cache = cached(net(16, 1), data, tmp_path)
    assert cache.verify(net(16, 1)) < 1e-5


@pytest.mark.parametrize(
    "method", ["train_on_batch", "test_on_batch", "predict_on_batch"]
)
def test_methods_on_batches_refuse_a_cache(tmp_path, method):
    distiller = distil()
    cache = cached(distiller.teacher, (X, Y), tmp_path)
    with pytest.raises(ValueError, match=r"`x` must be one batch.*50 examples"):
        getattr(distiller, method)(cache)
