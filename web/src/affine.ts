/** 4×4 matrices that lead from voxel indices to places. */

/** Rows of a 4×4 matrix, voxel index i, j, k → RAS+ mm. */
export type Affine = readonly (readonly number[])[];

const FOUR = [0, 1, 2, 3];

export const product = (one: Affine, other: Affine): number[][] =>
  FOUR.map((row) => FOUR.map((column) => FOUR.reduce((sum, n) => sum + one[row][n] * other[n][column], 0)));

/** The place of a point. */
export const applied = (affine: Affine, point: readonly number[]): number[] =>
  [0, 1, 2].map((row) => {
    return affine[row][0] * point[0] + affine[row][1] * point[1] + affine[row][2] * point[2] + affine[row][3];
  });

/** How long the three axes are. */
export const lengths = (affine: Affine): number[] =>
  [0, 1, 2].map((axis) => Math.hypot(affine[0][axis], affine[1][axis], affine[2][axis]));

/** Of the upper left 3×3 part. */
export function determinant(of: Affine): number {
  const [[a, b, c], [d, e, f], [g, h, i]] = of;
  return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
}

/** X with A · X = B (Gauss, with pivots). */
export function solved(a: Affine, b: Affine): number[][] {
  const rows = FOUR.map((row) => [...a[row], ...b[row]]);
  for (const column of FOUR) {
    const pivot = FOUR.slice(column).reduce((best, row) =>
      Math.abs(rows[row][column]) > Math.abs(rows[best][column]) ? row : best,
    );
    [rows[column], rows[pivot]] = [rows[pivot], rows[column]];
    rows[column] = rows[column].map((value) => value / rows[column][column]);
    for (const row of FOUR) {
      if (row === column) continue;
      const factor = rows[row][column];
      rows[row] = rows[row].map((value, n) => value - factor * rows[column][n]);
    }
  }
  return rows.map((row) => row.slice(4));
}
