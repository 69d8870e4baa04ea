// Search: one query, whole images and patches side by side.
import { strip } from "./draw.js";
import { decode, grid } from "./pixels.js";
import { measures, PATCHES, rank } from "./ranking.js";

const SHOWN = 8;
const part = (id) => document.getElementById(id);

export function searchView(data, model, heat, say) {
  const state = { row: data.queries[0].row, query: 0, name: "", whole: [], patches: [] };
  const boxOf = ({ image, region }) => grid(data.images[image].width, data.images[image].height)[region];
  const mark = strip(part("queries"), data.queries.map((query) => data.url(query.file)), "query", choose);

  function choose(index) {
    Object.assign(state, { row: data.queries[index].row, query: index, name: "" });
    mark(index);
    update(true);
  }

  async function own(file) {
    say(`describing ${file.name}`);
    try {
      const image = await decode(file);
      state.row = await (await model)(image, [[0, 0, image.width, image.height]]);
    } catch (error) {
      return say(`${file.name} cannot be read as a picture (${error.message})`);
    }
    Object.assign(state, { query: null, name: file.name });
    mark(null);
    update(true);
    say(`searched for ${file.name}; it stayed on this device`);
  }

  function update(moveHeat = false) {
    const level = Number(part("level").value), threshold = Number(part("threshold").value);
    part("level-said").value = `L${level}, ${PATCHES[level]} ${level ? "patches" : "patch"}`;
    part("threshold-said").value = threshold.toFixed(2);
    part("patches-title").textContent = `Patches (L${level})`;
    const query = state.query === null ? null : data.queries[state.query];
    const truth = new Map();
    for (const [image, box] of query?.positives ?? []) truth.set(image, [...(truth.get(image) ?? []), box]);
    for (const [side, depth] of [["whole", 0], ["patches", level]]) {
      state[side] = rank(state.row, data.rows, data.images.length, depth);
      part(side).replaceChildren(...state[side].slice(0, SHOWN).map((one, place) => hit(one, place, query && truth)));
      part(`${side}-said`).textContent = query ? told(measures(state[side], truth, boxOf, threshold), threshold)
        : `${state.name}: nobody knows the right images`;
    }
    heat.query(state.row);
    if (moveHeat) heat.show(state.patches[0].image);
  }

  const told = ({ ap, loc, locAt }, threshold) =>
    `AP ${ap.toFixed(3)} · LocScore ${loc.toFixed(3)} · LocScore@${threshold.toFixed(2)} ${locAt.toFixed(3)}`;

  function hit(one, place, truth) {
    const { file, width, height } = data.images[one.image], kind = truth && (truth.has(one.image) ? "positive" : "negative");
    const button = Object.assign(document.createElement("button"), { type: "button", className: kind || "" });
    const frame = Object.assign(document.createElement("span"), { className: "frame" });
    const box = ([x0, y0, x1, y1], className) => {
      const i = Object.assign(document.createElement("i"), { className });
      const share = (value, side) => `${100 * value / side}%`;
      Object.assign(i.style, { left: share(x0, width), top: share(y0, height), width: share(x1 - x0, width), height: share(y1 - y0, height) });
      return i;
    };
    frame.style.setProperty("--shape", `${width} / ${height}`);
    frame.append(Object.assign(new Image(), { src: data.url(file), alt: "", loading: "lazy" }));
    frame.append(...(truth?.get(one.image) ?? []).map((known) => box(known, "truth")), box(boxOf(one), "win"));
    button.append(frame, `${place + 1} · ${one.score.toFixed(3)}${kind ? ` ${kind}` : ""}`);
    button.addEventListener("click", () => { heat.show(one.image); part("heat-title").scrollIntoView({ behavior: "smooth" }); });
    return button;
  }

  for (const id of ["level", "threshold"]) part(id).addEventListener("input", () => update());
  part("own-query").addEventListener("change", (event) => event.target.files[0] && own(event.target.files[0]));
  addEventListener("dragover", (event) => { event.preventDefault(); document.body.classList.add("dropping"); });
  addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dropping"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = event.dataTransfer.files[0];
    if (file) (part("heat").contains(event.target) ? heat.own(file) : own(file));
  });
  choose(0);
  return { state, choose, own };
}
