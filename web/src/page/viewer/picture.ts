/** An image as it is drawn: its samples and where they lie. */

import { mat4 } from 'gl-matrix';
import { isCompressed, readHeader, readImage } from 'nifti-reader-js';
import type { Three } from '../backend';

export interface Picture {
  shape: Three;
  /** i runs fastest. */
  data: Float32Array;
  /** From voxels (i, j, k) to RAS+ mm, voxel centres being whole numbers. */
  affine: mat4;
}

const READ: Record<number, (bytes: ArrayBuffer) => ArrayLike<number>> = {
  2: (bytes) => new Uint8Array(bytes),
  4: (bytes) => new Int16Array(bytes),
  8: (bytes) => new Int32Array(bytes),
  16: (bytes) => new Float32Array(bytes),
  64: (bytes) => new Float64Array(bytes),
  256: (bytes) => new Int8Array(bytes),
  512: (bytes) => new Uint16Array(bytes),
  768: (bytes) => new Uint32Array(bytes),
};

/** The first frame of a NIfTI file, compressed or not, in the units of the scan. */
export async function pictureOf(file: ArrayBuffer): Promise<Picture> {
  const bytes = isCompressed(file) ? await unpacked(file) : file;
  const header = readHeader(bytes);
  const read = header && header.littleEndian ? READ[header.datatypeCode] : undefined;
  if (!header || !read)
    throw new Error('This image cannot be shown: it is no NIfTI of known numbers.');
  const shape: Three = [header.dims[1], header.dims[2], header.dims[3]];
  const count = shape[0] * shape[1] * shape[2];
  const size = header.numBitsPerVoxel / 8;
  const samples = read(readImage(header, bytes).slice(0, count * size));
  const data = samples instanceof Float32Array ? samples : Float32Array.from(samples);
  const [slope, intercept] = [header.scl_slope || 1, header.scl_inter || 0];
  if (slope !== 1 || intercept !== 0) {
    for (let n = 0; n < count; n++) data[n] = data[n] * slope + intercept;
  }
  const affine = mat4.fromValues(...(header.affine.flat() as Parameters<typeof mat4.fromValues>));
  return { shape, data, affine: mat4.transpose(affine, affine) };
}

async function unpacked(file: ArrayBuffer): Promise<ArrayBuffer> {
  const stream = new Blob([file]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).arrayBuffer();
}

/** From RAS+ mm to shares of the field of view, 0 to 1 along i, j and k. */
export function sharesOf({ affine, shape }: Picture): mat4 {
  const shares = mat4.create();
  mat4.scale(shares, shares, [1 / shape[0], 1 / shape[1], 1 / shape[2]]);
  mat4.translate(shares, shares, [0.5, 0.5, 0.5]);
  return mat4.multiply(shares, shares, mat4.invert(mat4.create(), affine)!);
}

/** Values below which shares of the samples lie, of about 200,000 of them; NaN is left out. */
export function percentiles(values: Float32Array, shares: readonly number[]): number[] {
  const step = Math.max(1, Math.floor(values.length / 200_003));
  const some: number[] = [];
  for (let n = 0; n < values.length; n += step) {
    if (Number.isFinite(values[n])) some.push(values[n]);
  }
  const sorted = Float32Array.from(some).sort();
  return shares.map((share) => sorted[Math.round(share * (sorted.length - 1))] ?? 0);
}

/** Black and white for an image: all but the rarest intensities lie between. */
export function windowOf({ data }: Picture): [number, number] {
  const [low, high] = percentiles(data, [0.01, 0.999]);
  return high > low ? [low, high] : [low, low + 1];
}
