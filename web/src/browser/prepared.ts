/** What a network starts from: a scan on the voxels that were measured, and its intensities. */

import { activeVoxels } from '../air';
import { Refusal } from '../errors';
import type { Grid } from '../grid';
import { apply, fit, type Fitted } from '../intensity';
import { estimateNoise } from '../noise';
import { acquisitionOf, atBand, bandGrid, byThickness, ofRefined } from '../scan';
import { UNKNOWN, type Told } from '../engine/model';
import type { Known } from './known';
import type { Request } from './request';

type Three = readonly [number, number, number];

const FOLDED_ANATOMY = 0.05; // of noise that is found where samples were not averaged (scan.py)

export interface Prepared {
  grid: Grid;
  /** Whether it was stored finer than it was measured, and cut to that. */
  isCut: boolean;
  /** Normalised [k][j][i]. */
  image: Float32Array;
  normalisation: Fitted;
  /** Whether a voxel is no air. */
  active: Uint8Array;
  /** Standard deviation of a voxel's noise, normalised. */
  noise: number;
}

/** In the order of memory. */
export const reversed = ([i, j, k]: Three): [number, number, number] => [k, j, i];

/** Throws for constant scans. samples: of the scan [k][j][i]. */
export function prepare(scan: Known, samples: Float32Array, asStored: boolean): Prepared {
  const { resolution } = scan;
  const grid = asStored ? scan.grid : bandGrid(scan.grid, resolution);
  const isCut = grid.shape.some((n, axis) => n !== scan.grid.shape[axis]);
  const shape = reversed(grid.shape);
  const seen = isCut ? atBand(samples, reversed(scan.grid.shape), shape) : samples;
  const normalisation = fitted(seen, shape, scan.name);
  const image = apply(normalisation, seen);
  const known = isCut ? undefined : [...resolution].reverse();
  const noise = estimateNoise(seen, shape, known) / normalisation.range;
  return { grid, isCut, image, normalisation, active: activeVoxels(image, shape), noise };
}

function fitted(data: Float32Array, shape: Three, name: string): Fitted {
  try {
    return fit(data, shape);
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(`${name}: ${error.message}`) : error;
  }
}

/**
 * What the network is told of a scan.
 *
 * cell: of the target, along the axes of `prepared.grid`.
 */
export function toldOf(scan: Known, prepared: Prepared, request: Request, cell: Three): Told {
  const { acquisition } = request;
  let names: readonly string[];
  if (typeof acquisition !== 'string') names = acquisition;
  else if (acquisition === UNKNOWN) names = [UNKNOWN, UNKNOWN, UNKNOWN];
  else if (acquisition !== 'auto') names = ofRefined(acquisition, cell);
  else if (request.asStored) names = byThickness(prepared.grid);
  else names = acquisitionOf(prepared.grid, scan.resolution, cell.map((each) => 1 / each));
  return { acquisition: names, noise: noiseOf(prepared, request, names.includes('spline')) };
}

function noiseOf(
  { noise, normalisation }: Prepared,
  asked: Request,
  isFolded: boolean,
): number | null {
  if (asked.noise === 'unknown') return null;
  if (asked.noise !== 'auto') return asked.noise / normalisation.range;
  return Math.sqrt(Math.max(noise ** 2 - (isFolded ? FOLDED_ANATOMY ** 2 : 0), 0));
}
