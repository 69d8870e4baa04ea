// What the three views share: colours, boxes on a canvas, buttons with a picture.

const STOPS = [[0, 34, 78], [59, 73, 107], [124, 123, 120], [187, 175, 113], [254, 232, 56]]; // cividis

/** Colour of a value between low and high, as "r g b". */
export function heatColour(value, low, high) {
  const at = Math.min(0.9999, Math.max(0, (value - low) / Math.max(high - low, 1e-6))) * (STOPS.length - 1);
  const [from, to] = [STOPS[Math.floor(at)], STOPS[Math.floor(at) + 1]];
  return from.map((channel, index) => Math.round(channel + (to[index] - channel) * (at % 1))).join(" ");
}

/** A box with a light edge, in pixels of the canvas. */
export function outline(context, [x0, y0, x1, y1], colour = "#0072b2") {
  for (const [style, width] of [["#fff", 6], [colour, 4]]) {
    context.strokeStyle = style;
    context.lineWidth = width;
    context.strokeRect(x0 + 3, y0 + 3, x1 - x0 - 6, y1 - y0 - 6);
  }
}

/** A score on a dark plate with its upper left corner at (x, y); `size` is that of the letters, all in pixels. */
export function plate(context, score, x, y, width, height, size) {
  context.fillStyle = "#000a";
  context.fillRect(x, y, width, height);
  context.fillStyle = "#fff";
  context.font = `${size}px system-ui, sans-serif`;
  context.fillText(score.toFixed(2), x + height - size, y + size);
}

/** Fill a strip with one picture a choice; `choose(index)` is called on a click. Returns mark(index). */
export function strip(place, files, name, choose) {
  const buttons = files.map((file, index) => {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(Object.assign(new Image(), { src: file, alt: `${name} ${index + 1}` }));
    button.addEventListener("click", () => choose(index));
    return button;
  });
  place.replaceChildren(...buttons);
  return (chosen) => buttons.forEach((button, index) => button.setAttribute("aria-pressed", index === chosen));
}

/** A picture from its address, decoded. */
export async function picture(url) {
  const image = Object.assign(new Image(), { src: url });
  await image.decode();
  return image;
}

/** Steps of the arrow keys, as [x, y]; undefined for other keys. */
export const arrow = (event) =>
  ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] })[event.key];
