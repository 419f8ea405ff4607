/** Where the voxels of an image lie: `arssr/grid.py`. */

/** Rows of a 4×4 matrix, voxel index i, j, k → RAS+ mm. */
export type Affine = readonly (readonly number[])[];

export interface Grid {
  /** Voxels along i, j and k. */
  shape: readonly [number, number, number];
  affine: Affine;
}

const AXES = [0, 1, 2];

export function spacingOf({ affine }: Grid): number[] {
  return AXES.map((axis) => Math.hypot(...AXES.map((row) => affine[row][axis])));
}

/**
 * The grid rule: `factors` output voxels per voxel. The corner edge stays, and there are
 * max(1, round(n · factor)) voxels along an axis of n.
 */
export function scaled(grid: Grid, factors: readonly number[]): Grid {
  if (factors.length !== 3 || !factors.every((each) => each > 0 && Number.isFinite(each))) {
    throw new Error(`a scale is three numbers greater than 0, not ${factors.join(', ')}`);
  }
  const counts = AXES.map((axis) => {
    // rounded twice: 25 · 2.3 is 57.49999999999999, and such dust must not decide a tie
    return Math.max(roundedToEven(Number((grid.shape[axis] * factors[axis]).toFixed(5))), 1);
  });
  return resized(grid, [counts[0], counts[1], counts[2]], factors);
}

/** The same field of view, exactly, cut into this many voxels per axis. */
export function withShape(grid: Grid, shape: Grid['shape']): Grid {
  return resized(grid, shape, AXES.map((axis) => shape[axis] / grid.shape[axis]));
}

/** Voxels 1/factors as large from the same corner edge on. */
function resized(grid: Grid, shape: Grid['shape'], factors: readonly number[]): Grid {
  const affine = grid.affine.map((row) => {
    const columns = AXES.map((axis) => row[axis] / factors[axis]);
    const shift = AXES.reduce((sum, axis) => sum + row[axis] * ((1 / factors[axis] - 1) / 2), 0);
    return [...columns, row[3] + shift];
  });
  return { shape, affine };
}

/** Voxels as long along every axis as they are along the finest. */
export function isotropic(grid: Grid): Grid {
  const spacing = spacingOf(grid);
  const finest = Math.min(...spacing);
  return scaled(grid, spacing.map((mm) => mm / finest));
}

/** Voxel coordinates, along an axis of the source, of `count` voxels that are 1/factor as long. */
export function positionsAlong(count: number, factor: number): Float64Array {
  const cell = 1 / factor;
  return Float64Array.from({ length: count }, (_, n) => {
    return Math.round(((cell - 1) / 2 + n * cell) * 1e9) / 1e9;
  });
}

function roundedToEven(value: number): number {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}
