/** What a network starts from: a scan on the voxels that were measured, and its intensities. */

import { activeVoxels } from '../air';
import { lookOf, type Look } from '../domain';
import { Refusal } from '../errors';
import type { Grid } from '../grid';
import { apply, beyond, fit, type Fitted } from '../intensity';
import { estimateNoise } from '../noise';
import { acquisitionOf, atBand, bandGrid, byThickness, ofRefined } from '../scan';
import { UNKNOWN, type Told } from '../engine/model';
import type { Known } from './known';
import type { Request } from './request';

type Three = readonly [number, number, number];

// Noise that is found where samples were not averaged; what training images have by themselves, and
// where anatomy may fold (scan.py).
const [FOLDED_ANATOMY, OF_TRAINING, OF_TRAINING_FOLDED] = [0.05, 0.015, 0.027];

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
  look: Look | null;
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
  const [active, look] = [activeVoxels(image, shape), lookOf(image, shape)];
  return { grid, isCut, image, normalisation, active, noise, look };
}

function fitted(data: Float32Array, shape: Three, name: string): Fitted {
  try {
    return fit(data, shape);
  } catch (error) {
    throw error instanceof Refusal ? new Refusal(`${name}: ${error.message}`) : error;
  }
}

/**
 * The noise of a scan (normalised; null if unknown), and what the network is told: of the noise,
 * what is beyond that of training images, if it was estimated, and `most` at most.
 *
 * cell: of the target, along the axes of `prepared.grid`.
 */
export function toldOf(
  scan: Known,
  prepared: Prepared,
  request: Request,
  cell: Three,
  most: number | null,
): { noise: number | null; told: Told } {
  const { acquisition } = request;
  let names: readonly string[];
  if (typeof acquisition !== 'string') names = acquisition;
  else if (acquisition === UNKNOWN) names = [UNKNOWN, UNKNOWN, UNKNOWN];
  else if (acquisition !== 'auto') names = ofRefined(acquisition, cell);
  else if (request.asStored) names = byThickness(prepared.grid);
  else names = acquisitionOf(prepared.grid, scan.resolution, cell.map((each) => 1 / each));
  const isFolded = names.includes('spline');
  const noise = noiseOf(prepared, request, isFolded);
  let usual = names.includes(UNKNOWN) ? OF_TRAINING_FOLDED : OF_TRAINING;
  if (request.noise !== 'auto' || isFolded) usual = 0;
  const rest = noise === null ? null : Math.min(beyond(noise, usual), most ?? Infinity);
  return { noise, told: { acquisition: names, noise: rest } };
}

function noiseOf(
  { noise, normalisation }: Prepared,
  asked: Request,
  isFolded: boolean,
): number | null {
  if (asked.noise === 'unknown') return null;
  if (asked.noise !== 'auto') return asked.noise / normalisation.range;
  return beyond(noise, isFolded ? FOLDED_ANATOMY : 0);
}
