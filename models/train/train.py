#!/usr/bin/env python3
"""Trains a BERT on masked words and next sentences, and writes it as a Hugging Face folder.

usage: train.py --vocab vocab.txt --data SHARDS --out FOLDER --seconds N [options]

SHARDS is a folder that prepare.py wrote. Uses a GPU with bfloat16 and torch.compile where there is one, else the CPU. The
learning rate rises over the first steps and then falls to zero when N seconds of training are over; time between an
interruption and the next start with the same --out does not count. Sequences are at most 128 pieces long until the last
tenth of the time, then 512, so that every position is learned.
"""
import argparse
import concurrent.futures
import json
import pathlib
import shutil
import time

import numpy as np
import torch
import torch.nn.functional as F

import bert
import examples

FIELDS = ("ids", "second", "lengths", "labels")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", required=True, type=float)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--intermediate", type=int, help="default: four times the hidden size")
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--lengths", type=int, nargs=2, default=(128, 512), help="of sequences, first and at the end")
    parser.add_argument("--long-share", type=float, default=0.1, help="share of the time for the second of --lengths")
    parser.add_argument("--batch-tokens", type=int, default=131072, help="pieces a step, padding counted")
    parser.add_argument("--micro-tokens", type=int, default=131072, help="pieces a forward pass, for small memories")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=1000, help="steps")
    parser.add_argument("--mask-rate", type=float, default=0.15)
    parser.add_argument("--dropout", type=float, default=0.0, help="written to config.json; this script applies none")
    parser.add_argument("--steps", type=int, help="stop after so many steps of this call")
    parser.add_argument("--stop-after", type=float, help="save and stop after so many seconds of this call")
    parser.add_argument("--save-seconds", type=float, default=120)
    parser.add_argument("--log-steps", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=0, help="processes that build examples; default: all cores")
    parser.add_argument("--no-compile", action="store_true")
    return parser.parse_args()


class Passes:
    """Batches of one length: pass after pass over the corpus, the next pass built while this one is used."""

    def __init__(self, corpus, builder, length, seed, device):
        self.builder, self.length, self.seed, self.device = builder, length, seed, device
        self.starts = corpus.starts(max(8, length * 5 // 8))
        self.executor = concurrent.futures.ThreadPoolExecutor(1)
        self.number, self.position, self.data, self.coming = 0, 0, None, None

    def build(self, number):
        return self.builder.build(self.starts, self.seed * 1000 + number, self.length)

    def state(self):
        return {"number": self.number, "position": self.position}

    def restore(self, state):
        self.number, self.position = state["number"], state["position"]

    def take(self, count):
        """The next `count` examples as tensors on the device, always exactly so many: static shapes."""
        parts, wanted = [], count
        while wanted:
            if self.data is None:
                arrays = (self.coming or self.executor.submit(self.build, self.number)).result()
                types = (np.int32, np.int64, np.int64, np.int64)
                self.data = [torch.from_numpy(a.astype(t)).to(self.device) for a, t in zip(arrays, types)]
                self.coming = self.executor.submit(self.build, self.number + 1)
            part = [t[self.position:self.position + wanted] for t in self.data]
            self.position += len(part[0])
            wanted -= len(part[0])
            parts.append(part)
            if self.position >= len(self.data[0]):
                self.number, self.position, self.data = self.number + 1, 0, None
        batch = dict(zip(FIELDS, (torch.cat(tensors) for tensors in zip(*parts))))
        batch["ids"] = batch["ids"].long()
        return batch


def losses(model, ids, types, lengths, labels, targets, asked):
    """Sums of the losses, and counts: masked words at the `asked` flat positions, then next sentences."""
    x = model.encode(ids, types, lengths)
    targets = targets.flatten()[asked]
    logits = model.word_logits(x.flatten(0, 1)[asked]).float()
    words = F.cross_entropy(logits, targets, ignore_index=examples.IGNORED, reduction="sum")
    next_logits = model.next_logits(x).float()
    following = F.cross_entropy(next_logits, labels, ignore_index=-1, reduction="sum")
    right = ((next_logits.argmax(-1) == labels) & (labels >= 0)).sum()
    hits = (logits.argmax(-1) == targets).sum()
    return words, following, (targets != examples.IGNORED).sum(), (labels >= 0).sum(), hits, right


def save(folder, model, optimizer, progress, passes, vocab):
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": progress,
             "passes": {length: p.state() for length, p in passes.items()}}
    torch.save(state, folder / "checkpoint.new")
    (folder / "checkpoint.new").replace(folder / "checkpoint.pt")
    bert.write_safetensors(folder / "model.safetensors", model.state_dict())
    (folder / "config.json").write_text(json.dumps(model.config, indent=2, sort_keys=True) + "\n")
    shutil.copyfile(vocab, folder / "vocab.txt")


def main():
    args = arguments()
    vocabulary = examples.Vocabulary(args.vocab)
    corpus = examples.Corpus(args.data, "train")
    builder = examples.Builder(corpus, vocabulary, args.jobs)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(args.seed)
    if device.type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = True
    args.out.mkdir(parents=True, exist_ok=True)
    model = bert.Bert({
        "architectures": ["BertForPreTraining"], "model_type": "bert", "hidden_act": "gelu", "vocab_size": vocabulary.size,
        "hidden_size": args.hidden, "num_hidden_layers": args.layers, "num_attention_heads": args.heads,
        "intermediate_size": args.intermediate or 4 * args.hidden, "max_position_embeddings": args.positions,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "initializer_range": 0.02, "pad_token_id": vocabulary.pad,
        "hidden_dropout_prob": args.dropout, "attention_probs_dropout_prob": args.dropout}).to(device)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=args.rate, betas=(0.9, 0.98), eps=1e-6,
                                  **({"fused": True} if device.type == "cuda" else {}))
    passes = {length: Passes(corpus, builder, length, args.seed, device) for length in sorted(set(args.lengths))}
    progress = {"step": 0, "seconds": 0.0, "tokens": 0, "reach": min(args.lengths)}
    if (args.out / "checkpoint.pt").exists():
        state = torch.load(args.out / "checkpoint.pt", map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        progress = state["progress"]
        for length, pass_state in state["passes"].items():
            passes[length].restore(pass_state)
        print(f"resumed at step {progress['step']}, {progress['seconds']:.0f} s", flush=True)
    compute = losses
    if device.type == "cuda" and not args.no_compile:
        compute = torch.compile(losses, dynamic=False)
    continues = torch.from_numpy(vocabulary.continues).to(device)
    log = open(args.out / "log.txt", "a", encoding="utf-8")

    first_step, called = progress["step"], time.time()
    mark, saved, recent = called, called, torch.zeros(6, device=device, dtype=torch.float64)
    tokens_mark = progress["tokens"]
    while True:
        share = progress["seconds"] / args.seconds
        finished = (share >= 1 or (args.steps is not None and progress["step"] - first_step >= args.steps)
                    or (args.stop_after is not None and time.time() - called > args.stop_after))
        if finished:
            break
        began = time.time()
        length = args.lengths[0] if share < 1 - args.long_share else args.lengths[1]
        if length > progress["reach"]:
            # New positions start as copies of trained ones.
            with torch.no_grad():
                positions = model.bert["embeddings"].position_embeddings.weight
                known = progress["reach"]
                for p in range(known, length):
                    positions[p] = positions[known // 4 + (p - known // 4) % (known - known // 4)]
            progress["reach"] = length
        rate = args.rate * min(1.0, (progress["step"] + 1) / args.warmup) * min(1.0, (1 - share) / 0.9)
        for group in optimizer.param_groups:
            group["lr"] = rate
        count = max(1, args.batch_tokens // length)
        micro = max(1, min(count, args.micro_tokens // length))
        optimizer.zero_grad(set_to_none=True)
        for _ in range(max(1, count // micro)):
            batch = passes[length].take(micro)
            ids, targets = examples.mask_words(batch["ids"], batch["lengths"], vocabulary, continues, args.mask_rate)
            place = torch.arange(length, device=device)[None]
            types = ((place >= batch["second"][:, None]) & (place < batch["lengths"][:, None])).long()
            # So many positions as are masked on average and a few more, always the same number.
            most = min(targets.numel(), int(targets.numel() * args.mask_rate * 1.1) + 16)
            asked = (targets.flatten() != examples.IGNORED).to(torch.int8).argsort(descending=True)[:most]
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
                result = compute(model, ids, types, batch["lengths"], batch["labels"], targets, asked)
            words, following, masked, pairs = result[:4]
            loss = words / masked.clamp(min=1) + following / pairs.clamp(min=1)
            (loss / max(1, count // micro)).backward()
            recent += torch.stack([r.detach().double() for r in result])
            progress["tokens"] += micro * length
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        progress["step"] += 1
        now = time.time()
        progress["seconds"] += now - began
        if progress["step"] % args.log_steps == 0:
            w, n, masked, pairs, hits, right = recent.tolist()  # waits for the device
            line = (f"step {progress['step']}: {progress['tokens'] / 1e6:.1f} M tokens "
                    f"({(progress['tokens'] - tokens_mark) / (now - mark):.0f} a second), {100 * share:.1f} % of the time, "
                    f"rate {rate:.2e}, norm {norm.item():.2f}, mlm loss {w / max(1, masked):.4f}, "
                    f"right {100 * hits / max(1, masked):.1f} %, next sentence loss {n / max(1, pairs):.4f}, "
                    f"right {100 * right / max(1, pairs):.1f} %")
            print(line, flush=True)
            print(line, file=log, flush=True)
            mark, tokens_mark = now, progress["tokens"]
            recent.zero_()
            if not np.isfinite(w):
                raise SystemExit("the loss is not finite")
        if now - saved > args.save_seconds:
            save(args.out, model, optimizer, progress, passes, args.vocab)
            saved = now
    save(args.out, model, optimizer, progress, passes, args.vocab)
    print(f"stopped at step {progress['step']}, {progress['seconds']:.0f} s of training; wrote {args.out}")


if __name__ == "__main__":
    main()
