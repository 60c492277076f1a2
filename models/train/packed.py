"""BERT's losses over packed batches (examples.Batches), with the weights of a bert.Bert: the same results without padding.

The functions take tensors alone, so that torch.compile makes one program of each for all layers; attention lies between them and
is called as it is. Matrices are rounded to the type of the activations (bfloat16 on a GPU), normalisation and losses are float.
"""
import math

import torch
import torch.nn.functional as F

import examples


def padded_attention(q, k, v, bounds, longest):
    """q, k, v [pieces, heads, size] -> the same; sequence i is from bounds[i] to bounds[i + 1]. Any device, but not fast."""
    lengths = bounds.diff()
    real = lengths > 0
    firsts, lengths = bounds[:-1][real].long(), lengths[real]
    place = torch.arange(longest, device=q.device)
    inside = place < lengths[:, None]
    q, k, v = (x[(firsts[:, None] + place).clamp(max=len(x) - 1)].transpose(1, 2) for x in (q, k, v))
    scores = (q @ k.transpose(-1, -2)).float() / math.sqrt(q.shape[-1])
    shares = scores.masked_fill(~inside[:, None, None], -1e30).softmax(-1).to(q.dtype)
    return (shares @ v).transpose(1, 2)[inside]


def varlen_attention(q, k, v, bounds, longest):
    from torch.nn.attention.varlen import varlen_attn  # PyTorch 2.10
    return varlen_attn(q, k, v, bounds, bounds, longest, longest)


def flash_attention(q, k, v, bounds, longest):
    return torch.ops.aten._flash_attention_forward(q, k, v, bounds, bounds, longest, longest, 0.0, False, False)[0]


def choose_attention(device, dtype, heads, size):
    """The first of the attentions that works on this device, forward and backward, and agrees with padded_attention."""
    longest, lengths = 128, (128, 3, 40, 128, 1, 60)
    bounds = torch.tensor([0, *lengths, *[0] * 8]).cumsum(0).to(device, torch.int32)
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(int(bounds[-1]), heads, size, generator=generator).to(device, dtype) for _ in range(4)]

    def results(attention):
        q, k, v = (x.clone().requires_grad_() for x in inputs[:3])
        out = attention(q, k, v, bounds, longest)
        out.backward(inputs[3])
        return torch.stack([x.float() for x in (out.detach(), q.grad, k.grad, v.grad)])

    if device.type == "cuda":
        want = results(padded_attention)
        for attention in (varlen_attention, flash_attention):
            try:
                error = ((results(attention) - want).norm() / want.norm()).item()
                if error < 0.03:
                    return attention
                print(f"{attention.__name__} is wrong by {error:.3f}", flush=True)
            except Exception as failure:
                print(f"no {attention.__name__}: {failure!r}"[:500], flush=True)
    return padded_attention


def linear(x, weight, bias):
    return F.linear(x, weight.to(x.dtype), bias.to(x.dtype))


def normalize(x, weight, bias, epsilon):
    return F.layer_norm(x.float(), weight.shape, weight, bias, epsilon).to(x.dtype)


def embed(ids, place, words, positions, types, weight, bias, epsilon, dtype):
    second = ((place & examples.SECOND) != 0).to(words.dtype)[:, None]
    x = F.embedding(ids, words) + F.embedding(place & examples.POSITION, positions)
    x = x + types[0] + second * (types[1] - types[0])
    return F.layer_norm(x, weight.shape, weight, bias, epsilon).to(dtype)


def project(x, heads, query, query_bias, key, key_bias, value, value_bias):
    q, k, v = linear(x, query, query_bias), linear(x, key, key_bias), linear(x, value, value_bias)
    shape = (x.shape[0], heads, x.shape[1] // heads)
    return q.view(shape), k.view(shape), v.view(shape)


def finish(x, attended, epsilon, mix, mix_bias, norm, norm_bias, grow, grow_bias, shrink, shrink_bias, norm_2, norm_2_bias):
    """The rest of a layer after attention."""
    x = normalize(linear(attended.reshape(x.shape), mix, mix_bias) + x, norm, norm_bias, epsilon)
    return normalize(linear(F.gelu(linear(x, grow, grow_bias)), shrink, shrink_bias) + x, norm_2, norm_2_bias, epsilon)


def word_logits(x, epsilon, transform, transform_bias, norm, norm_bias, words, bias):
    """As bert.Bert's, with columns of -1e30 after the last piece: tensor cores want the size a multiple of 8, best of 64."""
    x = normalize(F.gelu(linear(x, transform, transform_bias)), norm, norm_bias, epsilon)
    more = -words.shape[0] % 64
    return linear(x, F.pad(words, (0, 0, 0, more)), F.pad(bias, (0, more), value=-1e30)).float()


def losses(asked, targets, firsts, labels, epsilon, transform, transform_bias, norm, norm_bias, words, bias, pooler, pooler_bias,
           relation, relation_bias):
    """Of activations where words are asked and of [CLS]: sums of the losses, counts, and how many are right, words first."""
    logits = word_logits(asked, epsilon, transform, transform_bias, norm, norm_bias, words, bias)
    word_loss = F.cross_entropy(logits, targets, ignore_index=examples.IGNORED, reduction="sum")
    following = linear(torch.tanh(linear(firsts, pooler, pooler_bias)), relation, relation_bias).float()
    following_loss = F.cross_entropy(following, labels, ignore_index=-1, reduction="sum")
    hits = (logits.argmax(-1) == targets).sum()
    right = ((following.argmax(-1) == labels) & (labels >= 0)).sum()
    return word_loss, following_loss, (targets != examples.IGNORED).sum(), (labels >= 0).sum(), hits, right


class Packed:
    """A bert.Bert over packed batches. compile() makes the parts faster; without it they run as written."""

    def __init__(self, model, attention, dtype):
        self.attention, self.dtype = attention, dtype
        self.heads, self.epsilon = model.config["num_attention_heads"], model.config["layer_norm_eps"]
        parameters = dict(model.named_parameters())

        def pairs(prefix, *names):
            return [parameters[f"{prefix}{name}.{kind}"] for name in names for kind in ("weight", "bias")]

        e = "bert.embeddings."
        self.embeddings = [parameters[f"{e}{n}_embeddings.weight"] for n in ("word", "position", "token_type")]
        self.embeddings += pairs(e, "LayerNorm")
        layers = [f"bert.encoder.layer.{i}." for i in range(model.config["num_hidden_layers"])]
        self.layers = [(pairs(p + "attention.self.", "query", "key", "value"),
                        pairs(p, "attention.output.dense", "attention.output.LayerNorm", "intermediate.dense", "output.dense",
                              "output.LayerNorm")) for p in layers]
        self.word_head = pairs("cls.predictions.transform.", "dense", "LayerNorm")
        self.word_head += [self.embeddings[0], parameters["cls.predictions.bias"]]
        self.both_heads = self.word_head + pairs("", "bert.pooler.dense", "cls.seq_relationship")
        self.plain()

    def plain(self):
        self.embed, self.project, self.finish, self.losses_of = embed, project, finish, losses

    def compile(self):
        from torch import _dynamo
        if hasattr(_dynamo.config, "recompile_limit"):
            _dynamo.config.recompile_limit = 64  # for the shapes of both mask rates, and to spare
        self.embed, self.project, self.finish, self.losses_of = (
            torch.compile(f, dynamic=False) for f in (embed, project, finish, losses))

    def encode(self, ids, batch):
        """[pieces, hidden]"""
        x = self.embed(ids, batch["place"], *self.embeddings, self.epsilon, self.dtype)
        for before, after in self.layers:
            q, k, v = self.project(x, self.heads, *before)
            x = self.finish(x, self.attention(q, k, v, batch["bounds"], batch["length"]), self.epsilon, *after)
        return x

    def losses(self, ids, batch, asked, targets):
        x = self.encode(ids, batch)
        firsts = batch["bounds"][:-1].long().clamp(max=len(x) - 1)
        return self.losses_of(x.index_select(0, asked), targets, x.index_select(0, firsts), batch["labels"], self.epsilon,
                              *self.both_heads)
