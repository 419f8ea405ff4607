/** How a lattice is cut into pieces, so that the maps of each fit into memory. */

import { GpuError } from './gpu';
import type { Graph } from './graph';
import { schedule, type Planes, type Schedule } from './schedule';

export type Three = readonly [number, number, number];
const inMb = (bytes: number): string => `${(bytes / 1e6).toPrecision(3)} MB`;

/** Ranges along planes, rows and columns. */
export type Box = readonly [Planes, Planes, Planes];

const PLANES = [64, 32, 16, 8, 4, 2, 1]; // that a convolution computes together
const MOST_CUTS = 64;

export const length = ({ start, stop }: Planes): number => stop - start;

export const grown = ({ start, stop }: Planes, by: number, n: number): Planes => ({
  start: Math.max(start - by, 0),
  stop: Math.min(stop + by, n),
});

/** A range cut into nearly equal parts. */
export function parts(n: number, count: number): Planes[] {
  const bounds = [...Array(count + 1).keys()].map((part) => Math.floor((n * part) / count));
  return bounds.slice(1).map((stop, part) => ({ start: bounds[part], stop }));
}

/** Bytes of the ring of a map, for each map. Channels are stored in fours. */
export function ringBytes(graph: Graph, rings: number[], rows: number, columns: number): number[] {
  return graph.channels.map((channels, map) => {
    const stored = map === 0 ? 4 : 4 * Math.ceil(channels / 4); // see `convolutionWeights`
    return rings[map] * rows * columns * stored * 4;
  });
}

export interface Layout {
  /** Parts that rows and columns of the output are cut into. */
  cuts: readonly [number, number];
  planes: number;
  /** Bytes of all maps of the largest piece. */
  bytes: number;
}

/** What the rings are for a reader that takes planes as soon as they come, and keeps `kept`. */
export function streamed(graph: Graph, n: number, most: number, kept: number): Schedule {
  return schedule(graph, n, most, (stop) => Math.max(0, stop - kept));
}

/**
 * The fewest pieces whose maps take no more than `budget` bytes, each no more than `largest`.
 * shape: planes, rows and columns of the image. Throws where not even the smallest pieces fit.
 */
export function layoutOf(graph: Graph, shape: Three, budget: number, largest: number): Layout {
  const [n, rows, columns] = shape;
  const halo = 2 * graph.radius;
  let least = Infinity;
  const rings = PLANES.filter((most) => most <= Math.max(n, 1)).map((most) => ({
    most,
    rings: streamed(graph, n, most, 2).rings,
  }));
  for (let total = 1; total <= MOST_CUTS * MOST_CUTS; total *= 2) {
    // the longer side is cut first
    let cuts: [number, number] = [1, 1];
    while (cuts[0] * cuts[1] < total) {
      cuts = rows / cuts[0] >= columns / cuts[1] ? [cuts[0] * 2, cuts[1]] : [cuts[0], cuts[1] * 2];
    }
    const [r, c] = [rows, columns].map((size, n) =>
      Math.min(size, Math.ceil(size / cuts[n]) + 2 + halo),
    );
    for (const { most, rings: slots } of rings) {
      const each = ringBytes(graph, slots, r, c);
      const bytes = each.reduce((a, b) => a + b, 0);
      if (bytes <= budget && Math.max(...each) <= largest) return { cuts, planes: most, bytes };
      least = Math.min(least, bytes);
    }
  }
  throw new GpuError(`this takes ${inMb(least)} of graphics memory, and may take ${inMb(budget)}`);
}

export function map3<T>(make: (axis: number) => T): [T, T, T] {
  return [make(0), make(1), make(2)];
}
