/** How fast a GPU is, by a convolution like those of the encoder. */

import { Gpu } from './gpu';
import { tiled } from './tiled';

const CHANNELS = 32;
const [ROWS, COLUMNS] = [8, 32];
const LONG_ENOUGH_MS = 60;
const MOST_PLANES = 2 ** 16;
const TAPS = 27;

/** Multiplications a second: of ever more planes together, until that takes long enough to measure. */
export async function measureSpeed(gpu: Gpu): Promise<number> {
  const map = ROWS * COLUMNS * CHANNELS;
  const [source, output] = [gpu.storage(4 * map), gpu.storage(4 * map)];
  const weights = gpu.storage(4 * TAPS * CHANNELS * CHANNELS);
  const bias = gpu.storage(4 * CHANNELS);
  const quads = CHANNELS / 4;
  const run = async (planes: number): Promise<number> => {
    const since = performance.now();
    await tiled(gpu, 1, { start: 0, stop: planes }, [planes, ROWS, COLUMNS], {
      buffers: [source, weights, bias, output],
      quads: [quads, quads],
      rings: [1, 1],
      added: [],
      end: 0,
    });
    await gpu.flush();
    return performance.now() - since;
  };
  try {
    await run(1); // compiles
    for (let planes = 1; ; planes *= 2) {
      const before = gpu.done;
      const ms = await run(planes);
      if (ms > LONG_ENOUGH_MS || planes >= MOST_PLANES) return ((gpu.done - before) / ms) * 1000;
    }
  } finally {
    gpu.release(source, output, weights, bias);
  }
}
