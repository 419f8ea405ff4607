/** Into which pieces the work is cut, and how much it is. */

import type { Asked } from './engine';
import type { Graph } from './graph';
import { OF_CONVOLUTION } from './kernels';
import { grown, layoutOf, length, map3, parts, type Box, type Layout } from './layout';
import type { Model } from './model';
import { touched, type Along } from './reading';
import type { Planes } from './schedule';

/** Rows and columns of the output that are computed together. */
export interface Piece {
  rows: Planes;
  columns: Planes;
  /** What must be computed for them; null where they are air. */
  read: {
    /** Planes of the image that hold voxels which are no air, nearest to outputs. */
    active: Planes;
    /** The voxels of the image that the encoder sees. */
    box: Box;
  } | null;
}

/** How the work is cut: as was asked, or for the memory that there is. */
export function cutsOf(asked: Asked, graph: Graph, largest: number): Pick<Layout, 'cuts' | 'planes'> {
  return asked.layout ?? layoutOf(graph, asked.shape, asked.budget, largest);
}

export function piecesOf(
  asked: Asked,
  graph: Graph,
  along: readonly [Along, Along, Along],
  cuts: readonly [number, number],
): Piece[] {
  const [planes, rows, columns] = along.map(({ taps }) => taps.length);
  const whole = { start: 0, stop: planes };
  return parts(rows, Math.min(cuts[0], rows)).flatMap((r) =>
    parts(columns, Math.min(cuts[1], columns)).map((c): Piece => {
      const found = activeIn(asked, along, r, c);
      if (!found) return { rows: r, columns: c, read: null };
      const core = map3((n) => touched(along[n], [whole, r, c][n], found[n]));
      const box = map3((n) => grown(core[n], graph.radius, asked.shape[n]));
      return { rows: r, columns: c, read: { active: found[0], box } };
    }),
  );
}

/** Multiplications of all pieces, roughly as `tiled` counts them. */
export function workOf(
  model: Model,
  graph: Graph,
  along: readonly [Along, Along, Along],
  pieces: Piece[],
  { active, shape }: Asked,
): number {
  const { tile } = OF_CONVOLUTION;
  const tiled = (n: number): number => Math.ceil(n / tile) * tile;
  const stored = graph.channels.map((channels, map) => (map ? 4 * Math.ceil(channels / 4) : 4));
  const perVoxel = graph.convolutions.reduce((sum, { reach, inputs }, number) => {
    const out = 32 * Math.ceil(graph.channels[number + 1] / 32);
    const taps = (2 * reach + 1) ** 3;
    return inputs.reduce((all, { map }) => all + taps * stored[map] * out, sum);
  }, 0);
  const encoded = pieces.reduce((sum, { read }) => {
    if (!read) return sum;
    const [planes, rows, columns] = read.box.map(length);
    return sum + planes * tiled(rows) * tiled(columns);
  }, 0);
  // the share of air among outputs is that among the voxels of the image
  const share = active ? active.reduce((a, b) => a + b, 0) / (shape[0] * shape[1] * shape[2]) : 1;
  const outputs = along.reduce((all, { taps }) => all * taps.length, share);
  const { hidden } = model.manifest;
  return encoded * perVoxel + outputs * model.width * (hidden.length * model.width + 44);
}

/** The least box of the image that holds all active voxels nearest to outputs of a piece. */
function activeIn(
  { active, shape }: Asked,
  along: readonly [Along, Along, Along],
  rows: Planes,
  columns: Planes,
): Box | null {
  const [, n, m] = shape;
  const [p, r, c] = along.map(({ nearest }) => nearest);
  const near: Box = [
    { start: p[0], stop: p.at(-1)! + 1 },
    { start: r[rows.start], stop: r[rows.stop - 1] + 1 },
    { start: c[columns.start], stop: c[columns.stop - 1] + 1 },
  ];
  if (!active) return near;
  const low = [Infinity, Infinity, Infinity];
  const high = [-1, -1, -1];
  for (let i = near[0].start; i < near[0].stop; i++) {
    for (let j = near[1].start; j < near[1].stop; j++) {
      for (let k = near[2].start; k < near[2].stop; k++) {
        if (!active[(i * n + j) * m + k]) continue;
        if (i < low[0]) low[0] = i;
        if (i > high[0]) high[0] = i;
        if (j < low[1]) low[1] = j;
        if (j > high[1]) high[1] = j;
        if (k < low[2]) low[2] = k;
        if (k > high[2]) high[2] = k;
      }
    }
  }
  return high[0] < 0 ? null : map3((axis) => ({ start: low[axis], stop: high[axis] + 1 }));
}
