/** A convolution, in dispatches that are no more work than a submission. */

import type { Gpu } from './gpu';
import { CONVOLUTIONS, END, OF_CONVOLUTION } from './kernels';
import type { Three } from './layout';
import type { Planes } from './schedule';

export const MOST_GROUPS = 65535; // of a dispatch, along an axis

export interface Convolved {
  /** The input, weights, the bias, the output. */
  buffers: GPUBuffer[];
  /** Vectors of channels of the input and of the output, and slots of their rings. */
  quads: [number, number];
  rings: [number, number];
  added: { buffer: GPUBuffer; ring: number; quads: number; everywhere: boolean }[];
  /** What becomes of the sums; see `END`. */
  end: number;
}

/** A convolution over planes, in dispatches that are no more work than a submission. */
export async function tiled(
  gpu: Gpu,
  reach: 0 | 1,
  planes: Planes,
  [n, rows, columns]: Three,
  on: Convolved,
): Promise<void> {
  const { tile, quads } = OF_CONVOLUTION;
  const across = Math.ceil(columns / tile);
  const down = Math.ceil(rows / tile);
  const groups = Math.ceil(on.quads[1] / quads);
  const taps = (2 * reach + 1) ** 3;
  const workOfTile = across * tile * tile * taps * on.quads[0] * 4 * groups * quads * 4;
  const [, , bias] = on.buffers;
  const added = [0, 1].map((at) => on.added[at] ?? { buffer: bias, ring: 1, quads: 1 });
  const end = on.added.reduce(
    (sum, { everywhere }, at) => sum | END.added[at] | (everywhere ? END.everywhere[at] : 0),
    on.end,
  );
  for (let p = planes.start; p < planes.stop; ) {
    const fit = Math.floor(gpu.work / (workOfTile * down));
    const count = Math.min(Math.max(fit, 1), planes.stop - p, Math.floor(MOST_GROUPS / groups));
    for (let first = 0; first < down; ) {
      const most = count > 1 ? down : Math.max(1, Math.floor(gpu.work / workOfTile));
      const tiles = Math.min(most, down - first, MOST_GROUPS);
      await gpu.run({
        kernel: CONVOLUTIONS[reach],
        parameters: [
          ...[n, rows, columns, p, first, ...on.quads, ...on.rings, end],
          ...added.flatMap(({ ring, quads }) => [ring, quads]),
        ],
        buffers: [...on.buffers, ...added.map(({ buffer }) => buffer)],
        groups: [across, tiles, count * groups],
        work: workOfTile * tiles * count,
      });
      first += tiles;
    }
    p += count;
  }
}
