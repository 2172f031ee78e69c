"""Makes the sentence encoder of config/examples/embeddings.yaml: sentences/1/, an ONNX graph with its tokenizer.

The text is what the pinned Python packages say of themselves (docstrings of numpy, scipy and scikit-learn, and
Python's own help topics), so nothing is downloaded, and what the model knows of is numbers and programs. A token
has the vector that latent semantic analysis gives it: the words of one docstring lie close together. Above the
vectors is one block of self-attention without weights of its own: a token is moved towards the tokens of its
sentence that are like it. It pools by the mean, as the files beside it say in the words of sentence-transformers.

    python make_sentences.py            writes sentences/1/ beside this file
    python make_sentences.py --check    measures the files that are there, and writes nothing
"""

import argparse
import collections
import importlib
import inspect
import json
import pathlib
import pkgutil
import pydoc_data.topics
import re
import sys
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds

HERE = pathlib.Path(__file__).resolve().parent
FOLDER = HERE / "sentences" / "1"
VOCABULARY = 2000
WIDTH = 64
MAX_TOKENS = 128
HELD_OUT = 5  # every fifth docstring is never trained on
WANTED_RECALL = 0.5
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORD = re.compile(r"[a-z]+|[0-9]|[^a-z0-9\s]")


def docstrings():
    """Pairs of the first sentence and the rest, in a fixed order."""
    warnings.simplefilter("ignore")
    seen = {}
    for name in ("numpy", "scipy", "sklearn"):
        package = importlib.import_module(name)
        modules = [name] + [m.name for m in pkgutil.walk_packages(package.__path__, name + ".") if wanted(m.name)]
        for module in sorted(modules):
            try:
                members = sorted(vars(importlib.import_module(module)).items())
            except Exception:
                continue
            for _, member in members:
                if inspect.isclass(member) or inspect.isroutine(member):
                    add(seen, inspect.getdoc(member))
    for topic in sorted(pydoc_data.topics.topics):
        for paragraph in pydoc_data.topics.topics[topic].split("\n\n"):
            add(seen, paragraph)
    return [seen[summary] for summary in sorted(seen)]


def wanted(module):
    return not re.search(r"\.tests?\b|\._|\.conftest|\.setup|\.f2py|distutils|array_api|externals", module)


def add(seen, text):
    summary, _, body = (text or "").partition("\n\n")
    summary = " ".join(summary.split())
    body = re.sub(r"^.*[-=]{3,}.*$|^\s*>>>.*$", "", body, flags=re.M)
    if 5 <= len(summary.split()) <= 40 and len(body.split()) >= 20:
        seen.setdefault(summary, (summary, " ".join(body.split()[:200])))


def words(text):
    return WORD.findall(text.lower())


def vocabulary(texts):
    """Whole words that are frequent, and the letters of which the others are spelled."""
    counts = collections.Counter(word for text in texts for word in words(text))
    letters = [c for c in sorted(set("".join(counts))) if c.isascii()]
    pieces = letters + ["##" + c for c in letters if c.isalnum()]
    endings = collections.Counter()
    for word, count in counts.items():
        for n in (2, 3, 4):
            if word.isalpha() and len(word) > n + 2:
                endings["##" + word[-n:]] += count
    pieces += [piece for piece, _ in sorted(endings.items(), key=lambda e: (-e[1], e[0]))[:200]]
    frequent = sorted(counts.items(), key=lambda e: (-e[1], e[0]))
    whole = [word for word, _ in frequent if len(word) > 1]
    return (SPECIAL + pieces + whole)[:VOCABULARY]


def tokenizer(tokens):
    """tokenizer.json: lower case, words, WordPiece, [CLS] before and [SEP] behind."""
    special = [
        {"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i, t in enumerate(SPECIAL)
    ]
    at = {t: {"id": t, "ids": [SPECIAL.index(t)], "tokens": [t]} for t in ("[CLS]", "[SEP]")}
    edge = lambda t, i: {"SpecialToken": {"id": t, "type_id": i}}
    text = lambda s, i: {"Sequence": {"id": s, "type_id": i}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": special,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [edge("[CLS]", 0), text("A", 0), edge("[SEP]", 0)],
            "pair": [edge("[CLS]", 0), text("A", 0), edge("[SEP]", 0), text("B", 1), edge("[SEP]", 1)],
            "special_tokens": at,
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {t: i for i, t in enumerate(tokens)},
        },
    }


def pieces(text, index):
    """The ids of a text as the tokenizer finds them, without [CLS] and [SEP]."""
    ids = []
    for word in words(text):
        start, found = 0, []
        while start < len(word):
            end = len(word)
            while end > start and ("##" if start else "") + word[start:end] not in index:
                end -= 1
            if end == start:
                found = [SPECIAL.index("[UNK]")]
                break
            found.append(index[("##" if start else "") + word[start:end]])
            start = end
        ids += found
    return ids


def train(texts, tokens):
    """A vector for each token: latent semantic analysis of tokens by text, with the weights of its entropy."""
    index = {t: i for i, t in enumerate(tokens)}
    rows, columns, values = [], [], []
    for column, text in enumerate(texts):
        for i, count in collections.Counter(pieces(text, index)).items():
            rows.append(i)
            columns.append(column)
            values.append(np.log1p(count))
    matrix = csr_matrix((values, (rows, columns)), shape=(len(tokens), len(texts)))
    share = matrix.multiply(1 / np.maximum(matrix.sum(axis=1), 1e-9)).tocsr()
    entropy = share.copy()
    entropy.data = entropy.data * np.log(entropy.data)
    weight = 1 + np.asarray(entropy.sum(axis=1)).ravel() / np.log(len(texts))
    weight[: len(SPECIAL)] = 0
    weighted = matrix.multiply(weight[:, None]).tocsr()
    start = np.ones(min(weighted.shape))
    left, strength, _ = svds(weighted, k=WIDTH, v0=start)
    left = left * np.sign(left[np.abs(left).argmax(axis=0), np.arange(WIDTH)])
    vectors = left * np.sqrt(strength)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return (vectors * weight[:, None] ** 2).astype(np.float32)


def build(vectors):
    """input_ids, attention_mask -> look up -> x + attention(x, x, x) -> last_hidden_state [N, T, WIDTH]."""
    step = np.maximum(np.abs(vectors).max(axis=0) / 127, 1e-9).astype(np.float32)
    constants = [
        numpy_helper.from_array(np.round(vectors / step).astype(np.int8), "vectors"),
        numpy_helper.from_array(step, "step"),
        numpy_helper.from_array(np.float32(8), "sharpness"),
        numpy_helper.from_array(np.float32(1), "one"),
        numpy_helper.from_array(np.float32(1e9), "far"),
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]
    node = helper.make_node
    nodes = [
        node("Gather", ["vectors", "input_ids"], ["found"]),
        node("Cast", ["found"], ["whole"], to=TensorProto.FLOAT),
        node("Mul", ["whole", "step"], ["x"]),
        node("Transpose", ["x"], ["keys"], perm=[0, 2, 1]),
        node("MatMul", ["x", "keys"], ["products"]),
        node("Mul", ["products", "sharpness"], ["scores"]),
        node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        node("Sub", ["mask", "one"], ["absent"]),
        node("Mul", ["absent", "far"], ["penalty"]),
        node("Unsqueeze", ["penalty", "axis"], ["penalties"]),
        node("Add", ["scores", "penalties"], ["masked"]),
        node("Softmax", ["masked"], ["attention"], axis=-1),
        node("MatMul", ["attention", "x"], ["context"]),
        node("Add", ["x", "context"], ["last_hidden_state"]),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "sentences",
        [info("input_ids", TensorProto.INT64, ["N", "T"]), info("attention_mask", TensorProto.INT64, ["N", "T"])],
        [info("last_hidden_state", TensorProto.FLOAT, ["N", "T", WIDTH])],
        constants,
    )
    model = helper.make_model(
        graph, producer_name="make_sentences.py", opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def write(tokens, vectors):
    (FOLDER / "1_Pooling").mkdir(parents=True, exist_ok=True)
    (FOLDER / "model.onnx").write_bytes(build(vectors))
    put("tokenizer.json", tokenizer(tokens))
    put("modules.json", [module(0, "", "Transformer"), module(1, "1_Pooling", "Pooling"), module(2, "2_Normalize", "Normalize")])
    put("1_Pooling/config.json", {"word_embedding_dimension": WIDTH, "pooling_mode_mean_tokens": True})
    put("sentence_bert_config.json", {"max_seq_length": MAX_TOKENS, "do_lower_case": False})


def module(i, path, kind):
    return {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}


def put(name, value):
    (FOLDER / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n")


def embed(session, index, texts):
    vectors = []
    for text in texts:
        ids = [SPECIAL.index("[CLS]"), *pieces(text, index)[: MAX_TOKENS - 2], SPECIAL.index("[SEP]")]
        given = {"input_ids": np.array([ids]), "attention_mask": np.ones((1, len(ids)), np.int64)}
        vector = session.run(None, given)[0][0].mean(axis=0)
        vectors.append(vector / max(np.linalg.norm(vector), 1e-12))
    return np.stack(vectors)


def measure(pairs):
    """How often the first sentence of a docstring that was held out finds the rest of it among all of those."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(FOLDER / "model.onnx"), options, providers=["CPUExecutionProvider"])
    index = json.loads((FOLDER / "tokenizer.json").read_text())["model"]["vocab"]
    likeness = embed(session, index, [s for s, _ in pairs]) @ embed(session, index, [b for _, b in pairs]).T
    rank = (likeness > likeness.diagonal()[:, None]).sum(axis=1)
    size = sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file())
    recall = float((rank < 10).mean())
    print(
        f"sentences: of {len(pairs)} held-out summaries {(rank == 0).mean():.1%} find their text first, "
        f"{recall:.1%} among the first ten; {size} bytes"
    )
    if recall < WANTED_RECALL:
        sys.exit(f"under {WANTED_RECALL:.0%}: something is wrong with the training")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="measure the files that are there; write nothing")
    only_check = parser.parse_args().check
    pairs = docstrings()
    held_out = pairs[::HELD_OUT]
    if not only_check:
        trained = [" ".join(pair) for i, pair in enumerate(pairs) if i % HELD_OUT != 0]
        tokens = vocabulary(trained)
        write(tokens, train(trained, tokens))
    measure(held_out)


if __name__ == "__main__":
    main()
