"""Pre-training examples out of token shards: one sentence, or two segments of which B continues A or is from elsewhere.

An example is a row of word pieces with [CLS] and [SEP], where its segment B starts, its length and its label. Masking comes
later and is drawn anew each time (mask_words). Rules as in cpu/data.h.
"""
import multiprocessing
import os

import numpy as np
import torch

IGNORED = -100  # the target of a position that is not asked


class Vocabulary:
    def __init__(self, path):
        pieces = [line.rstrip("\n") for line in open(path, encoding="utf-8")]
        self.size = len(pieces)
        self.pad, self.cls, self.sep, self.mask = (pieces.index(f"[{n}]") for n in ("PAD", "CLS", "SEP", "MASK"))
        self.first_word = max(self.pad, self.cls, self.sep, self.mask) + 1
        self.continues = np.array([piece.startswith("##") for piece in pieces])
        self.pieces = pieces


class Corpus:
    """All shards of one kind ("train" or "held") of a folder that prepare.py wrote."""

    def __init__(self, folder, kind):
        tokens, sentences, documents = [], [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
        for path in sorted(folder.glob(f"*.{kind}.tokens")):
            stem = str(path)[:-len("tokens")]
            tokens.append(np.fromfile(path, "<u2"))
            sentences.append(np.fromfile(stem + "sentences", "<u4")[1:].astype(np.int64) + sentences[-1][-1])
            documents.append(np.fromfile(stem + "documents", "<u4")[1:].astype(np.int64) + documents[-1][-1])
        if not tokens:
            raise FileNotFoundError(f"{folder} has no shard of the kind {kind}")
        self.tokens, self.sentences, self.documents = map(np.concatenate, (tokens, sentences, documents))

    def starts(self, distance=40):
        """[number, 2]: sentences where examples begin, at least `distance` pieces apart, and the end of their document."""
        out = []
        for first, end in zip(self.documents[:-1], self.documents[1:]):
            begin = -distance
            for s in range(first, end):
                if s == first or self.sentences[s] - begin >= distance:
                    out.append((s, end))
                    begin = self.sentences[s]
        return np.array(out, dtype=np.int64)


def build(corpus, vocabulary, starts, seed, length, single=0.2, pairs=0.25):
    """Examples of at most `length` pieces: (ids uint16 [n, length], second int16 [n], lengths int16 [n], labels int8 [n]).

    `single` and `pairs` are the shares that are one sentence alone (label -1, no question) and two sentences; all others are
    filled up with sentences. Label 0: B continues A; 1: B is from another document.
    """
    random = np.random.default_rng(seed)
    n, room = len(starts), length - 3
    ids = np.full((n, length), vocabulary.pad, dtype=np.uint16)
    second, lengths, labels = np.zeros(n, np.int16), np.zeros(n, np.int16), np.full(n, -1, np.int8)
    draws = random.random((n, 3))
    elsewhere = random.integers(0, len(corpus.documents) - 1, (n, 20))
    sentences, documents = corpus.sentences, corpus.documents
    for i, (start, end) in enumerate(starts):
        kind, share, coin = draws[i]
        a0, a1 = sentences[start], sentences[start + 1]
        after = start + 1
        if kind < single:
            a = corpus.tokens[a0:min(a1, a0 + room + 1)]
            b = a[:0]
        else:
            filled = kind >= single + pairs
            if filled:  # A grows to a random share of the room
                target = int(room * (0.15 + 0.7 * share))
                while after < end and a1 - a0 < target:
                    after += 1
                    a1 = sentences[after]
            label = int(coin < 0.5 or after >= end)
            if label:
                for d in elsewhere[i]:
                    if documents[d + 1] != end or len(documents) == 2:
                        after = random.integers(documents[d], documents[d + 1])
                        end = documents[d + 1]
                        break
            labels[i] = label
            b0, b1 = sentences[after], sentences[after + 1]
            while filled and after + 1 < end and a1 - a0 + b1 - b0 < room:
                after += 1
                b1 = sentences[after + 1]
            na, nb = a1 - a0, b1 - b0
            if na + nb > room:  # the longer one gives way
                na, nb = (room - nb, nb) if nb <= room // 2 else (na, room - na) if na <= room // 2 else (room - room // 2, room // 2)
            a, b = corpus.tokens[a0:a0 + na], corpus.tokens[b0:b0 + nb]
        row, na = ids[i], len(a)
        row[0], row[na + 1] = vocabulary.cls, vocabulary.sep
        row[1:na + 1] = a
        lengths[i] = second[i] = na + 2
        if len(b):
            row[na + 2:na + 2 + len(b)] = b
            row[na + 2 + len(b)] = vocabulary.sep
            lengths[i] += len(b) + 1
    return ids, second, lengths, labels


_shared = None


def _build_piece(job):
    starts, seed, length = job
    return build(*_shared, starts, seed, length)


class Builder:
    """Builds whole passes in random order by all cores. Make it before anything else starts threads or a GPU: it forks."""

    def __init__(self, corpus, vocabulary, jobs=0):
        global _shared
        _shared = (corpus, vocabulary)
        jobs = jobs or os.cpu_count()
        self.pool = multiprocessing.get_context("fork").Pool(jobs) if jobs > 1 else None

    def build(self, starts, seed, length):
        starts = starts[np.random.default_rng(seed).permutation(len(starts))]
        pieces = np.array_split(starts, max(1, len(starts) // 4096))
        jobs = [(piece, (seed, i), length) for i, piece in enumerate(pieces)]
        parts = self.pool.map(_build_piece, jobs) if self.pool else map(_build_piece, jobs)
        return [np.concatenate(arrays) for arrays in zip(*parts)]


def mask_words(ids, lengths, vocabulary, continues, rate, generator=None):
    """Whole words at random: 80 % become [MASK], 10 % a random piece, 10 % stay. Returns (masked ids, targets).

    ids int64 [batch, tokens] on any device; continues: vocabulary.continues there. Each word is asked with probability
    `rate`, and at least one word of a row.
    """
    batch, tokens = ids.shape
    device = ids.device
    place = torch.arange(tokens, device=device)
    content = (place[None] < lengths[:, None]) & (ids != vocabulary.cls) & (ids != vocabulary.sep)
    begins = content & ~(continues[ids] & (place[None] > 1))
    word = begins.long().cumsum(1)  # 0 before the first
    draw = torch.rand(batch, tokens + 1, device=device, generator=generator)
    lowest = torch.where(begins, draw.gather(1, word), torch.ones_like(draw[:, 1:])).amin(1, keepdim=True)
    chosen = content & (draw.gather(1, word) <= lowest.clamp(min=rate))
    targets = torch.where(chosen, ids, torch.full_like(ids, IGNORED))
    action = torch.rand(ids.shape, device=device, generator=generator)
    other = torch.randint(vocabulary.first_word, vocabulary.size, ids.shape, device=device, generator=generator)
    masked = torch.where(chosen & (action < 0.8), torch.full_like(ids, vocabulary.mask), ids)
    return torch.where(chosen & (action >= 0.9), other, masked), targets
