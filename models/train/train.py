#!/usr/bin/env python3
"""Trains a BERT on masked words and next sentences, and writes it as a Hugging Face folder.

usage: train.py --vocab vocab.txt --data SHARDS --out FOLDER --seconds N [options]

SHARDS is a folder that prepare.py wrote; it may be empty at first, and what comes later is used from then on. Uses a GPU with
bfloat16, flash attention and torch.compile where there is one and they work, else the CPU. Goes by the clock, from the first
step: the learning rate rises over the first steps, stays, and falls to zero in the last part of N seconds; time between an
interruption and the next start with the same --out does not count. Sequences are at most 128 pieces long until the last part of
the time, then every other batch has 512, so that every position is learned. SIGTERM saves and stops.
"""
import argparse
import concurrent.futures
import hashlib
import json
import math
import pathlib
import shutil
import signal
import time
import traceback

import numpy as np
import torch

import bert
import examples
import muon
import packed

PIECE = 15 << 20  # bytes of a file of OUT/parts, as of split -b 15M


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocab", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--seconds", required=True, type=float)
    parser.add_argument("--within", type=float, help="makes --seconds less if need be, to end so long after the program's start")
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--intermediate", type=int, help="default: four times the hidden size")
    parser.add_argument("--positions", type=int, default=512)
    parser.add_argument("--lengths", type=int, nargs=2, default=(128, 512), help="of sequences, and of every other one at the end")
    parser.add_argument("--long-share", type=float, default=0.12, help="share of the time with the second of --lengths")
    parser.add_argument("--batch-tokens", type=int, default=65536, help="pieces a forward pass")
    parser.add_argument("--batches", type=int, nargs=2, default=(1, 2), help="forward passes a step, first and later")
    parser.add_argument("--batches-share", type=float, default=0.45, help="share of the time with the first of --batches")
    parser.add_argument("--mask-rate", type=float, nargs=2, default=(0.25, 0.15), help="share of pieces asked, first and later")
    parser.add_argument("--mask-share", type=float, default=0.65, help="share of the time with the first of --mask-rate")
    parser.add_argument("--optimizer", choices=("muon", "adamw"), default="muon", help="of the matrices of layers and transform")
    parser.add_argument("--rate", type=float, default=2e-3, help="of the matrices of layers and transform")
    parser.add_argument("--embedding-rate", type=float, default=1.5e-3, help="of all else")
    parser.add_argument("--warmup", type=int, default=300, help="steps")
    parser.add_argument("--decay-share", type=float, default=0.38, help="share of the time in which the rate falls to zero")
    parser.add_argument("--dropout", type=float, default=0.0, help="written to config.json; this script applies none")
    parser.add_argument("--steps", type=int, help="stop after so many steps of this call")
    parser.add_argument("--stop-after", type=float, help="save and stop after so many seconds of this call")
    parser.add_argument("--save-seconds", type=float, default=60)
    parser.add_argument("--log-steps", type=int, default=100)
    parser.add_argument("--held-batches", type=int, default=16, help="of held-out examples, asked at the end")
    parser.add_argument("--start", type=pathlib.Path, help="a folder whose weights to go on from; default: random ones")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=0, help="processes that build examples; default: nearly all cores, at most 12")
    parser.add_argument("--checkpoint", action=argparse.BooleanOptionalAction,
                        help="save the optimizer's state too, and go on from it; default: on a CPU")
    parser.add_argument("--no-compile", action="store_true")
    return parser.parse_args()


class Optimizer:
    """Muon or AdamW for the matrices of layers and transform, AdamW for all else; gradients clipped to a norm of 1."""

    def __init__(self, model, args, device):
        named = dict(model.named_parameters())
        inner = [p for n, p in named.items() if p.dim() > 1 and ("encoder" in n or "transform" in n)]
        inside = set(map(id, inner))
        outer = [p for p in named.values() if p.dim() > 1 and id(p) not in inside]
        vectors = [p for p in named.values() if p.dim() == 1]
        groups = [{"params": outer, "weight_decay": 0.01, "peak": args.embedding_rate},
                  {"params": vectors, "weight_decay": 0.0, "peak": args.embedding_rate}]
        self.muon, self.peak = None, args.rate
        if args.optimizer == "muon":
            self.muon = muon.Muon(inner)
        else:
            groups.append({"params": inner, "weight_decay": 0.01, "peak": args.rate})
        settings = {"lr": args.rate, "betas": (0.9, 0.98), "eps": 1e-6}
        try:
            self.adamw = torch.optim.AdamW(groups, **settings, **({"fused": True} if device.type == "cuda" else {}))
        except Exception as failure:
            print(f"no fused AdamW: {failure!r}", flush=True)
            self.adamw = torch.optim.AdamW(groups, **settings)
        self.parameters = list(named.values())

    def step(self, share):
        """`share` of the peak rates. Returns the norm of the gradients, on the device."""
        for p in self.parameters:
            p.grad.nan_to_num_(0.0, 0.0, 0.0)  # one bad batch must not end a run
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        for group in self.adamw.param_groups:
            group["lr"] = group["peak"] * share
        self.adamw.step()
        if self.muon:
            self.muon.step(self.peak * share)
        for p in self.parameters:
            p.grad = None
        return norm

    def state_dict(self):
        return {"adamw": self.adamw.state_dict(), "muon": self.muon and self.muon.state_dict()}

    def load_state_dict(self, state):
        self.adamw.load_state_dict(state["adamw"])
        if self.muon:
            self.muon.load_state_dict(state["muon"])


class Saver:
    """Writes the model to the folder in the background, every file whole or not at all: model.safetensors (F16) and config.json,
    and in parts/ the same in pieces of 15 MiB, model.aa ..., and last DONE with its SHA-256 and what was done till then.
    """

    def __init__(self, folder, model, vocab):
        self.folder, self.model = folder, model
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        self.put(folder / "config.json", (json.dumps(model.config, indent=2, sort_keys=True) + "\n").encode())
        shutil.copyfile(vocab, folder / "vocab.txt")
        self.executor, self.last = concurrent.futures.ThreadPoolExecutor(1), None

    @staticmethod
    def put(path, data):
        new = path.with_name(path.name + ".new")
        new.write_bytes(data)
        new.replace(path)

    def save(self, progress, wait=False):
        if self.last and not wait and not self.last.done():
            return
        tensors = {name: t.detach().half().cpu() for name, t in self.model.state_dict().items()}
        self.last = self.executor.submit(self.write, tensors, dict(progress))
        if wait:
            self.last.result()

    def write(self, tensors, progress):
        parts = self.folder / "parts"
        bert.write_safetensors(self.folder / "model.safetensors", tensors, "F16")
        data = (self.folder / "model.safetensors").read_bytes()
        (parts / "DONE").unlink(missing_ok=True)
        for i in range(0, len(data), PIECE):
            self.put(parts / f"model.a{chr(ord('a') + i // PIECE)}", data[i:i + PIECE])
        done = {**progress, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        self.put(parts / "DONE", (json.dumps(done) + "\n").encode())


def synthetic(vocabulary, size, length, device):
    """A batch of random pieces, of the shapes of any other."""
    corpus = argparse.Namespace(tokens=np.random.default_rng(1).integers(vocabulary.first_word, vocabulary.size, 1 << 16))
    count = size // length
    first = np.arange(count) * length % (len(corpus.tokens) - length)
    half = np.full(count, length // 2 - 2)
    segments = first, half, first + half, half, np.arange(count) % 2
    return examples.upload(examples.pack(corpus, vocabulary, segments, length, size), length, device)[0]


def compile_or_not(network, model, vocabulary, continues, args, device, counts):
    """Compiles, runs every shape once, and holds loss and gradients against the ones as written: if anything fails, without."""
    batches = [synthetic(vocabulary, args.batch_tokens, length, device) for length in args.lengths]

    def results(batch, count):
        torch.manual_seed(args.seed)
        ids, asked, targets = examples.ask(batch, count, vocabulary, continues)
        words, following, masked, pairs = network.losses(ids, batch, asked, targets)[:4]
        loss = words / masked + following / pairs
        loss.backward()
        out = [loss.detach().reshape(1).double(), *(p.grad.flatten().double() for p in model.parameters())]
        model.zero_grad(set_to_none=True)
        return torch.cat(out)

    def late(*_):
        raise TimeoutError("torch.compile takes too long")

    began = time.time()
    before = signal.signal(signal.SIGALRM, late)
    try:
        want = results(batches[0], counts[0])
        signal.alarm(150)
        network.compile()
        got = results(batches[0], counts[0])
        error = abs(got[0] / want[0] - 1).item()
        gradient_error = ((got[1:] - want[1:]).norm() / want[1:].norm()).item()
        if not (error < 0.01 and gradient_error < 0.3):  # bfloat16 alone makes some hundredths of the gradients
            raise ArithmeticError(f"with torch.compile the loss differs by {error:.4f}, gradients by {gradient_error:.4f}")
        for count in counts:
            for batch in batches:
                results(batch, count)
        print(f"compiled in {time.time() - began:.0f} s; gradients differ by {gradient_error:.4f}", flush=True)
    except Exception as failure:
        network.plain()
        model.zero_grad(set_to_none=True)
        print(f"not compiled: {failure!r}"[:2000], flush=True)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def evaluate(network, vocabulary, continues, args, device):
    """A sentence with the figures on held-out examples, 15 % of their pieces masked."""
    corpus = examples.Corpus(args.data, "held")
    network.plain()  # nothing to compile for a few batches
    length, distance = args.lengths[0], max(8, args.lengths[0] * 5 // 8)
    held = examples.build(corpus, vocabulary, examples.starts(corpus, distance), 1, length, args.batch_tokens, final=0)
    generator = torch.Generator(device).manual_seed(1)
    sums, five = torch.zeros(6, dtype=torch.float64, device=device), 0
    with torch.no_grad():
        for batch in examples.upload(held, length, device)[:args.held_batches]:
            ids, asked, targets = examples.ask(batch, int(args.batch_tokens * 0.15), vocabulary, continues, generator)
            x = network.encode(ids, batch)
            firsts = batch["bounds"][:-1].long().clamp(max=len(x) - 1)
            sums += torch.stack([r.double() for r in packed.losses(x[asked], targets, x[firsts], batch["labels"], network.epsilon,
                                                                   *network.both_heads)])
            logits = packed.word_logits(x[asked], network.epsilon, *network.word_head)
            five += (logits.topk(5).indices == targets[:, None]).sum().item()
    words, following, masked, pairs, hits, right = sums.tolist()
    return (f"held out: {masked:.0f} pieces asked, loss {words / max(1, masked):.4f}, top-1 {100 * hits / max(1, masked):.2f} %, "
            f"top-5 {100 * five / max(1, masked):.2f} %; next sentence: {100 * right / max(1, pairs):.2f} % of {pairs:.0f}, "
            f"loss {following / max(1, pairs):.4f}")


def main():
    started, args = time.time(), arguments()
    vocabulary = examples.Vocabulary(args.vocab)
    builder = examples.Builder(args.data, vocabulary, args.jobs)  # forks before there are threads
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(True))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(args.seed)
    if hasattr(torch, "set_float32_matmul_precision"):
        torch.set_float32_matmul_precision("high")
    model = bert.Bert({
        "architectures": ["BertForPreTraining"], "model_type": "bert", "hidden_act": "gelu", "vocab_size": vocabulary.size,
        "hidden_size": args.hidden, "num_hidden_layers": args.layers, "num_attention_heads": args.heads,
        "intermediate_size": args.intermediate or 4 * args.hidden, "max_position_embeddings": args.positions,
        "type_vocab_size": 2, "layer_norm_eps": 1e-12, "initializer_range": 0.02, "pad_token_id": vocabulary.pad,
        "hidden_dropout_prob": args.dropout, "attention_probs_dropout_prob": args.dropout}).to(device)
    if args.start:
        model.load_state_dict(bert.load(args.start).state_dict())
    network = packed.Packed(model, packed.choose_attention(device, dtype, args.heads, args.hidden // args.heads), dtype)
    print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else 'CPU'}, PyTorch {torch.__version__}, "
          f"{network.attention.__name__}, {builder.jobs} builders", flush=True)
    optimizer = Optimizer(model, args, device)
    saver = Saver(args.out, model, args.vocab)
    streams = {length: examples.Stream(builder, length, args.batch_tokens, args.seed, device) for length in args.lengths}
    progress = {"step": 0, "seconds": 0.0, "tokens": 0, "reach": max(args.lengths) if args.start else min(args.lengths)}
    checkpoint = args.out / "checkpoint.pt" if args.checkpoint or (args.checkpoint is None and device.type == "cpu") else None
    if checkpoint and checkpoint.exists():
        state = torch.load(checkpoint, map_location=device)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        progress = state["progress"]
        for length, number in state["passes"].items():
            streams[length].number = number + 1
        print(f"resumed at step {progress['step']}, {progress['seconds']:.0f} s", flush=True)
    continues = torch.from_numpy(vocabulary.continues).to(device)
    counts = [max(1, int(args.batch_tokens * rate)) for rate in args.mask_rate]
    if device.type == "cuda" and not args.no_compile:
        compile_or_not(network, model, vocabulary, continues, args, device, counts)
    log = open(args.out / "log.txt", "a", encoding="utf-8")

    def save(wait=False):
        saver.save(progress, wait)
        if checkpoint:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": progress,
                        "passes": {length: s.number for length, s in streams.items()}}, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)

    while not examples.parts(args.data, "train") and not stopped:
        time.sleep(0.2)
    first_step, earlier, turn = progress["step"], progress["seconds"], 0
    if not stopped:
        streams[args.lengths[0]].fill()
    called = mark = saved = time.time()
    if args.within:
        args.seconds = min(args.seconds, earlier + max(10.0, started + args.within - 10 - called))
        print(f"{called - started:.0f} s of preparation, {args.seconds - earlier:.0f} s of training follow", flush=True)
    recent, tokens_mark = torch.zeros(6, device=device, dtype=torch.float64), progress["tokens"]
    while not stopped:
        progress["seconds"] = earlier + time.time() - called
        share = progress["seconds"] / args.seconds
        if (share >= 1 or (args.steps is not None and progress["step"] - first_step >= args.steps)
                or (args.stop_after is not None and time.time() - called > args.stop_after)):
            break
        if share > 1 - args.long_share - 0.01 and args.long_share:
            streams[args.lengths[1]].fill()
        count = counts[share >= args.mask_share]
        micro = args.batches[share >= args.batches_share]
        for _ in range(micro):
            turn += 1
            length = args.lengths[turn % 2 if share > 1 - args.long_share else 0]
            if length > progress["reach"]:
                # New positions start as copies of trained ones.
                with torch.no_grad():
                    positions, known = model.bert["embeddings"].position_embeddings.weight, progress["reach"]
                    for p in range(known, length):
                        positions[p] = positions[known // 4 + (p - known // 4) % (known - known // 4)]
                progress["reach"] = length
            batch = streams[length].take()
            ids, asked, targets = examples.ask(batch, count, vocabulary, continues)
            result = network.losses(ids, batch, asked, targets)
            words, following, masked, pairs = result[:4]
            loss = words / masked.clamp(min=1) + following / pairs.clamp(min=1)
            (loss / micro).backward()
            recent += torch.stack([r.detach().double() for r in result])
            progress["tokens"] += args.batch_tokens
        level = min(1.0, (progress["step"] + 1) / args.warmup, (1 - share) / args.decay_share)
        norm = optimizer.step(level)
        progress["step"] += 1
        if progress["step"] % args.log_steps == 0 or progress["step"] == first_step + 1:
            w, n, masked, pairs, hits, right = recent.tolist()  # waits for the device
            now = time.time()
            line = (f"step {progress['step']}: {progress['tokens'] / 1e6:.1f} M tokens "
                    f"({(progress['tokens'] - tokens_mark) / (now - mark):.0f} a second), {100 * share:.1f} % of the time, "
                    f"rate {level * args.rate:.2e}, norm {norm.item():.2f}, mlm loss {w / max(1, masked):.4f}, "
                    f"right {100 * hits / max(1, masked):.1f} %, next sentence loss {n / max(1, pairs):.4f}, "
                    f"right {100 * right / max(1, pairs):.1f} %")
            print(line, flush=True)
            print(line, file=log, flush=True)
            mark, tokens_mark = now, progress["tokens"]
            recent.zero_()
            if not math.isfinite(w):
                print("the loss is not finite", flush=True)
        if time.time() - saved > args.save_seconds:
            save()
            saved = time.time()
    save(wait=True)
    print(f"stopped at step {progress['step']}, {progress['seconds']:.0f} s of training; wrote {args.out}", flush=True)
    if not stopped and examples.parts(args.data, "held"):
        line = evaluate(network, vocabulary, continues, args, device)
        saver.put(args.out / "parts" / "result.txt", (line + "\n").encode())
        print(line, file=log, flush=True)
        print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except (Exception, KeyboardInterrupt):
        traceback.print_exc()
        examples.leave(1)
    examples.leave(0)
