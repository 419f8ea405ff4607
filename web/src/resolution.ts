/**
 * The true resolution of a scan along each axis, from its spectra: `arssr/resolution.py`, where each
 * constant is explained. Frequencies are shares of the stored band.
 */

import { percentile } from './percentile';

export type Ending = 'full' | 'sharp' | 'slow' | 'noise' | 'unknown';

export interface AxisResolution {
  /** Of the stored band, how much was measured; where it surely lies. */
  share: number;
  low: number;
  high: number;
  ending: Ending;
  dropDb: number;
  /** Standard deviation of white noise with the least power found, in units of the image. */
  floor: number;
}

type Three = readonly [number, number, number];

const BINS = 256;
const FREQUENCIES = Array.from({ length: BINS + 1 }, (_, n) => n / BINS);
const [LINES, SPARE, SHORTEST] = [1500, 3, 28];
const [OBJECT, GAP] = [0.1, 0.08];
const [REFERENCE, DB_PER_DECADE, NOTHING] = [0.1, 18, 1e-6];
const [EDGE_DB, EDGE_WIDTH, FOOT_OFFSET, DEEP_DB, FOOT] = [7, 0.15, 0.8, 25, 0.2];
const [MISFIT_DB, MISFIT_PER_WIDTH, ENOUGH, RISE_DB, STEEPEST_ANATOMY] = [0.5, 6, 8, 4, 30];
const [LEAST_SHARE, WORTH_CUTTING] = [0.25, 0.9];
const [SOFT_DB, SOFT_SPREAD_DB, LOST] = [10, 4, 0.55];

/** shape, strides: along i, j and k, in numbers. */
export function measureResolution(
  data: Float32Array,
  shape: Three,
  strides: Three,
): AxisResolution[] {
  const step = Math.max(1, Math.floor(data.length / 2 ** 20));
  // every n-th voxel with the last axis fastest, as Python has them
  const some = Float32Array.from({ length: Math.ceil(data.length / step) }, (_, n) => {
    const [row, k] = [Math.floor((n * step) / shape[2]), (n * step) % shape[2]];
    const [i, j] = [Math.floor(row / shape[1]), row % shape[1]];
    return data[i * strides[0] + j * strides[1] + k * strides[2]];
  });
  const bright = percentile(some.sort(), 0.99);
  return [0, 1, 2].map((axis) => {
    const lines = linesAlong(data, shape, strides, axis);
    return measureAxis(lines, shape[axis], OBJECT * bright);
  });
}

export const isZeroFilled = ({ ending, high }: AxisResolution): boolean =>
  ending === 'sharp' && high < WORTH_CUTTING;

function linesAlong(
  data: Float32Array,
  shape: Three,
  strides: Three,
  axis: number,
): Float32Array[] {
  const [a, b] = [0, 1, 2].filter((other) => other !== axis);
  const count = Math.floor((shape[a] * shape[b]) / (SPARE * LINES));
  const step = Math.max(1, Math.floor(Math.sqrt(count)));
  const lines: Float32Array[] = [];
  for (let i = 0; i < shape[a]; i += step) {
    for (let j = 0; j < shape[b]; j += step) {
      const start = i * strides[a] + j * strides[b];
      lines.push(
        Float32Array.from({ length: shape[axis] }, (_, n) => data[start + n * strides[axis]]),
      );
    }
  }
  return lines;
}

function measureAxis(lines: Float32Array[], n: number, dark: number): AxisResolution {
  const unknown: AxisResolution = {
    ...{ share: 1, low: 0, high: 1, ending: 'unknown', dropDb: 0, floor: 0 },
  };
  const segments = n < SHORTEST ? [] : segmentsOf(lines, n, dark);
  if (!segments.length) return unknown;
  const power = meanPower(segments, n);
  const reference = at(power, REFERENCE);
  if (!(reference > 0)) return unknown;
  const s = power.map((value) => 10 * Math.log10(value / reference + NOTHING));
  const lengths = Float32Array.from(segments, ({ length }) => length).sort();
  const floor = Math.sqrt(Math.min(...power.filter((_, bin) => FREQUENCIES[bin] > 0.1)));
  return { ...unknown, ...judged(s, 4 / percentile(lengths, 0.5)), floor };
}

/** The longest part of each line that is inside the object; of lines that cross most of it. */
function segmentsOf(lines: Float32Array[], n: number, dark: number): Float32Array[] {
  const gap = Math.max(1, Math.floor(GAP * n));
  const before = Math.floor(gap / 2); // of a window of `gap` samples around one
  const after = gap - before - 1;
  const found: Float32Array[] = [];
  for (const line of lines) {
    // a closing: darkness shorter than `gap` does not end the object
    const near = Array.from({ length: n + 2 * gap }, (_, at) => {
      for (let i = at - before - gap; i <= at + after - gap; i++) if (line[i] > dark) return true;
      return false;
    });
    let [start, longest, first] = [-1, 0, 0];
    for (let at = 0; at <= n; at++) {
      let inside = at < n;
      for (let i = at + gap - after; inside && i <= at + gap + before; i++) inside = near[i];
      if (inside && start < 0) start = at;
      if (!inside && start >= 0) {
        if (at - start > longest) [longest, first] = [at - start, start];
        start = -1;
      }
    }
    if (longest) found.push(line.subarray(first, first + longest));
  }
  if (!found.length) return [];
  const lengths = Float32Array.from(found, ({ length }) => length).sort();
  const least = Math.max(SHORTEST, 0.6 * percentile(lengths, 0.95));
  const long = found.filter(({ length }) => length >= least);
  const step = Math.max(1, Math.floor(long.length / LINES));
  return long.filter((_, number) => number % step === 0);
}

/** Mean power at `FREQUENCIES`, Hann-windowed; of white noise: its variance. */
function meanPower(segments: Float32Array[], n: number): number[] {
  const padded = Math.max(512, 2 ** Math.ceil(Math.log2(n)));
  const total = new Float64Array(padded / 2 + 1);
  for (const segment of segments) {
    const window = Array.from(segment, (_, at) => {
      return 0.5 - 0.5 * Math.cos((2 * Math.PI * (at + 1)) / (segment.length + 1));
    });
    const norm = Math.hypot(...window);
    const sum = window.reduce((a, b) => a + b, 0);
    const mean = window.reduce((all, weight, at) => all + weight * segment[at], 0) / sum;
    const real = new Float64Array(padded);
    const imaginary = new Float64Array(padded);
    window.forEach((weight, at) => (real[at] = ((segment[at] - mean) * weight) / norm));
    transform(real, imaginary);
    for (let bin = 0; bin <= padded / 2; bin++) total[bin] += real[bin] ** 2 + imaginary[bin] ** 2;
  }
  return FREQUENCIES.map((f) => at(total, f) / segments.length);
}

/** The discrete Fourier transform in place; the length is a power of 2. */
function transform(real: Float64Array, imaginary: Float64Array): void {
  const n = real.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let size = 2; size <= n; size *= 2) {
    const half = size / 2;
    for (let k = 0; k < half; k++) {
      const [c, s] = [Math.cos((-2 * Math.PI * k) / size), Math.sin((-2 * Math.PI * k) / size)];
      for (let a = k; a < n; a += size) {
        const b = a + half;
        const [re, im] = [real[b] * c - imaginary[b] * s, real[b] * s + imaginary[b] * c];
        [real[b], imaginary[b]] = [real[a] - re, imaginary[a] - im];
        [real[a], imaginary[a]] = [real[a] + re, imaginary[a] + im];
      }
    }
  }
}

/** The verdict on a spectrum in dB. width: half that of the window's main lobe. */
function judged(s: number[], width: number): Partial<AxisResolution> {
  const edge = edgeOf(s, width);
  if (edge) {
    const slack = Math.max(0.6 * width, 0.015);
    const { share, dropDb } = edge;
    return { share, low: share - slack, high: share + slack, ending: 'sharp', dropDb };
  }
  const soft = softFrom(s, SOFT_DB);
  if (soft < WORTH_CUTTING) {
    const low = softFrom(s, SOFT_DB - SOFT_SPREAD_DB);
    return { share: soft, low, high: softFrom(s, SOFT_DB + SOFT_SPREAD_DB), ending: 'slow' };
  }
  const lost = lostInNoise(s);
  if (lost < LOST) return { share: lost, low: lost, high: 1, ending: 'noise' };
  return { share: 1, low: WORTH_CUTTING, high: 1, ending: 'full' };
}

/** The frequency from which on a spectrum lies so far below a native one. */
function softFrom(s: number[], db: number): number {
  const sound = s.findLastIndex((level, bin) => native(FREQUENCIES[bin]) - level <= db);
  return FREQUENCIES[Math.min(sound + 1, BINS)];
}

/** Power in dB at a frequency of an image that was measured as it is stored. */
const native = (f: number): number => -DB_PER_DECADE * Math.log10(Math.max(f, 1e-3) / REFERENCE);

/** Values over [0, 1], interpolated linearly. */
function at(values: ArrayLike<number>, f: number): number {
  const place = Math.min(Math.max(f, 0), 1) * (values.length - 1);
  const low = Math.min(Math.floor(place), values.length - 2);
  return values[low] + (place - low) * (values[low + 1] - values[low]);
}

/** Where a spectrum ends sharply, and by how many dB; null if nowhere. */
function edgeOf(s: number[], width: number): { share: number; dropDb: number } | null {
  const f = FREQUENCIES.filter((each) => each >= LEAST_SHARE);
  const reach = f.map((each) => Math.max(EDGE_WIDTH * each, 2.2 * width));
  const before = f.map((each, n) => {
    return at(s, each - reach[n]) - at(s, each) - (native(each - reach[n]) - native(each));
  });
  const knee = f.map((each, n) => {
    const beyond = Math.min(each + reach[n], 1);
    const after = at(s, each) - at(s, beyond) - (native(each) - native(beyond));
    return before[n] - 1.5 * Math.max(after, 0);
  });
  const best = argmax(knee);
  if (knee[best] < EDGE_DB) return null;
  // the foot of the fall: where it goes on a fifth as steeply as at its steepest
  let fall = f.map((each) => at(s, each) - at(s, Math.min(each + width, 1)));
  const near = (each: number): boolean => each >= f[best] - reach[best] && each <= f[best];
  const steepest = argmax(fall.map((value, n) => (near(f[n]) ? value : -Infinity)));
  const deepest = at(s, f[steepest] - 1.5 * width) - DEEP_DB;
  fall = f.map((each) => {
    return Math.max(at(s, each), deepest) - Math.max(at(s, Math.min(each + width, 1)), deepest);
  });
  const ends = fall.findIndex((value, n) => n >= steepest && value < FOOT * fall[steepest]);
  const foot = ends < 0 ? steepest : ends;
  const share = f[foot] - FOOT_OFFSET * width;
  const dropDb = before[foot];
  if (dropDb < EDGE_DB || share < LEAST_SHARE || share >= WORTH_CUTTING) return null;
  const isEnd = Math.max(...s.slice(Math.floor(BINS * f[foot]) + 1)) < at(s, f[foot]) + RISE_DB;
  const isAnatomy = at(s, 0.1 * share) - at(s, 0.7 * share) < STEEPEST_ANATOMY;
  const isSharp = misfit(s, f[foot], width) > MISFIT_DB + MISFIT_PER_WIDTH * width;
  return isEnd && isAnatomy && isSharp ? { share, dropDb } : null;
}

/** How badly smoothing would explain a fall that ends at `foot`: root mean square in dB. */
function misfit(s: number[], foot: number, width: number): number {
  const beyond = Math.floor(BINS * Math.min(foot + 1.5 * width, 0.99));
  const floor = 10 ** (Math.min(...s.slice(beyond)) / 10);
  const [start, stop] = [0.4 * foot, foot + width].map((f) => Math.floor(BINS * f));
  const bins = FREQUENCIES.map((f, bin) => ({ f, power: 10 ** (s[bin] / 10) }))
    .slice(start, stop + 1)
    .filter(({ power }) => power > 2 * floor);
  if (bins.length < ENOUGH) return 0;
  const level = bins.map(({ power }) => 10 * Math.log10(power - floor));
  const misfits = [1, 2, 3, 4].map((p) => {
    const shapes = [bins.map(() => 1), bins.map(({ f }) => Math.log10(f)), bins.map(({ f }) => f ** p)];
    const left = without(level, shapes);
    return Math.sqrt(dot(left, left) / left.length);
  });
  return Math.min(...misfits);
}

/** What least squares leave of values that are explained by these columns (Gram and Schmidt). */
function without(values: number[], columns: number[][]): number[] {
  const taken: number[][] = [];
  const rest = (of: number[]): number[] =>
    taken.reduce((left, unit) => {
      const share = dot(left, unit);
      return left.map((value, n) => value - share * unit[n]);
    }, of);
  for (const column of columns) {
    const left = rest(rest(column));
    const norm = Math.sqrt(dot(left, left));
    if (norm > 1e-12 * Math.sqrt(dot(column, column))) taken.push(left.map((value) => value / norm));
  }
  return rest(values);
}

const dot = (a: number[], b: number[]): number => a.reduce((sum, value, n) => sum + value * b[n], 0);

/** The frequency from which on there is no more than twice the power that the end has. */
function lostInNoise(s: number[]): number {
  const end = s.filter((_, bin) => FREQUENCIES[bin] > 0.9);
  const level = end.reduce((a, b) => a + b, 0) / end.length + 3;
  return FREQUENCIES[Math.max(s.findLastIndex((value) => value > level), 0)];
}

function argmax(values: number[]): number {
  return values.indexOf(Math.max(...values));
}
