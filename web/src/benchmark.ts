/** Voxels and operations a second on whatever GPU there is: `npm run dev`, then /benchmark.html. */

import { upsample, type Report } from './engine/engine';
import { Gpu } from './engine/gpu';
import { Model } from './engine/model';
import { positionsAlong } from './grid';

const SCALE = 2;
const SMALLEST = 8; // voxels along a side
const BUDGET = 2 ** 30;

const told = document.querySelector<HTMLPreElement>('#told')!;
const size = document.querySelector<HTMLInputElement>('#size')!;

async function measure(n: number): Promise<string[]> {
  const model = await Model.load('models/light');
  const gpu = await Gpu.open();
  const run = (size: number, report: Report): Promise<Float32Array> => {
    const positions = positionsAlong(SCALE * size, SCALE);
    return upsample(
      gpu,
      model,
      {
        image: Float32Array.from({ length: size ** 3 }, () => Math.random()),
        shape: [size, size, size],
        axes: [0, 1, 2],
        told: { acquisition: ['kspace', 'kspace', 'kspace'], noise: null },
        positions: [positions, positions, positions],
        cell: [1 / SCALE, 1 / SCALE, 1 / SCALE],
        active: null,
        budget: BUDGET,
      },
      report,
    );
  };
  told.textContent = 'compiling';
  await run(SMALLEST, () => undefined);
  const before = gpu.done;
  const since = performance.now();
  await run(n, (share) => {
    told.textContent = `${(100 * share).toFixed(0)} %`;
  });
  const seconds = (performance.now() - since) / 1000;
  const { vendor, architecture, description } = gpu.device.adapterInfo;
  const { submissions, longestMs } = gpu;
  gpu.device.destroy();
  return [
    `${[vendor, architecture, description].filter(Boolean).join(' ') || 'a nameless GPU'}`,
    `${n}³ → ${SCALE * n}³ voxels in ${seconds.toFixed(2)} s`,
    `${((SCALE * n) ** 3 / seconds / 1e6).toFixed(2)} million voxels a second`,
    `${((2 * (gpu.done - before)) / seconds / 1e9).toFixed(1)} GFLOP a second`,
    `${submissions} submissions, the longest of ${longestMs.toFixed(0)} ms`,
  ];
}

document.querySelector('#start')!.addEventListener('click', () => {
  told.textContent = '';
  measure(Number(size.value)).then(
    (lines) => (told.textContent = lines.join('\n')),
    (error: unknown) => (told.textContent = error instanceof Error ? error.message : String(error)),
  );
});
