// Heat: the cosine of every patch of one picture with the query.
import { arrow, heatColour, outline, picture, plate } from "./draw.js";
import { decode, grid } from "./pixels.js";
import { cosines, PATCHES, winner } from "./ranking.js";

const WIDTH = 576, ALL = PATCHES[3];

export function heatView(data, model) {
  const canvas = document.getElementById("heat"), said = document.getElementById("heat-said");
  const context = canvas.getContext("2d");
  const state = { row: data.queries[0].row, rows: null, image: null, scores: null, at: [0.5, 0.5], name: "" };
  let asked = 0; // the last picture asked for is shown, whichever comes first

  async function show(index) {
    const turn = ++asked, { file, width, height } = data.images[index];
    const image = await picture(data.url(file));
    if (turn !== asked) return;
    const first = index * ALL * state.row.length;
    set(image, width / height, data.rows.subarray(first, first + ALL * state.row.length), `picture ${index + 1}`);
  }

  async function own(file) {
    const turn = ++asked;
    said.textContent = `describing the ${ALL} patches of ${file.name}`;
    try {
      const pixels = await decode(file);
      const rows = await (await model)(pixels, grid(pixels.width, pixels.height));
      if (turn === asked) set(await createImageBitmap(pixels), pixels.width / pixels.height, rows, file.name);
    } catch (error) {
      said.textContent = `${file.name} cannot be read as a picture (${error.message})`;
    }
  }

  function set(image, shape, rows, name) {
    canvas.width = WIDTH;
    canvas.height = Math.round(WIDTH / shape);
    Object.assign(state, { image, rows, name });
    draw();
  }

  function draw() {
    if (!state.image) return;
    const { width, height } = canvas, cells = Number(document.querySelector("[name=grid]:checked").value);
    state.scores = cosines(state.row, state.rows, 0, ALL);
    const boxes = grid(width, height), low = Math.min(...state.scores), high = Math.max(...state.scores);
    const first = PATCHES[cells - 1] - cells * cells, best = winner(state.scores);
    context.drawImage(state.image, 0, 0, width, height);
    for (let index = first; index < PATCHES[cells - 1]; index++) {
      const [x0, y0, x1, y1] = boxes[index];
      context.fillStyle = `rgb(${heatColour(state.scores[index], low, high)} / 0.55)`;
      context.fillRect(x0, y0, x1 - x0, y1 - y0);
      plate(context, state.scores[index], x0 + 6, y0 + 6, 46, 22, 16);
    }
    outline(context, boxes[best]);
    const [x, y] = [state.at[0] * width, state.at[1] * height];
    const under = [1, 2, 3, 4].map((g) => {
      const index = PATCHES[g - 1] - g * g + Math.min(g - 1, Math.floor(state.at[1] * g)) * g + Math.min(g - 1, Math.floor(state.at[0] * g));
      return `${g} × ${g}: ${state.scores[index].toFixed(3)}`;
    });
    context.fillStyle = "#d55e00";
    context.fillRect(x - 4, y - 4, 8, 8);
    said.textContent = `${state.name}; under the mark ${under.join(", ")}; the best patch has ${state.scores[best].toFixed(3)}`;
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
  document.getElementById("own-picture").addEventListener("change", (event) => event.target.files[0] && own(event.target.files[0]));
  return { state, show, own, query(row) { state.row = row; draw(); } };
}
