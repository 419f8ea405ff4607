/** What is computed without a GPU, beside Python. */

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { activeVoxels } from '../src/air';
import { lookOf } from '../src/domain';
import { graphOf } from '../src/engine/graph';
import { layoutOf, streamed } from '../src/engine/layout';
import { Model, type Manifest } from '../src/engine/model';
import { schedule } from '../src/engine/schedule';
import { positionsAlong, scaled, spacingOf, type Grid } from '../src/grid';
import { apply, fit } from '../src/intensity';
import { cubicMatrix } from '../src/interpolation';
import { tooNoisy, unlikeTraining } from '../src/limits';
import { estimateNoise } from '../src/noise';
import { measureResolution } from '../src/resolution';
import { acquisitionOf, atBand, bandGrid } from '../src/scan';
import type { Golden } from './golden';

const file = (path: string): Buffer => readFileSync(new URL(path, import.meta.url));
const golden = JSON.parse(file('./golden/golden.json').toString()) as Golden;
const image = (name: string): Float32Array => {
  const bytes = file(`./golden/${name}.in.f32`);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
};

function expectSame(found: Grid, python: Grid): void {
  found.affine.forEach((row, n) =>
    row.forEach((value, m) => expect(value).toBeCloseTo(python.affine[n][m], 9)),
  );
}

describe.each(golden.cases)('$name', ({ name, shape, affine, scale, ...python }) => {
  const target = scaled({ shape, affine }, scale);

  test('the grid rule gives the same voxels in the same places', () => {
    expect(target.shape).toEqual(python.target_shape);
    expectSame(target, { shape: python.target_shape, affine: python.target_affine });
    spacingOf(target).forEach((mm, n) =>
      expect(mm).toBeCloseTo(spacingOf({ shape, affine })[n] / scale[n], 9),
    );
  });

  test('the range, the noise and the air are the same', () => {
    const found = fit(image(name), shape);
    expect(Math.abs(found.offset - python.offset)).toBeLessThan(1e-6 * python.range);
    expect(found.range / python.range).toBeCloseTo(1, 6);
    const noise = estimateNoise(image(name), shape) / found.range;
    expect(Math.abs(noise - (python.noise ?? 0))).toBeLessThan(1e-5);
    if (!python.skip_air) return;
    const active = activeVoxels(apply(found, image(name)), shape);
    const air = 1 - active.reduce((a, b) => a + b, 0) / active.length;
    expect(air).toBeCloseTo(python.air, 9);
  });
});

test.each(golden.ranges)('the range of an image that is $name', ({ data, shape, ...python }) => {
  const found = fit(Float32Array.from(data), shape);
  expect(Math.abs(found.offset - python.offset)).toBeLessThan(1e-6 * python.range);
  expect(found.range / python.range).toBeCloseTo(1, 6);
});

test.each(golden.spectra)('the resolution of a scan that is $name', ({ name, shape, axes }) => {
  const found = measureResolution(image(name), shape, [shape[1] * shape[2], shape[2], 1]);
  axes.forEach((python, axis) => {
    const { ending, ...numbers } = found[axis];
    expect(ending).toBe(python.ending);
    expect(numbers.share).toBeCloseTo(python.share, 9);
    expect(numbers.low).toBeCloseTo(python.low, 9);
    expect(numbers.high).toBeCloseTo(python.high, 9);
    expect(numbers.dropDb).toBeCloseTo(python.dropDb, 3);
    expect(numbers.floor / (python.floor || 1)).toBeCloseTo(python.floor ? 1 : 0, 4);
  });
});

test.each(golden.spectra)('the noise of a scan that is $name', ({ name, shape, noise }) => {
  const off = estimateNoise(image(name), shape) - noise;
  expect(Math.abs(off)).toBeLessThan(1e-4 * Math.max(noise, 1));
});

test.each([...golden.cases, ...golden.spectra])('how $name looks', ({ name, shape, look }) => {
  const found = lookOf(apply(fit(image(name), shape), image(name)), shape);
  if (!look || !found) return expect(found).toBe(look);
  expect(Math.abs(found.roughness - look.roughness)).toBeLessThanOrEqual(1e-5 * look.roughness);
  expect(found.peak).toBeCloseTo(look.peak, 3);
});

test('some of them are too small to tell, and more are not', () => {
  const looks = [...golden.cases, ...golden.spectra].map(({ look }) => look);
  expect(looks.filter((look) => look === null).length).toBeGreaterThan(0);
  expect(looks.filter(Boolean).length).toBeGreaterThan(looks.length / 2);
});

test.each(golden.unlike)('what is said of an image by its $look', ({ look, seen, said }) => {
  expect(unlikeTraining({ name: 'light' }, seen, look)).toEqual(said);
  expect(unlikeTraining({ name: 'light' }, null, look)).toEqual([]);
});

test.each(golden.noisy)('what is said of a noise of $noise', ({ noise, unit, most, said }) => {
  expect(tooNoisy({ name: 'light' }, most, noise, unit)).toBe(said);
  expect(tooNoisy({ name: 'light' }, null, noise, unit)).toBeNull();
});

test.each(golden.spectra)('a scan that is $name is cut and told as in Python', (python) => {
  const cut = bandGrid(python, python.axes);
  expect(cut.shape).toEqual(python.band.shape);
  expectSame(cut, python.band);
  const [i, j, k] = cut.shape;
  const middle = (Math.floor(i / 2) * j + Math.floor(j / 2)) * k + Math.floor(k / 2);
  const found = atBand(image(python.name), python.shape, cut.shape)[middle];
  expect(found / python.middle).toBeCloseTo(1, 5);
  for (const { scale, told } of python.acquisition) {
    expect(acquisitionOf(cut, python.axes, scale)).toEqual(told);
  }
});

test.each(golden.axes)('cubic interpolation of $n samples at $scale times', (python) => {
  const positions = positionsAlong(python.positions.length, python.scale);
  positions.forEach((at, n) => expect(at).toBeCloseTo(python.positions[n], 9));
  const { rows, entries, first, weights } = cubicMatrix(python.n, positions);
  expect(rows).toBe(python.matrix.length);
  python.matrix.forEach((row, m) =>
    row.forEach((value, sample) => {
      const entry = sample - first[m];
      const found = entry >= 0 && entry < entries ? weights[m * entries + entry] : 0;
      expect(Math.abs(found - value)).toBeLessThan(2e-9);
    }),
  );
});

test.each([
  { data: [], why: 'no voxels' },
  { data: [3, 3, 3], why: 'constant' },
  { data: [1, NaN, 2], why: 'NaN' },
])('a range of $data is refused: $why', ({ data, why }) => {
  expect(() => fit(Float32Array.from(data), [data.length, 1, 1])).toThrow(why);
});

describe('the stream', () => {
  const manifest = JSON.parse(file('./golden/models/light.json').toString()) as Manifest;
  const graph = graphOf(new Model(manifest, new Uint16Array(0)));

  test('of light has a radius of 18', () => expect(graph.radius).toBe(18));

  test.each([
    [1, 1],
    [30, 1],
    [30, 4],
    [30, 64],
  ])('of %i planes, %i at a time, computes each plane once, of planes that are kept', (n, most) => {
    const { steps, rings } = schedule(graph, n, most, (stop) => Math.max(0, stop - 2));
    const done = graph.channels.map(() => 0);
    const holds = (map: number, plane: number): boolean =>
      plane < done[map] && plane >= done[map] - rings[map];
    for (const { input, computed } of steps) {
      expect(input.start).toBe(done[0]);
      done[0] = input.stop;
      computed.forEach(({ start, stop }, number) => {
        expect(start).toBe(done[number + 1]);
        expect(stop - start).toBeLessThanOrEqual(most);
        const { inputs, reach, added } = graph.convolutions[number];
        for (let plane = start; plane < stop; plane++) {
          for (const { map } of inputs) {
            for (let p = Math.max(plane - reach, 0); p <= Math.min(plane + reach, n - 1); p++) {
              expect(holds(map, p)).toBe(true);
            }
          }
          for (const { map } of added) expect(holds(map, plane)).toBe(true);
        }
        done[number + 1] = stop;
      });
    }
    expect(done).toEqual(graph.channels.map(() => n));
  });

  test('keeps two planes of the input of a layer beside the one that comes', () => {
    const { rings } = streamed(graph, 100, 1, 2);
    expect(Math.max(...rings)).toBeLessThanOrEqual(4);
  });

  test('is cut into columns where whole planes would not fit', () => {
    const roomy = layoutOf(graph, [100, 64, 64], 2 ** 30, 2 ** 27);
    expect(roomy.cuts).toEqual([1, 1]);
    const tight = layoutOf(graph, [256, 512, 512], 2 ** 28, 2 ** 27);
    expect(tight.cuts[0] * tight.cuts[1]).toBeGreaterThan(1);
    expect(tight.bytes).toBeLessThanOrEqual(2 ** 28);
    expect(() => layoutOf(graph, [9, 9, 9], 1000, 2 ** 27)).toThrow('graphics memory');
  });
});
