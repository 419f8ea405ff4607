/** A result as a compressed file, whole or not at all. */

import { Refusal } from '../errors';
import { encoded, type Layout } from '../nifti/writing';

const SLAB = 2 ** 20; // samples that are rounded and compressed together

/** values: [k][j][i], changed where they lie below `floor`. */
export async function packed(
  { head, encoding }: Layout,
  values: Float32Array,
  floor: number | null,
  report: (share: number) => void,
): Promise<Blob> {
  const stream = new CompressionStream('gzip');
  const whole = new Response(stream.readable).blob();
  const writer = stream.writable.getWriter();
  await writer.write(head);
  for (let start = 0; start < values.length; start += SLAB) {
    const slab = values.subarray(start, start + SLAB);
    if (!slab.every(Number.isFinite)) throw new Refusal('the result has NaN or infinite values');
    if (floor !== null) {
      const least = Math.fround(floor);
      for (let n = 0; n < slab.length; n++) if (slab[n] < least) slab[n] = least;
    }
    const { buffer } = encoded(slab, encoding);
    await writer.write(new Uint8Array(buffer));
    report(Math.min((start + SLAB) / values.length, 1));
  }
  await writer.close();
  return whole;
}
