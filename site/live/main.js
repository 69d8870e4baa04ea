// The page: what it shows is loaded first, then the encoder, which only pictures of one's own and Play need.
import { heatView } from "./heat.js";
import { bytes, load } from "./model.js";
import { playView } from "./play.js";
import { searchView } from "./search.js";

const status = document.getElementById("status");
const say = (text) => { status.textContent = text; };

/** Float32 values of IEEE half floats. */
function widen(halves) {
  const table = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits++) {
    const exponent = (bits >> 10) & 31, fraction = bits & 1023;
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024);
    table[bits] = bits >> 15 ? -size : size;
  }
  return Float32Array.from(halves, (bits) => table[bits]);
}

async function start() {
  if (typeof WebAssembly !== "object" || typeof DecompressionStream !== "function")
    throw new Error("this browser has no WebAssembly or cannot unpack gzip; any one of 2023 or later can");
  say("loading the pictures' descriptors (2.4 MB)");
  const [text, halves] = await Promise.all([bytes("data/database.json"), bytes("data/descriptors.bin")]);
  const data = JSON.parse(new TextDecoder().decode(text));
  const rows = widen(new Uint16Array(halves.buffer, 0, halves.byteLength / 2));
  const patches = 30 * data.images.length * data.encoder.dim;
  data.rows = rows.subarray(0, patches);
  data.queries.forEach((query, index) => {
    query.row = rows.subarray(patches + index * data.encoder.dim, patches + (index + 1) * data.encoder.dim);
  });
  data.url = (file) => new URL(`data/${file}`, import.meta.url).href;
  const model = load(data.encoder, say);
  const heat = heatView(data, model);
  const search = searchView(data, model, heat, say);
  const play = playView(data, model, say);
  const describe = await model;
  say(`ready: ${data.images.length} pictures, ${data.queries.length} queries, ${data.encoder.name}; nothing leaves this page`);
  Object.assign(globalThis, { live: { data, describe, search, heat, play } }); // for the console and the tests
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  say(`This page cannot run here: ${error.message}. The notebooks and figures need none of it.`);
  document.documentElement.dataset.ready = "no";
});
