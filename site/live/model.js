// The encoder in the browser: ONNX Runtime Web on WebAssembly, one thread; everything comes from this site's own files.
import { cut } from "./pixels.js";

/** A file below this folder, as bytes; gzipped ones unpacked, unless the server did that already. */
export async function bytes(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
  const content = new Uint8Array(await response.arrayBuffer());
  if (content[0] !== 0x1f || content[1] !== 0x8b) return content;
  const stream = new Blob([content]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Load runtime and network. Returns describe(image, boxes) -> Float32Array of boxes.length unit rows. */
export async function load({ dim, side }, say) {
  say("unpacking the runtime (3.7 MB)");
  const [ort, wasm] = await Promise.all([import("./ort/ort.js"), bytes("ort/ort.wasm.gz")]);
  Object.assign(ort.env.wasm, { wasmBinary: wasm.buffer, numThreads: 1, proxy: false });
  say("loading the encoder (1.9 MB)");
  const session = await ort.InferenceSession.create(await bytes("data/model.onnx"), { executionProviders: ["wasm"] });
  let turn = Promise.resolve(); // a session takes one call at a time

  return (image, boxes) => {
    const crops = new Uint8Array(boxes.length * side * side * 3);
    boxes.forEach((box, index) => cut(image, box, side, crops, index * side * side * 3));
    const tensor = new ort.Tensor("uint8", crops, [boxes.length, side, side, 3]);
    const answer = turn.then(async () => {
      const { rows } = await session.run({ crops: tensor });
      return rows.data.slice(0, boxes.length * dim);
    });
    turn = answer.catch(() => {});
    return answer;
  };
}
