"""Small text models of KerasHub, with weights drawn by NumPy."""

import functools
import io

import numpy as np
import tensorflow as tf
from helpers import randomize
from keras_hub import models
from sentencepiece import SentencePieceTrainer

from keras_dts.data import byte_pair_vocabulary

# Preprocessors are graphs, which a test runs a few times: no graph is worth
# optimizing here.
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})

WORDS = ["the", "quick", "brown", "fox", "jumped", "over", "a", "lazy", "dog"]
WORDS += ["and", "bad", "good", "mail", "offers", "spam"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = [*SPECIAL, *WORDS]
SENTENCES = [
    "the good fox and the lazy dog",
    "a bad mail offers spam spam",
    "the quick brown fox jumped",
    "bad dog",
]
LABELS = np.array([0, 1, 0, 1], "int32")


def _sizes(width, layers, vocabulary):
    return {
        "vocabulary_size": vocabulary,
        "num_layers": layers,
        "num_heads": 2,
        "hidden_dim": width,
        "intermediate_dim": 2 * width,
        "max_sequence_length": 160,
        "dropout": 0.0,
    }


def bert(
    width=8,
    layers=1,
    seed=0,
    length=16,
    vocabulary=VOCABULARY,
    classes=2,
    tokenizer=None,
    preprocess=True,
):
    tokenizer = tokenizer or models.BertTokenizer(vocabulary, lowercase=True)
    preprocessor = models.BertTextClassifierPreprocessor(
        tokenizer, sequence_length=length
    )
    backbone = models.BertBackbone(
        **_sizes(width, layers, len(vocabulary)), name="bert_backbone"
    )
    model = models.BertTextClassifier(
        backbone,
        num_classes=classes,
        preprocessor=preprocessor if preprocess else None,
        dropout=0.0,
    )
    return randomize(model, seed, 0.3)


def distil_bert(width=8, layers=1, seed=1, length=16, vocabulary=VOCABULARY):
    tokenizer = models.DistilBertTokenizer(vocabulary, lowercase=True)
    model = models.DistilBertTextClassifier(
        models.DistilBertBackbone(**_sizes(width, layers, len(vocabulary))),
        num_classes=2,
        preprocessor=models.DistilBertTextClassifierPreprocessor(
            tokenizer, sequence_length=length
        ),
        dropout=0.0,
    )
    return randomize(model, seed, 0.3)


@functools.cache
def bpe(size):
    """A byte-pair vocabulary and its merges, trained on the sentences."""
    return byte_pair_vocabulary(SENTENCES, size)


def gpt2_tokenizer(size=275):
    vocabulary, merges = bpe(size)
    return models.GPT2Tokenizer(vocabulary, merges)


def gpt2(
    width=8,
    layers=1,
    seed=0,
    length=16,
    tokenizer=None,
    extra_rows=0,
    **preprocessing,
):
    tokenizer = tokenizer or gpt2_tokenizer()
    rows = tokenizer.vocabulary_size() + extra_rows
    model = models.GPT2CausalLM(
        models.GPT2Backbone(**_sizes(width, layers, rows)),
        preprocessor=models.GPT2CausalLMPreprocessor(
            tokenizer, sequence_length=length, **preprocessing
        ),
    )
    return randomize(model, seed, 0.3)


@functools.cache
def gemma_proto():
    out = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES),
        model_writer=out,
        vocab_size=len(WORDS) + 5,
        model_type="WORD",
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        pad_piece="<pad>",
        bos_piece="<bos>",
        eos_piece="<eos>",
        unk_piece="<unk>",
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return out.getvalue()


def gemma3(width=8, seed=0, length=16):
    """A language model that takes prompts and responses."""
    tokenizer = models.Gemma3Tokenizer(gemma_proto(), has_vision_tokens=False)
    model = models.Gemma3CausalLM(
        backbone=models.Gemma3Backbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            image_size=16,
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=width,
            intermediate_dim=2 * width,
            head_dim=width // 2,
        ),
        preprocessor=models.Gemma3CausalLMPreprocessor(
            image_converter=None, tokenizer=tokenizer, sequence_length=length
        ),
    )
    return randomize(model, seed, 0.3)


def gemma2(width=8, seed=0, length=16, soft_cap=2.0):
    """A language model whose logits are capped."""
    tokenizer = models.GemmaTokenizer(gemma_proto())
    model = models.GemmaCausalLM(
        models.GemmaBackbone(
            vocabulary_size=tokenizer.vocabulary_size(),
            num_layers=1,
            num_query_heads=2,
            num_key_value_heads=1,
            hidden_dim=width,
            intermediate_dim=2 * width,
            head_dim=width // 2,
            final_logit_soft_cap=soft_cap,
        ),
        preprocessor=models.GemmaCausalLMPreprocessor(
            tokenizer, sequence_length=length
        ),
    )
    return randomize(model, seed, 2.0)
