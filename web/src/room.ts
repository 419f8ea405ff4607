/** Whether a browser tab can hold a scan or a result, found before it is there. */

import { partsOf } from './antialias';
import { Refusal } from './errors';
import { scaled, voxelsOf, type Grid } from './grid';
import { bytesInWords, shapeInWords } from './words';

const GIB = 2 ** 30;
const USUAL_GIB = 8; // where a browser does not say how much memory there is
const SHARE = 0.5; // of the memory of the machine, for a tab
const LARGEST_ARRAY = 2 ** 32 - 2 ** 20; // bytes of one array, in all browsers of today
// Bytes for each voxel. Of the scan: its samples, normalised, whether it is air, and two more of
// it on the way. Of what is read: its values, and the same in units of the image, or averaged.
const [PER_INPUT, PER_READ] = [4 + 4 + 1 + 8, 8];
const SAMPLE = 4;

/** Bytes that a tab may take. */
function most(): number {
  const { deviceMemory } = (globalThis.navigator ?? {}) as { deviceMemory?: number };
  return SHARE * (deviceMemory ?? USUAL_GIB) * GIB;
}

/** Whether a tab can hold so many samples, and look at them. */
export const fits = (samples: number): boolean =>
  PER_INPUT * samples <= most() && SAMPLE * samples <= LARGEST_ARRAY;

/** What is really read: more than the result has where that is coarser. */
const readFor = (source: Grid, grid: Grid): number => voxelsOf(scaled(grid, partsOf(grid, source)));

/** Bytes that a tab holds at most while a result is made, which takes so many bytes a voxel. */
export function tabBytes(source: Grid, grid: Grid, stored: number): number {
  return PER_INPUT * voxelsOf(source) + PER_READ * readFor(source, grid) + stored * voxelsOf(grid);
}

/** Refuses what a tab cannot hold, with its size. */
export function requireMemory(source: Grid, grid: Grid, stored: number): void {
  const needed = tabBytes(source, grid, stored);
  if (needed <= most() && SAMPLE * readFor(source, grid) <= LARGEST_ARRAY) return;
  throw new Refusal(
    `a result of ${shapeInWords(grid.shape)} voxels needs ${bytesInWords(needed)} of memory and ` +
      `this browser tab may take ${bytesInWords(Math.min(most(), LARGEST_ARRAY))}; ask for a ` +
      'coarser grid, or use `arssr view`',
  );
}
