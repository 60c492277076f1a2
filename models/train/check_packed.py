#!/usr/bin/env python3
"""Holds packed batches against padded ones, on the CPU, and Muon against its definition. usage: check_packed.py vocab.txt SHARDS"""
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

import bert
import examples
import muon
import packed


def check(name, good):
    print(f"{'' if good else 'BAD '}{name}")
    if not good:
        sys.exit(f"{name}: no")


def main(vocab, shards):
    vocabulary = examples.Vocabulary(vocab)
    corpus = examples.Corpus(shards, "train")
    torch.manual_seed(1)
    model = bert.Bert({"vocab_size": vocabulary.size, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
                       "intermediate_size": 64, "max_position_embeddings": 64})
    for p in model.parameters():
        p.data += 0.1 * torch.randn_like(p)  # so that no bias is zero
    network = packed.Packed(model, packed.choose_attention(torch.device("cpu"), torch.float32, 2, 16), torch.float32)
    length, size = 40, 1024
    built = examples.build(corpus, vocabulary, examples.starts(corpus, 25), 1, length, size)
    check("several batches", len(built.tokens) > 2)
    continues = torch.from_numpy(vocabulary.continues)
    batch = examples.upload(built, length, torch.device("cpu"))[0]
    ids, asked, targets = examples.ask(batch, 150, vocabulary, continues)

    # What was asked: so many, whole words, and every last word that is marked.
    real = targets != examples.IGNORED
    check("asked as many as wanted", len(asked) == 150 and int(real.sum()) == 150 and len(set(asked.tolist())) == 150)
    check("targets are the pieces", bool((batch["ids"][asked] == targets).all()))
    final = ((batch["place"] & examples.FINAL) != 0).nonzero().flatten().tolist()
    check("last words are asked", len(final) > 0 and set(final) <= set(asked.tolist()))
    split = [i for i in asked.tolist() if vocabulary.continues[int(batch["ids"][i])] and i - 1 not in asked.tolist()]
    check("whole words", len(split) <= 1)

    # The same sequences one by one and padded: activations, losses, gradients.
    x = network.encode(ids, batch)
    sums = network.losses(ids, batch, asked, targets)
    (sums[0] + sums[1]).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    bounds = batch["bounds"].tolist()
    spans = [(a, b) for a, b in zip(bounds, bounds[1:]) if a < b]
    check("sequences fill the batch", spans[-1][1] == size and max(b - a for a, b in spans) <= length)
    rows, types = torch.zeros(2, len(spans), length, dtype=torch.long)
    for i, (a, b) in enumerate(spans):
        rows[i, :b - a], types[i, :b - a] = ids[a:b], ((batch["place"][a:b] & examples.SECOND) != 0).long()
    lengths = torch.tensor([b - a for a, b in spans])
    y = model.encode(rows, types, lengths)
    flat = torch.cat([y[i, :n] for i, n in enumerate(lengths.tolist())])
    check("activations", torch.allclose(x, flat, atol=1e-4))
    words = F.cross_entropy(model.word_logits(flat[asked]), targets, reduction="sum")
    following = F.cross_entropy(model.next_logits(y), batch["labels"][:len(spans)], ignore_index=-1, reduction="sum")
    check("losses", torch.allclose(torch.stack(sums[:2]), torch.stack([words, following]), rtol=1e-4))
    (words + following).backward()
    for name, p in model.named_parameters():
        check(f"gradient of {name}", (p.grad - gradients[name]).norm() <= 1e-3 * p.grad.norm() + 1e-3)

    # Segments: B of label 0 follows A in the text.
    text = corpus.tokens.tobytes()
    for i, (a, b) in enumerate(spans):
        if batch["labels"][i] == 0 and b - a < length:
            pieces = batch["ids"][a:b][batch["ids"][a:b] != vocabulary.sep][1:].numpy().astype("<u2")
            check("B continues A", pieces.tobytes() in text)

    for shape in ((3, 64, 64), (2, 96, 32), (2, 32, 96)):
        values = torch.linalg.svdvals(muon.orthogonalize(torch.randn(shape)))
        check(f"singular values {values.min():.2f} to {values.max():.2f}", 0.3 < values.min() and values.max() < 1.3)
    matrix = torch.nn.Parameter(torch.randn(8, 4))
    before, gradient = matrix.detach().clone(), torch.randn(8, 4)
    matrix.grad = gradient
    muon.Muon([matrix], decay=0.1).step(0.01)
    want = before * (1 - 0.001) - 0.01 * 0.2 * 8 ** 0.5 * muon.orthogonalize(gradient)
    check("a step of Muon", torch.allclose(matrix, want, atol=1e-4))


if __name__ == "__main__":
    np.seterr(all="raise")
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
