/** What the network corrects: the image, interpolated. */

import type { Gpu } from './gpu';
import { ALONG_AXIS } from './kernels';
import { length, map3, type Box, type Three } from './layout';
import type { Along } from './reading';
import type { Scratch } from './scratch';
import { MOST_GROUPS } from './tiled';

/** Cubic interpolation of a box of the output. */
export async function interpolate(
  gpu: Gpu,
  scratch: Scratch,
  { image, shape }: { image: Float32Array; shape: Three },
  along: readonly Along[],
  chunk: Box,
): Promise<GPUBuffer> {
  const bands = map3((n) => {
    const { entries, first, weights } = along[n].cubic;
    const { start, stop } = chunk[n];
    const from = Math.min(...first.subarray(start, stop));
    const to = Math.max(...first.subarray(start, stop)) + entries;
    return {
      ...{ entries, range: { start: from, stop: to } },
      first: first.slice(start, stop).map((at) => at - from),
      weights: Float32Array.from(weights.subarray(start * entries, stop * entries)),
    };
  });
  const size = bands.map(({ range }) => length(range));
  const part = new Float32Array(size[0] * size[1] * size[2]);
  let at = 0;
  for (let i = bands[0].range.start; i < bands[0].range.stop; i++) {
    for (let j = bands[1].range.start; j < bands[1].range.stop; j++) {
      const line = (i * shape[1] + j) * shape[2];
      const { start, stop } = bands[2].range;
      part.set(image.subarray(line + start, line + stop), at);
      at += stop - start;
    }
  }
  let source = await scratch.filled('base 0', part);
  for (const [n, { entries, first, weights }] of bands.entries()) {
    const inner = size.slice(n + 1).reduce((a, b) => a * b, 1);
    const n_in = size[n];
    size[n] = length(chunk[n]);
    const total = size[0] * size[1] * size[2];
    const output = await scratch.room(`base ${n + 1}`, total * 4);
    const across = Math.min(Math.ceil(total / 64), MOST_GROUPS);
    await gpu.run({
      kernel: ALONG_AXIS,
      parameters: [n_in, size[n], inner, entries, total, across],
      buffers: [
        source,
        await scratch.filled(`first ${n}`, first),
        await scratch.filled(`band ${n}`, weights),
        output,
      ],
      groups: [across, Math.ceil(total / 64 / across), 1],
      work: total * entries,
    });
    source = output;
  }
  return source;
}
