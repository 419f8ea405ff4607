/** Where the voxels of an image lie: `arssr/grid.py`. */

import { applied, determinant, lengths, product, solved, type Affine } from './affine';
import { Refusal } from './errors';
import { rint, rounded } from './rounding';
import { general } from './words';

export type { Affine } from './affine';

export interface Grid {
  /** Voxels along i, j and k. */
  shape: readonly [number, number, number];
  affine: Affine;
}

/** How each axis of one grid runs along one axis of another. */
export interface AxisPositions {
  /** The source's axis that each of the grid's follows. */
  axes: [number, number, number];
  /** Voxel coordinates there, one for each index along an axis of the grid. */
  positions: [Float64Array, Float64Array, Float64Array];
}

type Three = readonly [number, number, number];

const AXES = [0, 1, 2];
const SINGULAR = 1e-6;
const STRAIGHT = 1e-4;
/** Voxels: steps that differ by less are equal. */
export const SAME_STEP = 1e-3;
/** An axis whose voxels are this many times longer than the shortest is that of a slice stack. */
export const CLEARLY_THICKER = 1.4;

/** A grid; throws where its affine gives no place in space. */
export function checkedGrid(shape: Three, affine: Affine): Grid {
  if (!affine.flat().every(Number.isFinite)) {
    throw new Refusal('the affine has NaN or infinite entries: no place in space is defined');
  }
  const sizes = lengths(affine);
  const unit = affine.map((row) => row.map((value, axis) => value / (sizes[axis] ?? 1)));
  if (!(sizes.every(Boolean) && Math.abs(determinant(unit)) >= SINGULAR)) {
    throw new Refusal(
      'the affine is singular (a voxel size of zero, or axes that lie in one plane): ' +
        'no place in space is defined',
    );
  }
  return { shape, affine };
}

export const spacingOf = ({ affine }: Grid): number[] => lengths(affine);

export const voxelsOf = ({ shape }: Grid): number => shape[0] * shape[1] * shape[2];

/** Where the three axes point, roughly: RAS is right, anterior, superior. */
export function orientationOf({ affine }: Grid): string {
  return worldAxes(affine)
    .map(({ axis, sign }) => (sign < 0 ? 'LPI' : 'RAS')[axis])
    .join('');
}

/** The axis of the body next to each of the grid: 0 left–right, 1 back–front, 2 foot–head. */
export function worldAxes(affine: Affine): { axis: number; sign: number }[] {
  const turn = rotationOf(affine);
  const strength = AXES.map((own) => Math.max(...AXES.map((row) => turn[row][own] ** 2)));
  const order = [...AXES].sort((a, b) => strength[b] - strength[a]);
  const found = AXES.map(() => ({ axis: 0, sign: 1 }));
  const free = new Set(AXES);
  for (const own of order) {
    const axis = [...free].reduce((best, row) =>
      Math.abs(turn[row][own]) > Math.abs(turn[best][own]) ? row : best,
    );
    found[own] = { axis, sign: Math.sign(turn[axis][own]) };
    free.delete(axis);
  }
  return found;
}

/** The rotation (or reflection) nearest to the axes of an affine: its polar factor, by Newton. */
export function rotationOf(affine: Affine): number[][] {
  const sizes = lengths(affine);
  let turn = AXES.map((row) => AXES.map((axis) => affine[row][axis] / sizes[axis]));
  for (let step = 0; step < 40; step++) {
    const whole = [...turn.map((row) => [...row, 0]), [0, 0, 0, 1]];
    const inverse = solved(whole, [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]);
    turn = AXES.map((row) => AXES.map((axis) => (turn[row][axis] + inverse[axis][row]) / 2));
  }
  return turn;
}

/** Shape, spacing and orientation as plain values, for a file. */
export function described(grid: Grid): { shape: Three; spacing_mm: Three; orientation: string } {
  const [i, j, k] = spacingOf(grid).map((mm) => rounded(mm, 6));
  return { shape: grid.shape, spacing_mm: [i, j, k], orientation: orientationOf(grid) };
}

/**
 * The grid rule: `factors` output voxels per voxel. The corner edge stays, and there are
 * max(1, round(n · factor)) voxels along an axis of n.
 */
export function scaled(grid: Grid, asked: number | readonly number[]): Grid {
  const factors = threePositive(asked, 'scale');
  const wanted = AXES.map((axis) => grid.shape[axis] * factors[axis]);
  if (![...wanted, ...factors.map((each) => 1 / each)].every(Number.isFinite)) {
    throw new Refusal(`a scale of ${listed(factors)} is beyond all bounds`);
  }
  // rounded twice: 25 · 2.3 is 57.49999999999999, and such dust must not decide a tie
  const counts = wanted.map((each) => Math.max(rint(rounded(each, 5)), 1));
  return resized(grid, [counts[0], counts[1], counts[2]], factors);
}

/** Like `scaled`, but told the voxel size in mm. */
export function withSpacing(grid: Grid, mm: number | readonly number[]): Grid {
  const wanted = threePositive(mm, 'spacing');
  return scaled(grid, spacingOf(grid).map((each, axis) => each / wanted[axis]));
}

/** The same field of view, exactly, cut into this many voxels per axis. */
export function withShape(grid: Grid, shape: Three): Grid {
  if (shape.length !== 3 || !shape.every((n) => Number.isInteger(n) && n >= 1)) {
    throw new Refusal(`a shape must be three whole numbers of at least 1, not ${listed(shape)}`);
  }
  return resized(grid, shape, AXES.map((axis) => shape[axis] / grid.shape[axis]));
}

/** Voxels 1/factors as large from the same corner edge on. */
function resized(grid: Grid, shape: Three, factors: readonly number[]): Grid {
  const affine = grid.affine.map((row) => {
    const columns = AXES.map((axis) => row[axis] / factors[axis]);
    const shift = AXES.reduce((sum, axis) => sum + row[axis] * ((1 / factors[axis] - 1) / 2), 0);
    return [...columns, row[3] + shift];
  });
  return { shape, affine };
}

/** Voxels as long along every axis as they are along the finest. */
export const isotropic = (grid: Grid): Grid => withSpacing(grid, Math.min(...spacingOf(grid)));

/** Axes along which voxels are clearly longer than that, by default than the shortest. */
export function thickAxes(grid: Grid, than?: number): number[] {
  const spacing = spacingOf(grid);
  const longest = CLEARLY_THICKER * (than ?? Math.min(...spacing));
  return AXES.filter((axis) => grid.shape[axis] > 1 && spacing[axis] > longest);
}

/** Voxel index of a grid → voxel coordinates of another. */
export const indexMap = (grid: Grid, source: Grid): number[][] => solved(source.affine, grid.affine);

/** How far one step along each axis of a grid goes in another, in its voxels. */
export const stepsIn = (grid: Grid, source: Grid): number[] => lengths(indexMap(grid, source));

/** How long a voxel of a grid is along each axis of another, in its voxels. */
export function cellIn(grid: Grid, source: Grid): [number, number, number] {
  const [i, j, k] = indexMap(grid, source).map((row) => Math.hypot(row[0], row[1], row[2]));
  return [i, j, k];
}

const ORDERS = AXES.flatMap((a) =>
  AXES.filter((b) => b !== a).map((b): [number, number, number] => [a, b, 3 - a - b]),
);

/** Voxel coordinates of a grid in a source, axis by axis; null where axes are oblique. */
export function axisPositionsIn(grid: Grid, source: Grid): AxisPositions | null {
  const map = indexMap(grid, source);
  const straying = (axes: readonly number[]): number => {
    const off = AXES.map((row) =>
      AXES.reduce((sum, own) => {
        return axes[own] === row ? sum : sum + Math.abs(map[row][own]) * grid.shape[own];
      }, 0),
    );
    return Math.max(...off);
  };
  const axes = ORDERS.reduce((best, each) => (straying(each) < straying(best) ? each : best));
  if (straying(axes) > STRAIGHT) return null;
  const along = (own: number): Float64Array =>
    Float64Array.from({ length: grid.shape[own] }, (_, n) => {
      return rounded(map[axes[own]][3] + map[axes[own]][own] * n, 9);
    });
  return { axes, positions: [along(0), along(1), along(2)] };
}

/** Whether both have the same shape and no voxel differs in place by more than this. */
export function matches(grid: Grid, other: Grid, tolerance = 1e-3): boolean {
  if (!grid.shape.every((n, axis) => n === other.shape[axis])) return false;
  const map = indexMap(grid, other);
  return corners(grid.shape.map((n) => n + 1)).every((corner) => {
    const from = corner.map((at) => at - 0.5);
    return applied(map, from).every((at, axis) => Math.abs(at - from[axis]) <= tolerance);
  });
}

/** Voxel indices of the corners of an image of this shape. */
export function corners(shape: readonly number[]): number[][] {
  return [0, 1, 2, 3, 4, 5, 6, 7].map((bits) =>
    AXES.map((axis) => ((bits >> (2 - axis)) & 1) * (shape[axis] - 1)),
  );
}

/** The same voxels, with the axes in another order, and counted from the other end along some. */
export function turned({ shape, affine }: Grid, axes: readonly number[], back: readonly boolean[]): Grid {
  const own = axes.map((axis, n) => ({ axis, sign: back[n] ? -1 : 1, from: back[n] ? shape[axis] - 1 : 0 }));
  const map = [0, 1, 2, 3].map((row) => [
    ...own.map(({ axis, sign }) => (axis === row ? sign : 0)),
    row === 3 ? 1 : own.reduce((sum, { axis, from }) => (axis === row ? from : sum), 0),
  ]);
  return { shape: [shape[axes[0]], shape[axes[1]], shape[axes[2]]], affine: product(affine, map) };
}

/** Voxel coordinates, along an axis of the source, of `count` voxels that are 1/factor as long. */
export function positionsAlong(count: number, factor: number): Float64Array {
  const cell = 1 / factor;
  return Float64Array.from({ length: count }, (_, n) => rounded((cell - 1) / 2 + n * cell, 9));
}

/** One number or three; the name is for the sentence. */
function threePositive(value: number | readonly number[], name: string): number[] {
  const values = typeof value === 'number' ? [value] : [...value];
  if (![1, 3].includes(values.length)) {
    throw new Refusal(`a ${name} is one number or three (one per axis), not ${listed(values)}`);
  }
  if (!values.every((each) => each > 0 && Number.isFinite(each))) {
    throw new Refusal(`a ${name} must be greater than 0 and finite, not ${listed(values)}`);
  }
  return values.length === 3 ? values : [values[0], values[0], values[0]];
}

const listed = (values: readonly number[]): string => values.map((each) => general(each)).join(' ');
