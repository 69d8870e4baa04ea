// Pictures as bytes: decode, cut patches, and resize as the Python side does (antialiased bicubic, rounded after each axis).

const MOST = 1024; // longer side of a picture of one's own, pixels

/**
 * Patches of the grids 1x1 .. 4x4 as [x0, y0, x1, y1], coarse to fine, row-major: 30, or more windows of the same sizes
 * where `stride`, a share of their size, is below 1.
 */
export function grid(width, height, stride = 1) {
  const even = (value) => { // halves go to the even number, as numpy rounds them
    const floor = Math.floor(value), rest = value - floor;
    return rest === 0.5 ? floor + (floor % 2) : Math.round(value);
  };
  const boxes = [];
  for (let g = 1; g <= 4; g++) {
    const places = Array.from({ length: across(g, stride) }, (_, step) => step * stride / g);
    for (const down of places)
      for (const right of places)
        boxes.push([even(right * width), even(down * height), even((right + 1 / g) * width), even((down + 1 / g) * height)]);
  }
  return boxes;
}

/** How many windows of the g x g grid stand side by side. */
export const across = (g, stride) => (g - 1) / stride + 1;

/** Where the windows of the g x g grid begin among those of grid(). */
export const begin = (g, stride) => (g === 1 ? 0 : begin(g - 1, stride) + across(g - 1, stride) ** 2);

/** Pixels of a file, blob or image element, upright, at most MOST pixels a side: an ImageData. */
export async function decode(source) {
  const bitmap = await createImageBitmap(source, { imageOrientation: "from-image" });
  const scale = Math.min(1, MOST / Math.max(bitmap.width, bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(4, Math.round(side * scale)));
  const context = Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
  context.fillStyle = "#fff"; // what is transparent lies on white
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}

/** Weights of each output pixel along one axis: [first source pixel, [weights]]. Pillow's and torch's bicubic, a = -0.5. */
function weights(from, to) {
  const scale = Math.max(from / to, 1), support = 2 * scale;
  const kernel = (x) => {
    x = Math.abs(x);
    return x < 1 ? (1.5 * x - 2.5) * x * x + 1 : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2 : 0;
  };
  return Array.from({ length: to }, (_, index) => {
    const centre = (index + 0.5) * from / to;
    const first = Math.max(0, Math.floor(centre - support + 0.5));
    const last = Math.min(from, Math.floor(centre + support + 0.5));
    const taps = Array.from({ length: last - first }, (_, tap) => kernel((first + tap + 0.5 - centre) / scale));
    const sum = taps.reduce((a, b) => a + b, 0);
    return [first, taps.map((tap) => tap / sum)];
  });
}

/** One patch of an ImageData as side x side RGB bytes, written to `out` at `offset`. */
export function cut(image, [x0, y0, x1, y1], side, out, offset) {
  const width = x1 - x0, height = y1 - y0;
  const across = weights(width, side), down = weights(height, side);
  const narrow = new Uint8ClampedArray(height * side * 3);
  for (let y = 0; y < height; y++)
    for (let x = 0; x < side; x++) {
      const [first, taps] = across[x];
      let at = ((y0 + y) * image.width + x0 + first) * 4, r = 0, g = 0, b = 0;
      for (const tap of taps) {
        r += tap * image.data[at]; g += tap * image.data[at + 1]; b += tap * image.data[at + 2];
        at += 4;
      }
      const to = (y * side + x) * 3;
      narrow[to] = r; narrow[to + 1] = g; narrow[to + 2] = b;
    }
  const small = new Uint8ClampedArray(out.buffer, out.byteOffset + offset, side * side * 3);
  for (let y = 0; y < side; y++) {
    const [first, taps] = down[y];
    for (let x = 0; x < side * 3; x++) {
      let sum = 0;
      for (let tap = 0; tap < taps.length; tap++) sum += taps[tap] * narrow[(first + tap) * side * 3 + x];
      small[y * side * 3 + x] = sum;
    }
  }
}
