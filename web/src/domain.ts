/** How an image looks, in two numbers: `arssr/domain.py`, where each constant is explained. */

import type { Shape } from './intensity';
import { percentile } from './percentile';
import { rint } from './rounding';

const OBJECT = 0.1;
const SPREAD = [0.05, 0.95] as const;
const ENOUGH = 2 ** 20;
const FEWEST = 1000;
const [BIN, BINS, WIDTH] = [Math.fround(0.01), 200, 5];

export interface Look {
  /** By how much neighbouring voxels of the object differ, as a share of the spread of brightness. */
  roughness: number;
  /** The largest share of the object within 5 % of the range. */
  peak: number;
}

/** That of a normalised image; null where the object is too small to tell. */
export function lookOf(image: Float32Array, shape: Shape): Look | null {
  const step = Math.max(1, rint(Math.cbrt(image.length / ENOUGH)));
  const strides = [shape[1] * shape[2], shape[2], 1];
  const inside: number[] = [];
  const end = shape.map((n) => Math.max(n - 1, 1));
  for (let a = 0; a < end[0]; a += step) {
    for (let b = 0; b < end[1]; b += step) {
      for (let c = 0; c < end[2]; c += step) {
        const at = a * strides[0] + b * strides[1] + c;
        if (image[at] > OBJECT) inside.push(at);
      }
    }
  }
  if (inside.length < FEWEST) return null;
  const differences = strides
    .filter((_, axis) => shape[axis] > 1)
    .map((stride) => {
      const both = inside.filter((at) => image[at + stride] > OBJECT);
      return both.map((at) => image[at + stride] - image[at]);
    })
    .filter(({ length }) => length)
    .map((found) => percentile(Float32Array.from(found, Math.abs).sort(), 0.5));
  if (!differences.length) return null;
  const brightness = Float32Array.from(inside, (at) => image[at]).sort();
  const [low, high] = SPREAD.map((share) => percentile(brightness, share));
  const roughness = differences.reduce((a, b) => a * b) ** (1 / differences.length);
  return {
    roughness: high > low ? roughness / (high - low) : 0,
    peak: mostTogether(brightness) / brightness.length,
  };
}

/** How many values lie in as many bins as are nearly one brightness, where those are most. */
function mostTogether(brightness: Float32Array): number {
  const counts = new Uint32Array(BINS + 1);
  for (const value of brightness) counts[Math.min(Math.floor(Math.fround(value / BIN)), BINS)] += 1;
  let [together, most] = [0, 0];
  counts.forEach((count, bin) => {
    together += count - (counts[bin - WIDTH] ?? 0);
    most = Math.max(most, together);
  });
  return most;
}
