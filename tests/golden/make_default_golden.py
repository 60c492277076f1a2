#!/usr/bin/python3
"""Makes tests/golden/default_model.json: what the default model gives for a few sentences, by PyTorch.

Run by hand, with Debian's python3-torch, whenever models/default changes; its output is committed. PyTorch computes in float64
from the folder's own weights (int8 times the scale of its row), so that only the engine's arithmetic is under test.
README.md states the format.
"""
import base64
import json
import pathlib
import sys

import numpy as np
import torch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "models" / "train"), str(ROOT / "models" / "evaluate")]
import bert  # noqa: E402  (lies in models/train)
import evaluate  # noqa: E402  (lies in models/evaluate)

CASES = [
    ("capital", "The capital of France is [MASK].", None),
    ("weather", "The weather is [MASK].", "We go for a [MASK]."),
]


def tensor(values):
    values = values.numpy().astype("<f4")
    return {"shape": list(values.shape), "data": base64.b64encode(values.tobytes()).decode()}


def main():
    folder = ROOT / "models" / "default"
    tokenizer = evaluate.Tokenizer(folder / "vocab.txt")
    model = bert.load(folder).double()
    vocab, cases = tokenizer.vocab, []
    for name, text, pair in CASES:
        a = [vocab["[CLS]"], *tokenizer.ids(text), vocab["[SEP]"]]
        b = [*tokenizer.ids(pair), vocab["[SEP]"]] if pair else []
        ids, types = a + b, [0] * len(a) + [1] * len(b)
        states, attentions, words = [], [], []
        with torch.no_grad():
            x = model.encode(torch.tensor([ids]), torch.tensor([types]), torch.tensor([len(ids)]), states, attentions)
            for token in (i for i, id_ in enumerate(ids) if id_ == vocab["[MASK]"]):
                logits = model.word_logits(x[0, token])
                top = logits.topk(20)
                words.append({"token": token, "ids": top.indices.tolist(), "logits": [round(v, 6) for v in top.values.tolist()],
                              "log_sum": round(logits.logsumexp(0).item(), 6)})
            cases.append({
                "name": name, "text": text, "pair": pair, "input_ids": [ids], "token_type_ids": [types],
                "attention_mask": [[1] * len(ids)], "hidden_states": [tensor(state) for state in states],
                "attentions": [tensor(shares) for shares in attentions], "pooler_output": tensor(model.pooled(x)),
                "nsp_logits": tensor(model.next_logits(x)), "mlm_words": words})
    lines = ",\n".join(json.dumps(case) for case in cases)
    (ROOT / "tests" / "golden" / "default_model.json").write_text('{"cases": [\n' + lines + "\n]}\n")


if __name__ == "__main__":
    main()
