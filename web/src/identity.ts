/** Whether a scan is one that is known already, whatever its file is called: `arssr/identity.py`. */

const SAMPLE = 4;

/** SHA-256 in hexadecimal digits; null on pages that come neither over https nor from this machine. */
export async function sha256(content: BufferSource): Promise<string | null> {
  const digest = await crypto.subtle?.digest('SHA-256', content);
  if (!digest) return null;
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** SHA-256 of an image's shape and samples, axes and samples in order of size. */
export function samplesSha256(
  samples: Float32Array,
  shape: readonly number[],
): Promise<string | null> {
  const sides = `[${[...shape].sort((a, b) => a - b).join(', ')}]`;
  const sorted = samples.slice().sort();
  for (let n = 0; n < sorted.length; n++) sorted[n] += 0; // there is no −0 among whole numbers
  const content = new Uint8Array(sides.length + SAMPLE * sorted.length);
  content.set(new TextEncoder().encode(sides));
  content.set(new Uint8Array(sorted.buffer), sides.length);
  return sha256(content);
}
