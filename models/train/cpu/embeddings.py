#!/usr/bin/env python3
"""Word embeddings to start training from: positive pointwise mutual information of neighbours, factored by SVD.

usage: embeddings.py --hidden 256 --out embeddings.f32 SHARD ...      (SHARD as written by prepare.py, without .tokens)

Counts how often each word piece stands within four places of each of the most frequent pieces, and keeps the strongest
directions of the PPMI matrix (Levy and Goldberg 2014), as raw float32 [vocabulary, hidden]. Minutes, and needs NumPy alone.
"""
import argparse
import time

import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--hidden", type=int, required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--vocab-size", type=int, default=30522)
    parser.add_argument("--contexts", type=int, default=3072, help="how many frequent pieces count as neighbours")
    parser.add_argument("--window", type=int, default=4)
    parser.add_argument("--std", type=float, default=0.04, help="standard deviation of the result")
    args = parser.parse_args()
    start = time.time()

    shards = [np.fromfile(f"{path}.tokens", dtype="<u2") for path in args.shards]
    frequency = sum(np.bincount(tokens, minlength=args.vocab_size) for tokens in shards)
    order = np.argsort(-frequency)[: args.contexts]
    context = np.full(args.vocab_size, args.contexts, dtype=np.int32)  # the last column takes all other pieces
    context[order] = np.arange(args.contexts)
    width = args.contexts + 1
    counts = np.zeros(args.vocab_size * width, dtype=np.float32)
    for tokens in shards:
        for block in np.array_split(tokens, max(1, len(tokens) // 8_000_000)):
            columns = context[block]
            rows = block.astype(np.int32) * np.int32(width)
            for distance in range(1, args.window + 1):
                weight = 1.0 / distance
                for cell in (rows[:-distance] + columns[distance:], rows[distance:] + columns[:-distance]):
                    cells, number = np.unique(cell, return_counts=True)
                    counts[cells] += weight * number
        print(f"counted {len(tokens):,} pieces, {time.time() - start:.0f} s", flush=True)
    matrix = counts.reshape(args.vocab_size, width)[:, :-1]

    matrix = matrix[:, matrix.any(0)]  # of a small text: contexts that never occur would be divided by 0
    if min(matrix.shape) < args.hidden:
        raise SystemExit(f"the text has {matrix.shape[1]} different pieces, fewer than --hidden {args.hidden}")
    word = matrix.sum(1, keepdims=True) + 1
    near = matrix.sum(0, keepdims=True) ** 0.75
    near /= near.sum()
    with np.errstate(divide="ignore"):
        np.log(matrix / (word * near), out=matrix)
    np.maximum(matrix, 0, out=matrix)
    values, vectors = np.linalg.eigh(matrix.T @ matrix)
    values, vectors = values[::-1][: args.hidden], vectors[:, ::-1][:, : args.hidden]
    result = matrix @ (vectors / values**0.25)  # U * S^(1/2)
    result -= result[frequency > 0].mean(0)
    norms = np.linalg.norm(result, axis=1, keepdims=True)
    # Lengths are evened out, and directions rotated at random, so that no coordinate stands for one strong direction.
    result = result / np.maximum(norms, 1e-6) * np.sqrt(np.minimum(norms, np.median(norms)) / np.median(norms))
    rotation, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((args.hidden, args.hidden)))
    result = result @ rotation
    result *= args.std / result[frequency > 0].std()
    random = np.random.default_rng(1).standard_normal(result.shape) * 0.02
    result[frequency == 0] = random[frequency == 0]
    result.astype("<f4").tofile(args.out)
    print(f"wrote {args.out}, {time.time() - start:.0f} s")


if __name__ == "__main__":
    main()
