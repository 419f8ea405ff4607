/** NIfTI files of results, by the rules of `arssr/formats/nifti.py`. */

import { NIFTI1, NIFTI2 } from 'nifti-reader-js';
import type { Grid } from '../grid';
import { rint } from '../rounding';
import { mmPerUnit, parsed, type Fields, type Storage } from './header';
import { apart, halfAVoxel } from './place';
import { quaternionPlaces, setQuaternion } from './quaternion';
import { FLOAT32, samplesIn, type Samples, type SampleType } from './types';

const LONGEST_NIFTI1_AXIS = 32767;
const ALIGNED = 2; // of sform and qform, where nothing else is known
const [SPACE, MM] = [7, 2];
// description, file beside it, name of the intent: [offset, bytes] in either header
const TEXTS = {
  1: [[148, 80], [228, 24], [328, 16]],
  2: [[240, 80], [320, 24], [508, 16]],
} as const;
const LONGEST_REMARK = 79; // and a zero

/** How a file stores samples: value = stored · slope + inter. */
export interface Encoding {
  type: SampleType;
  slope: number;
  inter: number;
}

export interface Layout {
  /** The bytes before the first sample. */
  head: Uint8Array<ArrayBuffer>;
  encoding: Encoding;
}

/**
 * A file for samples on a grid. Integer types keep type, slope and intercept, the rest is float32.
 * What a header says about the image as a whole is kept, the rest is written anew. remark: what its
 * description says where it is empty.
 */
export function layoutOf({ type, slope, inter, header }: Storage, grid: Grid, remark = ''): Layout {
  const source = parsed(header)!;
  const whole = type.whole;
  const long = Math.max(...grid.shape) > LONGEST_NIFTI1_AXIS;
  const nifti2 = long || source instanceof NIFTI2;
  const fields: Fields = nifti2 ? new NIFTI2() : new NIFTI1();
  const written = whole ? type : FLOAT32;
  fields.littleEndian = true;
  fields.magic = nifti2 ? 'n+2\0\r\n\x1a\n' : 'n+1';
  fields.vox_offset = nifti2 ? 544 : 352;
  fields.dims = [3, ...grid.shape, 1, 1, 1, 1];
  fields.pixDims = [1, 1, 1, 1, 1, 1, 1, 1];
  fields.datatypeCode = written.code;
  fields.numBitsPerVoxel = 8 * written.bytes;
  fields.scl_slope = whole ? slope : 1;
  fields.scl_inter = whole ? inter : 0;
  for (const name of ['cal_min', 'cal_max', 'toffset', 'intent_p1', 'intent_p2', 'intent_p3'] as const) {
    fields[name] = source[name];
  }
  fields.intent_code = source.intent_code;
  const known = [0, 1, 2, 3].includes(source.xyzt_units & SPACE);
  const time = known ? source.xyzt_units & ~SPACE : 0;
  fields.xyzt_units = (known && source.xyzt_units & SPACE ? source.xyzt_units & SPACE : MM) | time;
  setPlace(fields, source, grid);
  const head = new Uint8Array(fields.toArrayBuffer());
  const from = TEXTS[source instanceof NIFTI2 ? 2 : 1];
  TEXTS[nifti2 ? 2 : 1].forEach(([at, bytes], n) => {
    head.set(header.subarray(from[n][0], from[n][0] + bytes), at);
  });
  const [[at, bytes]] = TEXTS[nifti2 ? 2 : 1];
  const description = head.subarray(at, at + bytes);
  if (!description.some(Boolean)) {
    description.set(new TextEncoder().encode(remark.slice(0, LONGEST_REMARK)));
  }
  const single = (value: number): number => (nifti2 ? value : Math.fround(value));
  const encoding = { type: written, slope: single(fields.scl_slope), inter: single(fields.scl_inter) };
  return { head, encoding };
}

/**
 * The sform is exact. A qform has no shear, and resolves little of a rotation by nearly 180°: where
 * it puts a voxel more than half a voxel away from the sform, its code is 0, not in use.
 */
function setPlace(fields: Fields, source: Fields, { shape, affine }: Grid): void {
  const unit = mmPerUnit(source);
  const inUnits = affine.map((row, n) => row.map((value) => (n < 3 ? value / unit : value)));
  const valid = (code: number): number => (code >= 0 && code <= 5 ? code : 0);
  const code = valid(source.sform_code) || valid(source.qform_code) || ALIGNED;
  fields.affine = inUnits;
  [fields.sform_code, fields.qform_code] = [code, code];
  setQuaternion(fields, inUnits);
  const rounded = parsed(new Uint8Array(fields.toArrayBuffer()))!;
  if (apart(inUnits, quaternionPlaces(rounded), shape) > halfAVoxel(inUnits)) fields.qform_code = 0;
}

/** Samples as a file stores them: of integers the nearest ones, clipped to the range of the type. */
export function encoded(values: Float32Array, { type, slope, inter }: Encoding): Samples {
  const made = samplesIn(new ArrayBuffer(values.length * type.bytes), type, values.length);
  if (!type.whole) {
    made.set(values as never);
    return made;
  }
  const [low, high] = type.limits;
  const long = type.bytes === 8;
  for (let n = 0; n < values.length; n++) {
    const stored = Math.min(Math.max(rint((values[n] - inter) / slope), low), high);
    made[n] = (long ? BigInt(stored) : stored) as never;
  }
  return made;
}

/** A file of float32 samples in order, not compressed. */
export function asFloat32(storage: Storage, grid: Grid, samples: BlobPart): Blob {
  const { head } = layoutOf({ ...storage, type: FLOAT32, slope: 1, inter: 0 }, grid);
  return new Blob([head, samples]);
}

