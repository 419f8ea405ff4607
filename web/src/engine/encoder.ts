/** The encoder on the GPU: planes of an image in, planes of features out. */

import type { Asked } from './engine';
import type { Gpu } from './gpu';
import type { Graph } from './graph';
import { END } from './kernels';
import { length, map3, type Box } from './layout';
import type { Model } from './model';
import type { Planes, Schedule, Step } from './schedule';
import { tiled } from './tiled';
import { convolutionWeights } from './weights';

/** Maps of a piece, each in a ring of planes. */
export interface Stream {
  box: Box;
  rings: number[];
  maps: GPUBuffer[];
}

export class Encoder {
  private readonly weights: { buffers: GPUBuffer[]; bias: GPUBuffer }[];

  constructor(
    private readonly gpu: Gpu,
    private readonly model: Model,
    private readonly graph: Graph,
    private readonly asked: Asked,
  ) {
    const { told, axes } = asked;
    const condition = model.condition(told);
    const { channels, convolutions } = graph;
    this.weights = convolutions.map((each, number) => ({
      buffers: each.inputs.map(({ map, channel }) => {
        const first = map === 0 ? condition : null;
        return gpu.storage(convolutionWeights(model, each, channel, channels[map], axes, first));
      }),
      bias: gpu.storage(
        each.hasBias ? model.tensor(`${each.name}.bias`) : new Float32Array(channels[number + 1]),
      ),
    }));
  }

  /** Room for the maps of a piece. */
  begin({ rings }: Schedule, box: Box): Stream {
    const plane = length(box[1]) * length(box[2]);
    const maps = rings.map((slots, map) => this.gpu.storage(slots * plane * this.quadsOf(map) * 16));
    return { box, rings, maps };
  }

  /** Another portion of planes. */
  async step(stream: Stream, { input, computed }: Step): Promise<void> {
    await this.enter(stream, input);
    for (const [number, planes] of computed.entries()) await this.convolve(stream, number, planes);
  }

  private quadsOf(map: number): number {
    return map === 0 ? 1 : Math.ceil(this.graph.channels[map] / 4);
  }

  /** What the network sees of the image, and ones where there is an image. */
  private async enter({ box, rings, maps }: Stream, input: Planes): Promise<void> {
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
      await this.gpu.write(maps[0], plane, (p % rings[0]) * plane.byteLength);
    }
  }

  /** Planes of the output of a convolution. */
  private async convolve({ box, rings, maps }: Stream, number: number, computed: Planes): Promise<void> {
    const { inputs, reach, added, relu } = this.graph.convolutions[number];
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
        end: (n > 0 ? END.onto : 0) | (end && relu ? END.relu : 0),
      });
    }
  }
}
