/**
 * A stream: planes enter the first map a few at a time, and every convolution computes those planes
 * of its output whose input is there. Nothing is computed twice. A map keeps a plane until the last
 * that reads it has done so; its planes lie in a ring of as many slots as are ever kept together.
 */

import type { Graph } from './graph';

/** A range of planes. */
export interface Planes {
  start: number;
  stop: number;
}

/** What is computed after another portion of the input has come. */
export interface Step {
  input: Planes;
  /** For each convolution. */
  computed: Planes[];
  /** Of the output: what its reader takes after this step. */
  output: Planes;
}

export interface Schedule {
  steps: Step[];
  /** Slots of each map's ring. */
  rings: number[];
}

/**
 * n: planes of the volume. most: planes that a convolution computes in a step. readFrom: the first
 * plane of the output that its reader still needs, once planes up to `stop` are there.
 */
export function schedule(
  graph: Graph,
  n: number,
  most: number,
  readFrom: (stop: number) => number,
): Schedule {
  const { convolutions, channels } = graph;
  const done = channels.map(() => 0); // planes of each map that were computed
  const freed = channels.map(() => 0); // and that no one needs any more
  const rings = channels.map(() => 0);
  const last = channels.length - 1;
  const steps: Step[] = [];
  while (done[last] < n) {
    const advance = (map: number, stop: number): Planes => {
      const planes = { start: done[map], stop };
      done[map] = stop;
      rings[map] = Math.max(rings[map], stop - freed[map]);
      return planes;
    };
    const input = advance(0, Math.min(done[0] + most, n));
    const output = done[last];
    const computed = convolutions.map(({ reach, inputs, added }, number) => {
      const there = inputs.map(({ map }) => (done[map] === n ? n : done[map] - reach));
      const stop = Math.min(...there, ...added.map(({ map }) => done[map]), done[number + 1] + most);
      return advance(number + 1, Math.max(stop, done[number + 1]));
    });
    freed.fill(n);
    convolutions.forEach(({ reach, inputs, added }, number) => {
      const next = done[number + 1];
      for (const { map } of inputs) freed[map] = Math.min(freed[map], Math.max(next - reach, 0));
      for (const { map } of added) freed[map] = Math.min(freed[map], next);
    });
    freed[last] = readFrom(done[last]);
    steps.push({ input, computed, output: { start: output, stop: done[last] } });
  }
  return { steps, rings };
}
