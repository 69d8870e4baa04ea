// Play: an object dragged over a scene; only patches that it touches are described again.
import { arrow, heatColour, outline, picture, plate, strip } from "./draw.js";
import { across, begin, grid } from "./pixels.js";
import { cosines, winner } from "./ranking.js";

const SIDE = 448, SCENES = 6;
const part = (id) => document.getElementById(id);

export function playView(data, model, say) {
  const canvas = part("play"), context = canvas.getContext("2d");
  const scene = Object.assign(document.createElement("canvas"), { width: SIDE }); // without frame and dots: what is described
  const pixels = scene.getContext("2d", { willReadFrequently: true });
  const state = { object: 0, sprite: null, back: null, bare: null, stride: 1, x: 0.3, y: 0.4, scores: null, best: null, lowest: null, trail: [] };
  let dirty = false, busy = false;
  const mark = strip(part("objects"), data.queries.map((query) => data.url(query.sprite)), "object", choose);
  const empty = data.images.map((_, index) => index).filter((index) =>
    !data.queries.some((query) => query.positives.some(([image]) => image === index)));
  const scenes = Array.from({ length: SCENES }, (_, number) => empty[Math.floor((number + 0.5) * empty.length / SCENES)]);
  part("scene").replaceChildren(...scenes.map((image, number) => new Option(`${number + 1}: ${data.images[image].world}`, image)));

  async function choose(index) {
    mark(index);
    state.sprite = await picture(data.url(data.queries[index].sprite));
    Object.assign(state, { object: index });
    restart();
  }

  async function enter(index) {
    state.back = await picture(data.url(data.images[index].file));
    scene.height = canvas.height = Math.round(SIDE * state.back.height / state.back.width);
    canvas.width = SIDE;
    state.bare = null;
    restart();
  }

  function restart() {
    Object.assign(state, { lowest: null, trail: [] });
    part("broken").value = "no score yet";
    change();
  }

  /** Where the object lies, in pixels of the scene: its middle at x, y, its longer side a share of the scene's width. */
  function place() {
    const { sprite, x, y } = state, scale = part("size").value / 100 * SIDE / Math.max(sprite.width, sprite.height);
    const [width, height] = [sprite.width * scale, sprite.height * scale];
    return [x * SIDE - width / 2, y * scene.height - height / 2, x * SIDE + width / 2, y * scene.height + height / 2];
  }

  function change() {
    dirty = true;
    if (!busy && state.back && state.sprite) settle();
  }

  async function settle() {
    busy = true;
    try {
      while (dirty) {
        dirty = false;
        await score();
      }
    } catch (error) {
      say(`Play has stopped: ${error.message}`);
    }
    busy = false;
  }

  function compose(box) {
    pixels.drawImage(state.back, 0, 0, SIDE, scene.height);
    if (box) pixels.drawImage(lit(part("light").value / 100), box[0], box[1], box[2] - box[0], box[3] - box[1]);
  }

  /** The object, darker or lighter; filters of canvases are not known to every browser. */
  function lit(light) {
    const { width, height } = state.sprite;
    const copy = Object.assign(document.createElement("canvas"), { width, height }), brush = copy.getContext("2d");
    brush.drawImage(state.sprite, 0, 0);
    if (light < 1) {
      brush.globalCompositeOperation = "source-atop";
      brush.fillStyle = `rgb(0 0 0 / ${1 - light})`;
      brush.fillRect(0, 0, width, height);
    } else {
      brush.globalCompositeOperation = "lighter";
      brush.globalAlpha = light - 1;
      brush.drawImage(state.sprite, 0, 0);
    }
    return copy;
  }

  async function score() {
    part("size-said").value = `${part("size").value} %`;
    part("light-said").value = `${part("light").value} %`;
    const stride = Number(part("play-stride").value), boxes = grid(SIDE, scene.height, stride), box = place();
    if (stride !== state.stride) Object.assign(state, { stride, bare: null, scores: null });
    compose(box);
    draw(boxes);
    const describe = await model;
    if (!state.bare) {
      const back = state.back;
      compose(null);
      const bare = await describe(pixels.getImageData(0, 0, SIDE, scene.height), boxes);
      if (back !== state.back) return change(); // another scene was chosen meanwhile
      state.bare = bare;
      compose(box);
    }
    const touched = boxes.map((_, index) => index).filter((index) => meet(boxes[index], box));
    const rows = state.bare.slice(), fresh = await describe(pixels.getImageData(0, 0, SIDE, scene.height), touched.map((index) => boxes[index]));
    const query = data.queries[state.object].row, dim = query.length;
    touched.forEach((index, number) => rows.set(fresh.subarray(number * dim, (number + 1) * dim), index * dim));
    state.scores = cosines(query, rows, 0, boxes.length);
    state.best = winner(state.scores);
    const value = state.scores[state.best];
    state.trail = [...state.trail.slice(-400), [state.x, state.y, value]];
    if (state.lowest === null || value < state.lowest) {
      state.lowest = value;
      part("broken").value = `lowest so far ${value.toFixed(3)}, at size ${part("size").value} %, brightness ${part("light").value} %`;
    }
    report(value);
    draw(boxes);
  }

  function report(value) {
    const { best, scores, stride } = state, cells = [4, 3, 2, 1].find((g) => best >= begin(g, stride)), side = across(cells, stride);
    const index = best - begin(cells, stride), where = stride === 1 ? "" : `, with stride ${stride}`;
    part("play-said").textContent = `the winner is row ${Math.floor(index / side) + 1}, column ${index % side + 1} of ${cells} × ${cells}${where}: ${value.toFixed(3)}; the whole image has ${scores[0].toFixed(3)}`;
    part("play-best").textContent = [1, 2, 3, 4].map((g) =>
      `${g} × ${g}: best ${Math.max(...scores.slice(begin(g, stride), begin(g + 1, stride))).toFixed(3)}`).join(" · ");
  }

  function draw(boxes) {
    context.drawImage(scene, 0, 0);
    if (!state.scores) return;
    const values = state.trail.map(([, , value]) => value), low = Math.min(...values), high = Math.max(...values);
    for (const [x, y, value] of state.trail) {
      context.fillStyle = `rgb(${heatColour(value, low, high)})`;
      context.fillRect(x * SIDE - 2, y * scene.height - 2, 5, 5);
    }
    const side = across(4, state.stride), [width, height] = [SIDE / side, scene.height / side];
    state.scores.slice(begin(4, state.stride)).forEach((score, index) => { // the finest grid, each patch's score in its corner
      const [x, y] = [index % side * width, Math.floor(index / side) * height];
      context.strokeStyle = "#fff8";
      context.lineWidth = 1;
      context.strokeRect(x, y, width, height);
      plate(context, score, x + 2, y + 2, 34, 17, 13);
    });
    outline(context, boxes[state.best]);
  }

  function moveTo(x, y) {
    [state.x, state.y] = [x, y].map((value) => Math.min(1, Math.max(0, value)));
    change();
  }

  const drag = (event) => moveTo(event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight);
  canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); drag(event); });
  canvas.addEventListener("pointermove", (event) => event.buttons && drag(event));
  canvas.addEventListener("keydown", (event) => {
    const step = arrow(event);
    if (!step) return;
    event.preventDefault();
    moveTo(state.x + step[0] / 32, state.y + step[1] / 32);
  });
  for (const id of ["size", "light"]) part(id).addEventListener("input", change);
  part("play-stride").addEventListener("change", change);
  part("scene").addEventListener("change", (event) => enter(Number(event.target.value)));
  part("again").addEventListener("click", restart);
  choose(0);
  enter(scenes[0]);
  return { state, moveTo };
}

const meet = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
