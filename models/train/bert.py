"""BERT with its two pre-training heads in PyTorch (Devlin et al. 2019), with Hugging Face's tensor names, and folders of it.

Runs with PyTorch 1.13 and later. The safetensors format is read and written here (F32 and F16 out; those, BF16 and this
project's int8 in), so that nothing but PyTorch and NumPy is needed.
"""
import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

FUSED_ATTENTION = hasattr(F, "scaled_dot_product_attention")


class Embeddings(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.word_embeddings = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.position_embeddings = nn.Embedding(c["max_position_embeddings"], c["hidden_size"])
        self.token_type_embeddings = nn.Embedding(c["type_vocab_size"], c["hidden_size"])
        self.LayerNorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])

    def forward(self, ids, types):
        positions = torch.arange(ids.shape[1], device=ids.device)
        return self.LayerNorm(self.word_embeddings(ids) + self.token_type_embeddings(types)
                              + self.position_embeddings(positions))


class SelfAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.heads = c["num_attention_heads"]
        self.query, self.key, self.value = (nn.Linear(c["hidden_size"], c["hidden_size"]) for _ in range(3))

    def forward(self, x, bias, keep=None):
        batch, tokens, hidden = x.shape
        q, k, v = (f(x).view(batch, tokens, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        if FUSED_ATTENTION and keep is None:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.to(q.dtype))
        else:
            shares = (q @ k.transpose(-1, -2) / math.sqrt(hidden // self.heads) + bias).softmax(-1)
            if keep is not None:
                keep.append(shares)
            out = shares @ v
        return out.transpose(1, 2).reshape(batch, tokens, hidden)


class Output(nn.Module):
    """dense, then add and normalise."""

    def __init__(self, c, size):
        super().__init__()
        self.dense = nn.Linear(size, c["hidden_size"])
        self.LayerNorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])

    def forward(self, x, skip):
        return self.LayerNorm(self.dense(x) + skip)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.attention = nn.ModuleDict({"self": SelfAttention(c), "output": Output(c, c["hidden_size"])})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(c["hidden_size"], c["intermediate_size"])})
        self.output = Output(c, c["intermediate_size"])

    def forward(self, x, bias, keep=None):
        x = self.attention["output"](self.attention["self"](x, bias, keep), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class Transform(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.dense = nn.Linear(c["hidden_size"], c["hidden_size"])
        self.LayerNorm = nn.LayerNorm(c["hidden_size"], eps=c["layer_norm_eps"])

    def forward(self, x):
        return self.LayerNorm(F.gelu(self.dense(x)))


class Predictions(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.transform = Transform(c)
        self.bias = nn.Parameter(torch.zeros(c["vocab_size"]))


class Bert(nn.Module):
    """config: a Hugging Face config.json as a dictionary, with the hidden_act "gelu"."""

    def __init__(self, config):
        super().__init__()
        if config.get("hidden_act", "gelu") != "gelu":
            raise ValueError(f"hidden_act must be gelu here, not {config['hidden_act']}")
        c = self.config = dict(config)
        c.setdefault("layer_norm_eps", 1e-12)
        c.setdefault("type_vocab_size", 2)
        layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.bert = nn.ModuleDict({
            "embeddings": Embeddings(c),
            "encoder": nn.ModuleDict({"layer": layers}),
            "pooler": nn.ModuleDict({"dense": nn.Linear(c["hidden_size"], c["hidden_size"])}),
        })
        self.cls = nn.ModuleDict({"predictions": Predictions(c), "seq_relationship": nn.Linear(c["hidden_size"], 2)})
        for name, tensor in self.named_parameters():
            if "LayerNorm" in name:
                nn.init.constant_(tensor, 1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias"):
                nn.init.zeros_(tensor)
            else:
                nn.init.normal_(tensor, std=0.02)

    def encode(self, ids, types, lengths, states=None, attentions=None):
        """ids, types [batch, tokens], lengths [batch] -> [batch, tokens, hidden]; appends every layer's if lists are given."""
        real = torch.arange(ids.shape[1], device=ids.device)[None] < lengths[:, None]
        bias = torch.zeros(real.shape, device=ids.device).masked_fill(~real, -1e30)[:, None, None]
        x = self.bert["embeddings"](ids, types)
        for layer in self.bert["encoder"]["layer"]:
            if states is not None:
                states.append(x)
            x = layer(x, bias, attentions)
        if states is not None:
            states.append(x)
        return x

    def word_logits(self, x):
        """[..., hidden] -> [..., vocabulary]"""
        predictions = self.cls["predictions"]
        return F.linear(predictions.transform(x), self.bert["embeddings"].word_embeddings.weight, predictions.bias)

    def pooled(self, x):
        """[batch, tokens, hidden] -> [batch, hidden], of [CLS]"""
        return torch.tanh(self.bert["pooler"]["dense"](x[:, 0]))

    def next_logits(self, x):
        """[batch, tokens, hidden] -> [batch, 2]: B continues A, B is from elsewhere"""
        return self.cls["seq_relationship"](self.pooled(x))


def read_safetensors(path):
    """{name: float32 tensor}; int8 tensors are multiplied by the scale of their row, NAME_scale or NAME.scale."""
    raw = pathlib.Path(path).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + size])
    header.pop("__metadata__", None)
    out = {}
    for name, entry in header.items():
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        kind = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I8": "i1", "I64": "<i8"}[entry["dtype"]]
        data = np.frombuffer(raw[begin:end], dtype=kind)
        if entry["dtype"] == "BF16":
            data = (data.astype("<u4") << 16).view("<f4")
        out[name] = torch.from_numpy(data.astype(np.float32)).view(entry["shape"])
    for name in [n for n in out if n.endswith("scale")]:
        target = name[:-len("scale")].rstrip("._")
        scale = out.pop(name)
        out[target] = out[target] * scale.view(-1, *[1] * (out[target].dim() - 1))
    return out


def write_safetensors(path, tensors, kind="F32"):
    """kind: F32 or F16. The file appears whole, or not at all."""
    header, offset, arrays = {"__metadata__": {"format": "pt"}}, 0, []
    for name, tensor in tensors.items():
        array = tensor.detach().cpu().numpy().astype({"F32": "<f4", "F16": "<f2"}[kind])
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
        arrays.append(array)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path = pathlib.Path(path)
    new = path.with_name(path.name + ".new")
    with open(new, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays:
            file.write(array.tobytes())
    new.replace(path)


def load(folder):
    """A Bert in evaluation mode from a Hugging Face folder (config.json, model.safetensors)."""
    folder = pathlib.Path(folder)
    model = Bert(json.loads((folder / "config.json").read_text()))
    tensors = read_safetensors(folder / "model.safetensors")
    wanted = model.state_dict()
    missing = sorted(set(wanted) - set(tensors))
    if missing:
        raise ValueError(f"{folder} lacks {', '.join(missing)}")
    model.load_state_dict({name: tensors[name] for name in wanted})
    return model.eval()
