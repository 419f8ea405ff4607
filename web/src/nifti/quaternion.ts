/** The qform of a NIfTI header: a rotation as a quaternion (1, b, c, d), as nibabel has it. */

import { NIFTI1 } from 'nifti-reader-js';
import { determinant, lengths, type Affine } from '../affine';
import { Damage } from '../errors';
import { rotationOf } from '../grid';
import type { Fields } from './header';

const ROUNDING = { single: 3 * 2 ** -23, double: 3 * 2 ** -52 };

/** Voxel index → place, in the units of the header. Throws where there is no such rotation. */
export function quaternionPlaces(fields: Fields): Affine {
  const { quatern_b: b, quatern_c: c, quatern_d: d, pixDims } = fields;
  const spare = 1 - (b * b + c * c + d * d);
  const rounding = fields instanceof NIFTI1 ? ROUNDING.single : ROUNDING.double;
  if (!(spare > -rounding)) throw new Damage(`w2 should be positive, but is ${spare}`);
  const a = Math.abs(spare) < rounding ? 0 : Math.sqrt(spare);
  const turn = rotation(a, b, c, d);
  const [side, ...mm] = pixDims;
  const sizes = [mm[0], mm[1], mm[2] * side];
  const offsets = [fields.qoffset_x, fields.qoffset_y, fields.qoffset_z];
  const rows = turn.map((row, n) => [...row.map((value, axis) => value * sizes[axis]), offsets[n]]);
  return [...rows, [0, 0, 0, 1]];
}

/** Puts an affine, without its shear, into a header; rounding leaves a quaternion that can be read. */
export function setQuaternion(fields: Fields, affine: Affine): void {
  const turn = rotationOf(affine);
  const side = determinant(turn) > 0 ? 1 : -1;
  const proper = turn.map(([x, y, z]) => [x, y, z * side]);
  const bcd = imaginary(proper).map((part) => (fields instanceof NIFTI1 ? Math.fround(part) : part));
  const norm = Math.max(1, Math.hypot(...bcd));
  [fields.quatern_b, fields.quatern_c, fields.quatern_d] = bcd.map((part) => part / norm);
  fields.pixDims.splice(0, 4, side, ...lengths(affine));
  [fields.qoffset_x, fields.qoffset_y, fields.qoffset_z] = [0, 1, 2].map((row) => affine[row][3]);
}

function rotation(a: number, b: number, c: number, d: number): number[][] {
  const s = 2 / (a * a + b * b + c * c + d * d);
  return [
    [1 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
    [s * (b * c + a * d), 1 - s * (b * b + d * d), s * (c * d - a * b)],
    [s * (b * d - a * c), s * (c * d + a * b), 1 - s * (b * b + c * c)],
  ];
}

/** b, c and d of a rotation with a ≥ 0, from its largest part on (Shepperd 1978). */
function imaginary(turn: number[][]): number[] {
  const [[xx, xy, xz], [yx, yy, yz], [zx, zy, zz]] = turn;
  const squares = [1 + xx + yy + zz, 1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz];
  const largest = squares.indexOf(Math.max(...squares));
  const [a, ...bcd] = [
    [squares[0], zy - yz, xz - zx, yx - xy],
    [zy - yz, squares[1], yx + xy, xz + zx],
    [xz - zx, yx + xy, squares[2], zy + yz],
    [yx - xy, xz + zx, zy + yz, squares[3]],
  ][largest].map((part) => part / (2 * Math.sqrt(squares[largest])));
  return bcd.map((part) => (a < 0 ? -part : part));
}
