/** The intensities that a network sees: `arssr/intensity.py`, where each constant is explained. */

import { Refusal } from './errors';
import { percentile } from './percentile';
import { general } from './words';

const FEWEST = 0.0005;
const EXTREMES = 0.05;
const LONGEST_TAIL = 2;
const SHORTEST_TAIL = 0.1;
const NOISE_REACH = 4;
const FEW = 0.002;
const RINGING = 0.2;
const ENOUGH_VOXELS = 2 ** 24;
const NO_DETAIL = 1e-5;
const MEDIAN_OF_NORMAL = 0.6744897501960817;
const NOTHING = 1e-9; // normalised samples that change no sum in float32
// the high-pass filter of the wavelet db2, in the order of a convolution
const DETAILS = [-0.48296291314453416, 0.8365163037378079, -0.2241438680420134, -0.12940952255126037];

export type Shape = readonly [number, number, number];

/** normalised = (x − offset) / range, in float32. */
export interface Normalisation {
  offset: number;
  range: number;
}

export interface Fitted extends Normalisation {
  /** Whether without 0.2 % of the voxels at each end less than half of the range would be left. */
  setByFew: boolean;
}

/**
 * Takes the 0.05th and 99.95th percentile of an image to 0 and 1, nearer where an end lies far
 * beyond nearly all of the object. Throws for constant images, NaN and infinite values.
 *
 * shape: from the slowest to the fastest axis.
 */
export function fit(data: Float32Array, shape: Shape): Fitted {
  if (!data.length) throw new Refusal('there are no voxels');
  let [lowest, highest] = [Infinity, -Infinity];
  for (const value of data) {
    if (!Number.isFinite(value)) throw new Refusal('there are NaN or infinite values');
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  if (lowest === highest) throw new Refusal(`constant, every voxel is ${general(lowest)}`);
  const samples = sampled(data);
  const sorted = samples.slice().sort();
  let [low, high] = ends(sorted, FEWEST);
  if (low === high) [low, high] = [lowest, highest];
  let bulk = bulkOf(samples, sorted, 0);
  const drawn = drawnIn(bulk, low, high);
  if (bulk.top > bulk.bottom && (drawn[0] !== low || drawn[1] !== high)) {
    const unit = { offset: Math.fround(bulk.bottom), range: Math.fround(bulk.top - bulk.bottom) };
    const clipped = apply(unit, data).map((value) => Math.min(Math.max(value, 0), 1));
    const noise = finestDetail(clipped, shape);
    bulk = bulkOf(samples, sorted, (bulk.top - bulk.bottom) * noise);
  }
  low = air(bulk, low, high);
  [low, high] = drawnIn(bulk, low, high);
  low = air(bulk, low, high);
  const [fewLow, fewHigh] = ends(sorted, FEW);
  const setByFew = fewHigh - fewLow < (high - low) / 2;
  return { offset: Math.fround(low), range: Math.fround(high - low), setByFew };
}

/** Units of the image → about 0 to 1, without traces of nothing. */
export function apply({ offset, range }: Normalisation, data: Float32Array): Float32Array {
  return data.map((value) => {
    const normalised = Math.fround(Math.fround(value - offset) / range);
    return Math.abs(normalised) < NOTHING ? 0 : normalised;
  });
}

/** About 0 to 1 → units of the image. */
export function invert({ offset, range }: Normalisation, data: Float32Array): Float32Array {
  return data.map((value) => Math.fround(value * range) + offset);
}

/** Standard deviation of the finest detail of a normalised image; 0 below 4 voxels an axis. */
export function finestDetail(data: Float32Array, shape: Shape): number {
  if (Math.min(...shape) < DETAILS.length) return 0;
  let detail = data;
  const size = [...shape];
  for (let axis = 0; axis < 3; axis++) detail = details(detail, size, axis);
  const magnitude = detail.map(Math.abs).filter((value) => value > NO_DETAIL).sort();
  return magnitude.length ? percentile(magnitude, 0.5) / MEDIAN_OF_NORMAL : 0;
}

/** What independent noise adds to the usual: the root of the difference of squares, or 0. */
export const beyond = (noise: number, usual: number): number =>
  Math.sqrt(Math.max(noise ** 2 - usual ** 2, 0));

/** The high-pass half of `pywt.dwt` along an axis, borders mirrored; `size` becomes the result's. */
function details(data: Float32Array, size: number[], axis: number): Float32Array {
  const n = size[axis];
  const inner = size.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = size.slice(0, axis).reduce((a, b) => a * b, 1);
  const count = Math.floor((n + DETAILS.length - 1) / 2);
  const mirrored = (at: number): number => (at < 0 ? -1 - at : at >= n ? 2 * n - 1 - at : at);
  const made = new Float32Array(outer * count * inner);
  for (let a = 0; a < outer; a++) {
    for (let m = 0; m < count; m++) {
      for (let b = 0; b < inner; b++) {
        let sum = 0;
        DETAILS.forEach((tap, j) => {
          sum += tap * data[(a * n + mirrored(2 * m + 1 - j)) * inner + b];
        });
        made[(a * count + m) * inner + b] = sum;
      }
    }
  }
  size[axis] = count;
  return made;
}

/** The intensities of nearly all of the object, and of the background. */
interface Bulk {
  bottom: number;
  top: number;
}

function bulkOf(samples: Float32Array, sorted: Float32Array, noise: number): Bulk {
  const median = Math.fround(percentile(sorted, 0.5));
  let [object, different] = [0, 0];
  for (const value of samples) {
    const contrast = Math.abs(Math.fround(value - median));
    if (contrast > NOISE_REACH * noise) object += 1;
    if (contrast > 0) different += 1;
  }
  const n = samples.length;
  const [bottom, top] = ends(sorted, Math.max((EXTREMES * object) / n, (FEW * different) / n));
  return { bottom, top };
}

/** The lower end of a range: 0 where what is darker can only be ringing. */
function air({ bottom, top }: Bulk, low: number, high: number): number {
  const meant = bottom < -RINGING * top;
  return !meant && -RINGING * high < low && low < 0 ? 0 : low;
}

/** The ends of a range, nearer where they lie far from the bulk. */
function drawnIn({ bottom, top }: Bulk, low: number, high: number): [number, number] {
  const width = top - bottom;
  const end = (at: number, edge: number): number => {
    const tail = (at - edge) / width;
    if (Math.abs(tail) <= LONGEST_TAIL) return at;
    const spare = (LONGEST_TAIL - SHORTEST_TAIL) * (LONGEST_TAIL / tail) ** 2;
    return edge + width * Math.sign(tail) * (SHORTEST_TAIL + spare);
  };
  return width ? [end(low, bottom), end(high, top)] : [low, high];
}

function sampled(data: Float32Array): Float32Array {
  const step = Math.ceil(data.length / ENOUGH_VOXELS);
  return step === 1 ? data : data.filter((_, at) => at % step === 0);
}

/** The values below and above which this share of sorted values lies. */
function ends(sorted: Float32Array, share: number): [number, number] {
  return [percentile(sorted, share), percentile(sorted, 1 - share)];
}
