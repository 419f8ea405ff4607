/** What becomes of a scan where no network has a say: `arssr/upsampling/plain.py`. */

import { alongAxis } from './band';
import { indexMap, matches, SAME_STEP, stepsIn, turned, type Grid } from './grid';
import { cubicMatrix } from './interpolation';
import { Lattice } from './lattice';

export const COPIED = 'copied';
export const RESAMPLED = 'resampled, anti-aliased';

/** Whether a grid asks a network for anything: it is finer somewhere, or coarser nowhere. */
export function refines(source: Grid, grid: Grid): boolean {
  const steps = stepsIn(grid, source);
  return steps.some((step) => step < 1 - SAME_STEP) || steps.every((step) => step <= 1 + SAME_STEP);
}

/** Whether the grid has the places of the source, with axes swapped or reversed perhaps. */
export function isReordered(source: Grid, grid: Grid): boolean {
  const turn = indexMap(grid, source);
  const axes = [0, 1, 2].map((own) =>
    [0, 1, 2].reduce((best, row) =>
      Math.abs(turn[row][own]) > Math.abs(turn[best][own]) ? row : best,
    ),
  );
  if (new Set(axes).size !== 3) return false;
  return matches(grid, turned(source, axes, axes.map((axis, own) => turn[axis][own] < 0)));
}

/** Why no network is needed; null where one is. */
export function withoutNetwork(source: Grid, grid: Grid): string | null {
  if (isReordered(source, grid)) return COPIED;
  return refines(source, grid) ? null : RESAMPLED;
}

/** Samples [k][j][i], interpolated cubically on another grid; filtered where that is coarser. */
export function resample(samples: Float32Array, source: Grid, grid: Grid): Float32Array {
  const lattice = new Lattice(source, grid);
  const shape: [number, number, number] = [source.shape[2], source.shape[1], source.shape[0]];
  // the axis that shrinks most goes first
  const order = [0, 1, 2].sort((a, b) => {
    const growth = (axis: number): number => lattice.along[axis].length / source.shape[axis];
    return growth(a) - growth(b);
  });
  const made = order.reduce((values, axis) => {
    const memory = 2 - axis;
    const { rows, entries, first, weights } = cubicMatrix(shape[memory], lattice.along[axis]);
    const matrix = new Float64Array(rows * shape[memory]);
    for (let row = 0; row < rows; row++) {
      const start = row * shape[memory] + first[row];
      matrix.set(weights.subarray(row * entries, (row + 1) * entries), start);
    }
    const next = alongAxis(values, [...shape], memory, matrix);
    shape[memory] = rows;
    return next;
  }, samples);
  return lattice.result(made, null);
}
