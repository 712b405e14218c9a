// Runs an exported ONNX model in onnxruntime-web, the runtime of browsers, as runner.py does in
// Python's: reads {"model": path, "batches": [{input name: {values, dtype, shape}}]} from standard
// input and writes {"batches": [...]} with outputs in the same form. Start it where node_modules
// holds onnxruntime-web.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const ort = createRequire(`${process.cwd()}/`)("onnxruntime-web");
const request = JSON.parse(readFileSync(0, "utf-8"));
const session = await ort.InferenceSession.create(readFileSync(request.model));

function tensor({ values, dtype, shape }) {
  const data = dtype === "int64" ? BigInt64Array.from(values, BigInt) : values;
  return new ort.Tensor(dtype, data, shape);
}

const batches = [];
for (const batch of request.batches) {
  const given = Object.entries(batch).map(([name, value]) => [name, tensor(value)]);
  const found = await session.run(Object.fromEntries(given));
  batches.push(
    Object.fromEntries(
      Object.entries(found).map(([name, { data, type, dims }]) => [
        name,
        { values: Array.from(data, type === "int64" ? Number : (x) => x), dtype: type, shape: dims },
      ]),
    ),
  );
}
// JSON has no infinity.
const plain = (_, x) => (typeof x === "number" && !Number.isFinite(x) ? String(x) : x);
process.stdout.write(JSON.stringify({ batches }, plain));
