/** Whether a browser tab can hold a result, found before it is computed. */

import { Refusal } from '../errors';
import { voxelsOf } from '../grid';
import { bytesInWords, shapeInWords } from '../words';
import type { Known } from './known';
import type { Plan } from './plan';

const GIB = 2 ** 30;
const USUAL_GIB = 8; // where a browser does not say how much memory there is
const SHARE = 0.5; // of the memory of the machine, for a tab
const LARGEST_ARRAY = 2 ** 32 - 2 ** 20; // bytes of one array, in all browsers of today
// Bytes for each voxel. Of the scan: its samples, normalised, whether it is air, and two more of
// it on the way. Of what is read: its values, and the same in units of the image, or averaged.
const [PER_INPUT, PER_READ] = [4 + 4 + 1 + 8, 8];

/** Bytes that a tab holds at most while a result is made. */
export function tabBytes({ lattice }: Plan, { grid, storage }: Known): number {
  const read = lattice.along.reduce((all, at) => all * at.length, 1);
  return PER_INPUT * voxelsOf(grid) + PER_READ * read + storage.type.bytes * voxelsOf(lattice.grid);
}

/** Refuses what a tab cannot hold, with its size. */
export function requireMemory(plan: Plan, scan: Known): void {
  const { deviceMemory } = navigator as { deviceMemory?: number };
  const most = SHARE * (deviceMemory ?? USUAL_GIB) * GIB;
  const needed = tabBytes(plan, scan);
  const longest = 4 * plan.lattice.along.reduce((all, at) => all * at.length, 1);
  if (needed <= most && longest <= LARGEST_ARRAY) return;
  throw new Refusal(
    `a result of ${shapeInWords(plan.lattice.grid.shape)} voxels needs ${bytesInWords(needed)} of ` +
      `memory and this browser tab may take ${bytesInWords(Math.min(most, LARGEST_ARRAY))}; ask ` +
      'for a coarser grid, or use `arssr view`',
  );
}
