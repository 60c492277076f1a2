// Writes the ONNX twin of a checkpoint folder, as an exporter would: plain operators that ONNX Runtime fuses by itself.
// Int8 as its quantize_dynamic makes it: inputs uint8 per tensor, weights int8 per output column.
import { closeSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';

type Bytes = Uint8Array[];

/** The part of protocol buffers that ONNX needs. */
const varint = (value: number): Uint8Array => {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  bytes.push(value);
  return Uint8Array.from(bytes);
};
const number = (field: number, value: number): Bytes => [varint(field * 8), varint(value)];
const float = (field: number, value: number): Bytes => [
  varint(field * 8 + 5),
  new Uint8Array(Float32Array.of(value).buffer),
];
const message = (field: number, parts: Bytes): Bytes => [
  varint(field * 8 + 2),
  varint(parts.reduce((sum, part) => sum + part.byteLength, 0)),
  ...parts,
];
const text = (field: number, value: string): Bytes => message(field, [new TextEncoder().encode(value)]);

const kFloat = 1;
const kInt8 = 3;
const kInt64 = 7;

type Attribute = number | number[] | { float: number };
const attribute = (name: string, value: Attribute): Bytes => {
  if (Array.isArray(value)) {
    return message(5, [...text(1, name), ...value.flatMap((entry) => number(8, entry)), ...number(20, 7)]);
  }
  if (typeof value === 'object')
    return message(5, [...text(1, name), ...float(2, value.float), ...number(20, 1)]);
  // a negative int64 takes ten bytes; -1 is the only one needed
  const bytes =
    value < 0
      ? [varint(3 * 8), Uint8Array.from([255, 255, 255, 255, 255, 255, 255, 255, 255, 1])]
      : number(3, value);
  return message(5, [...text(1, name), ...bytes, ...number(20, 2)]);
};

const valueInfo = (field: number, name: string, type: number, dims: (string | number)[]): Bytes =>
  message(field, [
    ...text(1, name),
    ...message(2, [
      ...message(1, [
        ...number(1, type),
        ...message(
          2,
          dims.flatMap((dim) => message(1, typeof dim === 'string' ? text(2, dim) : number(1, dim))),
        ),
      ]),
    ]),
  ]);

class Graph {
  nodes: Bytes[] = [];
  initializers: Bytes[] = [];
  private count = 0;
  private quantised = new Map<string, string[]>();

  constant(type: number, dims: number[], data: Uint8Array): string {
    const name = `constant_${this.count++}`;
    this.initializers.push(
      message(5, [
        ...dims.flatMap((dim) => number(1, dim)),
        ...number(2, type),
        ...text(8, name),
        ...message(9, [data]),
      ]),
    );
    return name;
  }
  floats(dims: number[], values: Float32Array): string {
    return this.constant(kFloat, dims, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  scalar(value: number): string {
    return this.floats([], Float32Array.of(value));
  }
  integers(values: number[]): string {
    return this.constant(
      kInt64,
      [values.length],
      new Uint8Array(BigInt64Array.from(values.map(BigInt)).buffer),
    );
  }
  /** Adds a node; returns the names of its outputs. */
  node(
    type: string,
    inputs: string[],
    attributes: Record<string, Attribute> = {},
    outputs: string[] | number = 1,
  ): string[] {
    const names =
      typeof outputs === 'number' ? Array.from({ length: outputs }, () => `value_${this.count++}`) : outputs;
    this.nodes.push(
      message(1, [
        ...inputs.flatMap((input) => text(1, input)),
        ...names.flatMap((output) => text(2, output)),
        ...text(3, `node_${this.count++}`),
        ...text(4, type),
        ...Object.entries(attributes).flatMap(([name, value]) => attribute(name, value)),
      ]),
    );
    return names;
  }
  one(type: string, inputs: string[], attributes: Record<string, Attribute> = {}): string {
    return this.node(type, inputs, attributes)[0]!;
  }

  /** x W^T for W [outputs, inputs], row-major. */
  product(x: string, weight: Float32Array, outputs: number, inputs: number, int8: boolean): string {
    const transposed = new Float32Array(weight.length);
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++) transposed[i * outputs + o] = weight[o * inputs + i]!;
    if (!int8) return this.one('MatMul', [x, this.floats([inputs, outputs], transposed)]);
    const scales = new Float32Array(outputs);
    for (let at = 0; at < weight.length; at++) {
      const o = Math.floor(at / inputs);
      scales[o] = Math.max(scales[o]!, Math.abs(weight[at]!) / 127, 1e-30);
    }
    const rounded = new Int8Array(weight.length);
    for (let i = 0; i < inputs; i++) {
      for (let o = 0; o < outputs; o++)
        rounded[i * outputs + o] = Math.round(transposed[i * outputs + o]! / scales[o]!);
    }
    const known = this.quantised.get(x) ?? this.node('DynamicQuantizeLinear', [x], {}, 3);
    this.quantised.set(x, known);
    const weights = this.constant(kInt8, [inputs, outputs], new Uint8Array(rounded.buffer));
    const zeros = this.constant(kInt8, [outputs], new Uint8Array(outputs));
    const sums = this.one('MatMulInteger', [known[0]!, weights, known[2]!, zeros]);
    const scale = this.one('Mul', [known[1]!, this.floats([outputs], scales)]);
    return this.one('Mul', [this.one('Cast', [sums], { to: kFloat }), scale]);
  }
}

/** A safetensors file's F32 tensors by name. */
export function readCheckpoint(path: string): (name: string) => Float32Array {
  const file = openSync(path, 'r');
  const prefix = Buffer.alloc(8);
  readSync(file, prefix, 0, 8, 0);
  const length = Number(prefix.readBigUInt64LE());
  const json = Buffer.alloc(length);
  readSync(file, json, 0, length, 8);
  const header = JSON.parse(json.toString()) as Record<string, { data_offsets: [number, number] }>;
  return (name) => {
    const entry = header[name];
    if (!entry) throw new Error(`${path} has no tensor ${name}`);
    const [begin, end] = entry.data_offsets;
    const values = new Float32Array((end - begin) / 4);
    const bytes = new Uint8Array(values.buffer);
    for (let at = 0; at < bytes.length;)
      at += readSync(file, bytes, at, bytes.length - at, 8 + length + begin + at);
    return values;
  };
}

/** The fields of config.json that the graph needs. */
interface Config {
  hidden_size: number;
  num_attention_heads: number;
  intermediate_size: number;
  vocab_size: number;
  num_hidden_layers: number;
  layer_norm_eps?: number;
  max_position_embeddings?: number;
  type_vocab_size?: number;
}

/** `head` 'hidden': last_hidden_state and pooler_output; 'mlm': prediction_logits at all positions. */
export function writeOnnx(folder: string, target: string, head: 'hidden' | 'mlm', int8: boolean): void {
  const config = JSON.parse(readFileSync(`${folder}/config.json`, 'utf8')) as Config;
  const tensor = readCheckpoint(`${folder}/model.safetensors`);
  const hidden = config.hidden_size;
  const heads = config.num_attention_heads;
  const inner = config.intermediate_size;
  const vocabulary = config.vocab_size;
  const graph = new Graph();

  const table = (name: string, rows: number): string =>
    graph.floats([rows, hidden], tensor(`bert.embeddings.${name}.weight`));
  const vector = (name: string): string => {
    const values = tensor(name);
    return graph.floats([values.length], values);
  };
  const norm = (x: string, name: string): string =>
    graph.one('LayerNormalization', [x, vector(`${name}.weight`), vector(`${name}.bias`)], {
      axis: -1,
      epsilon: { float: config.layer_norm_eps ?? 1e-12 },
    });
  const linear = (x: string, name: string, outputs: number, inputs: number): string =>
    graph.one('Add', [
      graph.product(x, tensor(`${name}.weight`), outputs, inputs, int8),
      vector(`${name}.bias`),
    ]);
  const gelu = (x: string): string => {
    const error = graph.one('Erf', [graph.one('Div', [x, graph.scalar(Math.SQRT2)])]);
    return graph.one('Mul', [
      graph.one('Mul', [x, graph.one('Add', [error, graph.scalar(1)])]),
      graph.scalar(0.5),
    ]);
  };

  const mask = graph.one('Cast', [graph.one('Unsqueeze', ['attention_mask', graph.integers([1, 2])])], {
    to: kFloat,
  });
  const hides = graph.one('Mul', [graph.one('Sub', [graph.scalar(1), mask]), graph.scalar(-10000)]);
  const tokens = graph.one('Slice', [
    graph.one('Shape', ['input_ids']),
    graph.integers([1]),
    graph.integers([2]),
  ]);
  const positions = graph.one('Slice', [
    table('position_embeddings', config.max_position_embeddings ?? 512),
    graph.integers([0]),
    tokens,
    graph.integers([0]),
  ]);
  const words = table('word_embeddings', vocabulary);
  const sum = graph.one('Add', [
    graph.one('Gather', [words, 'input_ids']),
    graph.one('Gather', [table('token_type_embeddings', config.type_vocab_size ?? 2), 'token_type_ids']),
  ]);
  let x = norm(graph.one('Add', [sum, positions]), 'bert.embeddings.LayerNorm');

  for (let l = 0; l < config.num_hidden_layers; l++) {
    const layer = `bert.encoder.layer.${l}`;
    const split = (name: string, perm: number[]): string => {
      const y = linear(x, `${layer}.attention.self.${name}`, hidden, hidden);
      return graph.one(
        'Transpose',
        [graph.one('Reshape', [y, graph.integers([0, 0, heads, hidden / heads])])],
        { perm },
      );
    };
    const scores = graph.one('MatMul', [split('query', [0, 2, 1, 3]), split('key', [0, 2, 3, 1])]);
    const scaled = graph.one('Div', [scores, graph.scalar(Math.sqrt(hidden / heads))]);
    const probabilities = graph.one('Softmax', [graph.one('Add', [scaled, hides])], { axis: -1 });
    const context = graph.one(
      'Transpose',
      [graph.one('MatMul', [probabilities, split('value', [0, 2, 1, 3])])],
      {
        perm: [0, 2, 1, 3],
      },
    );
    const joined = graph.one('Reshape', [context, graph.integers([0, 0, hidden])]);
    const projected = linear(joined, `${layer}.attention.output.dense`, hidden, hidden);
    const attended = norm(graph.one('Add', [projected, x]), `${layer}.attention.output.LayerNorm`);
    const middle = gelu(linear(attended, `${layer}.intermediate.dense`, inner, hidden));
    const output = linear(middle, `${layer}.output.dense`, hidden, inner);
    x = norm(graph.one('Add', [output, attended]), `${layer}.output.LayerNorm`);
  }

  const outputs: Bytes = [];
  if (head === 'hidden') {
    graph.node('Identity', [x], {}, ['last_hidden_state']);
    const first = graph.one('Gather', [x, graph.constant(kInt64, [], new Uint8Array(8))], { axis: 1 });
    graph.node('Tanh', [linear(first, 'bert.pooler.dense', hidden, hidden)], {}, ['pooler_output']);
    outputs.push(...valueInfo(12, 'last_hidden_state', kFloat, ['batch', 'tokens', hidden]));
    outputs.push(...valueInfo(12, 'pooler_output', kFloat, ['batch', hidden]));
  } else {
    const prediction = 'cls.predictions';
    const transformed = norm(
      gelu(linear(x, `${prediction}.transform.dense`, hidden, hidden)),
      `${prediction}.transform.LayerNorm`,
    );
    const weight = tensor('bert.embeddings.word_embeddings.weight');
    graph.node(
      'Add',
      [graph.product(transformed, weight, vocabulary, hidden, int8), vector(`${prediction}.bias`)],
      {},
      ['prediction_logits'],
    );
    outputs.push(...valueInfo(12, 'prediction_logits', kFloat, ['batch', 'tokens', vocabulary]));
  }
  const inputs = ['input_ids', 'attention_mask', 'token_type_ids'].flatMap((name) =>
    valueInfo(11, name, kInt64, ['batch', 'tokens']),
  );
  const body = [
    ...graph.nodes.flat(),
    ...text(2, 'bert'),
    ...graph.initializers.flat(),
    ...inputs,
    ...outputs,
  ];
  const file = openSync(target, 'w');
  for (const part of [
    ...number(1, 8),
    ...message(8, [...text(1, ''), ...number(2, 17)]),
    ...message(7, body),
  ]) {
    for (let at = 0; at < part.byteLength;) at += writeSync(file, part, at);
  }
  closeSync(file);
}
