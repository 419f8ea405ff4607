/** Parameters in the order in which kernels read them. */

import type { Convolution } from './graph';
import { OF_CONVOLUTION } from './kernels';
import type { Model } from './model';

/** The axes i, j, k of an image that are planes, rows and columns in memory. */
export type Axes = readonly [number, number, number];

const { quads: QUADS } = OF_CONVOLUTION;

/** A small matrix per tap: [out channel][in channel][plane, row, column]. */
interface Taps {
  outs: number;
  ins: number;
  size: number;
  at(out: number, input: number, dp: number, dr: number, dc: number): number;
}

/**
 * The weights of one of the maps that a convolution reads.
 *
 * condition: given for the input. Its channels are constant wherever there is an image, so they are
 * one channel of ones.
 */
export function convolutionWeights(
  model: Model,
  { name, reach }: Convolution,
  channel: number,
  ins: number,
  axes: Axes,
  condition: Float32Array | null,
): Float32Array {
  const values = model.tensor(`${name}.weight`);
  const [outs, all] = model.shape(`${name}.weight`);
  const size = 2 * reach + 1;
  const strides = [0, 0, 0].map((_, n) => size ** (2 - axes[n])); // of planes, rows, columns
  const weight = (out: number, input: number, dp: number, dr: number, dc: number): number => {
    const tap = dp * strides[0] + dr * strides[1] + dc * strides[2];
    return values[(out * all + channel + input) * size ** 3 + tap];
  };
  if (!condition) return packed({ outs, ins, size, at: weight });
  const told = condition;
  return packed({
    outs,
    ins: 2,
    size,
    at: (out, input, ...tap) =>
      input === 0
        ? weight(out, 0, ...tap)
        : told.reduce((sum, value, n) => sum + value * weight(out, n + 1, ...tap), 0),
  });
}

/** The weights of a linear layer, as those of a 1×1×1 convolution. */
export function linearWeights(model: Model, name: string): Float32Array {
  const values = model.tensor(`${name}.weight`);
  const [outs, ins] = model.shape(`${name}.weight`);
  return packed({ outs, ins, size: 1, at: (out, input) => values[out * ins + input] });
}

/**
 * [group of outs][part of ins][plane][row] [column][quad of ins][quad of outs] [in of 4][out of 4],
 * zeros where there are no channels.
 */
function packed({ outs, ins, size, at }: Taps): Float32Array {
  const groups = Math.ceil(outs / 4 / QUADS);
  const parts = Math.ceil(ins / 4 / QUADS);
  const made = new Float32Array(groups * parts * size ** 3 * QUADS * QUADS * 16);
  const strideOfLine = size * QUADS * QUADS * 16;
  for (let out = 0; out < outs; out++) {
    for (let input = 0; input < ins; input++) {
      const [outQuad, inQuad] = [out >> 2, input >> 2];
      const block = Math.floor(outQuad / QUADS) * parts + Math.floor(inQuad / QUADS);
      for (let dp = 0; dp < size; dp++) {
        for (let dr = 0; dr < size; dr++) {
          const line = ((block * size + dp) * size + dr) * strideOfLine;
          for (let dc = 0; dc < size; dc++) {
            const matrix = (dc * QUADS + (inQuad % QUADS)) * QUADS + (outQuad % QUADS);
            made[line + matrix * 16 + (input % 4) * 4 + (out % 4)] = at(out, input, dp, dr, dc);
          }
        }
      }
    }
  }
  return made;
}
