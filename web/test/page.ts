/** What the tests call in the browser. */

import { activeVoxels } from '../src/air';
import { upsample, type Asked } from '../src/engine/engine';
import { Gpu } from '../src/engine/gpu';
import { Model } from '../src/engine/model';
import { positionsAlong, scaled } from '../src/grid';
import { apply, fit, invert } from '../src/intensity';
import type { GoldenCase } from './golden';

export interface Outcome {
  /** Largest and root mean square difference from Python, as shares of the range. */
  largest: number;
  rms: number;
  seconds: number;
  longestMs: number;
  submissions: number;
}

export interface Options {
  layout?: Asked['layout'];
  budget?: number;
  /** The axes i, j, k that are planes, rows and columns in memory; by default in order. */
  axes?: Three;
  /** Every second voxel of the target alone. */
  coarser?: boolean;
  /** What happens after a moment. */
  spoil?: 'lose';
}

type Three = [number, number, number];

const floats = async (address: string): Promise<Float32Array> =>
  new Float32Array(await (await fetch(address)).arrayBuffer());

/** [i][j][k] with its axes in another order. */
function turned(data: Float32Array, shape: Three, axes: Three): Float32Array {
  const strides = [shape[1] * shape[2], shape[2], 1];
  const [a, b, c] = axes;
  const made = new Float32Array(data.length);
  let at = 0;
  for (let i = 0; i < shape[a]; i++) {
    for (let j = 0; j < shape[b]; j++) {
      for (let k = 0; k < shape[c]; k++) {
        made[at++] = data[i * strides[a] + j * strides[b] + k * strides[c]];
      }
    }
  }
  return made;
}

async function compare(golden: GoldenCase, options: Options): Promise<Outcome> {
  const model = await Model.load(`/test/golden/models/${golden.model}`);
  const image = await floats(`/test/golden/${golden.name}.in.f32`);
  const expected = turned(
    await floats(`/test/golden/${golden.name}.out.f32`),
    golden.target_shape,
    options.axes ?? [0, 1, 2],
  );
  const axes: Three = options.axes ?? [0, 1, 2];
  const ordered = (of: Three): Three => [of[axes[0]], of[axes[1]], of[axes[2]]];
  const [shape, scale] = [ordered(golden.shape), ordered(golden.scale)];
  const normalisation = fit(image, golden.shape);
  const seen = turned(apply(normalisation, image), golden.shape, axes);
  const counts = ordered(scaled(golden, golden.scale).shape as Three);
  const along = (n: number): Float64Array =>
    positionsAlong(counts[n], scale[n]).filter((_, at) => !options.coarser || at % 2 === 0);
  const gpu = await Gpu.open();
  if (options.spoil === 'lose') setTimeout(() => gpu.device.destroy(), 500);
  const since = performance.now();
  const made = await upsample(gpu, model, {
    image: seen,
    shape,
    axes,
    told: { acquisition: golden.told, noise: golden.told_noise },
    positions: [along(0), along(1), along(2)],
    cell: [Math.min(1 / scale[0], 1), Math.min(1 / scale[1], 1), Math.min(1 / scale[2], 1)],
    active: golden.skip_air ? activeVoxels(seen, shape) : null,
    budget: options.budget ?? 2 ** 29,
    layout: options.layout,
  });
  const seconds = (performance.now() - since) / 1000;
  const values = invert(normalisation, made);
  if (values.length !== expected.length) throw new Error(`${values.length} values`);
  let [largest, squares] = [0, 0];
  values.forEach((value, at) => {
    const off = Math.abs(value - expected[at]) / golden.range;
    if (!(off <= largest)) largest = off;
    squares += off * off;
  });
  const { longestMs, submissions } = gpu;
  gpu.device.destroy();
  return { largest, rms: Math.sqrt(squares / values.length), seconds, longestMs, submissions };
}

declare global {
  interface Window {
    compare: typeof compare;
  }
}
window.compare = compare;
