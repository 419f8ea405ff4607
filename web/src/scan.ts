/** What a scan is told to be, where its file says nothing of its slices: `arssr/scan.py`. */

import { alongAxis, kspaceMatrix } from './band';
import { UNKNOWN } from './engine/model';
import { spacingOf, withShape, type Grid } from './grid';
import { isZeroFilled, type AxisResolution } from './resolution';

const NATIVE = 'kspace';
const SLICE = 'slice';
const [CLEARLY_THICKER, SURELY_SLICES, SAME_STEP] = [1.4, 2.5, 1e-3];

/** The grid of the same field of view whose band holds all that was measured, and no more. */
export function bandGrid(grid: Grid, axes: readonly AxisResolution[]): Grid {
  const [i, j, k] = grid.shape.map((n, axis) =>
    isZeroFilled(axes[axis]) ? Math.ceil(axes[axis].high * n - 1e-9) : n,
  );
  return withShape(grid, [i, j, k]);
}

/** The scan [i][j][k] on a grid whose band is no wider: its k-space, cut. */
export function atBand(data: Float32Array, from: Grid, to: Grid): Float32Array {
  const shape: [number, number, number] = [...from.shape];
  return [0, 1, 2].reduce((made, axis) => {
    const [n, count] = [shape[axis], to.shape[axis]];
    if (count === n) return made;
    const cut = alongAxis(made, [...shape], axis, kspaceMatrix(n, count));
    shape[axis] = count;
    return cut;
  }, data);
}

/**
 * `auto`: what a network is told of each axis.
 *
 * grid: of the scan as it was measured; axes: its resolution as it was stored. scale: output voxels
 * per voxel of the grid.
 */
export function acquisitionOf(
  grid: Grid,
  axes: readonly AxisResolution[],
  scale: readonly number[],
): string[] {
  const spacing = spacingOf(grid);
  const finest = Math.min(...spacing);
  const told = spacing.map((mm) => (mm > CLEARLY_THICKER * finest ? SLICE : NATIVE));
  const careful = scale.map((each) => (1 / each < 1 - SAME_STEP ? UNKNOWN : NATIVE));
  const cut = axes.map(isZeroFilled);
  const unsure =
    axes.some(({ ending }) => ending !== 'unknown') &&
    careful.some((name, axis) => name === UNKNOWN && told[axis] === NATIVE) &&
    !spacing.some((mm) => mm > SURELY_SLICES * finest) &&
    !cut.some(Boolean);
  return (unsure ? careful : told).map((name, axis) => (cut[axis] ? NATIVE : name));
}
