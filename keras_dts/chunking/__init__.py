"""A training step that never holds the logits of all tokens."""

from keras_dts.chunking.logits import ChunkedBatch, LogitChunk
from keras_dts.chunking.objective import Chunker, ReducedLabelLoss
from keras_dts.chunking.plan import ChunkPlan, plan_chunks

__all__ = [
    "ChunkPlan",
    "ChunkedBatch",
    "Chunker",
    "LogitChunk",
    "ReducedLabelLoss",
    "plan_chunks",
]
