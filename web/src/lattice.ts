/**
 * How the axes of a result run along those of a scan, both in the order of a file: [k][j][i].
 *
 * What is computed lies along the scan's axes, in increasing order; a result may have them swapped
 * or reversed, as those of another scan are.
 */

import { averagingMatrix, partsOf } from './antialias';
import { alongAxis } from './band';
import { Refusal } from './errors';
import { axisPositionsIn, cellIn, scaled, type Grid } from './grid';

type Three = readonly [number, number, number];

const REACH = 1; // voxels beyond the field of view at which the border value still stands

export class Lattice {
  /** Parts that voxels of the result are cut into, where it is coarser. */
  readonly parts: Three;
  /** The grid that is really read. */
  readonly fine: Grid;
  /** For the scan's i, j and k: voxel coordinates there, in increasing order. */
  readonly along: readonly [Float64Array, Float64Array, Float64Array];
  /** The size of a voxel that is read, along the scan's i, j and k, but no more than its own. */
  readonly cell: Three;
  private readonly axes: Three; // of the scan, which the result's follow
  private readonly back: boolean[]; // whether the result's axis runs the other way

  /** Throws where the axes of the grids are oblique. */
  constructor(
    readonly source: Grid,
    readonly grid: Grid,
  ) {
    this.parts = partsOf(grid, source);
    this.fine = scaled(grid, this.parts);
    const found = axisPositionsIn(this.fine, source);
    if (!found) {
      throw new Refusal(
        'the axes of the other scan run across those of this one, which this page does not compute; ' +
          '`arssr view` does',
      );
    }
    this.axes = found.axes;
    this.back = found.positions.map((at) => at.length > 1 && at[1] < at[0]);
    const along = [0, 1, 2].map((axis) => {
      const own = found.axes.indexOf(axis);
      return this.back[own] ? found.positions[own].toReversed() : found.positions[own];
    });
    this.along = [along[0], along[1], along[2]];
    const [i, j, k] = cellIn(this.fine, source).map((cell) => Math.min(cell, 1));
    this.cell = [i, j, k];
  }

  /** Whether nothing needs to be put into another order, averaged or replaced. */
  get isPlain(): boolean {
    const straight = this.axes.every((axis, own) => axis === own) && !this.back.some(Boolean);
    return straight && this.parts.every((each) => each === 1) && this.beyond().every((b) => !b.length);
  }

  /**
   * What was read [k][j][i] along the scan's axes → the result [k][j][i] along its own.
   *
   * air: the value farther than a voxel outside the field of view; null: the border's stays.
   */
  result(values: Float32Array, air: number | null): Float32Array {
    if (this.isPlain) return values;
    const shape = this.along.map(({ length }) => length);
    if (air !== null) {
      const strides = [1, shape[0], shape[0] * shape[1]];
      this.beyond().forEach((outside, axis) => {
        const [a, b] = [0, 1, 2].filter((each) => each !== axis);
        for (const at of outside) {
          for (let m = 0; m < shape[a]; m++) {
            for (let n = 0; n < shape[b]; n++) {
              values[at * strides[axis] + m * strides[a] + n * strides[b]] = air;
            }
          }
        }
      });
    }
    return this.averaged(this.turned(values, shape));
  }

  /** Along the scan's axes: which positions lie where an image has no values any more. */
  private beyond(): number[][] {
    return this.along.map((positions, axis) => {
      const n = this.source.shape[axis];
      return [...positions.keys()].filter((at) => {
        return positions[at] < -0.5 - REACH || positions[at] > n - 0.5 + REACH;
      });
    });
  }

  private turned(values: Float32Array, shape: readonly number[]): Float32Array {
    const strides = [1, shape[0], shape[0] * shape[1]];
    const own = this.axes.map((axis, n) => ({
      count: shape[axis],
      step: this.back[n] ? -strides[axis] : strides[axis],
      first: this.back[n] ? (shape[axis] - 1) * strides[axis] : 0,
    }));
    if (this.axes.every((axis, n) => axis === n) && !this.back.some(Boolean)) return values;
    const [i, j, k] = own;
    const made = new Float32Array(values.length);
    let at = 0;
    for (let c = 0; c < k.count; c++) {
      for (let b = 0; b < j.count; b++) {
        let from = i.first + j.first + k.first + c * k.step + b * j.step;
        for (let a = 0; a < i.count; a++, from += i.step) made[at++] = values[from];
      }
    }
    return made;
  }

  private averaged(values: Float32Array): Float32Array {
    const shape: [number, number, number] = [this.fine.shape[2], this.fine.shape[1], this.fine.shape[0]];
    return [2, 1, 0].reduce((made, axis) => {
      const parts = this.parts[axis];
      if (parts === 1) return made;
      const memory = 2 - axis;
      const count = shape[memory] / parts;
      const fewer = alongAxis(made, [...shape], memory, averagingMatrix(count, parts));
      shape[memory] = count;
      return fewer;
    }, values);
  }
}
