/** What a scan is told to be, where its file says nothing of its slices: `arssr/scan.py`. */

import { alongAxis, kspaceMatrix } from './band';
import { UNKNOWN } from './engine/model';
import { CLEARLY_THICKER, SAME_STEP, spacingOf, withShape, type Grid } from './grid';
import { isZeroFilled, type AxisResolution } from './resolution';

const NATIVE = 'kspace';
const SLICE = 'slice';
const SURELY_SLICES = 2.5;

type Three = readonly [number, number, number];

/** The grid of the same field of view whose band holds all that was measured, and no more. */
export function bandGrid(grid: Grid, axes: readonly AxisResolution[]): Grid {
  const [i, j, k] = grid.shape.map((n, axis) =>
    isZeroFilled(axes[axis]) ? Math.ceil(axes[axis].high * n - 1e-9) : n,
  );
  return withShape(grid, [i, j, k]);
}

/** A scan on fewer voxels of the same field of view: its k-space, cut. Shapes are in memory order. */
export function atBand(data: Float32Array, from: Three, to: Three): Float32Array {
  const shape: [number, number, number] = [...from];
  return [0, 1, 2].reduce((made, axis) => {
    const [n, count] = [shape[axis], to[axis]];
    if (count === n) return made;
    const cut = alongAxis(made, [...shape], axis, kspaceMatrix(n, count));
    shape[axis] = count;
    return cut;
  }, data);
}

/** An axis clearly thicker than the finest is that of slices; the others are native. */
export function byThickness(grid: Grid): string[] {
  const spacing = spacingOf(grid);
  const finest = Math.min(...spacing);
  return spacing.map((mm) => (mm > CLEARLY_THICKER * finest ? SLICE : NATIVE));
}

/** What is told of axes by one name: it holds for those that are refined (cells below 1). */
export const ofRefined = (name: string, cell: readonly number[]): string[] =>
  cell.map((each) => (each < 1 - SAME_STEP ? name : NATIVE));

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
  const told = byThickness(grid);
  const careful = ofRefined(UNKNOWN, scale.map((each) => 1 / each));
  const cut = axes.map(isZeroFilled);
  const unsure =
    axes.some(({ ending }) => ending !== 'unknown') &&
    careful.some((name, axis) => name === UNKNOWN && told[axis] === NATIVE) &&
    !spacing.some((mm) => mm > SURELY_SLICES * finest) &&
    !cut.some(Boolean);
  return (unsure ? careful : told).map((name, axis) => (cut[axis] ? NATIVE : name));
}
