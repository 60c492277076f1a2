#!/usr/bin/env python3
"""bertlens on a GPU beside PyTorch: the same BERT-base on the same ids, both delivering their result to host memory.

By hand, on a machine with a GPU and PyTorch 2, with the vocabulary of bert-base-uncased at hand:

    python3 tests/bench/cuda_bench.py --cli build/cuda/bertlens [--models DIR] [--parts a,b,c,d] [--out FILE]

a  64 sequences of 128 tokens, nothing padded: pooler, all last hidden states, and f32
b  256 sentences of mixed length: bertlens packs them, PyTorch pads to the longest
c  one sequence of 128 tokens
d  `fill-mask --jsonl` over a file of sentences, the whole command (bertlens alone)

The weights are seeded and random; their folder is made once. PyTorch runs a plain module of this file's own: queries,
keys and values in one product, scaled_dot_product_attention, bf16 (f32 without TF32), torch.compile with CUDA graphs;
where too little time is left to compile a shape, the plain kernels in a CUDA graph, and the table says so. Where only
the pooler is asked for, bertlens computes no more of the last layer than that needs; PyTorch's module computes all.
No time is reported of an output that differs from PyTorch's f32. FLOP count two for each multiply-add of the matrix
products that real tokens need.
"""
import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
import traceback

import numpy as np

START = time.monotonic()
SIZES = {"base": (12, 768, 12), "tiny": (2, 128, 2)}
LEAST_COSINE = 0.999


def say(*parts):
    print(f"[{time.monotonic() - START:6.1f} s]", *parts, file=sys.stderr, flush=True)


# -- the checkpoint


def tensors_of(config):
    """Names, shapes and spreads (deviation, mean) of every tensor, in the file's order."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    dense = 1.1 / math.sqrt(hidden)
    table = 1.7 / math.sqrt(hidden)
    found = []

    def linear(name, outputs, inputs):
        found.append((name + ".weight", (outputs, inputs), 1.1 / math.sqrt(inputs), 0.0))
        found.append((name + ".bias", (outputs,), 0.1, 0.0))

    def norm(name):
        found.append((name + ".weight", (hidden,), 0.1, 1.0))
        found.append((name + ".bias", (hidden,), 0.1, 0.0))

    for name, rows in (("word", config["vocab_size"]), ("position", config["max_position_embeddings"]),
                       ("token_type", 2)):
        found.append((f"bert.embeddings.{name}_embeddings.weight", (rows, hidden), table, 0.0))
    norm("bert.embeddings.LayerNorm")
    for layer in range(config["num_hidden_layers"]):
        at = f"bert.encoder.layer.{layer}."
        for name in ("query", "key", "value"):
            linear(at + "attention.self." + name, hidden, hidden)
        linear(at + "attention.output.dense", hidden, hidden)
        norm(at + "attention.output.LayerNorm")
        linear(at + "intermediate.dense", inner, hidden)
        linear(at + "output.dense", hidden, inner)
        norm(at + "output.LayerNorm")
    linear("bert.pooler.dense", hidden, hidden)
    linear("cls.predictions.transform.dense", hidden, hidden)
    norm("cls.predictions.transform.LayerNorm")
    found.append(("cls.predictions.bias", (config["vocab_size"],), 0.3, 0.0))
    found.append(("cls.seq_relationship.weight", (2, hidden), dense, 0.0))
    found.append(("cls.seq_relationship.bias", (2,), 0.1, 0.0))
    return found


def make_model(folder, size, vocabulary):
    """The folder of a seeded checkpoint; made if its last file is not there yet."""
    layers, hidden, heads = SIZES[size]
    with open(vocabulary, encoding="utf-8") as file:
        text = file.read()
    config = {
        "architectures": ["BertForPreTraining"], "model_type": "bert", "hidden_act": "gelu", "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "intermediate_size": 4 * hidden,
        "max_position_embeddings": 512, "type_vocab_size": 2, "vocab_size": len(text.splitlines()),
        "layer_norm_eps": 1e-12, "pad_token_id": 0,
    }
    done = os.path.join(folder, "config.json")
    if not os.path.exists(done):
        os.makedirs(folder, exist_ok=True)
        say("making", folder)
        names = tensors_of(config)
        header, begin = {"__metadata__": {"format": "pt"}}, 0
        for name, shape, _, _ in names:
            end = begin + 4 * math.prod(shape)
            header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
            begin = end
        encoded = json.dumps(header).encode()
        encoded += b" " * (-len(encoded) % 8)
        numbers = np.random.default_rng(1)
        with open(os.path.join(folder, "model.safetensors"), "wb") as file:
            file.write(len(encoded).to_bytes(8, "little") + encoded)
            for _, shape, deviation, mean in names:
                values = numbers.standard_normal(shape, dtype=np.float32)
                values *= np.float32(deviation)
                values += np.float32(mean)
                file.write(values.tobytes())
        with open(os.path.join(folder, "vocab.txt"), "w", encoding="utf-8") as file:
            file.write(text)
        with open(done, "w", encoding="utf-8") as file:
            json.dump(config, file, indent=2)
    return config


def read_weights(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8:8 + length])
    weights = {}
    for name, entry in header.items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            array = np.frombuffer(data, np.float32, (end - begin) // 4, 8 + length + begin)
            weights[name] = array.reshape(entry["shape"])
    return weights


# -- the inputs


def ids_of(lengths, vocabulary):
    """The ids of `bertlens bench`: a linear congruential generator, [CLS] first, [SEP] last."""
    state, rows = 12345, []
    for length in lengths:
        row = []
        for _ in range(length):
            state = (state * 1664525 + 1013904223) % 2**32
            row.append(1000 + (state >> 8) % (vocabulary - 1000))
        row[0], row[-1] = 101, 102
        rows.append(row)
    return rows


def sentence_lengths(count):
    """Tokens of sentences, [CLS] and [SEP] included: log-normal around 22, from 4 to 128."""
    numbers = np.random.default_rng(2)
    return np.clip(np.rint(numbers.lognormal(math.log(22), 0.6, count)), 4, 128).astype(int).tolist()


def flops(config, lengths):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    layers = config["num_hidden_layers"]
    return sum(
        2 * (layers * (n * (4 * hidden * hidden + 2 * hidden * inner) + 2 * n * n * hidden) + hidden * hidden)
        for n in lengths)


# -- bertlens


class Ours:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder

    def call(self, arguments, seconds=60, **streams):
        command = [self.options.cli, *arguments, "--backend", self.options.backend]
        streams.setdefault("stdout", subprocess.PIPE)
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=seconds, check=False, **streams)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)[:300]}: exit status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def times(self, precision, lengths, output, runs):
        """Milliseconds of each run, result on the host; one run before them is not counted."""
        shape = ["--batch", str(len(lengths)), "--seq", str(lengths[0])]
        if len(set(lengths)) > 1:
            shape = ["--lengths", ",".join(map(str, lengths))]
        kind = [] if self.options.plain_bench else ["--output", output]
        answer = json.loads(
            self.call(["bench", "--json", "--model", self.folder, "--precision", precision, "--runs", str(runs),
                       *shape, *kind]))
        self.kernels = answer.get("kernels", "")
        return answer["ms"]

    def states(self, precision, rows):
        lines = "".join(json.dumps({"input_ids": row}) + "\n" for row in rows)
        out = self.call(["encode", "--jsonl", "--model", self.folder, "--precision", precision], input=lines)
        answers = [json.loads(line) for line in out.splitlines()]
        if len(answers) != len(rows) or "last_hidden_state" not in answers[0]:
            raise RuntimeError(f"encode answered {out[:300]}")
        return [(np.array(a["last_hidden_state"], np.float64), np.array(a["pooler_output"], np.float64))
                for a in answers]


# -- PyTorch


def bert_module(torch, config, weights):
    """BERT as a plain module, weights f32 on the CPU."""
    nn, functional = torch.nn, torch.nn.functional
    hidden, heads = config["hidden_size"], config["num_attention_heads"]

    def tensor(name):
        return torch.from_numpy(weights[name].copy())

    def linear(*names):
        weight = torch.cat([tensor(name + ".weight") for name in names])
        module = nn.Linear(weight.shape[1], weight.shape[0])
        module.weight.data = weight
        module.bias.data = torch.cat([tensor(name + ".bias") for name in names])
        return module

    def norm(name):
        module = nn.LayerNorm(hidden, eps=config["layer_norm_eps"])
        module.weight.data, module.bias.data = tensor(name + ".weight"), tensor(name + ".bias")
        return module

    def plain_attention(query, key, value, attn_mask):
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        return (scores if attn_mask is None else scores + attn_mask).softmax(-1) @ value

    # PyTorch before 2.0 has none; it serves for checks of this script
    attend = getattr(functional, "scaled_dot_product_attention", plain_attention)

    class Layer(nn.Module):
        def __init__(self, at):
            super().__init__()
            self.qkv = linear(*(f"{at}attention.self.{name}" for name in ("query", "key", "value")))
            self.output = linear(at + "attention.output.dense")
            self.attention_norm = norm(at + "attention.output.LayerNorm")
            self.widen, self.narrow = linear(at + "intermediate.dense"), linear(at + "output.dense")
            self.output_norm = norm(at + "output.LayerNorm")

        def forward(self, x, bias):
            batch, tokens, width = x.shape
            qkv = self.qkv(x).view(batch, tokens, 3, heads, width // heads)
            query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
            context = attend(query, key, value, attn_mask=bias).transpose(1, 2).reshape(batch, tokens, width)
            x = self.attention_norm(self.output(context) + x)
            return self.output_norm(self.narrow(functional.gelu(self.widen(x))) + x)

    class Bert(nn.Module):
        def __init__(self):
            super().__init__()
            at = "bert.embeddings."
            self.words = nn.Embedding.from_pretrained(tensor(at + "word_embeddings.weight"))
            self.positions = nn.Embedding.from_pretrained(tensor(at + "position_embeddings.weight"))
            self.types = nn.Embedding.from_pretrained(tensor(at + "token_type_embeddings.weight"))
            self.norm = norm(at + "LayerNorm")
            self.layers = nn.ModuleList(
                Layer(f"bert.encoder.layer.{i}.") for i in range(config["num_hidden_layers"]))
            self.pooler = linear("bert.pooler.dense")

        def forward(self, ids, mask):
            x = self.words(ids) + self.positions.weight[:ids.shape[1]] + self.types.weight[0]
            x = self.norm(x)
            bias = None
            if mask is not None:
                bias = torch.zeros(mask.shape, dtype=x.dtype, device=x.device).masked_fill(~mask, float("-inf"))
                bias = bias[:, None, None, :].expand(-1, -1, ids.shape[1], -1)
            for layer in self.layers:
                x = layer(x, bias)
            return x, torch.tanh(self.pooler(x[:, 0]))

    return Bert().eval()


class Torch:
    """One model in one type with one shape of input, compiled."""

    def __init__(self, torch, device, module, rows, deadline):
        self.torch, self.device = torch, device
        longest = max(map(len, rows))
        if min(map(len, rows)) < longest:
            longest = (longest + 7) // 8 * 8  # as its attention with a mask likes them
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        mask = torch.tensor([[True] * len(row) + [False] * (longest - len(row)) for row in rows])
        self.padded = not bool(mask.all())
        self.cuda = device == "cuda"
        self.ids = ids.pin_memory() if self.cuda else ids
        self.mask = (mask.pin_memory() if self.cuda else mask) if self.padded else None
        self.how, self.function = "eager", module
        self.hosts = {}
        with torch.inference_mode():
            if self.cuda:
                self.prepare(module, deadline)
            self.run("pooler")

    def prepare(self, module, deadline):
        torch = self.torch
        # each shape is compiled for itself; where time is short, the plain kernels in a CUDA graph
        if deadline - time.monotonic() > 30:
            try:
                began = time.monotonic()
                torch._dynamo.reset()
                self.function = torch.compile(module, mode="reduce-overhead", fullgraph=True, dynamic=False)
                self.how = "compiled"
                for _ in range(4):
                    self.run("pooler")
                say(f"compiled in {time.monotonic() - began:.1f} s")
                return
            except Exception:  # any failure of the compiler leaves the plain module
                traceback.print_exc()
        self.function, self.how = module, "CUDA graph"
        ids = self.ids.to(self.device)
        mask = None if self.mask is None else self.mask.to(self.device)
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                module(ids, mask)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            results = module(ids, mask)

        def replay(new_ids, new_mask):
            ids.copy_(new_ids)
            if mask is not None:
                mask.copy_(new_mask)
            graph.replay()
            return results

        self.function = replay

    def run(self, output):
        """From ids on the host to the result on the host, which stays in page-locked memory."""
        torch = self.torch
        with torch.inference_mode():
            ids, mask = self.ids, self.mask
            if self.cuda:
                ids = ids.to(self.device, non_blocking=True)
                mask = None if mask is None else mask.to(self.device, non_blocking=True)
            states, pooler = self.function(ids, mask)
            result = states if output == "states" else pooler
            if not self.cuda:
                return result
            if output not in self.hosts:
                self.hosts[output] = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
            self.hosts[output].copy_(result, non_blocking=True)
            torch.cuda.synchronize()
            return self.hosts[output]

    def times(self, output, runs):
        self.run(output)
        times = []
        for _ in range(runs):
            began = time.perf_counter()
            self.run(output)
            times.append(1e3 * (time.perf_counter() - began))
        return times


def peak_tflops(torch, size=8192):
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    best = []
    for _ in range(5):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(4):
            a @ b
        end.record()
        torch.cuda.synchronize()
        best.append(begin.elapsed_time(end) / 4)
    return 2 * size**3 / statistics.median(best) / 1e9


def cosine(a, b):
    """The least cosine of the rows of two arrays."""
    a, b = np.atleast_2d(np.asarray(a, np.float64)), np.atleast_2d(np.asarray(b, np.float64))
    if a.shape != b.shape or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 0.0
    return float(((a * b).sum(-1) / np.sqrt((a * a).sum(-1) * (b * b).sum(-1))).min())


# -- the parts


class Bench:
    def __init__(self, options):
        self.options = options
        self.report = {"rows": [], "checks": {}, "end_to_end": [], "failures": {}}
        self.deadline = START + options.seconds
        self.folder = os.path.join(options.models, f"bert-{options.size}")
        self.config = make_model(self.folder, options.size, options.vocab)
        self.ours = Ours(options, self.folder)
        self.torch, self.modules, self.peak = None, {}, None
        if options.device != "none":
            import torch
            self.torch = torch
            torch.backends.cuda.matmul.allow_tf32 = False
            torch.backends.cudnn.allow_tf32 = False
            self.report["torch"] = torch.__version__
            weights = read_weights(self.folder)
            module = bert_module(torch, self.config, weights)
            self.modules["f32"] = module.to(options.device)
            if options.device == "cuda":
                self.report["card"] = torch.cuda.get_device_name()
                self.modules["bf16"] = bert_module(torch, self.config, weights).to("cuda", torch.bfloat16)
            say("PyTorch", torch.__version__, "ready on", self.report.get("card", options.device))
        self.report.setdefault("card", "no GPU")

    def check(self):
        """Ours against PyTorch's f32 on the same ids, token by token; raises where they disagree."""
        lengths = [128, 4, 17, 64, 65, 33, 100, 1 + 3]
        rows = ids_of(lengths, self.config["vocab_size"])
        if self.torch is None:
            self.ours.states("f32", rows[:2])
            say("no PyTorch: outputs are not compared")
            return
        torch = self.torch
        runner = Torch(torch, self.options.device, self.modules["f32"], rows, -math.inf)
        states = runner.run("states").float().cpu().numpy().astype(np.float64)
        poolers = runner.run("pooler").float().cpu().numpy().astype(np.float64)
        for precision in ("f16", "f32"):
            found = self.ours.states(precision, rows)
            least = min(
                min(cosine(ours[0], states[i, :lengths[i]]), cosine(ours[1], poolers[i]))
                for i, ours in enumerate(found))
            largest = max(float(np.abs(ours[0] - states[i, :lengths[i]]).max()) for i, ours in enumerate(found))
            self.report["checks"][precision] = {"least_cosine": least, "largest_error": largest}
            say(f"ours {precision} against PyTorch f32: least cosine {least:.7f}, largest error {largest:.2e}")
            if not least >= LEAST_COSINE:
                raise SystemExit(f"bertlens {precision} differs from PyTorch: cosine {least}; nothing is measured")

    def measure(self, name, lengths, precision, outputs, runs):
        """Ours and PyTorch's in turns, for each kind of output."""
        kind = {"f16": "bf16", "f32": "f32"}[precision]
        rows = ids_of(lengths, self.config["vocab_size"])
        theirs = None
        if self.torch is not None and kind in self.modules:
            try:
                theirs = Torch(self.torch, self.options.device, self.modules[kind], rows, self.deadline)
                if kind == "bf16":
                    plain = Torch(self.torch, self.options.device, self.modules["f32"], rows, -math.inf)
                    least = cosine(theirs.run("pooler").float().numpy(), plain.run("pooler").float().numpy())
                    del plain
                    say(f"{name}: PyTorch bf16 against its f32: least cosine of the pooler {least:.5f}")
                    if least < 0.98:
                        raise RuntimeError(f"PyTorch's bf16 differs from its f32: cosine {least}")
            except Exception as error:
                self.report["failures"][f"{name} {precision}, PyTorch"] = repr(error)
                traceback.print_exc()
                theirs = None
        work = flops(self.config, lengths)
        for output in outputs:
            ours, torchs = [], []
            for turn in range(self.options.rounds):
                if turn > 0 and time.monotonic() > self.deadline:
                    say(name, "out of time after", turn, "rounds")
                    break
                ours.append(self.ours.times(precision, lengths, output, runs))
                if theirs is not None:
                    torchs.append(theirs.times(output, runs))
            row = {"name": name, "precision": precision, "output": output, "batch": len(lengths),
                   "tokens": sum(lengths), "longest": max(lengths), "flop": work}
            for key, rounds in (("ours", ours), ("torch", torchs)):
                if not rounds:
                    continue
                median = statistics.median(t for times in rounds for t in times)
                row[key] = {"median_ms": median, "rounds_ms": [statistics.median(times) for times in rounds],
                            "least_ms": min(map(min, rounds)), "tflops": work / median / 1e9}
                if self.peak and precision == "f16":
                    row[key]["share_of_peak"] = row[key]["tflops"] / self.peak
            if "torch" in row:
                row["torch_how"] = theirs.how
                row["ratio"] = row["torch"]["median_ms"] / row["ours"]["median_ms"]
            self.report["rows"].append(row)
            say(self.line(row))
            self.save()

    def end_to_end(self):
        count = self.options.sentences
        path = os.path.join(self.options.models, f"sentences-{count}.jsonl")
        if not os.path.exists(path):
            with open(self.options.vocab, encoding="utf-8") as file:
                words = [w for w in file.read().split("\n") if w.isascii() and w.isalpha() and len(w) > 1]
            numbers = np.random.default_rng(3)
            sizes = numbers.integers(4, 41, count)
            picks = numbers.integers(0, len(words), int(sizes.sum()))
            masks = numbers.integers(0, 1 << 30, count)
            at = 0
            with open(path + ".new", "w", encoding="utf-8") as file:
                for size, mask in zip(sizes.tolist(), masks.tolist()):
                    sentence = [words[i] for i in picks[at:at + size]]
                    at += size
                    sentence[mask % size] = "[MASK]"
                    file.write('{"text": "' + " ".join(sentence) + '."}\n')
            os.replace(path + ".new", path)
        with open(path, encoding="utf-8") as file:
            first = file.readline()
        models = [(f"bert-{self.options.size}", self.folder)]
        if self.options.default_model and os.path.exists(
                os.path.join(self.options.default_model, "model.safetensors")):
            models.append(("default model", self.options.default_model))
        for name, folder in models:
            try:
                self.one_end_to_end(name, folder, path, first, count)
            except Exception as error:
                self.report["failures"][f"d, {name}"] = repr(error)
                traceback.print_exc()
            self.save()

    def one_end_to_end(self, name, folder, path, first, count):
        # the default model's folder may have no vocabulary of its own
        call = ["fill-mask", "--jsonl", "--model", folder, "--vocab", self.options.vocab, "--precision", "f16"]
        loads = []
        for _ in range(2):
            began = time.perf_counter()
            answer = self.ours.call(call, input=first)
            loads.append(time.perf_counter() - began)
        load = min(loads)
        answers = os.path.join(self.options.models, "answers.jsonl")
        with open(path, encoding="utf-8") as source, open(answers, "w", encoding="utf-8") as target:
            began = time.perf_counter()
            # a floor, so that what is left of the budget is no reason to lose the answer
            self.ours.call(call, max(60.0, self.deadline - time.monotonic()), stdin=source, stdout=target)
            whole = time.perf_counter() - began
        with open(answers, "rb") as file:
            lines = sum(1 for _ in file)
        size = os.path.getsize(answers)
        os.remove(answers)
        if lines != count or '"error"' in answer[:12]:
            raise RuntimeError(f"{lines} answers to {count} sentences; the first: {answer[:200]}")
        row = {"model": name, "sentences": count, "seconds": whole, "load_seconds": load,
               "sentences_per_second": count / (whole - load), "answer_bytes": size}
        self.report["end_to_end"].append(row)
        say(f"{name}: {count} sentences in {whole:.2f} s, load {load:.2f} s: {row['sentences_per_second']:.0f}/s")

    # -- what is printed

    @staticmethod
    def line(row):
        def cell(key):
            if key not in row:
                return "– | –"
            one = row[key]
            share = f" ({100 * one['share_of_peak']:.0f} %)" if "share_of_peak" in one else ""
            return f"{one['median_ms']:.3f} ms | {one['tflops']:.1f}{share}"

        kind = {"f16": "f16 / bf16", "f32": "f32"}[row["precision"]]
        ratio = f"{row['ratio']:.2f}" if "ratio" in row else "–"
        return (f"| {row['name']} | {row['output']} | {kind} | {cell('ours')} | {cell('torch')} | "
                f"{row.get('torch_how', '–')} | {ratio} |")

    def markdown(self):
        report = self.report
        lines = [f"{report['card']}; PyTorch {report.get('torch', '–')}; bertlens on {self.options.backend}"
                 f" ({getattr(self.ours, 'kernels', '')})"]
        if self.peak:
            lines.append(f"Peak: {self.peak:.0f} TFLOP/s, a product of 8192 x 8192 x 8192 in bf16 here.")
        for precision, check in report["checks"].items():
            lines.append(f"Against PyTorch f32, {precision}: least cosine {check['least_cosine']:.7f}, "
                         f"largest error {check['largest_error']:.1e}.")
        lines += ["", "| input | result on the host | precision | bertlens | TFLOP/s (of peak) | PyTorch "
                  "| TFLOP/s (of peak) | how | PyTorch / bertlens |",
                  "| --- | --- | --- | ---: | ---: | ---: | ---: | --- | ---: |"]
        lines += [self.line(row) for row in report["rows"]]
        if report["end_to_end"]:
            lines += ["", "| fill-mask --jsonl | sentences | seconds | of them loading | sentences/s |",
                      "| --- | ---: | ---: | ---: | ---: |"]
            lines += [f"| {r['model']} | {r['sentences']} | {r['seconds']:.2f} | {r['load_seconds']:.2f} | "
                      f"{r['sentences_per_second']:.0f} |" for r in report["end_to_end"]]
        lines += [f"FAILED: {name}: {error}" for name, error in report["failures"].items()]
        return "\n".join(lines)

    def save(self):
        if self.options.out:
            with open(self.options.out, "w", encoding="utf-8") as file:
                json.dump(self.report, file, indent=1)

    def part(self, name, function):
        try:
            function()
        except Exception as error:
            self.report["failures"][name] = repr(error)
            traceback.print_exc()
        self.save()

    def run(self):
        parts = self.options.parts.split(",")
        self.part("check", self.check)
        if "check" in self.report["failures"] and self.torch is not None:
            print(self.markdown(), flush=True)
            sys.exit("the outputs could not be compared, so nothing is measured")
        if self.options.device == "cuda":
            def measure_peak():
                self.peak = self.report["peak_tflops"] = peak_tflops(self.torch)
                say(f"peak {self.peak:.0f} TFLOP/s")
            self.part("peak", measure_peak)
        quick = self.options.size == "tiny"
        full = [128] * 64
        mixed = sentence_lengths(256)
        self.report["mixed_lengths"] = mixed
        if "a" in parts:
            self.part("a", lambda: self.measure("64 x 128", full, "f16", ["pooler", "states"], 2 if quick else 30))
        if "b" in parts:
            name = f"256 sentences, {sum(mixed)} tokens, longest {max(mixed)}"
            self.part("b", lambda: self.measure(name, mixed, "f16", ["pooler"], 2 if quick else 30))
        if "c" in parts:
            self.part("c", lambda: self.measure("1 x 128", [128], "f16", ["pooler"], 2 if quick else 200))
        if "d" in parts:
            self.part("d", self.end_to_end)
        if "a" in parts and not (quick and self.options.plain_bench):
            self.part("a, f32", lambda: self.measure("64 x 128", full, "f32", ["pooler"], 2 if quick else 8))
        print(self.markdown(), flush=True)
        if self.report["failures"]:
            sys.exit(1)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    root = os.path.dirname(os.path.dirname(here))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cli", required=True, help="the program bertlens")
    parser.add_argument("--models", default="/tmp/bertlens-cuda-bench", help="where checkpoint and texts are made")
    parser.add_argument("--vocab", default=os.path.join(root, "models/default/vocab.txt"))
    parser.add_argument("--default-model", default=os.path.join(root, "models/default"), help="for part d")
    parser.add_argument("--parts", default="a,b,c,d")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sentences", type=int, default=200000)
    parser.add_argument("--seconds", type=float, default=100, help="after which nothing new is begun where it can wait")
    parser.add_argument("--out", help="a JSON file for everything measured")
    # for checks of this script without a GPU
    parser.add_argument("--backend", default="cuda")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu", "none"], help="PyTorch's")
    parser.add_argument("--size", default="base", choices=list(SIZES))
    parser.add_argument("--plain-bench", action="store_true", help="a bertlens whose bench has no --output")
    Bench(parser.parse_args()).run()


if __name__ == "__main__":
    main()
