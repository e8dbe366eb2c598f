"""What configs call their sizes, and how small each is in a tiny model."""

from __future__ import annotations

from typing import Any

_BY_VALUE: list[tuple[Any, str]] = [
    (
        64,
        "hidden_size d_model n_embd embedding_size embedding_dim emb_dim lru_width out_hidden_size projection_dim "
        "backbone_hidden_size attention_hidden_size input_embedding_size output_embedding_size text_hidden_size "
        "num_position_embeddings original_max_position_embeddings",
    ),
    (
        96,
        "intermediate_size ffn_dim decoder_ffn_dim encoder_ffn_dim dff d_inner dim_ff intermediate_size_mlp "
        "dense_intermediate_size prefix_dense_intermediate_size",
    ),
    (
        32,
        "shared_intermediate_size moe_intermediate_size shared_expert_intermediate_size expert_ffn_hidden_size "
        "shared_experts_intermediate_size moe_shared_expert_intermediate_size centroid_intermediate_size index_n_heads "
        "codebook_size dim_model_base",
    ),
    (
        6,
        "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers num_decoder_layers "
        "num_encoder_layers num_blocks",
    ),
    (
        4,
        "num_attention_heads n_head n_heads num_heads attention_heads decoder_attention_heads encoder_attention_heads "
        "num_decoder_attention_heads num_encoder_attention_heads num_experts n_routed_experts num_local_experts "
        "moe_num_experts linear_num_value_heads linear_num_heads swa_num_attention_heads d_rel index_block_size "
        "index_kpool",
    ),
    (
        2,
        "num_key_value_heads num_kv_heads num_experts_per_tok moe_topk moe_k depth linear_num_key_heads "
        "num_global_key_value_heads swa_num_key_value_heads spatial_merge_size altup_num_inputs zero_expert_num "
        "n_layers_per_attn_res_block heads_per_ngram split_ngram_parts o_groups mamba_expand index_topk_blocks "
        "top_k_experts centroid_intermediate_top_k",
    ),
    (
        16,
        "head_dim global_head_dim kv_channels attention_head_dim kv_lora_rank qk_nope_head_dim v_head_dim "
        "index_head_dim mamba_d_head mamba_chunk_size chunk_size mamba_head_dim linear_key_head_dim "
        "linear_value_head_dim linear_head_dim block_size hidden_size_per_layer_input swa_head_dim rel_extent "
        "router_hidden_size num_mel_bins query_pre_attn_scalar dim_head d_head block_multiple_of ple_embed_dim "
        "num_embeddings relative_max_distance pronunciation_vocab_size shape_vocab_size",
    ),
    (
        8,
        "qk_rope_head_dim index_topk sliding_window sliding_window_size window_size attention_window_size "
        "local_attention attention_chunk_size mamba_d_state mamba_n_heads state_size ssm_state_size mamba_num_heads "
        "laurel_rank gated_norm_rank adapter_rank num_centroids keep_window_size local_attention_window_len hc_lowrank "
        "make_ngram_vocab_size_divisible_by o_lora_rank num_buckets rotary_dim",
    ),
    (
        1,
        "moe_num_shared_experts n_shared_experts num_shared_experts n_group topk_group first_k_dense_replace "
        "num_dense_layers mamba_n_groups n_groups mamba_ngroups",
    ),
    (3, "layer_group_size num_channels"),
    (24, "q_lora_rank"),
    (128, "vocab_size mamba_d_ssm vocab_size_per_layer_input unpadded_vocab_size decoder_vocab_size"),
    (512, "max_position_embeddings n_positions max_seq_len n_ctx context_length"),
    (28, "image_size"),
    (14, "patch_size"),
    (101, "ngram_vocab_size_base"),
    (0, "num_nextn_predict_layers num_mtp_layers"),
    (-1, "moe_layer_end_index"),
    (0.2, "initializer_range init_std"),
    (0.0, "attention_dropout hidden_dropout_prob"),
    (1.0, "logits_mup_width_multiplier"),
    (True, "is_decoder use_cache"),
    (None, "bos_token_id eos_token_id pad_token_id decoder_start_token_id forced_eos_token_id moe_latent_size"),
]
SIZES = {name: value for value, names in _BY_VALUE for name in names.split()}
"""By the name of a field, whatever the config."""

TOWER = dict.fromkeys(("num_hidden_layers", "num_layers", "depth", "encoder_layers"), 2)
"""Of what sees or hears."""
TEXT_ONLY = ("bos_token_id", "eos_token_id", "pad_token_id", "is_decoder")

_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
_SECTIONS = {"rope_parameters": {**_ROPE, "mrope_section": [4, 2, 2]}}
_HALF_SECTIONS = {"rope_parameters": {**_ROPE, "partial_rotary_factor": 0.5, "mrope_section": [2, 1, 1]}}
_GEMMA = {"layer_types": ["sliding_attention", "full_attention"] * 3, "pad_token_id": 0}
_CONVOLUTIONS = {"layer_types": ["conv", "conv", "full_attention"] * 2}

OWN: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [2, 5]},
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"] * 3,
        "rope_parameters": {"full_attention": _ROPE, "sliding_attention": _ROPE},
    },
    "cpmant": {"prompt_length": 4},
    "dbrx": {
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8.0, "rope_theta": 10000.0},
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 64},
    },
    "deepseek_v2": {"num_key_value_heads": 4},
    "ernie4_5_vl_moe_text": {"moe_intermediate_size": [32, 32]},
    "exaone4": {"sliding_window_pattern": 2},
    "gemma3n_text": {
        **_GEMMA,
        "num_kv_shared_layers": 2,
        "activation_sparsity_pattern": [0.0] * 6,
        "intermediate_size": [96] * 6,
    },
    "gemma4_text": {**_GEMMA, "num_kv_shared_layers": 2},
    "gemma4_unified_text": _GEMMA,
    "glm46v_text": _SECTIONS,
    "glm4v_moe_text": _HALF_SECTIONS,
    "glm4v_text": _SECTIONS,
    "glmga_text": _SECTIONS,
    "gpt_neo": {"attention_types": [[["global", "local"], 3]]},
    "granitemoehybrid": {"layer_types": ["mamba", "mamba", "attention"] * 2},
    "jamba": {
        "attn_layer_period": 4,
        "attn_layer_offset": 2,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
    },
    "lfm2": {**_CONVOLUTIONS, "block_auto_adjust_ff_dim": False},
    "lfm2_moe": _CONVOLUTIONS,
    "llama4_text": {"no_rope_layers": [1, 1, 0] * 2, "moe_layers": [1, 3, 5]},
    "longcat_flash": {"head_dim": 8, "num_layers": 3},
    "mamba2": {"head_dim": 32, "num_heads": 4, "expand": 2},
    "minimax": {"layer_types": ["linear_attention", "full_attention"] * 3},
    "minimax_m3_vl_text": {"layer_types": ["full_attention", "minimax_m3_sparse"] * 3},
    "nemotron_h": {"layers_block_type": ["mamba", "moe", "mamba", "attention", "moe", "mamba"]},
    "qwen2_5_vl_text": _SECTIONS,
    "qwen2_vl_text": _SECTIONS,
    "qwen4_exp_text": {
        "indexer_n_heads": 4,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 16,
        "indexer_budget": 8,
        "indexer_compress_ratio": 1,
        "ple_layer_ids": [],
    },
    "recurrent_gemma": {"num_key_value_heads": 1, "block_types": ["recurrent", "recurrent", "attention"]},
    "reformer": {
        "attn_layers": ["local", "local"],
        "num_hidden_layers": 2,
        "axial_pos_embds": False,
        "attention_head_size": 16,
        "feed_forward_size": 64,
        "local_attn_chunk_length": 8,
        "hash_seed": 0,
    },
    "xlm": {"causal": True, "is_encoder": False},
    "xlnet": {"mem_len": None},
    "xmod": {"default_language": "en_XX"},
    "zamba": {
        "layers_block_type": ["mamba", "mamba", "hybrid"] * 2,
        "attn_layer_period": 3,
        "attn_layer_offset": 2,
        "attention_head_dim": 32,
        "n_mamba_heads": 2,
    },
    "zamba2": {
        "num_mem_blocks": 1,
        "attention_head_dim": 32,
        "layers_block_type": ["mamba", "mamba", "hybrid"] * 2,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""What single types need beside that, by the type of the text's config."""
