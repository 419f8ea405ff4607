/** Where headers say that an image lies, and what of that cannot be true: `formats/place.py`. */

import { applied, determinant, lengths, type Affine } from '../affine';
import { corners, spacingOf, type Grid } from '../grid';
import { general, spacingInWords } from '../words';
import type { Fields } from './header';
import { quaternionPlaces } from './quaternion';

const FLAT = 0.3;
const FIELD_OF_VIEW_MM = [0.5, 3000];

/** The largest distance between the places that two affines give the same voxel. */
export function apart(one: Affine, other: Affine, shape: readonly number[]): number {
  return Math.max(
    ...corners(shape).map((corner) => {
      const [a, b] = [applied(one, corner), applied(other, corner)];
      return Math.hypot(...a.map((at, axis) => at - b[axis]));
    }),
  );
}

export const halfAVoxel = (affine: Affine): number => Math.min(...lengths(affine)) / 2;

/** Sentences where the field of view has no size, or the voxels no shape, that is scanned. */
export function implausible(grid: Grid): string[] {
  const found: string[] = [];
  const mm = spacingOf(grid);
  const extent = mm.map((each, axis) => each * grid.shape[axis]);
  const longest = Math.max(...extent);
  if (!(longest >= FIELD_OF_VIEW_MM[0] && longest <= FIELD_OF_VIEW_MM[1])) {
    found.push(
      `the field of view is ${spacingInWords(extent)}, with voxels of ${spacingInWords(mm)}: ` +
        'the unit of length in the header is likely wrong',
    );
  }
  if (Math.abs(determinant(grid.affine.map((row) => row.map((at, n) => at / (mm[n] ?? 1))))) < FLAT) {
    found.push('its axes lie almost in one plane: the affine in the header is likely wrong');
  }
  return found;
}

/** Sentences about what sform, qform and pixdim of a header contradict each other in. */
export function inHeader(fields: Fields, { shape, affine }: Grid, mmPerUnit: number): string[] {
  const { sform_code: sform, qform_code: qform, pixDims } = fields;
  if (sform <= 0 && qform <= 0) {
    return [
      'the header does not say where the scan lies (sform_code and qform_code are 0): its axes ' +
        'are taken to run to the left, to the front and up, but left and right may be swapped',
    ];
  }
  if (sform <= 0) return [];
  const stated = pixDims.slice(1, 4).map((mm) => Math.abs(mm) * mmPerUnit);
  const found = unlikeSizes(affine, shape, stated);
  const distance = qform > 0 ? toQform(fields, affine, shape, mmPerUnit) : 0;
  if (!(distance <= halfAVoxel(affine))) {
    const far = Number.isFinite(distance);
    found.push(
      'sform and qform put the scan in different places, ' +
        `${far ? `up to ${general(distance, 3)} mm apart` : 'the qform in none'}; the sform is used`,
    );
  }
  return found;
}

function unlikeSizes(affine: Affine, shape: readonly number[], stated: number[]): string[] {
  const used = lengths(affine);
  const differ = stated.some((mm, axis) => {
    const said = Number.isFinite(mm) && mm > 0;
    return said && Math.abs(mm - used[axis]) * shape[axis] > used[axis] / 2;
  });
  if (!differ) return [];
  return [
    `the sform has voxels of ${spacingInWords(used)}, but pixdim has ${spacingInWords(stated)}; ` +
      'the sform is used',
  ];
}

/** How far it is to where the qform puts the scan; infinite if nowhere. */
function toQform(fields: Fields, affine: Affine, shape: readonly number[], mm: number): number {
  try {
    const other = quaternionPlaces(fields).map((row, n) => row.map((at) => (n < 3 ? at * mm : at)));
    const distance = apart(affine, other, shape);
    return Number.isFinite(distance) ? distance : Infinity;
  } catch {
    return Infinity;
  }
}
