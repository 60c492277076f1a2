#!/usr/bin/env python3
"""Measures a model: masked words and next sentences of held-out text, and the course notebook's own examples.

usage: evaluate.py --model FOLDER --data SHARDS [--cli build/native/bertlens [--precision f32|f16|int8]] [--long N] [--json FILE]

SHARDS is a folder that models/train/prepare.py wrote; its held-out documents are asked. Without --cli PyTorch computes, from
the same weights. The questions are the same for every model and every program: passages of up to 126 pieces, one word in
seven masked whole, and pairs of sentences of which half follow each other and half come from two documents. With --long N also N
texts of 510 pieces, cut to several lengths: what more text does for a word, and how well places beyond the first are read.
"""
import argparse
import json
import math
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "train"))
import prepare  # noqa: E402  (lies in the folder beside)

NOTEBOOK = json.loads((pathlib.Path(__file__).resolve().parent / "notebook.json").read_text())


class Tokenizer:
    """The plain uncased tokenizer of prepare.py with [MASK] and [UNK]."""

    def __init__(self, path):
        self.vocab = prepare.load_vocab(path)
        self.names = list(self.vocab)
        self.pieces, self.characters = prepare.Pieces(self.vocab), prepare.Characters()

    def ids(self, text):
        out = []
        for i, part in enumerate(text.split("[MASK]")):
            out += [self.vocab["[MASK]"]] if i else []
            for j, piece in enumerate(part.split("[UNK]")):
                out += [self.vocab["[UNK]"]] if j else []
                out += prepare.tokenize(piece, self.pieces, self.characters)
        return out

    def words(self, ids):
        """Groups of ids, one a word."""
        groups = []
        for i in ids:
            if groups and self.names[i].startswith("##"):
                groups[-1].append(i)
            else:
                groups.append([i])
        return groups

    def text(self, ids):
        return " ".join("".join(self.names[i].removeprefix("##") for i in word) for word in self.words(ids))


def questions(corpus, tokenizer, passages, pairs):
    """({"text", "label_text"} ..., {"text", "pair", "is_next"} ...), always the same for the same held-out text."""
    draw = random.Random(20261123)
    documents = [(int(a), int(b)) for a, b in zip(corpus.documents[:-1], corpus.documents[1:]) if b - a > 1]

    def sentence(s):
        return [int(i) for i in corpus.tokens[corpus.sentences[s]:corpus.sentences[s + 1]]]

    masked = []
    while len(masked) < passages:
        first, end = draw.choice(documents)
        s = draw.randrange(first, end)
        ids = sentence(s)
        while (s := s + 1) < end and len(ids) + len(sentence(s)) <= 126:
            ids += sentence(s)
        text = tokenizer.text(ids)
        if not 8 <= len(ids) <= 126 or tokenizer.ids(text) != ids:
            continue  # too long, or ids that do not come from text as it stands
        words = tokenizer.words(ids)
        asked = set(draw.sample(range(len(words)), max(1, len(words) * 15 // 100)))
        hidden = [[tokenizer.vocab["[MASK]"]] * len(w) if i in asked else w for i, w in enumerate(words)]
        question = " ".join("[MASK] " * len(w) if i in asked else tokenizer.text(w) for i, w in enumerate(words))
        if tokenizer.ids(question) == sum(hidden, []):
            masked.append({"text": " ".join(question.split()), "label_text": text})
    following = []
    while len(following) < pairs:
        first, end = draw.choice(documents)
        s = draw.randrange(first, end - 1)
        is_next = len(following) % 2 == 0
        other = s + 1
        if not is_next:
            elsewhere = draw.choice(documents)
            if elsewhere[0] == first:
                continue
            other = draw.randrange(*elsewhere)
        a, b = sentence(s), sentence(other)
        if len(a) + len(b) <= 125 and min(len(a), len(b)) >= 4:
            following.append({"text": tokenizer.text(a), "pair": tokenizer.text(b), "is_next": is_next})
    return masked, following


LENGTHS = (126, 190, 254, 382, 510)  # pieces of the long texts


def long_questions(corpus, tokenizer, count):
    """{length: ({"text", "label_text"} ...)}: texts of so many pieces at most, the same words masked in all lengths."""
    draw = random.Random(20261127)
    documents = [(int(a), int(b)) for a, b in zip(corpus.documents[:-1], corpus.documents[1:]) if b - a > 1]
    out = {length: [] for length in LENGTHS}
    draws = 0
    while len(out[LENGTHS[0]]) < count:
        if (draws := draws + 1) > 1000 * count:
            raise SystemExit(f"--long {count}: hardly any held-out document has {LENGTHS[-1]} pieces, of {len(documents)}")
        first, end = draw.choice(documents)
        s = draw.randrange(first, end)
        ids = [int(i) for i in corpus.tokens[corpus.sentences[s]:corpus.sentences[end]][:LENGTHS[-1] + 30]]
        words = tokenizer.words(ids)[:-1]  # the last may be cut
        if sum(map(len, words)) < LENGTHS[-1] or tokenizer.ids(tokenizer.text(sum(words, []))) != sum(words, []):
            continue
        asked = set(draw.sample(range(len(words)), len(words) * 15 // 100))
        for length in LENGTHS:
            shown, pieces = [], 0
            for i, word in enumerate(words):
                if (pieces := pieces + len(word)) > length:
                    break
                shown.append((i, word))
            question = " ".join("[MASK] " * len(w) if i in asked else tokenizer.text(w) for i, w in shown)
            out[length].append({"text": " ".join(question.split()), "label_text": tokenizer.text(sum((w for _, w in shown), []))})
    return out


class Torch:
    """The answers of PyTorch in float32 (weights as the folder holds them)."""

    def __init__(self, folder, tokenizer):
        import torch

        import bert
        self.torch, self.tokenizer, self.model = torch, tokenizer, bert.load(folder)

    def _encode(self, text, pair=None):
        v, torch = self.tokenizer.vocab, self.torch
        a = [v["[CLS]"], *self.tokenizer.ids(text), v["[SEP]"]]
        b = [*self.tokenizer.ids(pair), v["[SEP]"]] if pair is not None else []
        ids = torch.tensor([a + b])
        types = torch.tensor([[0] * len(a) + [1] * len(b)])
        with torch.no_grad():
            return ids[0], self.model.encode(ids, types, torch.tensor([ids.shape[1]]))

    def fill_mask(self, items, top_k):
        for item in items:
            ids, x = self._encode(item["text"])
            at = ids == self.tokenizer.vocab["[MASK]"]
            with self.torch.no_grad():
                shares = self.model.word_logits(x[0, at]).log_softmax(-1)
            best = shares.topk(top_k)
            answer = {"masks": [{"predictions": [{"token": self.tokenizer.names[i], "probability": math.exp(p)}
                                                 for p, i in zip(ps, ix)]}
                                for ps, ix in zip(best.values.tolist(), best.indices.tolist())]}
            if "label_text" in item:
                labels = self.torch.tensor(self.tokenizer.ids(item["label_text"]))[at[1:-1]]
                losses = -shares.gather(1, labels[:, None])[:, 0]
                answer["loss"] = losses.mean().item()
                for mask, place, loss in zip(answer["masks"], at.nonzero()[:, 0].tolist(), losses.tolist()):
                    mask["position"], mask["label"] = place, {"loss": loss}
            yield answer

    def nsp(self, items):
        for item in items:
            with self.torch.no_grad():
                yield {"is_next": self.model.next_logits(self._encode(item["text"], item["pair"])[1]).softmax(-1)[0, 0].item()}


class Cli:
    """The answers of the bertlens command line."""

    def __init__(self, program, folder, precision):
        self.program, self.common = program, ["--model", str(folder), "--precision", precision, "--jsonl"]

    def _ask(self, command, items):
        lines = "".join(json.dumps(item) + "\n" for item in items)
        done = subprocess.run([self.program, *command, *self.common], input=lines, stdout=subprocess.PIPE, text=True, check=True)
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if len(answers) != len(items):
            raise SystemExit(f"{self.program} answered {len(answers)} of {len(items)} lines")
        return answers

    def fill_mask(self, items, top_k):
        return self._ask(["fill-mask", "--top-k", str(top_k)], items)

    def nsp(self, items):
        return self._ask(["nsp"], [{"text": item["text"], "pair": item["pair"]} for item in items])


def measure(engine, tokenizer, masked, following):
    """All figures as a dictionary; prints them."""
    out = {}
    loss = count = first = five = 0
    for item, answer in zip(masked, engine.fill_mask(masked, 5)):
        text, label = tokenizer.ids(item["text"]), tokenizer.ids(item["label_text"])
        right = [tokenizer.names[b] for a, b in zip(text, label) if a == tokenizer.vocab["[MASK]"]]
        if len(right) != len(answer["masks"]):
            raise SystemExit(f"{len(answer['masks'])} masks answered of {len(right)}: {item['text']}")
        loss += answer["loss"] * len(right)
        count += len(right)
        for token, mask in zip(right, answer["masks"]):
            tokens = [p["token"] for p in mask["predictions"]]
            first += tokens[0] == token
            five += token in tokens
    if count:
        out["mlm"] = {"masks": count, "loss": loss / count, "perplexity": math.exp(loss / count), "top1": first / count,
                      "top5": five / count}
        print(f"masked words: {count} masks in {len(masked)} passages, loss {loss / count:.4f}, perplexity "
              f"{math.exp(loss / count):.2f}, top-1 {100 * first / count:.2f} %, top-5 {100 * five / count:.2f} %")
    if following:
        right = sum((a["is_next"] > 0.5) == q["is_next"] for q, a in zip(following, engine.nsp(following)))
        out["nsp"] = {"pairs": len(following), "accuracy": right / len(following)}
        print(f"next sentence: {100 * right / len(following):.2f} % of {len(following)} pairs")
    pairs = NOTEBOOK["pairs"]
    answers = [a["is_next"] for a in engine.nsp(pairs)]
    right = sum((a > 0.5) == q["is_next"] for q, a in zip(pairs, answers))
    out["notebook_pairs"] = {"right": right, "is_next": answers}
    print(f"the notebook's pairs: {right} of {len(pairs)}")
    for q, a in zip(pairs, answers):
        print(f"  {'right' if (a > 0.5) == q['is_next'] else 'WRONG'}  P(next) {a:.3f}  {q['text']} | {q['pair']}")
    out["notebook_sentences"] = {}
    sentences = [{"text": text} for text in NOTEBOOK["sentences"]]
    for item, answer in zip(sentences, engine.fill_mask(sentences, 10)):
        print(item["text"])
        out["notebook_sentences"][item["text"]] = [m["predictions"] for m in answer["masks"]]
        for mask in answer["masks"]:
            print("   " + ", ".join(f"{p['token']} {100 * p['probability']:.1f} %" for p in mask["predictions"]))
    return out


def measure_long(engine, tokenizer, long):
    """Figures by length: of words within the first places, and of those after."""
    out = []
    for length, items in long.items():
        asked = []  # (place, whether the first guess is right, loss)
        for item, answer in zip(items, engine.fill_mask(items, 1)):
            label = tokenizer.ids(item["label_text"])
            asked += [(m["position"], m["predictions"][0]["token"] == tokenizer.names[label[m["position"] - 1]], m["label"]["loss"])
                      for m in answer["masks"]]
        row = {"pieces": length}
        for name, part in (("early", [a for a in asked if a[0] <= LENGTHS[0]]), ("late", [a for a in asked if a[0] > LENGTHS[0]])):
            if part:
                row[name] = {"masks": len(part), "top1": sum(a[1] for a in part) / len(part), "loss": sum(a[2] for a in part) / len(part)}
        out.append(row)
        print(f"{len(items)} texts of {length} pieces: " + "; ".join(
            f"{'first ' + str(LENGTHS[0]) + ' places' if name == 'early' else 'places after'}: {row[name]['masks']} masks, "
            f"top-1 {100 * row[name]['top1']:.1f} %, loss {row[name]['loss']:.2f}" for name in ("early", "late") if name in row))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--data", required=True, type=pathlib.Path)
    parser.add_argument("--vocab", type=pathlib.Path, help="default: vocab.txt of the model's folder")
    parser.add_argument("--cli", help="ask this bertlens program instead of PyTorch")
    parser.add_argument("--precision", default="f32", choices=("f32", "f16", "int8"))
    parser.add_argument("--passages", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=2000)
    parser.add_argument("--long", type=int, default=0, help="texts of 510 pieces")
    parser.add_argument("--json", type=pathlib.Path, help="write the figures here")
    args = parser.parse_args()
    import examples
    tokenizer = Tokenizer(args.vocab or args.model / "vocab.txt")
    corpus = examples.Corpus(args.data, "held")
    masked, following = questions(corpus, tokenizer, args.passages, args.pairs)
    engine = Cli(args.cli, args.model, args.precision) if args.cli else Torch(args.model, tokenizer)
    figures = measure(engine, tokenizer, masked, following)
    if args.long:
        figures["long"] = measure_long(engine, tokenizer, long_questions(corpus, tokenizer, args.long))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
