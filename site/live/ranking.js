// Search and its measures, as patchlib.search and patchlib.metrics define them.

export const PATCHES = [1, 5, 14, 30]; // of the levels L0 .. L3, coarse to fine: a level's patches come first in the next

/** Cosine of a unit row with each of `count` unit rows from row `first` on. */
export function cosines(query, rows, first, count) {
  const dim = query.length, out = new Float32Array(count);
  for (let row = 0; row < count; row++) {
    let sum = 0;
    for (let at = (first + row) * dim, k = 0; k < dim; k++) sum += query[k] * rows[at + k];
    out[row] = sum;
  }
  return out;
}

/** Index of the highest score; the lower one of equals. */
export const winner = (scores) => scores.reduce((best, score, index) => (score > scores[best] ? index : best), 0);

/** All images by their best patch at a level: [{image, region, score}], ties to the lower image. */
export function rank(query, rows, images, level) {
  const found = Array.from({ length: images }, (_, image) => {
    const scores = cosines(query, rows, image * PATCHES[3], PATCHES[level]), region = winner(scores);
    return { image, region, score: scores[region] };
  });
  return found.sort((a, b) => b.score - a.score || a.image - b.image);
}

/** Intersection over union of two boxes. */
export function iou(a, b) {
  const side = (low, high) => Math.max(0, Math.min(a[high], b[high]) - Math.max(a[low], b[low]));
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]), both = side(0, 2) * side(1, 3);
  return both / (area(a) + area(b) - both);
}

/**
 * AP, LocScore and LocScore at a threshold of IoU. `truth` maps an image to its boxes, `boxOf` gives a result's patch.
 */
export function measures(found, truth, boxOf, threshold) {
  let hits = 0, ap = 0, loc = 0, locAt = 0;
  found.forEach((one, place) => {
    const boxes = truth.get(one.image);
    if (!boxes) return;
    const precision = ++hits / (place + 1), overlap = Math.max(...boxes.map((box) => iou(boxOf(one), box)));
    ap += precision; loc += precision * overlap; locAt += overlap >= threshold ? precision : 0;
  });
  return { ap: ap / truth.size, loc: loc / truth.size, locAt: locAt / truth.size };
}
