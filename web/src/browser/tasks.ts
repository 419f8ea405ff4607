/** What the workers do for the page, as `arssr/serving/tasks.py` does for the other one. */

import { lookOf } from '../domain';
import { foreseen, upsample } from '../engine/engine';
import { Gpu, GpuMemoryError } from '../engine/gpu';
import { Model } from '../engine/model';
import { measureSpeed } from '../engine/speed';
import { Refusal } from '../errors';
import { described, spacingOf, voxelsOf, type Grid } from '../grid';
import { samplesSha256, sha256 } from '../identity';
import { apply, fit, invert, type Fitted } from '../intensity';
import { whyNotHere } from '../kind';
import { taught, unlikeTraining, validInWords } from '../limits';
import { readScan } from '../nifti/reading';
import { FLOAT32 } from '../nifti/types';
import { asFloat32, layoutOf } from '../nifti/writing';
import { estimateNoise } from '../noise';
import type { Asked, Estimate, Facts as ScanFacts } from '../page/backend';
import { COPIED, resample } from '../plain';
import { measureResolution } from '../resolution';
import { tabBytes } from '../room';
import { atBand, bandGrid } from '../scan';
import { describe, ofScan } from '../verdict';
import { bytesInWords, secondsInWords, shapeInWords, spacingInWords } from '../words';
import { samplesOf, type Known, type Like } from './known';
import { packed } from './packing';
import { remark, wordsOn } from './paper';
import { askedOf, mirrored, planOf, type Correction, type Facts, type Plan } from './plan';
import { reversed } from './prepared';
import { requestOf, toldOf, type Request } from './request';
import { madeOf } from './sidecar';

export type Report = (what: string, share: number) => void;

export const GPU_BUDGET = 2 ** 30; // bytes of maps; a browser does not tell how much there is
// Bytes of a result: 48 MB of noisy int16 take zlib a second of a core, and they are rounded before.
const PACKED_A_SECOND = 30e6;
const SMALLER = 4; // as many times less is tried where that was too much

/** Of the page: where its weights lie, without suffix. */
let address = 'models/light';
let loaded: Promise<Model> | undefined;
let opened: Promise<Gpu> | undefined;

export function setUp(models: string): void {
  address = models;
}

function model(): Promise<Model> {
  loaded ??= Model.load(address).catch((error: unknown) => {
    loaded = undefined; // the next one tries again
    throw error instanceof Refusal ? error : new Refusal(`the weights at ${address} cannot be read`);
  });
  return loaded;
}

/** The GPU; a new one where the last was lost or failed. */
async function gpu(): Promise<Gpu> {
  const known = await opened?.catch(() => undefined);
  if (known?.isSound) return known;
  known?.close();
  opened = Gpu.open();
  return opened;
}

/** What is known of a scan. */
export async function look(id: string, file: File): Promise<{ known: Known; facts: ScanFacts }> {
  const scan = await readScan(file);
  const reason = whyNotHere(scan.kind);
  if (reason) throw new Refusal(`${scan.name}: ${reason}`);
  const { grid, samples, warnings } = scan;
  const [i, j] = grid.shape;
  const resolution = measureResolution(samples, grid.shape, [1, i, i * j]);
  const noise = estimateNoise(samples, reversed(grid.shape), [...resolution].reverse());
  const { name, storage } = scan;
  const known: Known = {
    ...{ id, name, grid, storage, warnings, resolution, range: rangeOf(samples) },
    sha256: await sha256(await file.arrayBuffer()),
    samples: new Blob([samples]),
  };
  const size = `${shapeInWords(grid.shape)} voxels of ${spacingInWords(spacingOf(grid))}.`;
  const units = unitsOf(samples, grid);
  const words = ofScan(grid, resolution, noise, units?.range ?? 1);
  const facts = { ...about(known), frames: 1, noise, in_words: [size, ...words] };
  facts.warnings = [...warnings, ...(units ? await unlike(known, samples, units) : [])];
  return { known, facts };
}

/** Sentences where it looks like none that the weights know; none where those cannot be read. */
async function unlike(
  { grid, resolution }: Known,
  samples: Float32Array,
  units: Fitted,
): Promise<string[]> {
  const weights = await model().catch(() => null);
  if (!weights?.manifest.looks) return [];
  const measured = bandGrid(grid, resolution);
  const [from, shape] = [reversed(grid.shape), reversed(measured.shape)];
  const isCut = from.some((n, axis) => n !== shape[axis]);
  const seen = isCut ? atBand(samples, from, shape) : samples;
  const found = isCut ? unitsOf(seen, measured) : units;
  const { card, looks } = weights.manifest;
  return unlikeTraining(card, looks, found && lookOf(apply(found, seen), shape));
}

function rangeOf(samples: Float32Array): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of samples) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

/** The range of nearly all intensities; null where all are one. */
function unitsOf(samples: Float32Array, { shape }: Grid): Fitted | null {
  try {
    return fit(samples, reversed(shape));
  } catch {
    return null;
  }
}

/** What `arssr info` says. */
function about({ grid, storage, range, warnings, resolution }: Known): ScanFacts {
  const measured = bandGrid(grid, resolution);
  const isFiner = measured.shape.some((n, axis) => n !== grid.shape[axis]);
  return {
    ...described(grid),
    extent_mm: spacingOf(grid).map((mm, axis) => Number((mm * grid.shape[axis]).toFixed(3))),
    affine: grid.affine,
    slices: null,
    samples: 'intensities',
    stored_as: storage.type.name,
    slope: storage.slope,
    intercept: storage.inter,
    range,
    warnings,
    resolution: describe(grid, resolution),
    ...(isFiner && { super_resolved_from_mm: described(measured).spacing_mm }),
  };
}

/** What a GPU can do. */
export interface Machine {
  /** Multiplications a second. */
  speed: number;
  /** Bytes of the largest buffer. */
  largest: number;
}

export async function measure(): Promise<Machine> {
  const on = await gpu();
  return { speed: await measureSpeed(on), largest: on.largest };
}

/** What a result would take. machine: the GPU, or why there is none, in a sentence. */
export async function foresee(
  scan: Known,
  like: Like | null,
  asked: Asked,
  machine: Machine | string,
): Promise<Estimate> {
  const weights = await model();
  const { card, config } = weights.manifest;
  const request = requestOf(asked, config.acquisitions);
  const plan = await planOf(weights, scan, like, request);
  const { grid } = plan.lattice;
  const { type } = scan.storage;
  const disk = voxelsOf(grid) * (type.whole ? type : FLOAT32).bytes;
  const needs = plan.correction && needsOf(weights, plan, plan.correction, request, machine);
  const tab = tabBytes(scan.grid, grid, type.bytes);
  const { warnings = [], notes = [], ...others } = plan.facts;
  return {
    ...others,
    input: described(scan.grid),
    output: described(grid),
    ...(needs && {
      memory_bytes: { peak: tab + needs.graphics, tab, graphics: needs.graphics },
      seconds: Number((needs.seconds + disk / PACKED_A_SECOND).toPrecision(3)),
    }),
    disk_bytes: disk,
    in_words: [
      `${bytesInWords(tab)} of memory`,
      ...(needs ? [`${bytesInWords(needs.graphics)} on the graphics card`] : []),
      `up to ${bytesInWords(disk)} of disk`,
      ...(needs ? [`about ${secondsInWords(needs.seconds + disk / PACKED_A_SECOND)}`] : []),
    ],
    notes,
    warnings,
    trained_for: validInWords(card),
  };
}

/** Memory of a network on the GPU, and its time with that of preparing the scan. */
function needsOf(
  weights: Model,
  plan: Plan,
  correction: Correction,
  request: Request,
  machine: Machine | string,
): { graphics: number; seconds: number } {
  if (typeof machine === 'string') throw new Refusal(machine);
  const engine = askedOf(plan, correction, request, GPU_BUDGET);
  const { bytes, multiplications } = foreseen(weights, engine, machine.largest);
  const seconds = (request.flips.length * multiplications) / machine.speed + correction.seconds;
  return { graphics: bytes, seconds };
}

export interface Result {
  /** NIfTI, compressed. */
  file: Blob;
  grid: Grid;
  /** What its sidecar says. */
  facts: Facts;
  /** Multiplications a second, where a GPU computed. */
  speed: number | null;
}

/** Computes a result. like: the scan whose grid is taken, where one was named. */
export async function makeResult(
  scan: Known,
  like: Like | null,
  asked: Asked,
  report: Report,
): Promise<Result> {
  const since = performance.now();
  report('reading', 0);
  const weights = await model();
  const request = requestOf(asked, weights.manifest.config.acquisitions);
  const plan = await planOf(weights, scan, like, request);
  const { correction, facts, lattice, samples } = plan;
  let [values, speed]: [Float32Array, number | null] = [samples, null];
  if (correction) {
    ({ values, speed } = await computed(weights, plan, correction, request, report));
  } else if (facts.method === COPIED) values = lattice.result(samples, null);
  else values = resample(samples, scan.grid, lattice.grid);
  const { manifest } = weights;
  const layout = layoutOf(scan.storage, lattice.grid, correction ? remark(manifest) : '');
  const write = (share: number): void => report('writing', share);
  const file = await packed(layout, values, facts.clamped_at ?? null, write);
  if (correction && (await isTaught(weights, scan, samples))) {
    facts.notes = [...(facts.notes ?? []), taught(manifest.card)];
  }
  const options = toldOf(request, like && like.name);
  const made = { ...madeOf(scan, plan, weights, options, request.skipAir), ...facts };
  const seconds = Number(((performance.now() - since) / 1000).toFixed(3));
  return { file, grid: lattice.grid, facts: { ...made, ...wordsOn(made, manifest), seconds }, speed };
}

/** Whether a scan is among the images that weights have seen. */
async function isTaught(
  { manifest }: Model,
  { sha256: file, grid }: Known,
  samples: Float32Array,
): Promise<boolean> {
  const own = [file, await samplesSha256(samples, grid.shape)].filter((each) => each !== null);
  return manifest.trained_on.some((known) => known.some((each) => each && own.includes(each)));
}

/** The mean of what a network makes of a scan and its flips, in units of the image. */
async function computed(
  weights: Model,
  plan: Plan,
  correction: Correction,
  request: Request,
  report: Report,
): Promise<{ values: Float32Array; speed: number }> {
  const { lattice } = plan;
  const { normalisation } = correction.prepared;
  const { flips } = request;
  let sum: Float32Array | null = null;
  let speed = 0;
  for (const [number, flip] of flips.entries()) {
    const found = await onGpu(weights, plan, correction, request, flip, (share) => {
      report('computing', (number + share) / flips.length);
    });
    speed = found.speed;
    const [k, j, i] = [2, 1, 0].map((axis) => lattice.along[axis].length);
    const back = mirrored(found.values, [k, j, i], flip.map((axis) => 2 - axis));
    const member = lattice.result(invert(normalisation, back), normalisation.offset);
    if (!sum) sum = member;
    else for (let n = 0; n < sum.length; n++) sum[n] += member[n];
  }
  const values = sum!;
  if (flips.length > 1) for (let n = 0; n < values.length; n++) values[n] /= flips.length;
  return { values, speed };
}

/** With smaller pieces once, where the GPU has too little memory. */
async function onGpu(
  weights: Model,
  plan: Plan,
  correction: Correction,
  request: Request,
  flip: number[],
  report: (share: number) => void,
): Promise<{ values: Float32Array; speed: number }> {
  const run = async (budget: number): Promise<{ values: Float32Array; speed: number }> => {
    const on = await gpu();
    const [before, since] = [on.done, performance.now()];
    const values = await upsample(on, weights, askedOf(plan, correction, request, budget, flip), report);
    return { values, speed: ((on.done - before) / (performance.now() - since)) * 1000 };
  };
  try {
    return await run(GPU_BUDGET);
  } catch (error) {
    if (!(error instanceof GpuMemoryError)) throw error;
    return run(GPU_BUDGET / SMALLER);
  }
}

/** Cubic interpolation of a scan on the grid of a result: NIfTI, float32. */
export async function cubic(scan: Known, grid: Grid): Promise<Blob> {
  const values = resample(await samplesOf(scan), scan.grid, grid);
  return asFloat32(scan.storage, grid, values as Float32Array<ArrayBuffer>);
}
