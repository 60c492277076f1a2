#!/usr/bin/env python3
"""Turns text into token shards for training: one sentence a line, a blank line between documents.

usage: prepare.py --vocab vocab.txt --out FOLDER part.txt[.xz] ...

Each input becomes FOLDER/<part>.train.* and FOLDER/<part>.held.*, three raw little-endian arrays each:
  .tokens     uint16  the word pieces of all sentences, one after another, no special tokens
  .sentences  uint32  where each sentence starts in .tokens, and the end of the last
  .documents  uint32  which sentence each document starts with, and the number of sentences
A document is held out for evaluation if the CRC-32 of its first line is 0 modulo 100, so that every tool that reads
the same text holds out the same documents. Text is uncased as in BERT (lower case, accents stripped, punctuation and CJK
characters apart). Needs Python 3.9 or later and nothing else.
"""
import argparse
import array
import lzma
import multiprocessing
import pathlib
import re
import sys
import tempfile
import unicodedata
import zlib

HELD_OUT = 100  # one document in so many
WORD = re.compile(r"[!-/:-@\[-`{-~]|[^\s!-/:-@\[-`{-~]+")


def is_cjk(code):
    """The blocks that BERT's tokenizer treats as one word a character (google-research/bert, tokenization.py)."""
    return any(low <= code <= high for low, high in (
        (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
        (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)))


class Characters(dict):
    """str.translate table for text beyond ASCII, filled as characters are met."""

    def __missing__(self, code):
        char = chr(code)
        category = unicodedata.category(char)
        if code < 128:
            out = char
        elif category == "Mn" or category[0] == "C" or code == 0xFFFD:
            out = None
        elif category[0] == "P" or is_cjk(code):
            out = f" {char} "
        else:
            out = " " if category == "Zs" else char
        self[code] = out
        return out


class Pieces(dict):
    """Word -> its word pieces as ids, by greedy longest match, filled as words are met."""

    def __init__(self, vocab):
        super().__init__()
        self.vocab = vocab
        self.unknown = (vocab["[UNK]"],)

    def __missing__(self, word):
        ids, start = [], 0
        while start < len(word) <= 100:
            end = len(word)
            while end > start:
                id_ = self.vocab.get(("##" if start else "") + word[start:end])
                if id_ is not None:
                    break
                end -= 1
            if end == start:
                break
            ids.append(id_)
            start = end
        out = tuple(ids) if ids and start == len(word) else self.unknown
        if len(self) < 2_000_000:
            self[word] = out
        return out


def load_vocab(path):
    return {line.rstrip("\n"): i for i, line in enumerate(open(path, encoding="utf-8"))}


def documents(lines):
    """Yields lists of non-empty lines."""
    document = []
    for line in lines:
        line = line.strip()
        if line:
            document.append(line)
        elif document:
            yield document
            document = []
    if document:
        yield document


def tokenize(line, pieces, characters):
    line = line.lower()
    if not line.isascii():
        line = unicodedata.normalize("NFD", line).translate(characters)
    ids = []
    for word in WORD.findall(line):
        ids += pieces[word]
    return ids


class Shard:
    """Three growing arrays, written at the end."""

    def __init__(self):
        self.tokens, self.sentences, self.documents = array.array("H"), array.array("I", [0]), array.array("I", [0])

    def add(self, sentences):
        for ids in sentences:
            self.tokens.extend(ids)
            self.sentences.append(len(self.tokens))
        self.documents.append(len(self.sentences) - 1)

    def write(self, folder, name):
        """Each file appears whole, .documents last: who sees it can use the shard."""
        with tempfile.TemporaryDirectory(dir=folder) as unfinished:
            for kind in ("tokens", "sentences", "documents"):
                data = getattr(self, kind)
                if sys.byteorder != "little":
                    data.byteswap()
                path = pathlib.Path(unfinished) / f"{name}.{kind}"
                with open(path, "wb") as file:
                    data.tofile(file)
                path.replace(folder / path.name)


def prepare(job):
    path, vocab, out = job
    name = re.sub(r"\.txt(\.xz)?$", "", path.name)
    pieces, characters = Pieces(load_vocab(vocab)), Characters()
    train, held = Shard(), Shard()
    with (lzma.open if path.suffix == ".xz" else open)(path, "rt", encoding="utf-8") as lines:
        for document in documents(lines):
            sentences = [ids for ids in (tokenize(line, pieces, characters) for line in document) if ids]
            if sentences:
                held_out = zlib.crc32(document[0].encode()) % HELD_OUT == 0
                (held if held_out else train).add(sentences)
    held.write(out, f"{name}.held")
    train.write(out, f"{name}.train")
    return f"{name}: {len(train.tokens):,} tokens to train on, {len(held.tokens):,} held out"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", type=pathlib.Path)
    parser.add_argument("--vocab", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count())
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    jobs = [(path, args.vocab, args.out) for path in args.parts]
    with multiprocessing.Pool(min(args.jobs, len(jobs))) as pool:
        for report in pool.imap_unordered(prepare, jobs):
            print(report, flush=True)


if __name__ == "__main__":
    main()
