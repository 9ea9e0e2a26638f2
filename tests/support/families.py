"""Tiny causal language models of several families, without a tokenizer."""

from helpers import randomize
from keras_hub import models

TOKENS, LENGTH = 20, 12


_SIZES = {
    "vocabulary_size": TOKENS,
    "num_layers": 1,
    "hidden_dim": 8,
    "intermediate_dim": 16,
}
_PLAIN = {
    **_SIZES,
    "num_heads": 2,
    "max_sequence_length": LENGTH,
    "dropout": 0.0,
}
_GROUPED = {**_SIZES, "num_query_heads": 2, "num_key_value_heads": 1}


def _gpt2():
    return models.GPT2CausalLM(models.GPT2Backbone(**_PLAIN))


def _opt():
    return models.OPTCausalLM(models.OPTBackbone(**_PLAIN))


def _llama():
    return models.LlamaCausalLM(models.LlamaBackbone(**_GROUPED))


def _gemma():
    return models.GemmaCausalLM(models.GemmaBackbone(**_GROUPED, head_dim=4))


def _qwen3():
    return models.Qwen3CausalLM(
        models.Qwen3Backbone(**_GROUPED, head_dim=4, dropout=0.0)
    )


FAMILIES = {
    "gpt2": _gpt2,
    "llama": _llama,
    "gemma": _gemma,
    "opt": _opt,
    "qwen3": _qwen3,
}


def language_model(family="gpt2", seed=0, scale=0.5):
    return randomize(FAMILIES[family](), seed, scale)
