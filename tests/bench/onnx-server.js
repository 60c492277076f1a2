// onnxruntime-node behind the line protocol of engine_server.cpp; `folder` holds model.onnx and the others of engine.bench.ts.
import { createInterface } from 'node:readline';
import ort from 'onnxruntime-node';

let session;
let head;

const answers = {
  async load({ folder, precision, threads, head: which }) {
    head = which;
    const start = performance.now();
    session = await ort.InferenceSession.create(`${folder}/${head}-${precision}.onnx`, {
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
    });
    return { load_ms: performance.now() - start };
  },
  async run({ batch, tokens, ids, mask, mlm = [], runs }) {
    const tensor = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [batch, tokens]);
    const feeds = {
      input_ids: tensor(ids),
      attention_mask: tensor(mask.length ? mask : ids.map(() => 1)),
      token_type_ids: tensor(ids.map(() => 0)),
    };
    const answer = { ms: [], cpu_ms: [] };
    for (let i = 0; i < runs; i++) {
      const cpu = process.cpuUsage();
      const start = performance.now();
      const result = await session.run(feeds);
      answer.ms.push(performance.now() - start);
      const used = process.cpuUsage(cpu);
      answer.cpu_ms.push((used.user + used.system) / 1000);
      if (i > 0) continue;
      const value = result.last_hidden_state ?? result.prediction_logits;
      const width = value.dims[2];
      const rows = head === 'mlm' ? mlm : Array.from({ length: batch }, (_, s) => [s, 0]);
      const first = rows.map(([s, t]) =>
        Array.from(value.data.slice((s * tokens + t) * width, (s * tokens + t) * width + 4)),
      );
      answer[head === 'mlm' ? 'logits' : 'hidden'] = first;
    }
    return answer;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let reply;
  try {
    reply = await answers[request.op](request);
  } catch (error) {
    reply = { error: String(error) };
  }
  reply.peak_mb = process.resourceUsage().maxRSS / 1000;
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}
