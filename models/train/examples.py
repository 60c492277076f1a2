"""Pre-training examples out of token shards: one sentence, or two segments of which B continues A or is from elsewhere.

An example is [CLS] A [SEP] or [CLS] A [SEP] B [SEP]. Batches are packed: examples one after the other without padding, exactly
so many pieces a batch, the little that is left over filled with sequences of [PAD]. Masking comes later and is drawn anew each
time (ask). Rules as in cpu/data.h, but that the last word of some single sentences is always asked.
"""
import collections
import multiprocessing
import os
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

IGNORED = -100  # the target of a position that is not asked
# The bits of Batches.place: the position in the example, whether the piece is of a last word to ask, and of segment B.
POSITION, FINAL, SECOND = 0x1FFF, 0x2000, 0x4000

# Arrays of packed batches: tokens, place uint16 [batches, pieces]; bounds int32 [batches, sequences + 1], where sequences
# start and end, filled up with the end of the last; labels int8 [batches, sequences]: 0: B continues A; 1: B is from another
# document; -1: no question.
Batches = collections.namedtuple("Batches", "tokens place bounds labels")


class Vocabulary:
    def __init__(self, path):
        pieces = [line.rstrip("\n") for line in open(path, encoding="utf-8")]
        self.size = len(pieces)
        self.pad, self.cls, self.sep, self.mask = (pieces.index(f"[{n}]") for n in ("PAD", "CLS", "SEP", "MASK"))
        self.first_word = max(self.pad, self.cls, self.sep, self.mask) + 1
        self.continues = np.array([piece.startswith("##") for piece in pieces])
        self.punctuation = np.array([not any(c.isalnum() for c in piece) for piece in pieces])
        self.pieces = pieces


class Part:
    """One shard, STEM.tokens, .sentences and .documents; the tokens stay in the file until they are used."""

    def __init__(self, stem):
        self.tokens = np.memmap(f"{stem}.tokens", "<u2", "r")
        self.sentences, self.documents = (np.fromfile(f"{stem}.{kind}", "<u4").astype(np.int64)
                                          for kind in ("sentences", "documents"))


def parts(folder, kind):
    """The stems of the shards of one kind ("train" or "held") that are complete, .documents last, and not empty."""
    stems = sorted(str(path)[:-len(".documents")] for path in pathlib.Path(folder).glob(f"*.{kind}.documents"))
    return [stem for stem in stems if os.path.exists(f"{stem}.sentences") and os.path.exists(f"{stem}.tokens")
            and os.path.getsize(f"{stem}.tokens") > 0]


class Corpus:
    """All shards of one kind of a folder that prepare.py wrote, as one."""

    def __init__(self, folder, kind):
        tokens, sentences, documents = [], [np.zeros(1, np.int64)], [np.zeros(1, np.int64)]
        for part in map(Part, parts(folder, kind)):
            tokens.append(part.tokens)
            sentences.append(part.sentences[1:] + sentences[-1][-1])
            documents.append(part.documents[1:] + documents[-1][-1])
        if not tokens:
            raise FileNotFoundError(f"{folder} has no shard of the kind {kind}")
        self.tokens, self.sentences, self.documents = map(np.concatenate, (tokens, sentences, documents))


def starts(corpus, distance, offset=0):
    """Sentences where examples begin: the first at or after each of offset, offset + distance ... pieces."""
    found = np.unique(np.searchsorted(corpus.sentences, np.arange(offset, len(corpus.tokens), distance)))
    found = found[found < len(corpus.sentences) - 1]
    return found if len(found) else np.zeros(1, np.int64)


def segments(corpus, first, random, length, single=0.2, pairs=0.25):
    """Examples of at most `length` pieces that begin with the sentences `first`: (a, na, b, nb, labels), arrays of where A and B
    begin in corpus.tokens and of how many pieces they have.

    `single` and `pairs` are the shares that are one sentence alone (nb 0, label -1) and two sentences; all others are filled up
    with sentences.
    """
    n, room = len(first), length - 3
    sentences, documents = corpus.sentences, corpus.documents
    kind, share, coin, which, where = random.random((5, n))
    alone, filled = kind < single, kind >= single + pairs
    own = np.searchsorted(documents, first, "right") - 1
    end = documents[own + 1]
    a = sentences[first]
    # A grows, sentence by sentence, to a random share of the room.
    target = np.where(filled, (room * (0.15 + 0.7 * share)).astype(np.int64), 0)
    after = np.clip(np.searchsorted(sentences, a + target), first + 1, end)
    na = sentences[after] - a
    labels = np.where(alone, -1, (coin < 0.5) | (after >= end))
    other = (own + 1 + (which * (len(documents) - 2)).astype(np.int64)) % (len(documents) - 1)
    drawn = documents[other] + (where * (documents[other + 1] - documents[other])).astype(np.int64)
    follows = np.where(labels == 1, drawn, np.minimum(after, len(sentences) - 2))
    end = np.where(labels == 1, documents[other + 1], end)
    b = sentences[follows]
    until = np.where(filled, np.searchsorted(sentences, b + room - na), 0)
    nb = sentences[np.maximum(np.minimum(until, end), follows + 1)] - b
    # Of two that are too long together the longer one gives way.
    half = room // 2
    over = na + nb > room
    shorter_b, shorter_a = over & (nb <= half), over & (nb > half) & (na <= half)
    na, nb = (np.where(shorter_b, room - nb, np.where(over & ~shorter_a, room - half, na)),
              np.where(shorter_a, room - na, np.where(over & ~shorter_b, half, nb)))
    na = np.where(alone, np.minimum(sentences[first + 1] - a, room + 1), na)
    return a, na, b, np.where(alone, 0, nb), labels


def last_words(corpus, vocabulary, a, na):
    """(begin, end) of the last word of each sentence in corpus.tokens, punctuation after it left out."""
    end = a + na
    for _ in range(3):
        end -= (end - 1 > a) & vocabulary.punctuation[corpus.tokens[end - 1]]
    begin = end - 1
    for _ in range(8):
        begin -= (begin > a) & vocabulary.continues[corpus.tokens[begin]]
    return begin, end


def pack(corpus, vocabulary, examples, length, size, finals=()):
    """Packs examples (of segments) into Batches of `size` pieces. What fills no whole batch is left out, unless it is all.

    finals: numbers of examples whose last word of A is to be asked.
    """
    a, na, b, nb, labels = examples
    lengths = na + 2 + np.where(labels >= 0, nb + 1, 0)
    sequences = max(size // 32, 2 * (size // length) + 2)
    most = sequences - size // length - 1  # the others are for [PAD]
    ends = np.concatenate([[0], np.cumsum(lengths)])
    begins = [0]
    while begins[-1] < len(a):
        begins.append(min(np.searchsorted(ends, ends[begins[-1]] + size, "right") - 1, begins[-1] + most))
    if len(begins) > 2 and ends[begins[-1]] - ends[begins[-2]] < size - length:
        begins.pop()
    count = begins[-1]
    batches = len(begins) - 1
    tokens = np.full(batches * size, vocabulary.pad, np.uint16)
    place = np.empty((batches, size), np.uint16)
    place[:] = np.arange(size) % length
    place = place.reshape(-1)
    bounds = np.full((batches, sequences + 1), size, np.int32)
    out_labels = np.full((batches, sequences), -1, np.int8)
    at = ends[:count].copy()  # where each example goes
    for i, (first, last) in enumerate(zip(begins, begins[1:])):
        at[first:last] += i * size - ends[first]
        bounds[i, :last - first + 1] = ends[first:last + 1] - ends[first]
        rest = np.arange(bounds[i, last - first], size, length)  # sequences of [PAD]
        bounds[i, last - first:last - first + len(rest)] = rest
        out_labels[i, :last - first] = labels[first:last]
        place[(i * size + bounds[i, last - first]):(i + 1) * size] = np.arange(size - bounds[i, last - first]) % length
    a, na, b, lengths = a[:count], na[:count], b[:count], lengths[:count]
    total = ends[count]
    position = np.arange(total, dtype=np.int32) - np.repeat(ends[:count].astype(np.int32), lengths)
    goal = np.repeat(at.astype(np.int32) - ends[:count].astype(np.int32), lengths) + np.arange(total, dtype=np.int32)
    second = position >= np.repeat((na + 2).astype(np.int32), lengths)
    source = position + np.where(second, np.repeat((b - na - 2).astype(np.int32), lengths),
                                 np.repeat((a - 1).astype(np.int32), lengths))
    tokens[goal] = corpus.tokens[np.clip(source, 0, len(corpus.tokens) - 1)]
    place[goal] = position.astype(np.uint16) | np.where(second, np.uint16(SECOND), np.uint16(0))
    tokens[at], tokens[at + na + 1], tokens[at + lengths - 1] = vocabulary.cls, vocabulary.sep, vocabulary.sep
    finals = np.asarray(finals, dtype=np.int64)
    finals = finals[finals < count]
    if len(finals):
        begin, end = last_words(corpus, vocabulary, a[finals], na[finals])
        for k in range(8):
            asked = (at[finals] + 1 + begin - a[finals] + k)[begin + k < end]
            place[asked] |= FINAL
    shape = (batches, size)
    return Batches(tokens.reshape(shape), place.reshape(shape), bounds, out_labels)


def build(corpus, vocabulary, first, seed, length, size, final=0.3):
    """Batches of examples that begin with the sentences `first`; a share `final` of single sentences has its last word asked."""
    random = np.random.default_rng(seed)
    examples = segments(corpus, first, random, length)
    finals = np.flatnonzero((examples[-1] < 0) & (random.random(len(first)) < final))
    return pack(corpus, vocabulary, examples, length, size, finals)


_vocabulary = None  # of the processes that build
_opened = {}  # there: the parts that were used, and what the pass begins with


def _build(job):
    """A share of a pass over a part, in random order: each process finds the same order by itself."""
    stem, length, size, seed, share, shares = job
    if stem not in _opened:
        _opened[stem] = Part(stem)
    part = _opened[stem]
    if _opened.get((stem, length), (None,))[0] != seed:
        random = np.random.default_rng(seed)
        distance = max(8, length * 5 // 8)
        _opened[stem, length] = seed, random.permutation(starts(part, distance, random.integers(distance)))
    order = _opened[stem, length][1]
    first = order[len(order) * share // shares:len(order) * (share + 1) // shares]
    return build(part, _vocabulary, first, (*seed, share), length, size)


class Builder:
    """Builds batches by several processes. Make it before anything else starts threads or a GPU: it forks."""

    def __init__(self, folder, vocabulary, jobs=0):
        global _vocabulary
        _vocabulary = vocabulary
        self.folder = folder
        self.jobs = jobs or max(1, min(12, os.cpu_count() - 2))
        self.pool = multiprocessing.get_context("fork").Pool(self.jobs) if self.jobs > 1 else None

    def submit(self, job):
        """A function that waits for the result."""
        if not self.pool:
            return lambda: _build(job)
        coming = self.pool.apply_async(_build, (job,))

        def result():
            try:
                return coming.get(60)
            except Exception as error:  # a process that died or fails is no reason to stop
                print(f"a builder gave nothing ({error!r}): built here", flush=True)
                return _build(job)
        return result


def leave(status):
    """Ends the program and its builders. A pool's own end may wait for ever: for a pipe full of results that nobody reads."""
    sys.stdout.flush()
    sys.stderr.flush()
    for process in multiprocessing.active_children():
        process.kill()
    os._exit(status)


class Stream:
    """Batches of one length on a device: pass after pass over all parts that are there, the next ones built meanwhile.

    A part that comes later is used at once: a new pass begins.
    """

    JOB = 16384  # examples

    def __init__(self, builder, length, size, seed, device):
        self.builder, self.length, self.size, self.seed, self.device = builder, length, size, seed, device
        self.number, self.known, self.jobs, self.coming, self.ready = 0, 0, self._jobs(), collections.deque(), []

    def _jobs(self):
        while True:
            known = parts(self.builder.folder, "train")
            if len(known) != self.known:
                self.known = len(known)
                print(f"{self.known} part{'s' * (self.known != 1)} of the text for length {self.length}", flush=True)
            jobs = []
            for i, stem in enumerate(known):
                shares = max(1, os.path.getsize(f"{stem}.tokens") // 2 // (self.length * 5 // 8 * self.JOB))
                jobs += [(stem, self.length, self.size, (self.seed, self.length, self.number, i), k, shares)
                         for k in range(shares)]
            for k in np.random.default_rng((self.seed, self.number)).permutation(len(jobs)):
                yield jobs[k]
                if parts(self.builder.folder, "train") != known:
                    break
            self.number += 1

    def fill(self):
        """Lets the builders go ahead."""
        while len(self.coming) < (2 * self.builder.jobs if self.builder.pool else 1):
            self.coming.append(self.builder.submit(next(self.jobs)))

    def take(self):
        """The next batch, as upload gives it."""
        while not self.ready:
            self.fill()
            self.ready = upload(self.coming.popleft()(), self.length, self.device)
        return self.ready.pop()


def upload(batches, length, device):
    """Batches -> a list of dictionaries of tensors on the device: ids, place, bounds, labels; and the length."""
    tokens, place = (torch.from_numpy(x.view(np.int16)).to(device) for x in (batches.tokens, batches.place))
    ids, place = tokens.long() & 0xFFFF, place.long()  # PyTorch has few operations on uint16
    bounds, labels = (torch.from_numpy(x).to(device) for x in (batches.bounds, batches.labels))
    return [{"ids": i, "place": p, "bounds": b, "labels": n, "length": length}
            for i, p, b, n in zip(ids, place, bounds, labels.long())]


def ask(batch, count, vocabulary, continues, generator=None):
    """Whole words at random, `count` pieces: 80 % become [MASK], 10 % a random piece, 10 % stay.

    Returns (ids with them, asked: their positions, targets); continues: vocabulary.continues on the device. No step waits for
    the device, and all sizes are fixed.
    """
    ids, place = batch["ids"], batch["place"]
    random = {"device": ids.device, "generator": generator}
    content = (ids != vocabulary.pad) & (ids != vocabulary.cls) & (ids != vocabulary.sep)
    before = F.pad(content[:-1], (1, 0))
    begins = content & ~(continues[ids] & before)
    draw = torch.rand(len(ids) + 1, **random)[begins.long().cumsum(0)]  # one a word
    draw = draw.masked_fill((place & FINAL) != 0, -1.0).masked_fill(~content, 2.0)
    asked = draw.argsort()[:count]
    words, real = ids[asked], content[asked]
    action = torch.rand(count, **random)
    new = torch.randint(vocabulary.first_word, vocabulary.size, (count,), **random)
    new = torch.where(action < 0.9, new, words).masked_fill(action < 0.8, vocabulary.mask)
    return ids.scatter(0, asked, torch.where(real, new, words)), asked, words.masked_fill(~real, IGNORED)
