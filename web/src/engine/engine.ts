/**
 * A scan on a finer lattice, by the GPU: interpolation, and what the network adds to it.
 *
 * The lattice is cut into pieces along rows and columns. For each piece the planes of the image
 * stream through the encoder (`schedule.ts`), and as soon as the features are there that an output
 * plane reads, the plane is decoded and leaves the GPU.
 */

import { cubicMatrix, linearTaps, nearestVoxel } from '../interpolation';
import { interpolate } from './base';
import { GpuError, type Gpu } from './gpu';
import { graphOf, type Convolution, type Graph } from './graph';
import { CORRECT, END, ENTER, OF_CONVOLUTION } from './kernels';
import { grown, layoutOf, length, map3, parts, type Box, type Layout, type Three } from './layout';
import type { Model, Told } from './model';
import { Reading, touched, type Along } from './reading';
import { schedule, type Planes, type Schedule } from './schedule';
import { Scratch } from './scratch';
import { tiled } from './tiled';
import { convolutionWeights, linearWeights, type Axes } from './weights';

const CHUNK = 2 ** 20; // output voxels that leave the GPU together
const ROWS = 2 ** 15; // voxels that are decoded together
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
    gpu.clear();
  }
}

class Upsampling {
  private readonly graph: Graph;
  private readonly along: readonly [Along, Along, Along];
  private readonly outShape: Three;
  private readonly weights: { buffers: GPUBuffer[]; bias: GPUBuffer }[];
  private readonly hidden: { weights: GPUBuffer; bias: GPUBuffer }[];
  private readonly last: GPUBuffer;
  private readonly gain: GPUBuffer;
  private readonly places: readonly [Float32Array, Float32Array, Float32Array];
  private readonly scratch: Scratch;
  private readonly quads: number;

  constructor(
    private readonly gpu: Gpu,
    private readonly model: Model,
    private readonly asked: Asked,
  ) {
    const { shape, positions, told, axes } = asked;
    this.scratch = new Scratch(gpu);
    this.graph = graphOf(model);
    this.quads = Math.ceil(model.width / 4);
    this.along = map3((n) => ({
      taps: linearTaps(shape[n], positions[n]),
      nearest: Array.from(positions[n], (at) => nearestVoxel(shape[n], at)),
      cubic: cubicMatrix(shape[n], positions[n]),
    }));
    this.outShape = map3((n) => positions[n].length);
    const condition = model.condition(told);
    const { gain, shift } = model.modulation(condition);
    const { channels, convolutions } = this.graph;
    this.weights = convolutions.map((each, number) => ({
      buffers: each.inputs.map(({ map, channel }) => {
        const first = map === 0 ? condition : null;
        return gpu.storage(
          convolutionWeights(model, each, channel, channels[map], axes, first),
        );
      }),
      bias: gpu.storage(
        each.hasBias ? model.tensor(`${each.name}.bias`) : new Float32Array(channels[number + 1]),
      ),
    }));
    this.hidden = model.manifest.hidden.map((name) => ({
      weights: gpu.storage(linearWeights(model, name)),
      bias: gpu.storage(model.tensor(`${name}.bias`)),
    }));
    const lastBias = model.tensor('decoder.last.bias');
    this.last = gpu.storage(
      Float32Array.from([...model.tensor('decoder.last.weight'), ...lastBias, 0, 0, 0]),
    );
    this.gain = gpu.storage(gain);
    this.places = map3((n) => this.placesAlong(n, shift));
  }

  async run(report: Report): Promise<Float32Array> {
    const [planes, rows, columns] = this.outShape;
    const made = new Float32Array(planes * rows * columns);
    const { cuts } = this.layout;
    const pieces = parts(rows, Math.min(cuts[0], rows)).flatMap((r) =>
      parts(columns, Math.min(cuts[1], columns)).map((c) => [r, c] as const),
    );
    for (const [number, [r, c]] of pieces.entries()) {
      await this.piece(r, c, made, (share) => report((number + share) / pieces.length));
    }
    return made;
  }

  private get layout(): Pick<Layout, 'cuts' | 'planes'> {
    const { layout, shape, budget } = this.asked;
    return layout ?? layoutOf(this.graph, shape, budget, this.gpu.largest);
  }

  /** What positions along an axis add to a feature; the first axis' has all that is constant. */
  private placesAlong(n: number, shift: Float32Array): Float32Array {
    const { positions, axes, cell } = this.asked;
    const { width } = this.model;
    const weight = this.model.tensor('decoder.place.weight');
    const bias = this.model.tensor('decoder.place.bias');
    const made = new Float32Array(positions[n].length * width);
    positions[n].forEach((position, at) => {
      const [sine, cosine] = [Math.sin(2 * Math.PI * position), Math.cos(2 * Math.PI * position)];
      for (let f = 0; f < width; f++) {
        const row = weight.subarray(9 * f, 9 * f + 9);
        let value = sine * row[axes[n]] + cosine * row[axes[n] + 3];
        if (n === 0) {
          value += shift[f] + bias[f];
          axes.forEach((axis, own) => (value += row[6 + axis] * cell[own]));
        }
        made[at * width + f] = value;
      }
    });
    return made;
  }

  /** The least box of the image that holds all active voxels nearest to outputs of a piece. */
  private activeIn(rows: Planes, columns: Planes): Box | null {
    const { active, shape } = this.asked;
    const [, n, m] = shape;
    const [, r, c] = this.along.map(({ nearest }) => nearest);
    const near: Box = [
      { start: this.along[0].nearest[0], stop: this.along[0].nearest.at(-1)! + 1 },
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
          [i, j, k].forEach((at, axis) => {
            low[axis] = Math.min(low[axis], at);
            high[axis] = Math.max(high[axis], at);
          });
        }
      }
    }
    return high[0] < 0 ? null : map3((axis) => ({ start: low[axis], stop: high[axis] + 1 }));
  }

  private async piece(
    rows: Planes,
    columns: Planes,
    made: Float32Array,
    report: Report,
  ): Promise<void> {
    const [planes] = this.outShape;
    const found = this.activeIn(rows, columns);
    if (!found) {
      await this.outputs({ start: 0, stop: planes }, rows, columns, made, null);
      return;
    }
    const ranges: Box = [{ start: 0, stop: planes }, rows, columns];
    const core = map3((n) => touched(this.along[n], ranges[n], found[n]));
    const box = map3((n) => grown(core[n], this.graph.radius, this.asked.shape[n]));
    const decoding = new Reading(this.along[0], found[0], box[0].start);
    const stream = schedule(this.graph, length(box[0]), this.layout.planes, (stop) =>
      decoding.firstRead(decoding.readyBy(stop)),
    );
    const maps = this.mapsOf(stream, box);
    const tables = this.tables(box, rows, columns);
    let done = 0;
    for (const [number, step] of stream.steps.entries()) {
      await this.enter(maps[0], stream.rings[0], box, step.input);
      for (const [n, computed] of step.computed.entries()) {
        await this.convolve(n, computed, stream.rings, maps, box);
      }
      const atEnd = number === stream.steps.length - 1;
      const stop = atEnd ? planes : decoding.readyBy(step.output.stop);
      const ring = stream.rings.at(-1)!;
      const there = { box, ring, features: maps.at(-1)!, ...tables };
      await this.outputs({ start: done, stop }, rows, columns, made, there);
      done = stop;
      report((number + 1) / stream.steps.length);
    }
    await this.gpu.flush();
    this.gpu.release(...maps, tables.taps, tables.places);
  }

  private mapsOf({ rings }: Schedule, box: Box): GPUBuffer[] {
    const plane = length(box[1]) * length(box[2]);
    return rings.map((slots, map) => this.gpu.storage(slots * plane * this.quadsOf(map) * 16));
  }

  private quadsOf(map: number): number {
    return map === 0 ? 1 : Math.ceil(this.graph.channels[map] / 4);
  }

  /** What the network sees of the image, and ones where there is an image. */
  private async enter(map: GPUBuffer, ring: number, box: Box, input: Planes): Promise<void> {
    const [, n, m] = this.asked.shape;
    const [low, high] = this.model.manifest.seen;
    const plane = new Float32Array(length(box[1]) * length(box[2]) * 4);
    for (let p = input.start; p < input.stop; p++) {
      let at = 0;
      for (let j = box[1].start; j < box[1].stop; j++) {
        for (let k = box[2].start; k < box[2].stop; k++) {
          const value = this.asked.image[((p + box[0].start) * n + j) * m + k];
          plane[at] = Math.min(Math.max(value, low), high);
          plane[at + 1] = 1;
          at += 4;
        }
      }
      await this.gpu.write(map, plane, (p % ring) * plane.byteLength);
    }
  }

  /** Planes of the output of a convolution. */
  private async convolve(
    number: number,
    computed: Planes,
    rings: number[],
    maps: GPUBuffer[],
    box: Box,
  ): Promise<void> {
    const each: Convolution = this.graph.convolutions[number];
    const { inputs, reach, added } = each;
    const size = map3((n) => length(box[n]));
    for (const [n, { map }] of inputs.entries()) {
      const end = n === inputs.length - 1;
      const { buffers, bias } = this.weights[number];
      await tiled(this.gpu, reach, computed, size, {
        buffers: [maps[map], buffers[n], bias, maps[number + 1]],
        quads: [this.quadsOf(map), this.quadsOf(number + 1)],
        rings: [rings[map], rings[number + 1]],
        added: (end ? added : []).map(({ map, everywhere }) => ({
          ...{ buffer: maps[map], ring: rings[map], quads: this.quadsOf(map), everywhere },
        })),
        end: (n > 0 ? END.onto : 0) | (end && each.relu ? END.relu : 0),
      });
    }
  }

  /** What the outputs of a piece read along its three axes, one after the other. */
  private tables(
    box: Box,
    rows: Planes,
    columns: Planes,
  ): { taps: GPUBuffer; places: GPUBuffer } {
    const ranges = [{ start: 0, stop: this.outShape[0] }, rows, columns];
    const taps = ranges.flatMap(({ start, stop }, n) =>
      this.along[n].taps.slice(start, stop).map(({ first, second, share }) => {
        const from = box[n].start;
        return [Math.max(first - from, 0), Math.max(second - from, 0), share];
      }),
    );
    const packed = new ArrayBuffer(16 * taps.length);
    const view = new DataView(packed);
    taps.forEach(([first, second, share], n) => {
      view.setUint32(16 * n, first, true);
      view.setUint32(16 * n + 4, second, true);
      view.setFloat32(16 * n + 8, share, true);
    });
    const { width } = this.model;
    const places = new Float32Array(taps.length * width);
    let at = 0;
    ranges.forEach(({ start, stop }, n) => {
      places.set(this.places[n].subarray(start * width, stop * width), at);
      at += (stop - start) * width;
    });
    return { taps: this.gpu.storage(new Uint32Array(packed)), places: this.gpu.storage(places) };
  }

  /** Planes of a piece of the output, a chunk after the other. */
  private async outputs(
    planes: Planes,
    rows: Planes,
    columns: Planes,
    made: Float32Array,
    there: There | null,
  ): Promise<void> {
    const [r, c] = [length(rows), length(columns)];
    const most = Math.max(1, Math.floor(CHUNK / (r * c)));
    for (let start = planes.start; start < planes.stop; start += most) {
      const stop = Math.min(start + most, planes.stop);
      const chunk: Box = [{ start, stop }, rows, columns];
      const output = await interpolate(this.gpu, this.scratch, this.asked, this.along, chunk);
      if (there) await this.correct(chunk, output, there);
      const values = await this.gpu.read(output, (stop - start) * r * c);
      const [, n, m] = this.outShape;
      for (let p = 0; p < stop - start; p++) {
        for (let j = 0; j < r; j++) {
          const line = values.subarray((p * r + j) * c, (p * r + j + 1) * c);
          made.set(line, ((start + p) * n + rows.start + j) * m + columns.start);
        }
      }
    }
  }

  /** Adds what the network says to a box of the output, where that is not air. */
  private async correct(chunk: Box, output: GPUBuffer, there: There): Promise<void> {
    const { gpu, quads } = this;
    const { box, ring, features, taps, places } = there;
    const list = this.wantedIn(chunk);
    if (!list.length) return;
    const wanted = await this.scratch.filled('wanted', list);
    const [planes, rows, columns] = chunk;
    let entered = await this.scratch.room('entered', ROWS * quads * 16);
    let computed = await this.scratch.room('computed', ROWS * quads * 16);
    for (let start = 0; start < list.length; start += ROWS) {
      const count = Math.min(ROWS, list.length - start);
      await gpu.run({
        kernel: ENTER,
        parameters: [
          ...[count, start, length(box[1]), length(box[2]), quads, ring],
          ...[length(rows), length(columns), planes.start, 0, 0],
          ...[this.outShape[0], this.outShape[0] + length(rows)],
        ],
        buffers: [features, wanted, taps, places, this.gain, entered],
        groups: [Math.ceil(quads / 8), Math.ceil(count / 8), 1],
        work: count * quads * 4 * 40,
      });
      for (const { weights, bias } of this.hidden) {
        const { tile } = OF_CONVOLUTION;
        const used: Three = [1, Math.ceil(count / tile), tile];
        await tiled(this.gpu, 0, { start: 0, stop: 1 }, used, {
          buffers: [entered, weights, bias, computed],
          quads: [quads, quads],
          rings: [1, 1],
          added: [],
          end: END.gelu,
        });
        [entered, computed] = [computed, entered];
      }
      await gpu.run({
        kernel: CORRECT,
        parameters: [count, start, quads],
        buffers: [entered, wanted, this.last, output],
        groups: [Math.ceil(count / 64), 1, 1],
        work: count * quads * 4,
      });
    }
  }

  /** Numbers of the voxels of a box of the output that lie in active ones. */
  private wantedIn([planes, rows, columns]: Box): Uint32Array {
    const { active, shape } = this.asked;
    const [p, r, c] = this.along.map(({ nearest }) => nearest);
    const found = new Uint32Array(length(planes) * length(rows) * length(columns));
    let [count, at] = [0, 0];
    for (let i = planes.start; i < planes.stop; i++) {
      for (let j = rows.start; j < rows.stop; j++) {
        const line = (p[i] * shape[1] + r[j]) * shape[2];
        for (let k = columns.start; k < columns.stop; k++, at++) {
          if (!active || active[line + c[k]]) found[count++] = at;
        }
      }
    }
    return found.subarray(0, count);
  }

}

interface There {
  box: Box;
  ring: number;
  features: GPUBuffer;
  taps: GPUBuffer;
  places: GPUBuffer;
}
