#!/usr/bin/env python3
"""Holds the losses and gradients of the AMX trainer against PyTorch's. usage: check_gradients.py FOLDER (of train --dump)"""
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import bert  # noqa: E402  (lies in the folder above)


def main(folder):
    config = folder / "config.json"
    model = bert.load(folder) if config.exists() else sys.exit(f"no {config}")
    lines = (folder / "batch.txt").read_text().splitlines()
    mlm, nsp, weight = map(float, lines[0].split())
    mlm_sum = nsp_sum = loss = 0.0
    for line in lines[1:]:
        numbers = list(map(int, line.split()))
        length, label = numbers[:2]
        ids, types, targets = (torch.tensor(numbers[2 + i::3])[None] for i in range(3))
        x = model.encode(ids, types, torch.tensor([length]))
        at = targets != -100
        mlm_loss = F.cross_entropy(model.word_logits(x[at]), targets[at], reduction="sum")
        loss = loss + mlm_loss
        mlm_sum += mlm_loss.item()
        if label >= 0:
            nsp_loss = F.cross_entropy(model.next_logits(x), torch.tensor([label]))
            loss = loss + weight * nsp_loss
            nsp_sum += nsp_loss.item()
    loss.backward()
    print(f"mlm loss {mlm:.4f} here {mlm_sum:.4f}, next sentence {nsp:.5f} here {nsp_sum:.5f}")
    ok = abs(mlm - mlm_sum) < 3e-3 * mlm_sum and abs(nsp - nsp_sum) < 1e-2 * nsp_sum
    gradients, offset = np.fromfile(folder / "gradients.f32", dtype="<f4"), 0
    parameters = dict(model.named_parameters())
    for name in bert.read_safetensors(folder / "model.safetensors"):  # in the trainer's order
        want = parameters[name].grad.numpy().ravel()
        got = gradients[offset:offset + want.size]
        offset += want.size
        error = np.linalg.norm(got - want) / (np.linalg.norm(want) + 1e-6)
        # Keys' biases have no gradient but rounding: the softmax does not see them.
        bad = error > 0.05 and not name.endswith("key.bias")
        ok &= not bad
        print(f"{'BAD ' if bad else ''}{name}: norm {np.linalg.norm(want):.4g}, relative error {error:.4f}")
    sys.exit(0 if ok else "the gradients differ")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
