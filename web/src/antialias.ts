/** Reading on a grid that is coarser than the source, finely first: `arssr/antialias.py`. */

import { SAME_STEP, stepsIn, type Grid } from './grid';

const REACH = 2;

/** Into how many parts a voxel of a grid must be cut so that no step skips a source voxel. */
export function partsOf(grid: Grid, source: Grid): [number, number, number] {
  const [i, j, k] = stepsIn(grid, source).map((step) => Math.max(Math.ceil(step - SAME_STEP), 1));
  return [i, j, k];
}

/** A matrix (count, count · parts), row after row, that takes parts of voxels together. */
export function averagingMatrix(count: number, parts: number): Float64Array {
  const inside = count * parts;
  const made = new Float64Array(count * inside);
  const beyond = REACH * parts;
  for (let row = 0; row < count; row++) {
    const weights = Array.from({ length: inside + 2 * beyond }, (_, n) => {
      return windowed((n - beyond + 0.5) / parts - 0.5 - row);
    });
    const total = weights.reduce((a, b) => a + b, 0);
    weights.forEach((weight, n) => {
      const at = n - beyond;
      const add = (sample: number, times: number): void => {
        made[row * inside + sample] += (times * weight) / total;
      };
      // beyond its ends the image is continued by its odd reflection at the outer part
      if (at < 0) {
        add(0, 2);
        add(Math.min(-at, inside - 1), -1);
      } else if (at >= inside) {
        add(inside - 1, 2);
        add(inside - 1 - Math.min(at - inside + 1, inside - 1), -1);
      } else add(at, 1);
    });
  }
  return made;
}

const sinc = (x: number): number => (x ? Math.sin(Math.PI * x) / (Math.PI * x) : 1);

/** A sinc windowed by Lanczos. */
const windowed = (x: number): number => (Math.abs(x) < REACH ? sinc(x) * sinc(x / REACH) : 0);

