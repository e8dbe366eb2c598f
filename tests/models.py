"""Tiny models of many architectures with seeded random weights, for tests that compare with transformers itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

VOCABULARY = 128
CONTEXT = 512

_LLAMA: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.25,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
_EXPERTS: dict[str, Any] = {"num_experts_per_tok": 2, "moe_intermediate_size": 32}
_MLA: dict[str, Any] = {
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 16,
    "v_head_dim": 12,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 32,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 1,
    "topk_group": 1,
}
_LONG_ROPE: dict[str, Any] = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 6,
    "long_factor": [1.0, 1.5, 2.0, 3.0, 4.0, 6.0],
    "original_max_position_embeddings": 32,
}

EXACT: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"sliding_window": 8, "head_dim": 12},
    "gemma2": {"sliding_window": 8, "head_dim": 16, "query_pre_attn_scalar": 16, "attn_logit_softcapping": 2.0},
    "gemma3_text": {"sliding_window": 8, "head_dim": 16, "query_pre_attn_scalar": 16, "num_hidden_layers": 6},
    "phi3": {},
    "gpt2": {"n_embd": 48, "n_layer": 4, "n_head": 4, "n_positions": CONTEXT},
    "gpt_neox": {},
    "opt": {"ffn_dim": 96, "word_embed_proj_dim": 32},
    "bloom": {"n_layer": 4, "n_head": 4},
    "falcon": {"alibi": False, "multi_query": True, "new_decoder_architecture": False},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "qwen3_moe": {"num_experts": 4, "head_dim": 16, **_EXPERTS},
    "olmo2": {},
}
"""Architectures the project promises: model type, and what its config needs beside the common numbers."""

ALSO: dict[str, dict[str, Any]] = {
    "falcon_alibi": {"model_type": "falcon", "alibi": True, "multi_query": False, "new_decoder_architecture": False},
    "falcon_gqa": {"model_type": "falcon", "alibi": False, "new_decoder_architecture": True, "num_kv_heads": 2},
    "llama_dynamic": {
        "model_type": "llama",
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0},
        "max_position_embeddings": 32,
    },
    "phi3_long": {"model_type": "phi3", "rope_parameters": _LONG_ROPE, "original_max_position_embeddings": 32},
    "phi": {"partial_rotary_factor": 0.5},
    "stablelm": {"partial_rotary_factor": 0.5},
    "starcoder2": {"sliding_window": 8},
    "cohere": {},
    "cohere2": {"sliding_window": 8, "head_dim": 12},
    "granite": {"attention_multiplier": 0.3},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "gptj": {"n_embd": 48, "n_layer": 4, "n_head": 4, "n_positions": CONTEXT, "rotary_dim": 8},
    "codegen": {"n_embd": 48, "n_layer": 4, "n_head": 4, "n_positions": CONTEXT, "rotary_dim": 8},
    "gpt_neo": {"num_layers": 4, "num_heads": 4, "attention_types": [[["global", "local"], 2]], "window_size": 8},
    "gpt_bigcode": {"n_embd": 48, "n_layer": 4, "n_head": 4, "n_positions": CONTEXT},
    "ctrl": {"n_embd": 48, "n_layer": 4, "n_head": 4, "n_positions": CONTEXT, "dff": 96},
    "mpt": {"d_model": 48, "n_layers": 4, "n_heads": 4, "max_seq_len": CONTEXT},
    "xglm": {"d_model": 48, "ffn_dim": 96, "num_layers": 4, "attention_heads": 4},
    "smollm3": {},
    "glm": {"head_dim": 16},
    "glm4": {"head_dim": 16},
    "olmo": {},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {"num_experts": 4, "shared_expert_intermediate_size": 32, **_EXPERTS},
    "deepseek_v2": _MLA,
    "deepseek_v3": _MLA,
    "gpt_oss": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 16, "sliding_window": 8},
    "nemotron": {},
    "exaone4": {"sliding_window": 8, "sliding_window_pattern": 2},
    "gemma": {"head_dim": 16},
    "llama4_text": {
        "head_dim": 16,
        "attention_chunk_size": 8,
        "num_local_experts": 4,
        "intermediate_size_mlp": 64,
        "no_rope_layers": [1, 1, 1, 0],
        "moe_layers": [1, 3],
    },
    "phimoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": None},
    "persimmon": {},
    "helium": {"head_dim": 12},
    "ernie4_5": {"head_dim": 12},
    "seed_oss": {"head_dim": 12},
    "arcee": {},
    "dbrx": {
        "d_model": 48,
        "n_heads": 4,
        "n_layers": 4,
        "max_seq_len": CONTEXT,
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 48},
    },
    "hunyuan_v1_dense": {"head_dim": 12},
    "apertus": {},
    "dots1": {**_EXPERTS, "n_routed_experts": 4, "n_shared_experts": 1, "n_group": 1, "topk_group": 1, "head_dim": 12},
    "minimax_m2": {"num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": 12},
}
"""Architectures tried beyond the promise."""

_DELTA: dict[str, Any] = {
    "head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 16,
    "linear_value_head_dim": 16,
}
_MAMBA: dict[str, Any] = {
    "mamba_d_state": 8,
    "mamba_n_heads": 8,
    "mamba_d_head": 12,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 16,
}
_ALTERNATING = ["linear_attention", "full_attention"] * 2
_CONVOLUTIONS = ["conv", "full_attention", "conv", "full_attention"]

HYBRID: dict[str, dict[str, Any]] = {
    "qwen3_next": {"num_experts": 4, "shared_expert_intermediate_size": 32, **_EXPERTS, **_DELTA},
    "qwen3_5_text": {**_DELTA, "layer_types": _ALTERNATING},
    "qwen3_5_moe_text": {"num_experts": 4, "shared_expert_intermediate_size": 32, **_EXPERTS, **_DELTA},
    "kimi_linear": {
        **_MLA,
        "num_experts": 4,
        "linear_head_dim": 16,
        "linear_num_heads": 4,
        "layer_types": _ALTERNATING,
    },
    "nemotron_h": {
        "layers_block_type": ["mamba", "moe", "mamba", "attention"],
        "ssm_state_size": 8,
        "mamba_num_heads": 8,
        "mamba_head_dim": 12,
        "n_groups": 1,
        "chunk_size": 16,
        "head_dim": 12,
        "n_routed_experts": 4,
        "moe_shared_expert_intermediate_size": 32,
        "moe_latent_size": None,
        "n_group": 1,
        "topk_group": 1,
        **_EXPERTS,
    },
    "falcon_h1": {**_MAMBA, "mamba_d_ssm": 96, "head_dim": 12},
    "granitemoehybrid": {
        **_MAMBA,
        "layer_types": ["mamba", "attention"] * 2,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "shared_intermediate_size": 32,
    },
    "bamba": {**_MAMBA, "attn_layer_indices": [1, 3]},
    "bailing_hybrid": {
        **_MLA,
        "num_experts": 4,
        "moe_shared_expert_intermediate_size": 32,
        "layer_group_size": 2,
        "head_dim": 12,
        "linear_head_dim": 16,
        "linear_num_heads": 4,
    },
    "olmo_hybrid": {**_DELTA, "layer_types": _ALTERNATING},
    "lfm2": {"layer_types": _CONVOLUTIONS, "block_auto_adjust_ff_dim": False},
    "lfm2_moe": {"layer_types": _CONVOLUTIONS, "num_experts": 4, "num_dense_layers": 1, **_EXPERTS},
    "lfm3": {"num_dense_layers": 1, "num_experts": 4, "sliding_window": 8, "head_dim": 16, **_EXPERTS},
    "jamba": {
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "mamba_d_state": 8,
    },
    "mamba": {"state_size": 8},
    "falcon_mamba": {"state_size": 8},
    "mamba2": {"state_size": 8, "head_dim": 24, "num_heads": 4, "n_groups": 1, "chunk_size": 16},
}
"""Architectures whose blocks keep states of a session beside keys and values, or instead of them."""

# With few heads many keys have the same score, none at all, and which of them are looked at is anybody's choice.
_INDEX: dict[str, Any] = {"index_head_dim": 16, "index_n_heads": 32, "index_topk": 8}
INDEXED: dict[str, dict[str, Any]] = {
    "deepseek_v32": {**_MLA, **_INDEX},
    "glm_moe_dsa": {**_MLA, **_INDEX},
    "glm_moe_dsa_shared": {
        "model_type": "glm_moe_dsa",
        **_MLA,
        **_INDEX,
        "num_hidden_layers": 6,
        "indexer_types": ["full", "shared"] * 3,
    },
    "hy_v4": {
        **_MLA,
        **_INDEX,
        "num_hidden_layers": 6,
        "indexer_types": ["full", "full", "shared"] * 2,
        "num_experts": 4,
        "hc_mult": 2,
        "shared_experts_intermediate_size": 32,
    },
}
"""Architectures whose layers choose which keys they look at by an index of them, or by that of the layer before."""

_TOWER: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
_QWEN_TOWER: dict[str, Any] = {
    "depth": 4,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_heads": 2,
    "out_hidden_size": 48,
    "num_position_embeddings": 16,
    "deepstack_visual_indexes": [0],
}
_QWEN_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 2, 2]}
WRAPPERS: dict[str, dict[str, Any]] = {
    "mistral3": {
        "text_config": {**_LLAMA, "model_type": "mistral", "head_dim": 12},
        "vision_config": {**_TOWER, "model_type": "pixtral", "head_dim": 16},
    },
    "gemma3": {
        "text_config": {**_LLAMA, "model_type": "gemma3_text", "sliding_window": 8, "head_dim": 16},
        "vision_config": {**_TOWER, "model_type": "siglip_vision_model"},
        "mm_tokens_per_image": 4,
    },
    "qwen2_5_vl": {
        "text_config": {**_LLAMA, "model_type": "qwen2_5_vl_text", "hidden_size": 64, "rope_parameters": _QWEN_ROPE},
        "vision_config": {**_QWEN_TOWER, "model_type": "qwen2_5_vl", "out_hidden_size": 64},
    },
    "qwen3_5": {
        "text_config": {**_LLAMA, "model_type": "qwen3_5_text", **_DELTA, "layer_types": _ALTERNATING},
        "vision_config": {**_QWEN_TOWER, "model_type": "qwen3_5"},
    },
}
"""Models that also see, whose text is served."""

NOT_SPLIT: dict[str, dict[str, Any]] = {
    "gemma3n_text": {
        "num_kv_shared_layers": 2,
        "head_dim": 16,
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 16,
        "laurel_rank": 8,
    },
    "zamba2": {"num_mem_blocks": 1, "attention_head_dim": 24, "layers_block_type": ["mamba", "hybrid"] * 2},
}
"""Decoders whose blocks need of each other more than hidden states."""


def make_config(name: str) -> Any:
    """The config of a tiny model of architecture ``name``."""
    given = {**EXACT, **ALSO, **HYBRID, **INDEXED, **WRAPPERS, **NOT_SPLIT}[name]
    options = dict(given) if name in WRAPPERS else {**_LLAMA, **given}
    return AutoConfig.for_model(options.pop("model_type", name), **options)


def make_model(name: str, directory: Path, *, seed: int = 0, shard_size: str = "1GB") -> Path:
    """Write a tiny model of architecture ``name`` with seeded random weights to ``directory``; no tokenizer.

    ``shard_size`` limits the size of one safetensors file, in transformers' notation.
    """
    torch.manual_seed(seed)
    auto = AutoModelForImageTextToText if name in WRAPPERS else AutoModelForCausalLM
    model = auto.from_config(make_config(name), dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # norms and biases start as constants, which hides whether they were loaded
                parameter.add_(torch.randn_like(parameter) * 0.1)
        # Embeddings that outweigh the blocks make every model with tied weights repeat its last token.
        model.get_input_embeddings().weight.mul_(0.1)
    model.generation_config.eos_token_id = None
    model.save_pretrained(directory, max_shard_size=shard_size)
    return directory
