"""Parts of the batches of a cache: N processes see what one sees."""

import numpy as np
import pytest
from caches import cached, net

import keras_dts

X = np.random.default_rng(3).normal(size=(81, 8)).astype("float32")
Y = np.arange(81)  # so that a label names its example


@pytest.fixture(scope="module")
def teacher():
    return net(16, 1)


@pytest.fixture(scope="module")
def cache(teacher, tmp_path_factory):
    path = tmp_path_factory.mktemp("cache")
    for i in range(3):  # 27 examples each
        cached(teacher, (X, Y), path, shard=(i, 3))
    return keras_dts.TeacherCache(path, (X, Y))


def parts_of(cache, count, *args, **kwargs):
    """Returns the batches of each part."""
    return [
        [batches[i] for i in range(len(batches))]
        for batches in (
            cache.batches(*args, part=(index, count), **kwargs)
            for index in range(count)
        )
    ]


def labels(batches):
    return [list(y) for _, y in batches]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_parts_make_up_the_batches_of_one_permutation(teacher, cache, count):
    expected = teacher.predict(X, verbose=0)
    for epoch in (0, 3):  # a training may stop, and go on with other parts
        order = np.random.default_rng([5, epoch]).permutation(81)
        options = {"shuffle": True, "seed": 5, "epoch": epoch}
        parts = parts_of(cache, count, 12, **options)
        for step, batch in enumerate(zip(*parts, strict=True)):
            rows = order[12 * step : 12 * step + 12]
            assert [row for part in labels(batch) for row in part] == list(rows)
            outputs = np.concatenate([x.outputs[0] for x, _ in batch])
            np.testing.assert_allclose(outputs, expected[rows], atol=1e-5)
        assert step == 6


def test_sizes_of_parts_differ_by_one_at_most(cache):
    parts = map(labels, parts_of(cache, 4, 14))  # 5 batches, and one of 11
    batches = zip(*parts, strict=True)
    sizes = [[len(part) for part in batch] for batch in batches]
    assert sizes == [[3, 4, 3, 4]] * 5 + [[2, 3, 3, 3]]


def test_a_last_batch_that_cannot_be_shared_is_left_out(cache):
    assert len(cache.batches(8)) == 11  # with 1 example in the last one
    for index in range(2):
        with pytest.warns(UserWarning, match="last 1 of 81 examples") as found:
            batches = cache.batches(8, part=(index, 2))
        assert (len(found), len(batches)) == (1, 10)


@pytest.mark.parametrize("part", [None, (1, 2)])
def test_a_smaller_last_batch_is_left_out_on_demand(cache, part):
    with pytest.warns(UserWarning, match="last 9 of 81 examples"):
        batches = cache.batches(12, part=part, drop_remainder=True)
    assert len(batches) == 6
    assert len(cache.batches(27, part=part, drop_remainder=True)) == 3


WRONG = [
    ({"part": 2}, r"`part` must be `None` or `\(index, count\)`.*part=2"),
    ({"part": (2, 2)}, "0 <= index < count"),
    ({"part": (0, 5)}, r"`batch_size` is that of all parts .* part=\(0, 5\)"),
    ({"part": (0, 2), "shuffle": True}, "`seed` must be given"),
    ({"seed": -1}, "`seed` must be a whole number of at least 0"),
    ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1"),
    (
        {"batch_size": 100, "part": (0, 82)},
        "`batch_size` must leave at least one batch.* 81 examples",
    ),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_arguments_are_checked(cache, options, message):
    with pytest.raises(ValueError, match=message):
        cache.batches(**({"batch_size": 4} | options))
