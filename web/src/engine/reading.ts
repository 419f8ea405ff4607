/** Which voxels of an image, and of its features, an output reads. */

import { cubicMatrix, linearTaps, nearestVoxel, type Banded } from '../interpolation';
import type { Asked } from './engine';
import { GpuError } from './gpu';
import { map3 } from './layout';
import type { Planes } from './schedule';

/** Along one axis: what each output position reads. */
export interface Along {
  taps: { first: number; second: number; share: number }[];
  nearest: number[];
  cubic: Banded;
}

export function alongOf({ shape, positions }: Asked): [Along, Along, Along] {
  return map3((n) => ({
    taps: linearTaps(shape[n], positions[n]),
    nearest: Array.from(positions[n], (at) => nearestVoxel(shape[n], at)),
    cubic: cubicMatrix(shape[n], positions[n]),
  }));
}

/** Which output planes can be decoded, and what those still read that cannot. */
export class Reading {
  private readonly last: number[] = []; // plane of features that must be there, for each output
  private readonly first: number[] = []; // plane that this output or a later one still reads

  constructor({ taps, nearest }: Along, active: Planes, from: number) {
    let most = -1;
    for (const [n, { second }] of taps.entries()) {
      const wanted = nearest[n] >= active.start && nearest[n] < active.stop;
      most = Math.max(most, wanted ? second - from : -1);
      this.last.push(most);
    }
    let least = Infinity;
    for (let n = taps.length - 1; n >= 0; n--) {
      const wanted = nearest[n] >= active.start && nearest[n] < active.stop;
      least = Math.min(least, wanted ? taps[n].first - from : Infinity);
      this.first.unshift(least);
    }
  }

  /** The outputs before this one can be decoded once the planes before `stop` are there. */
  readyBy(stop: number): number {
    const next = this.last.findIndex((plane) => plane >= stop);
    return next < 0 ? this.last.length : next;
  }

  firstRead(output: number): number {
    return output < this.first.length ? this.first[output] : Infinity;
  }
}

/** The voxels that outputs in a range read, if they lie in active ones. */
export function touched({ taps, nearest }: Along, range: Planes, active: Planes): Planes {
  const read = taps.slice(range.start, range.stop).filter((_, n) => {
    const at = nearest[range.start + n];
    return at >= active.start && at < active.stop;
  });
  if (!read.length) throw new GpuError('a piece of the output reads nothing');
  return {
    start: Math.min(...read.map(({ first }) => first)),
    stop: Math.max(...read.map(({ second }) => second)) + 1,
  };
}
