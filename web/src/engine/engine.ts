/**
 * A scan on a finer lattice, by the GPU: interpolation, and what the network adds to it.
 *
 * The lattice is cut into pieces along rows and columns. For each piece the planes of the image
 * stream through the encoder (`schedule.ts`), and as soon as the features are there that an output
 * plane reads, the plane is decoded and leaves the GPU.
 */

import { interpolate } from './base';
import { Decoder, type Tables } from './decoder';
import { Encoder, type Stream } from './encoder';
import { GpuError, type Gpu } from './gpu';
import { graphOf, type Graph } from './graph';
import { layoutOf, length, type Box, type Layout, type Three } from './layout';
import type { Model, Told } from './model';
import { cutsOf, piecesOf, workOf, type Piece } from './pieces';
import { alongOf, Reading, type Along } from './reading';
import { schedule, type Planes } from './schedule';
import { Scratch } from './scratch';
import type { Axes } from './weights';

const CHUNK = 2 ** 20; // output voxels that leave the GPU together
const BESIDES = 50e6; // bytes at most: weights, and what is interpolated and decoded together
const SAME_STEP = 1e-3; // voxels: steps that differ by less are equal (grid.py)

export interface Asked {
  /** Normalised intensities [plane][row][column]. */
  image: Float32Array;
  /** Planes, rows and columns of the image. */
  shape: Three;
  /** The axes i, j, k that these are: [0, 1, 2] as NumPy has them, [2, 1, 0] as NIfTI does. */
  axes: Axes;
  told: Told;
  /** Voxel coordinates of the output along planes, rows and columns, in increasing order. */
  positions: readonly [Float64Array, Float64Array, Float64Array];
  /** The size of an output voxel in voxels of the image, along planes, rows and columns. */
  cell: Three;
  /** Whether a voxel is no air; null: none is. */
  active: Uint8Array | null;
  /** Bytes that maps may take on the GPU. */
  budget: number;
  /** How the work is cut; by default as `layoutOf` finds. */
  layout?: Pick<Layout, 'cuts' | 'planes'>;
}

/** Hears the share of the work that is done. */
export type Report = (share: number) => void;

/**
 * Normalised intensities [plane][row][column] of the output. Throws a GpuError for what the GPU
 * cannot do and for targets that are coarser than the image.
 */
export async function upsample(
  gpu: Gpu,
  model: Model,
  asked: Asked,
  report: Report = () => undefined,
): Promise<Float32Array> {
  const coarser = asked.positions.some((at) => at.some((p, n) => p - at[n - 1] > 1 + SAME_STEP));
  if (coarser) throw new GpuError('a target that is coarser than the scan is not computed here');
  try {
    return await new Upsampling(gpu, model, asked).run(report);
  } finally {
    gpu.heard = () => undefined;
    gpu.clear();
  }
}

/** What it will take: bytes on the GPU, and multiplications. Throws as `upsample` does. */
export function foreseen(
  model: Model,
  asked: Asked,
  largest: number,
): { bytes: number; multiplications: number } {
  const graph = graphOf(model);
  const along = alongOf(asked);
  const { cuts, bytes } = layoutOf(graph, asked.shape, asked.budget, largest);
  const pieces = piecesOf(asked, graph, along, cuts);
  return { bytes: bytes + BESIDES, multiplications: workOf(model, graph, along, pieces, asked) };
}

class Upsampling {
  private readonly graph: Graph;
  private readonly along: readonly [Along, Along, Along];
  private readonly encoder: Encoder;
  private readonly decoder: Decoder;
  private readonly scratch: Scratch;
  private readonly made: Float32Array;

  constructor(
    private readonly gpu: Gpu,
    private readonly model: Model,
    private readonly asked: Asked,
  ) {
    this.scratch = new Scratch(gpu);
    this.graph = graphOf(model);
    this.along = alongOf(asked);
    this.encoder = new Encoder(gpu, model, this.graph, asked);
    this.decoder = new Decoder(gpu, model, asked, this.along, this.scratch);
    this.made = new Float32Array(asked.positions.reduce((all, at) => all * at.length, 1));
  }

  async run(report: Report): Promise<Float32Array> {
    const { cuts, planes } = cutsOf(this.asked, this.graph, this.gpu.largest);
    const { gpu, asked, model, graph, along } = this;
    const pieces = piecesOf(asked, graph, along, cuts);
    const [all, before] = [workOf(model, graph, along, pieces, asked), gpu.done];
    gpu.heard = () => report(Math.min((gpu.done - before) / all, 1));
    for (const piece of pieces) await this.piece(piece, planes);
    return this.made;
  }

  private async piece({ rows, columns, read }: Piece, most: number): Promise<void> {
    const planes = this.along[0].taps.length;
    if (!read) {
      await this.outputs({ start: 0, stop: planes }, rows, columns, null);
      return;
    }
    const { active, box } = read;
    const decoding = new Reading(this.along[0], active, box[0].start);
    const plan = schedule(this.graph, length(box[0]), most, (stop) =>
      decoding.firstRead(decoding.readyBy(stop)),
    );
    const stream = this.encoder.begin(plan, box);
    const tables = this.decoder.tables(box, rows, columns);
    let done = 0;
    for (const [number, step] of plan.steps.entries()) {
      await this.encoder.step(stream, step);
      const atEnd = number === plan.steps.length - 1;
      const stop = atEnd ? planes : decoding.readyBy(step.output.stop);
      await this.outputs({ start: done, stop }, rows, columns, { stream, tables });
      done = stop;
    }
    await this.gpu.flush();
    this.gpu.release(...stream.maps, tables.taps, tables.places);
  }

  /** Planes of a piece of the output, a chunk after the other. */
  private async outputs(
    planes: Planes,
    rows: Planes,
    columns: Planes,
    there: { stream: Stream; tables: Tables } | null,
  ): Promise<void> {
    const [r, c] = [length(rows), length(columns)];
    const most = Math.max(1, Math.floor(CHUNK / (r * c)));
    for (let start = planes.start; start < planes.stop; start += most) {
      const stop = Math.min(start + most, planes.stop);
      const chunk: Box = [{ start, stop }, rows, columns];
      const output = await interpolate(this.gpu, this.scratch, this.asked, this.along, chunk);
      if (there) await this.decoder.correct(chunk, output, there.stream, there.tables);
      const values = await this.gpu.read(output, (stop - start) * r * c);
      const [, n, m] = this.along.map(({ taps }) => taps.length);
      for (let p = 0; p < stop - start; p++) {
        for (let j = 0; j < r; j++) {
          const line = values.subarray((p * r + j) * c, (p * r + j + 1) * c);
          this.made.set(line, ((start + p) * n + rows.start + j) * m + columns.start);
        }
      }
    }
  }
}
