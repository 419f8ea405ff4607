/** How noisy a scan is, judged by flat tissue: `arssr/noise.py`, where each constant is explained. */

import { alongAxis, kspaceMatrix } from './band';
import { percentile } from './percentile';
import { measureResolution, type AxisResolution } from './resolution';

type Three = readonly [number, number, number];

/** [a][b][c], last index fastest. */
interface Image {
  data: Float32Array;
  shape: Three;
}

// the filters of the wavelet db2
const DETAILS = [-0.48296291314453416, 0.8365163037378079, -0.2241438680420134, -0.12940952255126037];
const MEANS = [-0.12940952255126037, 0.2241438680420134, 0.8365163037378079, 0.48296291314453416];
const FILTERS = [
  ['m', MEANS],
  ['d', DETAILS],
] as const;
const [DARK, LOWEST, BRIGHTEST, ABOVE_NOISE] = [0.1, 0.0005, 0.99, 2];
const [FLATTEST, ANATOMY, ENOUGH, FEWEST, ROUNDING] = [0.25, 0.4, 1000, 64, 1e-5];
const MEDIAN_OF_NORMAL = 0.6744897501960817;
const TURNS = 3;

/**
 * Standard deviation of a voxel's noise, in units of the image; 0 for a constant image.
 *
 * resolution: along the axes of `shape`, where it is known.
 */
export function estimateNoise(
  data: Float32Array,
  shape: Three,
  resolution: readonly AxisResolution[] = measureResolution(data, shape, stridesOf(shape)),
): number {
  const image = onMeasuredVoxels({ data, shape }, resolution);
  const axes = [0, 1, 2].filter((axis) => image.shape[axis] >= DETAILS.length);
  if (!axes.length) return 0;
  const { mean, finest, coarser } = bands(image, axes);
  const sorted = mean.data.slice().sort();
  const [low, high] = [LOWEST, BRIGHTEST].map((share) => percentile(sorted, share));
  const masked = maskOf(image, mean, ROUNDING * (high - low));
  const darkest = filtered(mean, Math.min);
  const rough = roughness(mean);
  let sigma = 0;
  let chosen = masked.map((value) => 1 - value);
  for (let turn = 0; turn < TURNS; turn++) {
    const dark = low + Math.max(DARK * (high - low), ABOVE_NOISE * sigma);
    const tissue = masked.map((value, at) => Number(!value && darkest[at] > dark));
    const count = tissue.reduce((a, b) => a + b, 0);
    if (count >= FEWEST) {
      const share = Math.min(1, Math.max(FLATTEST, ENOUGH / count));
      const most = percentile(rough.filter((_, at) => tissue[at]).sort(), share);
      chosen = tissue.map((value, at) => Number(value && rough[at] <= most));
    }
    sigma = beyondAnatomy(finest, coarser, chosen);
  }
  return sigma;
}

const stridesOf = ([, n, m]: Three): Three => [n * m, m, 1];

/** The scan on voxels that hold what was measured, as far as its spectra tell. */
function onMeasuredVoxels(image: Image, axes: readonly AxisResolution[]): Image {
  return axes.reduce((made, { ending, share }, axis) => {
    const n = made.shape[axis];
    const count = ending === 'sharp' || ending === 'slow' ? Math.floor(share * n) : n;
    if (count === n) return made;
    const shape = resized(made.shape, axis, count);
    return { data: alongAxis(made.data, made.shape, axis, kspaceMatrix(n, count)), shape };
  }, image);
}

/** Means of voxels, details along all axes, and those along all but one (of two or three). */
function bands(
  image: Image,
  axes: number[],
): { mean: Image; finest: Float32Array; coarser: Float32Array[] } {
  const means = (name: string): number => [...name].filter((letter) => letter === 'm').length;
  let made = new Map([['', image]]);
  axes.forEach((axis, before) => {
    const next = new Map<string, Image>();
    for (const [name, band] of made) {
      for (const [letter, taps] of FILTERS) {
        if ([0, 1, before + 1].includes(means(name + letter))) next.set(name + letter, halved(band, axis, taps));
      }
    }
    made = next;
  });
  const n = axes.length;
  const mean = made.get('m'.repeat(n))!;
  const coarser = [...made].filter(([name]) => n > 1 && means(name) === 1);
  return {
    mean: { ...mean, data: mean.data.map((value) => value / 2 ** (n / 2)) },
    finest: made.get('d'.repeat(n))!.data,
    coarser: coarser.map(([, { data }]) => data),
  };
}

/** Every second sample, along an axis, of a convolution, as far as it lies inside the image. */
function halved({ data, shape }: Image, axis: number, taps: readonly number[]): Image {
  const count = Math.floor((shape[axis] - taps.length) / 2) + 1;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const made = new Float32Array((data.length / shape[axis]) * count);
  for (let at = 0; at < made.length; at++) {
    const b = at % inner;
    const m = Math.floor(at / inner) % count;
    const start = (Math.floor(at / inner / count) * shape[axis] + 2 * m) * inner + b;
    made[at] = taps.reduce((sum, tap, n) => sum + tap * data[start + n * inner], 0);
  }
  return { data: made, shape: resized(shape, axis, count) };
}

/** By how much means differ from their neighbours, around each. */
function roughness(mean: Image): Float32Array {
  const squares = new Float32Array(mean.data.length);
  let stride = mean.data.length;
  for (const n of mean.shape) {
    stride /= n;
    if (n === 1) continue;
    squares.forEach((_, at) => {
      const place = Math.floor(at / stride) % n;
      const [back, on] = [Math.min(place, 1), Math.min(n - 1 - place, 1)];
      const slope = (mean.data[at + on * stride] - mean.data[at - back * stride]) / (back + on);
      squares[at] += slope * slope;
    });
  }
  return filtered({ ...mean, data: squares }, (a, b, c) => (a + b + c) / 3);
}

/** Where the image has the value of most of its corners, whatever that is, and next to it. */
function maskOf({ data, shape }: Image, mean: Image, rounding: number): Uint8Array {
  const [n, m, l] = shape;
  const corners = [0, n - 1].flatMap((i) =>
    [0, m - 1].flatMap((j) => [0, l - 1].map((k) => data[(i * m + j) * l + k])),
  );
  const most = corners.find((value) => corners.filter((each) => each === value).length > 4);
  if (most === undefined) return new Uint8Array(mean.data.length);
  const background = mean.data.map((value) => Number(Math.abs(value - most) <= rounding));
  return Uint8Array.from(filtered({ ...mean, data: background }, Math.max));
}

/** Standard deviation of white noise in the chosen details. */
function beyondAnatomy(finest: Float32Array, coarser: Float32Array[], chosen: Uint8Array): number {
  if (!chosen.some(Boolean)) return 0;
  const [power, ...more] = [finest, ...coarser].map((band) => {
    const magnitude = band.filter((_, at) => chosen[at]).map(Math.abs).sort();
    return (percentile(magnitude, 0.5) / MEDIAN_OF_NORMAL) ** 2;
  });
  if (!more.length) return Math.sqrt(power);
  const anatomy = more.reduce((a, b) => a + b, 0) / more.length;
  return Math.sqrt(Math.max((power - ANATOMY * anatomy) / (1 - ANATOMY), 0));
}

/** Three neighbours taken together along each axis; beyond the ends the image is reflected. */
function filtered(
  { data, shape }: Image,
  of: (a: number, b: number, c: number) => number,
): Float32Array {
  let source = data;
  let stride = data.length;
  for (const n of shape) {
    stride /= n;
    const made = new Float32Array(source.length);
    for (let at = 0; at < source.length; at++) {
      const place = Math.floor(at / stride) % n;
      const before = place > 0 ? at - stride : at;
      const after = place < n - 1 ? at + stride : at;
      made[at] = of(source[before], source[at], source[after]);
    }
    source = made;
  }
  return source;
}

function resized([a, b, c]: Three, axis: number, count: number): Three {
  const shape: [number, number, number] = [a, b, c];
  shape[axis] = count;
  return shape;
}
