#!/usr/bin/python3
"""Makes tests/golden/bert/*.json: what BERT gives for the small random models of models.json, by PyTorch.

Run by hand with Debian's python3-torch (and libopenblas0-pthread): /usr/bin/python3 tests/golden/make_golden.py
Its output is committed. --check makes nothing and fails if the committed files differ by more than their rounding.

BERT is written here once more, plainly, from the paper (arXiv 1810.04805) and the semantics of Hugging Face's
BertForPreTraining, in float64, so that the values are exact to the last float32 bit; README.md states the format and the
generator of the weights.
"""

import argparse
import base64
import json
import math
import pathlib
import sys

import numpy as np
import torch

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = 0x9E3779B97F4A7C15
MASK64 = (1 << 64) - 1
MASK_ID = 4  # [MASK] in the made-up vocabularies of fewer than 1000 pieces


# ---- weights: the integer generator of tests/support/checkpoint_maker.cpp ----


def fnv1a(data: bytes, value: int = 0xCBF29CE484222325) -> int:
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK64
    return value


def generate(key: str, seed: int, shape: tuple, deviation: float, mean: float) -> np.ndarray:
    """Element i: step i of splitmix64; the sum of its four 16-bit parts, shifted, times one float32."""
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        start = np.uint64(fnv1a(key.encode()) ^ (seed * GOLDEN & MASK64))
        z = start + (np.arange(count, dtype=np.uint64) + np.uint64(1)) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    part = np.uint64(0xFFFF)
    total = sum(((z >> np.uint64(shift)) & part).astype(np.int64) for shift in (0, 16, 32, 48))
    step = deviation / 37837.0
    shift = math.floor(mean / step + 0.5)
    values = (total - 131070 + shift).astype(np.float32) * np.float32(step)
    return values.reshape(shape)


def tensors_of(spec: dict) -> list:
    """(key, shape, deviation, mean) in the order of the checksum."""
    c = spec["config"]
    hidden, inner, vocab = c["hidden_size"], c["intermediate_size"], c["vocab_size"]
    result = []

    def matrix(name, rows, columns, spread):
        result.append((f"{name}.weight", (rows, columns), spread / math.sqrt(columns), 0.0))

    def dense(name, rows, columns, spread, bias=0.1):
        matrix(name, rows, columns, spread)
        result.append((f"{name}.bias", (rows,), bias, 0.0))

    def norm(name):
        result.append((f"{name}.weight", (hidden,), 0.15, 0.9))
        result.append((f"{name}.bias", (hidden,), 0.1, 0.0))

    matrix("bert.embeddings.word_embeddings", vocab, hidden, 3.0)
    matrix("bert.embeddings.position_embeddings", c["max_position_embeddings"], hidden, 1.5)
    matrix("bert.embeddings.token_type_embeddings", c["type_vocab_size"], hidden, 0.6)
    norm("bert.embeddings.LayerNorm")
    for i in range(c["num_hidden_layers"]):
        layer = f"bert.encoder.layer.{i}"
        dense(f"{layer}.attention.self.query", hidden, hidden, 1.3)
        dense(f"{layer}.attention.self.key", hidden, hidden, 1.3)
        dense(f"{layer}.attention.self.value", hidden, hidden, 1.0)
        dense(f"{layer}.attention.output.dense", hidden, hidden, 1.0)
        norm(f"{layer}.attention.output.LayerNorm")
        dense(f"{layer}.intermediate.dense", inner, hidden, 1.2)
        dense(f"{layer}.output.dense", hidden, inner, 1.2)
        norm(f"{layer}.output.LayerNorm")
    if spec.get("pooler", True):
        dense("bert.pooler.dense", hidden, hidden, 1.0)
    if spec.get("mlm_head", True):
        dense("cls.predictions.transform.dense", hidden, hidden, 1.2)
        norm("cls.predictions.transform.LayerNorm")
        if not c.get("tie_word_embeddings", True):
            matrix("cls.predictions.decoder", vocab, hidden, 3.0)
        result.append(("cls.predictions.bias", (vocab,), 0.3, 0.0))
    if spec.get("nsp_head", True):
        dense("cls.seq_relationship", 2, hidden, 2.0, bias=0.3)
    return result


def stored(values: np.ndarray, dtype: str) -> np.ndarray:
    """What is left of the values after storing them in the type."""
    if dtype == "F32":
        return values
    narrow = {"F16": torch.float16, "BF16": torch.bfloat16}[dtype]
    return torch.from_numpy(values).to(narrow).to(torch.float32).numpy()


def make_weights(spec: dict) -> tuple:
    """The weights by name, float64, and their checksum as 16 hexadecimal digits."""
    weights, checksum = {}, fnv1a(b"")
    for key, shape, deviation, mean in tensors_of(spec):
        values = stored(generate(key, spec["seed"], shape, deviation, mean), spec.get("dtype", "F32"))
        checksum = fnv1a(values.astype("<f4").tobytes(), checksum)
        weights[key] = torch.from_numpy(values.astype(np.float64))
    return weights, f"{checksum:016x}"


# ---- BERT ----

ACTIVATIONS = {
    "gelu": lambda x: x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
    "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "relu": torch.relu,
}


class Bert:
    def __init__(self, spec: dict, dtype=torch.float64):
        self.spec, self.config = spec, spec["config"]
        self.weights, self.checksum = make_weights(spec)
        self.weights = {name: tensor.to(dtype) for name, tensor in self.weights.items()}
        self.dtype = dtype

    def dense(self, name, x):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def norm(self, name, x):
        mean = x.mean(-1, keepdim=True)
        variance = ((x - mean) ** 2).mean(-1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + self.config["layer_norm_eps"])
        return x * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def activation(self, x):
        return ACTIVATIONS[self.config["hidden_act"]](x)

    def heads(self, x):
        batch, tokens, hidden = x.shape
        count = self.config["num_attention_heads"]
        return x.view(batch, tokens, count, hidden // count).transpose(1, 2)

    def run(self, ids, types, mask) -> dict:
        """ids, types, mask [batch, tokens]. Every position is computed; hidden keys have probability 0."""
        w = self.weights
        total = (
            w["bert.embeddings.word_embeddings.weight"][ids]
            + w["bert.embeddings.token_type_embeddings.weight"][types]
            + w["bert.embeddings.position_embeddings.weight"][: ids.shape[1]]
        )
        states = [self.norm("bert.embeddings.LayerNorm", total)]
        hidden_keys = (1 - mask)[:, None, None, :].to(self.dtype) * torch.finfo(self.dtype).min
        attentions, probes = [], []
        for i in range(self.config["num_hidden_layers"]):
            name, x = f"bert.encoder.layer.{i}", states[-1]
            query = self.dense(f"{name}.attention.self.query", x)
            key = self.dense(f"{name}.attention.self.key", x)
            value = self.dense(f"{name}.attention.self.value", x)
            q, k, v = self.heads(query), self.heads(key), self.heads(value)
            scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
            attention = torch.softmax(scores + hidden_keys, -1)
            context = (attention @ v).transpose(1, 2).reshape(x.shape)
            attended = self.norm(
                f"{name}.attention.output.LayerNorm", self.dense(f"{name}.attention.output.dense", context) + x
            )
            inner = self.activation(self.dense(f"{name}.intermediate.dense", attended))
            states.append(self.norm(f"{name}.output.LayerNorm", self.dense(f"{name}.output.dense", inner) + attended))
            attentions.append(attention)
            probes.append(
                {
                    "query": query,
                    "key": key,
                    "value": value,
                    "scores": scores,
                    "context": context,
                    "attention_output": attended,
                    "feed_forward": inner,
                }
            )
        result = {"embedding_sum": total, "hidden_states": states, "attentions": attentions, "probes": probes}
        if self.spec.get("pooler", True):
            result["pooler_output"] = torch.tanh(self.dense("bert.pooler.dense", states[-1][:, 0]))
            if self.spec.get("nsp_head", True):
                result["nsp_logits"] = self.dense("cls.seq_relationship", result["pooler_output"])
        if self.spec.get("mlm_head", True):
            x = self.activation(self.dense("cls.predictions.transform.dense", states[-1]))
            x = self.norm("cls.predictions.transform.LayerNorm", x)
            tied = self.config.get("tie_word_embeddings", True)
            table = "bert.embeddings.word_embeddings" if tied else "cls.predictions.decoder"
            result["mlm_logits"] = x @ w[f"{table}.weight"].T + w["cls.predictions.bias"]
        return result


# ---- cases: the same kinds of input for every model ----


def ids_of(count: int, salt: int, vocab: int) -> list:
    """Token ids that are no special tokens: 5 .. vocab - 1."""
    return [5 + (37 * i * i + 11 * i + 29 * salt) % (vocab - 5) for i in range(count)]


def cases_of(config: dict) -> list:
    vocab, types = config["vocab_size"], config["type_vocab_size"]

    def single(count, salt, masked):
        ids = [2] + ids_of(count - 2, salt, vocab) + [3]
        labels = [-100] * count
        for position in masked:
            labels[position] = ids[position]
            ids[position] = MASK_ID
        return ids, labels

    def pair(first, second, salt):
        ids = [2] + ids_of(first, salt, vocab) + [3] + ids_of(second, salt + 1, vocab) + [3]
        return ids, [0] * (first + 2) + [types - 1] * (second + 1)

    one, one_labels = single(9, 1, [3, 7])
    long, long_types = pair(2, 2, 2)
    short, short_labels = single(3, 4, [1])
    middle, middle_types = pair(1, 1, 5)
    longest = len(long)

    def pad(row, value):
        return row + [value] * (longest - len(row))

    batch = {
        "input_ids": [long, pad(short, 0), pad(middle, 0)],
        "token_type_ids": [long_types, [0] * longest, pad(middle_types, 0)],
        "attention_mask": [[1] * longest, pad([1] * 3, 0), pad([1] * len(middle), 0)],
        "labels": [[-100] * longest, pad(short_labels, -100), [-100] * longest],
        "next_sentence_label": [0, 1, 0],
    }
    odd, _ = single(7, 6, [4])
    return [
        {
            "name": "one",
            "input_ids": [one],
            "token_type_ids": [[0] * 9],
            "attention_mask": [[1] * 9],
            "labels": [one_labels],
        },
        {"name": "batch", **batch},
        {"name": "batch_without_mask", **{**batch, "attention_mask": [[1] * longest] * 3}},
        # padding on the left, and a token in the middle that nobody may look at
        {"name": "holes", "input_ids": [odd], "token_type_ids": [[0] * 7], "attention_mask": [[0, 0, 1, 1, 1, 0, 1]]},
    ]


def packed(tensor) -> dict:
    data = tensor.to(torch.float64).numpy().astype("<f4")
    return {"shape": list(data.shape), "data": base64.b64encode(data.tobytes()).decode()}


def losses(bert: Bert, case: dict, result: dict, out: dict) -> None:
    if "labels" in case and "mlm_logits" in result:
        logits = torch.log_softmax(result["mlm_logits"], -1)
        each = [
            -logits[row, position, label].item()
            for row, labels in enumerate(case["labels"])
            for position, label in enumerate(labels)
            if label != -100
        ]
        out["mlm_losses"], out["mlm_loss"] = each, sum(each) / len(each)
    if "next_sentence_label" in case and "nsp_logits" in result:
        logits = torch.log_softmax(result["nsp_logits"], -1)
        each = [-logits[row, label].item() for row, label in enumerate(case["next_sentence_label"])]
        out["nsp_loss"] = sum(each) / len(each)


def scores_of(bert: Bert, ids: list, types: list) -> list:
    """log P(token | all others) for every token between [CLS] and [SEP], each masked in turn."""
    result = []
    for position in range(1, len(ids) - 1):
        masked = torch.tensor([ids])
        masked[0, position] = MASK_ID
        logits = bert.run(masked, torch.tensor([types]), torch.ones_like(masked))["mlm_logits"]
        result.append(torch.log_softmax(logits[0, position], -1)[ids[position]].item())
    return result


def make_case(bert: Bert, case: dict) -> dict:
    arrays = [torch.tensor(case[name]) for name in ("input_ids", "token_type_ids", "attention_mask")]
    result = bert.run(*arrays)
    out = dict(case)
    out["hidden_states"] = [packed(state) for state in result["hidden_states"]]
    if case["name"] != "batch_without_mask":
        out["attentions"] = [packed(attention) for attention in result["attentions"]]
    for name in ("pooler_output", "nsp_logits", "mlm_logits"):
        if name in result and (name != "mlm_logits" or case["name"] in ("one", "batch")):
            out[name] = packed(result[name])
    losses(bert, case, result, out)
    if case["name"] == "one" and bert.spec.get("probes"):
        out["embedding_sum"] = packed(result["embedding_sum"])
        out["probes"] = [{name: packed(value) for name, value in layer.items()} for layer in result["probes"]]
    if case["name"] == "one" and "mlm_logits" in result:
        full = [label if label != -100 else id for label, id in zip(case["labels"][0], case["input_ids"][0])]
        out["scored_ids"] = full
        out["log_probabilities"] = scores_of(bert, full, case["token_type_ids"][0])
    return out


def float32_error(spec: dict, cases: list, exact: Bert) -> float:
    """How far PyTorch's own float32 is from the values kept: the noise that any float32 engine may have."""
    single, worst = Bert(spec, torch.float32), 0.0
    for case in cases:
        arrays = [torch.tensor(case[name]) for name in ("input_ids", "token_type_ids", "attention_mask")]
        for a, b in zip(single.run(*arrays)["hidden_states"], exact.run(*arrays)["hidden_states"]):
            worst = max(worst, (a.double() - b).abs().max().item())
    return worst


def make(name: str, spec: dict) -> dict:
    bert = Bert(spec)
    cases = cases_of(spec["config"])
    return {
        "model": name,
        "weights_fnv1a": bert.checksum,
        "torch": torch.__version__,
        "float32_error": float(f"{float32_error(spec, cases, bert):.1e}"),
        "cases": [make_case(bert, case) for case in cases],
    }


def same(a, b) -> bool:
    """Equal, numbers and packed tensors up to rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        if set(a) == {"shape", "data"} == set(b) and a["shape"] == b["shape"]:
            x, y = (np.frombuffer(base64.b64decode(v["data"]), "<f4") for v in (a, b))
            return bool(np.allclose(x, y, rtol=1e-5, atol=1e-6))
        return set(a) == set(b) and all(same(a[k], b[k]) for k in a if k not in ("torch", "float32_error"))
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-12)
    return a == b


def text_of(golden: dict) -> str:
    """One line for each case, so that a change shows its case."""
    head = {key: value for key, value in golden.items() if key != "cases"}
    cases = ",\n".join(json.dumps(case, separators=(",", ":")) for case in golden["cases"])
    return json.dumps(head)[:-1] + ', "cases": [\n' + cases + "\n]}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare with the committed files, write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    models = json.loads((HERE / "models.json").read_text())
    wrong = []
    for name, spec in models.items():
        golden = make(name, spec)
        path = HERE / "bert" / f"{name}.json"
        if check:
            if not path.exists() or not same(json.loads(path.read_text()), golden):
                wrong.append(path.name)
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(text_of(golden))
        print(f"{path.relative_to(HERE)}: {path.stat().st_size} bytes, float32 error {golden['float32_error']}")
    for path in wrong:
        print(f"{path} is not what this script makes", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
