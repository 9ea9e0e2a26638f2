"""Runs a teacher once, and stores its outputs on disk."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from keras_dts.cache.checks import (
    check_arguments,
    check_not_replicated,
    check_teacher,
)
from keras_dts.cache.fingerprint import teacher_name
from keras_dts.cache.header import HEADER, read_header
from keras_dts.cache.predictor import TeacherPredictor
from keras_dts.cache.recording import Recording
from keras_dts.cache.shards import check_shard, shard_folder, shard_folders
from keras_dts.cache.sources import to_source
from keras_dts.cache.teacher_cache import TeacherCache
from keras_dts.cache.views import Augment
from keras_dts.cache.writer import RecordWriter


def cache_teacher(
    teacher: keras.Model,
    data: Any,
    path: str | os.PathLike[str],
    *,
    batch_size: int = 32,
    top_k: int | None = None,
    dtype: str | None = None,
    features: Sequence[str] = (),
    teacher_inputs: Callable[[Any], Any] | None = None,
    from_logits: bool | str = "auto",
    augment: Augment | None = None,
    views: int = 1,
    seed: int = 0,
    shard: tuple[int, int] | None = None,
    steps: int | None = None,
    verbose: bool | int = True,
) -> TeacherCache:
    """Runs a teacher once over data, and stores its outputs on disk.

    `keras_dts.Distiller.fit` takes the returned cache for `x`, and does not
    run the teacher. If `path` already holds this teacher's outputs for this
    data, they are opened; an interrupted run is resumed.

    Arrays in memory are not copied to disk: the cache reads them by position
    when it is used. Batches from another source are stored with the outputs,
    so that they can be shuffled and the source is not needed again.

    A cache stores logits. Probabilities are stored as their logarithms, and
    a distiller restores them.

    Args:
        teacher: The trained teacher.
        data: As `validation_data` of `keras.Model.fit`: arrays `x`, or a
            tuple `(x, y)` or `(x, y, sample_weight)`; or a source of such
            batches: a `tf.data.Dataset`, a `DataLoader` of PyTorch or Grain,
            a `keras.utils.PyDataset`, any iterable. For tasks of KerasHub `x`
            may be raw strings.
        path: A directory, which is made if it does not exist.
        batch_size: The number of examples of arrays for which the teacher
            runs at once, and the most that an interruption loses.
        top_k: `None` stores every class. A number stores each entry's most
            probable classes, and the probability of all other classes as one
            more, if an output has more than `top_k + 1` classes; then losses,
            `gap` and `teacher_kl` are those of these distributions.
        dtype: `"float32"`, `"float16"` or `"uint8"`: 256 steps between each
            entry's lowest and highest value, with features in float16.
            Defaults to float32, and with `top_k` to float16.
        features: The paths of the teacher's layers that feature losses read.
        teacher_inputs: As for `keras_dts.Distiller`.
        from_logits: Whether the teacher's outputs are logits, or `"auto"`; as
            for the distiller's teacher.
        augment: `None`, or a function `augment(x, rng)` that returns
            augmented inputs of one example, NumPy arrays, and draws from the
            `numpy.random.Generator` alone. The teacher runs on `views` views
            of each example, and each epoch trains the student on one of them.
        views: The number of views of each example. Epoch `e` uses view
            `(e + position) % views`.
        seed: The seed of the views.
        shard: `None`, or one part of the cache, as `(index, count)`, so that
            `count` processes can work at the same time. Of arrays, the part
            is taken; batches must already be those of the part. Returns the
            part; a call without `shard` returns the whole.
        steps: `None`, or how many batches to take of data that come in
            batches, and must be given if they never end.
        verbose: Whether to show a progress bar.

    Returns:
        The cache, opened.

    Raises:
        CacheInUseError: If another process writes the same part of the cache.
            Errors of caches are in `keras_dts.cache`.
        DamagedCacheError: If the header of a part is damaged. Other damage
            warns, and the teacher runs again from there on.
        ValueError: If an argument is out of its range; if `path` holds a
            cache of another teacher, of other data, with other arguments or
            of another format; if examples or outputs change their shapes, or
            outputs are not finite or not one for each example; if `augment`
            does not draw from `rng` alone. Blocks before the error stay on
            disk. If it is called inside of the scope of a TensorFlow strategy
            with several replicas.

    Example:
    >>> import keras
    >>> import numpy as np
    >>> import tempfile
    >>> import keras_dts
    >>> def classifier(width):
    ...     return keras.Sequential(
    ...         [
    ...             keras.Input((8,)),
    ...             keras.layers.Dense(width, activation="relu"),
    ...             keras.layers.Dense(3),
    ...         ]
    ...     )
    >>> teacher, student = classifier(64), classifier(4)
    >>> x, y = np.ones((100, 8), "float32"), np.zeros(100, "int32")
    >>> with tempfile.TemporaryDirectory() as path:
    ...     cache = keras_dts.cache_teacher(
    ...         teacher, (x, y), path, verbose=False
    ...     )
    ...     distiller = keras_dts.Distiller(teacher, student)
    ...     distiller.compile(
    ...         "adam",
    ...         keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    ...     )
    ...     history = distiller.fit(cache, batch_size=25, epochs=2, verbose=0)
    >>> len(cache), cache.bytes_per_example
    (100, 12.0)
    """
    check_not_replicated("cache_teacher")
    check_arguments(
        teacher,
        batch_size,
        top_k,
        dtype,
        features,
        teacher_inputs,
        from_logits,
        augment,
        views,
        seed,
        steps,
    )
    path = Path(path)
    check_shard(path, shard)
    source = to_source(data, shard, steps)
    metadata: dict[str, Any] = {
        "teacher": teacher_name(teacher),
        "top_k": None if top_k is None else int(top_k),
        "dtype": dtype or ("float32" if top_k is None else "float16"),
        "features": list(features),
        "from_logits": from_logits,
        "views": int(views),
        "seed": int(seed),
        "in_memory": source.in_memory,
        "steps": None if steps is None else int(steps),
    }
    folder = shard_folder(path, shard)
    for begun in shard_folders(path):
        if (begun / HEADER).exists():
            found, _ = read_header(begun)
            check_teacher(begun, found, teacher, metadata["teacher"])
    if shard is not None or set(shard_folders(path)) <= {folder}:
        predictor = TeacherPredictor.from_metadata(
            metadata, teacher, teacher_inputs
        )
        with contextlib.closing(RecordWriter(folder, metadata)) as writer:
            _warn_of_damage(writer)
            recording = Recording(writer, source, predictor, augment)
            recording.run(batch_size, verbose=bool(verbose))
    cache = TeacherCache(path, source, augment=augment, shard=shard)
    cache.check_metadata(metadata)
    return cache


def _warn_of_damage(writer: RecordWriter) -> None:
    """Warns if some of a writer's records have to be made again."""
    if writer.damage is not None:
        _, file, fault = writer.damage
        warnings.warn(
            f"A cache is damaged: {str(file)!r}, {fault}. The teacher runs "
            f"again from example {writer.count} of {str(writer.folder)!r} on.",
            stacklevel=3,
        )
