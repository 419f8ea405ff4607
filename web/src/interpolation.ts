/** Interpolation of a volume, axis by axis: `arssr/interpolation.py`. */

/** A matrix (rows, n) with few entries a row, which lie together from `first` on. */
export interface Banded {
  rows: number;
  entries: number;
  first: Uint32Array;
  /** [row][entry] */
  weights: Float64Array;
}

/** Cubic B-spline coefficients forget an edge by a factor of 0.27 a voxel: 1e-7 after so many. */
const EDGE_PADDING = 12;
/** Four such factors are no subnormal float32 yet. */
const NOTHING = 1e-9;
const POLE = Math.sqrt(3) - 2;

/** The samples' share of the cubic spline at each position; outside, the border value is repeated. */
export function cubicMatrix(n: number, positions: ArrayLike<number>): Banded {
  const padded = n + 2 * EDGE_PADDING;
  const rows = Array.from(positions, (position) => {
    const at = Math.min(Math.max(position + EDGE_PADDING, 1), padded - 2);
    const first = Math.min(Math.floor(at) - 1, padded - 4);
    const row = new Float64Array(n);
    bsplineWeights(at - 1 - first).forEach((weight, tap) => {
      const shares = coefficientShares(n)[first + tap];
      for (let sample = 0; sample < n; sample++) row[sample] += weight * shares[sample];
    });
    return row.map((value) => (Math.abs(value) < NOTHING ? 0 : value));
  });
  return banded(rows);
}

/** Voxels that each position reads by linear interpolation, and the second one's share. */
export function linearTaps(
  n: number,
  positions: ArrayLike<number>,
): { first: number; second: number; share: number }[] {
  return Array.from(positions, (position) => {
    const at = Math.min(Math.max(position, 0), n - 1);
    const first = Math.floor(at);
    return { first, second: Math.min(first + 1, n - 1), share: at - first };
  });
}

/** The voxel in which a position lies, or to which it is closest. */
export function nearestVoxel(n: number, position: number): number {
  return Math.min(Math.max(Math.floor(position + 0.5), 0), n - 1);
}

function banded(rows: Float64Array[]): Banded {
  const ends = rows.map((row) => {
    const low = row.findIndex((value) => value !== 0);
    return { low: Math.max(low, 0), high: row.findLastIndex((value) => value !== 0) + 1 };
  });
  const n = rows[0].length;
  const entries = Math.max(...ends.map(({ low, high }) => high - low), 1);
  const first = Uint32Array.from(ends, ({ low }) => Math.min(low, n - entries));
  const weights = new Float64Array(rows.length * entries);
  rows.forEach((row, m) => weights.set(row.subarray(first[m], first[m] + entries), m * entries));
  return { rows: rows.length, entries, first, weights };
}

function bsplineWeights(t: number): number[] {
  return [
    (1 - t) ** 3 / 6,
    (4 - 6 * t ** 2 + 3 * t ** 3) / 6,
    (1 + 3 * t + 3 * t ** 2 - 3 * t ** 3) / 6,
    t ** 3 / 6,
  ];
}

const known = new Map<number, Float64Array[]>();

/** For each coefficient of the padded samples, every sample's share. */
function coefficientShares(n: number): Float64Array[] {
  const found = known.get(n);
  if (found) return found;
  const padded = n + 2 * EDGE_PADDING;
  const shares = Array.from({ length: padded }, () => new Float64Array(n));
  for (let sample = 0; sample < n; sample++) {
    const line = new Float64Array(padded);
    for (let i = 0; i < padded; i++) {
      line[i] = Number(Math.min(Math.max(i - EDGE_PADDING, 0), n - 1) === sample);
    }
    splineFilter(line);
    line.forEach((value, i) => (shares[i][sample] = Math.abs(value) < NOTHING ? 0 : value));
  }
  known.set(n, shares);
  return shares;
}

/**
 * Cubic B-spline coefficients of samples that go on beyond both ends as their reflection (the border
 * sample twice), in place: what `scipy.ndimage.spline_filter1d(mode="nearest")` computes, by the
 * recursion of Unser, Aldroubi and Eden 1993, doi:10.1109/78.193220.
 */
function splineFilter(line: Float64Array): void {
  const n = line.length;
  const gain = (1 - POLE) * (1 - 1 / POLE);
  for (let i = 0; i < n; i++) line[i] *= gain;
  const c0 = line[0];
  let power = POLE;
  let sum = line[0] + POLE ** n * line[n - 1];
  for (let i = 1; i < n; i++) {
    sum += power * (line[i] + POLE ** n * line[n - 1 - i]);
    power *= POLE;
  }
  line[0] = (sum * POLE) / (1 - power * power) + c0;
  for (let i = 1; i < n; i++) line[i] += POLE * line[i - 1];
  line[n - 1] *= POLE / (POLE - 1);
  for (let i = n - 2; i >= 0; i--) line[i] = POLE * (line[i + 1] - line[i]);
}
