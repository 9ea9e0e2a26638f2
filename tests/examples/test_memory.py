"""The arithmetic of memory says what it should, and what a cache takes."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from helpers import mlp

import keras_dts

MEMORY = Path(__file__).parents[2] / "examples" / "distributed" / "memory.py"


def test_the_table(capsys):
    runpy.run_path(str(MEMORY), run_name="__main__")
    lines = [" ".join(s.split()) for s in capsys.readouterr().out.splitlines()]
    assert "70 B bfloat16 140.0 GB 17.5 GB 2.2 GB" in lines
    assert "400 B int8 400.0 GB 50.0 GB 6.2 GB" in lines
    assert "student of 1 B, whole 16.0 GB" in lines
    assert "whole projection of 405 B 4.2 GB on each device" in lines
    assert "cache in float16: 202 or 302 TB" in lines


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_a_cache_takes_what_the_table_counts(dtype, tmp_path):
    x = np.ones((20, 8), "float32")
    cache = keras_dts.cache_teacher(
        mlp(4, classes=60), x, tmp_path, top_k=50, dtype=dtype, verbose=False
    )
    counted = runpy.run_path(str(MEMORY))["cached_bytes"](dtype, index=2)
    assert cache.bytes_per_example == counted
