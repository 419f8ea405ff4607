/** Air, where there is nothing to correct: `arssr/engine/air.py`. */

const FLAT = 0.01; // normalised intensity
const TO_EACH_SIDE = 2; // voxels

/** Whether the 5³ voxels around each voxel of [plane][row][column] vary by more than 1 %. */
export function activeVoxels(
  image: Float32Array,
  shape: readonly [number, number, number],
): Uint8Array {
  const highest = extreme(image, shape, Math.max);
  const lowest = extreme(image, shape, Math.min);
  return Uint8Array.from(highest, (high, at) => Number(Math.fround(high - lowest[at]) > FLAT));
}

function extreme(
  image: Float32Array,
  shape: readonly [number, number, number],
  of: (a: number, b: number) => number,
): Float32Array {
  let source = image;
  let stride = image.length;
  for (const n of shape) {
    stride /= n;
    const made = new Float32Array(source.length);
    for (let at = 0; at < source.length; at++) {
      const place = Math.floor(at / stride) % n;
      let value = source[at];
      for (let step = 1; step <= TO_EACH_SIDE; step++) {
        if (place >= step) value = of(value, source[at - step * stride]);
        if (place + step < n) value = of(value, source[at + step * stride]);
      }
      made[at] = value;
    }
    source = made;
  }
  return source;
}
