"""Writes a tiny Llama model with random weights as GGUF: `tiny_model.py OUT.gguf`.

Its vocabulary is the 256 bytes and three specials, its text nonsense, and at temperature 0 always the same nonsense.
"""

import sys

import gguf
import numpy as np

VOCABULARY, WIDTH, LAYERS, HEADS, INNER, CONTEXT = 259, 64, 2, 4, 128, 2048

random = np.random.default_rng(7)
writer = gguf.GGUFWriter(sys.argv[1], "llama")
writer.add_name("tiny")
writer.add_context_length(CONTEXT)
writer.add_embedding_length(WIDTH)
writer.add_block_count(LAYERS)
writer.add_feed_forward_length(INNER)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_rope_dimension_count(WIDTH // HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_vocab_size(VOCABULARY)
writer.add_tokenizer_model("llama")
writer.add_token_list([b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))])
writer.add_token_scores([0.0] * VOCABULARY)
kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [gguf.TokenType.BYTE] * 256
writer.add_token_types([int(kind) for kind in kinds])
writer.add_unk_token_id(0)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_add_bos_token(True)
writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}assistant:")


def weights(name: str, *shape: int) -> None:
    writer.add_tensor(name, random.normal(0, 0.4, shape).astype(np.float32))


def norm(name: str) -> None:
    writer.add_tensor(name, np.ones(WIDTH, np.float32))


weights("token_embd.weight", VOCABULARY, WIDTH)
for layer in range(LAYERS):
    norm(f"blk.{layer}.attn_norm.weight")
    for part in ("q", "k", "v", "output"):
        weights(f"blk.{layer}.attn_{part}.weight", WIDTH, WIDTH)
    norm(f"blk.{layer}.ffn_norm.weight")
    weights(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
    weights(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
    weights(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)
norm("output_norm.weight")
weights("output.weight", VOCABULARY, WIDTH)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
