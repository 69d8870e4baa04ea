// Heat: the cosine of every patch of one picture with the query.
import { arrow, heatColour, outline, picture, plate } from "./draw.js";
import { across, begin, decode, grid } from "./pixels.js";
import { cosines, PATCHES, winner } from "./ranking.js";

const WIDTH = 576, ALL = PATCHES[3];
const part = (id) => document.getElementById(id);

export function heatView(data, model) {
  const canvas = part("heat"), said = part("heat-said");
  const context = canvas.getContext("2d");
  const state = { row: data.queries[0].row, rows: null, stored: null, stride: 1, image: null, scores: null, at: [0.5, 0.5], name: "" };
  let asked = 0; // the last picture asked for is shown, whichever comes first

  async function show(index) {
    const turn = ++asked, file = data.images[index].file;
    const image = await picture(data.url(file)), first = index * ALL * state.row.length;
    if (turn === asked) await set(image, data.rows.subarray(first, first + ALL * state.row.length), `picture ${index + 1}`);
  }

  async function own(file) {
    const turn = ++asked;
    said.textContent = `reading ${file.name}`;
    try {
      const image = await createImageBitmap(await decode(file));
      if (turn === asked) await set(image, null, file.name);
    } catch (error) {
      said.textContent = `${file.name} cannot be read as a picture (${error.message})`;
    }
  }

  /** Show a picture; `stored` are the descriptors of its grids, if they are known. */
  function set(image, stored, name) {
    canvas.width = WIDTH;
    canvas.height = Math.round(WIDTH * image.height / image.width);
    Object.assign(state, { image, stored, name, rows: null });
    return describe();
  }

  async function describe() {
    const turn = ++asked, stride = Number(part("heat-stride").value);
    let rows = stride === 1 ? state.stored : null;
    if (!rows) {
      const pixels = await decode(state.image), boxes = grid(pixels.width, pixels.height, stride);
      said.textContent = `describing the ${boxes.length} patches of ${state.name}`;
      rows = await (await model)(pixels, boxes);
    }
    if (turn !== asked) return;
    Object.assign(state, { rows, stride });
    draw();
  }

  function draw() {
    if (!state.rows) return;
    const { width, height } = canvas, { stride } = state, cells = Number(document.querySelector("[name=grid]:checked").value);
    const boxes = grid(width, height, stride), side = across(cells, stride), first = begin(cells, stride);
    state.scores = cosines(state.row, state.rows, 0, boxes.length);
    const low = Math.min(...state.scores), high = Math.max(...state.scores), best = winner(state.scores);
    context.drawImage(state.image, 0, 0, width, height);
    for (let index = 0; index < side * side; index++) { // windows that overlap are drawn side by side
      const score = state.scores[first + index], [x, y] = [index % side * width / side, Math.floor(index / side) * height / side];
      context.fillStyle = `rgb(${heatColour(score, low, high)} / 0.55)`;
      context.fillRect(x, y, width / side, height / side);
      plate(context, score, x + 6, y + 6, 46, 22, 16);
    }
    outline(context, boxes[best]);
    const [x, y] = [state.at[0] * width, state.at[1] * height];
    const under = [1, 2, 3, 4].map((g) => {
      const [column, row] = state.at.map((share) => Math.floor(share * across(g, stride)));
      return `${g} × ${g}: ${state.scores[begin(g, stride) + row * across(g, stride) + column].toFixed(3)}`;
    });
    context.fillStyle = "#d55e00";
    context.fillRect(x - 4, y - 4, 8, 8);
    said.textContent = `${state.name}; under the mark ${under.join(", ")}; the best of ${boxes.length} patches has ${state.scores[best].toFixed(3)}`;
  }

  canvas.addEventListener("pointermove", (event) => {
    state.at = [event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight].map((v) => Math.min(0.999, Math.max(0, v)));
    draw();
  });
  canvas.addEventListener("keydown", (event) => {
    const step = arrow(event);
    if (!step) return;
    event.preventDefault();
    state.at = state.at.map((value, axis) => Math.min(0.99, Math.max(0.01, value + step[axis] / 8)));
    draw();
  });
  document.querySelectorAll("[name=grid]").forEach((radio) => radio.addEventListener("change", draw));
  part("heat-stride").addEventListener("change", () => state.image && describe());
  part("own-picture").addEventListener("change", (event) => event.target.files[0] && own(event.target.files[0]));
  return { state, show, own, query(row) { state.row = row; draw(); } };
}
