"""Tiny random models, and the slow literal way to score a sequence that the engine is held to."""

from functools import cache

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import AutoConfig, PreTrainedTokenizerFast

from stages.models.load import describe

VOCABULARY = 90
_SIZES = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "vocab_size": VOCABULARY, "max_position_embeddings": 64, "initializer_range": 0.3,
}
_OTHERS = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "albert": {"embedding_size": 16},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4},
    "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "llama": {"num_key_value_heads": 2},
    "gemma2": {"num_key_value_heads": 2, "head_dim": 8},
    "mistral": {"num_key_value_heads": 2, "sliding_window": 6},
    "bloom": {"n_layer": 2, "n_head": 4},
    "qwen2_moe": {
        "num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16, "use_sliding_window": True, "sliding_window": 12,
        "layer_types": ["sliding_attention", "full_attention"],
    },
    "phimoe": {"num_key_value_heads": 2, "num_local_experts": 4, "sliding_window": 12},
    "qwen2": {"num_key_value_heads": 2, "max_window_layers": 20},
    "llama4_text": {
        "num_key_value_heads": 2, "head_dim": 8, "num_local_experts": 2, "intermediate_size_mlp": 64,
        "attention_chunk_size": 12, "pad_token_id": 0,
    },
    "phi3": {
        "num_key_value_heads": 2, "original_max_position_embeddings": 16, "pad_token_id": 0,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 16,
            "short_factor": [1.0] * 4, "long_factor": [8.0] * 4,
        },
    },
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
}
_CLASSES = {
    "masked": transformers.AutoModelForMaskedLM,
    "causal": transformers.AutoModelForCausalLM,
    "sentence": transformers.AutoModel,
}


def tokenizer():
    words = {word: i for i, word in enumerate(["[PAD]", "[MASK]", "[UNK]", "he", "she", "is", "a", "nurse"])}
    model = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    model.pre_tokenizer = Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=model,
        mask_token="[MASK]", pad_token="[PAD]", unk_token="[UNK]",
    )  # fmt: skip


@cache
def make(architecture, family, **settings):
    """A tiny random model; settings are of its config."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(architecture, **{**_SIZES, **_OTHERS.get(architecture, {}), **settings})
    return describe(_CLASSES[family].from_config(config), tokenizer(), family, architecture)


@cache
def make_int8(architecture, family):
    loaded = make(architecture, family)
    model = torch.ao.quantization.quantize_dynamic(loaded.model, {torch.nn.Linear}, dtype=torch.qint8)
    return describe(model, loaded.tokenizer, family, f"{architecture} int8", parameters=loaded.parameters)


def one_by_one(loaded, query):
    """Log-probabilities and entropies from the model's own forward pass over one sequence, in float64."""
    with torch.no_grad():
        logits = loaded.model(input_ids=torch.tensor([query.ids])).logits[0, list(query.positions)].double()
    logprobs = logits - logits.logsumexp(dim=-1, keepdim=True)
    entropies = -(logprobs.exp() * logprobs).sum(dim=-1)
    return logprobs[range(len(query.targets)), list(query.targets)].numpy(), entropies.numpy()


def mean_state(loaded, ids):
    with torch.no_grad():
        outputs = loaded.model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return outputs.hidden_states[-1][0].mean(dim=0).numpy()


def assert_answers(loaded, queries, answers, tolerance):
    assert len(answers) == len(queries)
    for query, answer in zip(queries, answers, strict=True):
        logprobs, entropies = one_by_one(loaded, query)
        assert answer.logprobs.dtype == answer.entropies.dtype == np.float64
        np.testing.assert_allclose(answer.logprobs, logprobs, atol=tolerance, rtol=0)
        np.testing.assert_allclose(answer.entropies, entropies, atol=tolerance, rtol=0)
