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
  /** The same of interpolation alone would be: what the network changes. */
  seconds: number;
  longestMs: number;
  submissions: number;
}

export interface Options {
  layout?: Asked['layout'];
  budget?: number;
}

const floats = async (address: string): Promise<Float32Array> =>
  new Float32Array(await (await fetch(address)).arrayBuffer());

async function device(): Promise<GPUDevice> {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) throw new Error('this browser offers no graphics card to web pages (WebGPU)');
  return adapter.requestDevice();
}

async function compare(name: string, golden: GoldenCase, options: Options): Promise<Outcome> {
  const model = await Model.load(`/models/${name}`);
  const image = await floats(`/test/golden/${golden.name}.in.f32`);
  const expected = await floats(`/test/golden/${golden.name}.out.f32`);
  const { shape, scale } = golden;
  const normalisation = fit(image, shape);
  const seen = apply(normalisation, image);
  const target = scaled(golden, scale);
  const along = (n: number): Float64Array => positionsAlong(target.shape[n], scale[n]);
  const gpu = new Gpu(await device());
  const since = performance.now();
  const made = await upsample(gpu, model, {
    image: seen,
    shape,
    axes: [0, 1, 2],
    told: { acquisition: golden.told, noise: golden.noise },
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
  gpu.close();
  gpu.device.destroy();
  return { largest, rms: Math.sqrt(squares / values.length), seconds, longestMs, submissions };
}

declare global {
  interface Window {
    compare: typeof compare;
  }
}
window.compare = compare;
