/** Air, where there is nothing to correct: `arssr/engine/air.py`. */

const FLAT = 0.01; // normalised intensity
const TO_EACH_SIDE = 2; // voxels

/** Whether the 5³ voxels around each voxel of [plane][row][column] vary by more than 1 %. */
export function activeVoxels(
  image: Float32Array,
  shape: readonly [number, number, number],
): Uint8Array {
  const above = highest(image, shape);
  const below = highest(image.map((value) => -value), shape);
  const active = new Uint8Array(image.length);
  for (let at = 0; at < active.length; at++) {
    active[at] = Number(Math.fround(above[at] + below[at]) > FLAT);
  }
  return active;
}

/** The highest of the 5³ voxels around each, axis by axis. */
function highest(
  image: Float32Array,
  shape: readonly [number, number, number],
): Float32Array {
  let source = image;
  let stride = image.length;
  for (const n of shape) {
    const line = stride;
    stride /= n;
    const made = source.slice();
    for (let start = 0; start < made.length; start += line) {
      for (let step = 1; step <= TO_EACH_SIDE; step++) {
        const apart = step * stride;
        for (let at = start; at < start + line - apart; at++) {
          const one = source[at];
          const other = source[at + apart];
          if (other > made[at]) made[at] = other;
          if (one > made[at + apart]) made[at + apart] = one;
        }
      }
    }
    source = made;
  }
  return source;
}
