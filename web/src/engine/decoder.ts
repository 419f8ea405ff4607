/** The decoder on the GPU: what the network adds to outputs, from features that they read. */

import type { Asked } from './engine';
import type { Stream } from './encoder';
import type { Gpu } from './gpu';
import { CORRECT, END, ENTER, OF_CONVOLUTION } from './kernels';
import { length, map3, type Box, type Three } from './layout';
import type { Model } from './model';
import type { Along } from './reading';
import type { Planes } from './schedule';
import type { Scratch } from './scratch';
import { tiled } from './tiled';
import { linearWeights } from './weights';

const ROWS = 2 ** 15; // voxels that are decoded together

/** What the outputs of a piece read along their axes. */
export interface Tables {
  taps: GPUBuffer;
  places: GPUBuffer;
}

export class Decoder {
  private readonly hidden: { weights: GPUBuffer; bias: GPUBuffer }[];
  private readonly last: GPUBuffer;
  private readonly gain: GPUBuffer;
  private readonly places: readonly [Float32Array, Float32Array, Float32Array];
  private readonly quads: number;

  constructor(
    private readonly gpu: Gpu,
    private readonly model: Model,
    private readonly asked: Asked,
    private readonly along: readonly [Along, Along, Along],
    private readonly scratch: Scratch,
  ) {
    this.quads = Math.ceil(model.width / 4);
    const { gain, shift } = model.modulation(model.condition(asked.told));
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

  /** What the outputs of a piece read along its three axes, one after the other. */
  tables(box: Box, rows: Planes, columns: Planes): Tables {
    const ranges = [{ start: 0, stop: this.along[0].taps.length }, rows, columns];
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

  /** Adds what the network says to a box of the output, where that is not air. */
  async correct(chunk: Box, output: GPUBuffer, stream: Stream, tables: Tables): Promise<void> {
    const { gpu, quads } = this;
    const { taps, places } = tables;
    const { box, rings, maps } = stream;
    const list = this.wantedIn(chunk);
    if (!list.length) return;
    const wanted = await this.scratch.filled('wanted', list);
    const [planes, rows, columns] = chunk;
    const allPlanes = this.along[0].taps.length;
    let entered = await this.scratch.room('entered', ROWS * quads * 16);
    let computed = await this.scratch.room('computed', ROWS * quads * 16);
    for (let start = 0; start < list.length; start += ROWS) {
      const count = Math.min(ROWS, list.length - start);
      await gpu.run({
        kernel: ENTER,
        parameters: [
          ...[count, start, length(box[1]), length(box[2]), quads, rings.at(-1)!],
          ...[length(rows), length(columns), planes.start, 0, 0],
          ...[allPlanes, allPlanes + length(rows)],
        ],
        buffers: [maps.at(-1)!, wanted, taps, places, this.gain, entered],
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
