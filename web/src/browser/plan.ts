/** What becomes of a scan, found before the work: `arssr/upsampling/result.py`. */

import { Refusal } from '../errors';
import type { Asked } from '../engine/engine';
import type { Model, Told } from '../engine/model';
import { cellIn, described, thickAxes, type Grid } from '../grid';
import { unlikeIntensities } from '../kind';
import { Lattice } from '../lattice';
import { coarserAxes, outsideValidRange, rangeSetByFew, tooNoisy, unlikeTraining } from '../limits';
import { COPIED, withoutNetwork } from '../plain';
import { requireMemory } from '../room';
import { bandGrid } from '../scan';
import { choose } from '../target';
import { cutInWords, describe } from '../verdict';
import { samplesOf, type Known, type Like } from './known';
import { prepare, reversed, toldOf, type Prepared } from './prepared';
import type { Request } from './request';

export interface Facts {
  warnings?: string[];
  notes?: string[];
  target?: string;
  method?: string;
  cut_to_band?: Record<string, unknown>;
  clamped_at?: number | null;
  [name: string]: unknown;
}

/** The part of a network. */
export interface Correction {
  prepared: Prepared;
  /** Standard deviation of the scan's noise, normalised; null if unknown. */
  noise: number | null;
  told: Told;
  /** How long it took to prepare the scan. */
  seconds: number;
}

// The last scan, as several estimates ask for the same one.
let kept: { of: string; prepared: Prepared; seconds: number } | null = null;

/** Gives back what is kept of a scan. */
export function forget(id: string): void {
  if (kept?.of.startsWith(`${id} `)) kept = null;
}

export interface Plan {
  lattice: Lattice;
  facts: Facts;
  /** Of the scan [k][j][i]. */
  samples: Float32Array<ArrayBuffer>;
  /** Null where no network has a part. */
  correction: Correction | null;
}

/** like: the other scan, where one was named. Throws where nothing can be done. */
export async function planOf(
  model: Model,
  scan: Known,
  like: Like | null,
  request: Request,
): Promise<Plan> {
  const { grid: stored, resolution } = scan;
  const looked = !request.asStored && thickAxes(stored).length;
  const measured = looked ? bandGrid(stored, resolution) : null;
  const { grid, because } = choose(request.target, stored, like && like.grid, measured);
  requireMemory(stored, grid, scan.storage.type.bytes);
  const method = withoutNetwork(stored, grid);
  const samples = await samplesOf(scan);
  const facts: Facts = {};
  const correction = method ? null : corrected(scan, samples, grid, request, model);
  const seen = correction?.prepared.grid ?? stored;
  const lattice = new Lattice(seen, grid);
  const doubts = like ? like.warnings.map((each) => `${like.name}: ${each}`) : [];
  const ofChange = [
    ...unlikeIntensities(samples, stored.shape),
    ...outsideValidRange(model.manifest.card, seen, grid, stored),
  ];
  const isCopied = method === COPIED;
  warn(request, scan, facts, [...scan.warnings, ...doubts, ...(isCopied ? [] : ofChange)]);
  if (because) facts.target = because;
  if (method) facts.method = method;
  if (correction) {
    const coarser = coarserAxes(seen, grid);
    if (coarser) facts.notes = [coarser];
    const { prepared, noise } = correction;
    const { card, looks, most_noise: most } = model.manifest;
    if (prepared.isCut) facts.cut_to_band = cutToBand(scan, prepared.grid);
    const few = prepared.normalisation.setByFew ? [rangeSetByFew(card)] : [];
    const named = typeof request.noise === 'number' && noise !== null;
    const noisy = named ? tooNoisy(card, most, noise, prepared.normalisation.range) : null;
    const doubtful = [...few, ...(noisy ? [noisy] : [])];
    warn(request, scan, facts, [...doubtful, ...unlikeTraining(card, looks, prepared.look)]);
  }
  if (!isCopied) {
    facts.clamped_at = request.clamp && scan.range[0] >= 0 ? scan.range[0] : null;
  }
  return { lattice, facts, samples, correction };
}

function corrected(
  scan: Known,
  samples: Float32Array,
  grid: Grid,
  request: Request,
  { manifest }: Model,
): Correction {
  const of = `${scan.id} ${String(request.asStored)}`;
  if (kept?.of !== of) {
    const since = performance.now();
    const prepared = prepare(scan, samples, request.asStored);
    kept = { of, prepared, seconds: (performance.now() - since) / 1000 };
  }
  const { prepared, seconds } = kept;
  const cell = cellIn(grid, prepared.grid);
  return { prepared, seconds, ...toldOf(scan, prepared, request, cell, manifest.most_noise) };
}

function cutToBand({ grid, resolution }: Known, cut: Grid): Record<string, unknown> {
  return {
    in_words: cutInWords(grid, resolution, cut),
    ...described(cut),
    ...describe(grid, resolution),
  };
}

/** Puts warnings to the facts; with `strict` they are errors. */
function warn(request: Request, scan: Known, facts: Facts, warnings: string[]): void {
  if (!warnings.length) return;
  if (request.strict) throw new Refusal(`${scan.name}: ${warnings.join('; ')}`);
  facts.warnings = [...(facts.warnings ?? []), ...warnings];
}

/** What the engine is asked for. flip: axes i, j, k that are turned round. */
export function askedOf(
  { lattice }: Plan,
  { prepared, told }: Correction,
  request: Request,
  budget: number,
  flip: readonly number[] = [],
): Asked {
  const { image, active, grid } = prepared;
  const shape = reversed(grid.shape);
  const memory = flip.map((axis) => 2 - axis);
  const positions = [2, 1, 0].map((axis) => {
    const along = lattice.along[axis];
    if (!flip.includes(axis)) return along;
    return along.map((at) => grid.shape[axis] - 1 - at).reverse();
  });
  return {
    image: mirrored(image, shape, memory),
    shape,
    axes: [2, 1, 0],
    told,
    positions: [positions[0], positions[1], positions[2]],
    cell: reversed(lattice.cell),
    active: request.skipAir ? mirrored(active, shape, memory) : null,
    budget,
  };
}

/** An image with some axes of its memory turned round; the same one where none is. */
export function mirrored<T extends Float32Array | Uint8Array>(
  data: T,
  [a, b, c]: readonly [number, number, number],
  axes: readonly number[],
): T {
  if (!axes.length) return data;
  const made = data.slice() as T;
  const at = (n: number, count: number, axis: number): number => (axes.includes(axis) ? count - 1 - n : n);
  for (let p = 0; p < a; p++) {
    for (let q = 0; q < b; q++) {
      const from = (at(p, a, 0) * b + at(q, b, 1)) * c;
      const line = made.subarray((p * b + q) * c, (p * b + q + 1) * c);
      line.set(data.subarray(from, from + c) as never);
      if (axes.includes(2)) line.reverse();
    }
  }
  return made;
}

