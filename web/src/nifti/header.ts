/** NIfTI-1 and NIfTI-2 headers, read by the rules of `arssr/formats/nifti.py` and nibabel. */

import { NIFTI1, NIFTI2, readHeader } from 'nifti-reader-js';
import type { Affine } from '../affine';
import { Damage, Refusal } from '../errors';
import { checkedGrid, type Grid } from '../grid';
import { shapeInWords, spacingInWords } from '../words';
import { inHeader } from './place';
import { quaternionPlaces } from './quaternion';
import { typeOf, type SampleType } from './types';

/** The longest header, of NIfTI-2. */
export const HEADER_BYTES = 540;
const NIFTI1_BYTES = 348;
const SROW_AT = 280; // of NIfTI-1
const KNOWN_CODES = 5; // of sform and qform
const MM_PER_UNIT = [1, 1e3, 1, 1e-3];
const UNITS_OF_TIME = [0, 8, 16, 24, 32, 40, 48];
const CIFTI = [3000, 3099];
const LONGEST_AXIS = 2 ** 31;

export type Fields = NIFTI1 | NIFTI2;

/** How the samples of a scan are stored: value = stored · slope + inter. */
export interface Storage {
  type: SampleType;
  slope: number;
  inter: number;
  /** The header's bytes. */
  header: Uint8Array;
}

export interface Header {
  grid: Grid;
  storage: Storage;
  /** Where the first sample is. */
  offset: number;
  /** Whether the order of bytes is that of nearly all machines. */
  littleEndian: boolean;
  intent: number;
  warnings: string[];
}

/**
 * A header from the first bytes of a file. Throws a Refusal for what is no 3D
 * image of intensities, and Damage.
 */
export function read(start: Uint8Array): Header {
  const fields = parsed(start);
  if (!fields) throw new Damage('there is no NIfTI header at its beginning');
  if (fields.intent_code >= CIFTI[0] && fields.intent_code <= CIFTI[1]) {
    throw new Refusal('this is a CIFTI file of surfaces, not a 3D image');
  }
  const warnings = mended(fields);
  const type = typeOf(fields.datatypeCode);
  const offset = Math.trunc(fields.vox_offset);
  if (!(offset >= (fields instanceof NIFTI1 ? 352 : 544))) {
    throw new Damage(
      `its samples are said to begin at byte ${offset}, inside the header (vox_offset)`,
    );
  }
  const shape = shapeOf(fields);
  const affine = bestAffine(fields, shape).map((row, n) =>
    row.map((value) => (n < 3 ? value * mmPerUnit(fields) : value)),
  );
  const grid = checkedGrid(shape, affine);
  if (typeof type === 'string') throw new Refusal(type);
  if (type === null) throw new Damage(`data code ${fields.datatypeCode} not recognized`);
  const used = fields.scl_slope !== 0 && Number.isFinite(fields.scl_slope);
  if (used && !Number.isFinite(fields.scl_inter)) {
    throw new Damage(`Valid slope but invalid intercept ${fields.scl_inter}`);
  }
  const header = start.slice(0, fields instanceof NIFTI1 ? NIFTI1_BYTES : HEADER_BYTES);
  const [slope, inter] = used ? [fields.scl_slope, fields.scl_inter] : [1, 0];
  return {
    grid,
    storage: { type, slope, inter, header },
    offset,
    littleEndian: fields.littleEndian,
    intent: fields.intent_code,
    warnings: [...inHeader(fields, grid, mmPerUnit(fields)), ...warnings],
  };
}

/** The fields of a header, with the sform as its affine; null where there is none. */
export function parsed(start: Uint8Array): Fields | null {
  if (start.length < NIFTI1_BYTES) return null;
  const view = new DataView(start.buffer, start.byteOffset);
  const sizes = [view.getInt32(0, true), view.getInt32(0, false)];
  const bytes = [NIFTI1_BYTES, HEADER_BYTES].find((each) => sizes.includes(each));
  if (!bytes || start.length < bytes) return null;
  let fields: Fields;
  try {
    fields = readHeader(start.slice(0, bytes).buffer as ArrayBuffer);
  } catch {
    return null;
  }
  if (fields instanceof NIFTI1) {
    // the library puts the qform there where its code is the larger
    fields.affine = [0, 1, 2].map((row) =>
      [0, 1, 2, 3].map((n) => view.getFloat32(SROW_AT + 16 * row + 4 * n, fields.littleEndian)),
    );
    fields.affine.push([0, 0, 0, 1]);
  }
  return fields;
}

/** Corrects what nibabel corrects in a header; and what of it matters, in words. */
function mended(fields: Fields): string[] {
  const sizes = fields.sform_code <= 0 ? fields.pixDims.slice(1, 4) : [1, 1, 1];
  if (!sizes.every(Boolean)) {
    throw new Damage(`its voxels are of ${spacingInWords(sizes)} (pixdim)`);
  }
  const warnings: string[] = [];
  if (sizes.some((mm) => mm < 0)) {
    warnings.push(`pixdim is negative, ${spacingInWords(sizes)}: its sign is left out`);
  }
  fields.pixDims = fields.pixDims.map((mm, n) => (n ? Math.abs(mm) : Math.abs(mm) === 1 ? mm : 1));
  for (const name of ['sform_code', 'qform_code'] as const) {
    const code = fields[name];
    if (code >= 0 && code <= KNOWN_CODES) continue;
    warnings.push(`${name} is ${code}, which means nothing: 0 is taken`);
    fields[name] = 0;
  }
  return warnings;
}

/** Of a 3D image; throws for others. */
function shapeOf({ dims }: Fields): [number, number, number] {
  const [count, ...all] = dims;
  const shape = all.slice(0, Math.max(count, 0));
  const size = shapeInWords(shape);
  if (count < 3) throw new Refusal(`this is a ${count}D image (${size}); 3D is needed`);
  if (Math.min(...shape) < 1) throw new Refusal(`there are no voxels (${size})`);
  if (Math.max(...shape) > LONGEST_AXIS) throw new Refusal(`no image is that large (${size})`);
  if (shape.slice(4).some((n) => n !== 1)) {
    throw new Refusal(
      `this is a ${count}D image (${size}) of several values per voxel; give one of its channels`,
    );
  }
  if (count > 3 && shape[3] > 1) {
    throw new Refusal(
      `this is a 4D image (${size}); this page takes one 3D image, and \`arssr view\` all frames`,
    );
  }
  return [shape[0], shape[1], shape[2]];
}

export function mmPerUnit({ xyzt_units: units }: Fields): number {
  const space = units % 8;
  const known = UNITS_OF_TIME.includes(units - space);
  return (known ? MM_PER_UNIT[space] : undefined) ?? 1;
}

/** The sform where there is one, else the qform, else axes to the left, to the front and up. */
function bestAffine(fields: Fields, shape: readonly number[]): Affine {
  if (fields.sform_code > 0) return fields.affine;
  if (fields.qform_code > 0) return quaternionPlaces(fields);
  const [, ...mm] = fields.pixDims;
  const sizes = [-mm[0], mm[1], mm[2]];
  const rows = [0, 1, 2].map((row) => [
    ...[0, 1, 2].map((axis) => (axis === row ? sizes[row] : 0)),
    -((shape[row] - 1) / 2) * sizes[row],
  ]);
  return [...rows, [0, 0, 0, 1]];
}

