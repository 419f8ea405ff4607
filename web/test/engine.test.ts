/** The engine in a real browser, with WebGPU in software, beside Python. */

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Chromium } from './chromium';
import type { Golden } from './golden';
import type { Options, Outcome } from './page';

const MINUTES = 60_000;
const TOLERANCE = 1e-5; // of the range: both compute in float32

const golden = JSON.parse(
  readFileSync(new URL('./golden/golden.json', import.meta.url), 'utf8'),
) as Golden;
let browser: Chromium;

beforeAll(async () => {
  browser = await Chromium.open('test/page.html', 'compare');
}, MINUTES);

afterAll(() => browser?.close());

async function compared(name: string, options: Options = {}): Promise<Outcome> {
  const found = golden.cases.find((each) => each.name === name)!;
  const outcome = await browser.page.evaluate(
    ([each, how]) => window.compare(each, how),
    [found, options] as const,
  );
  console.log(name, outcome);
  return outcome;
}

test.each(golden.cases.map(({ name }) => name))(
  '%s is what Python makes of it',
  async (name) => {
    expect((await compared(name)).largest).toBeLessThan(TOLERANCE);
  },
  10 * MINUTES,
);

test.each<Options>([
  { layout: { cuts: [1, 1], planes: 1 }, axes: [2, 1, 0] },
  { layout: { cuts: [2, 1], planes: 4 }, axes: [1, 2, 0] },
])(
  'a volume that is streamed and cut is what Python makes of it: %o',
  async (options) => {
    expect((await compared('wide', options)).largest).toBeLessThan(TOLERANCE);
  },
  10 * MINUTES,
);

// Far away voxels matter so little that a halo of 10 would pass the test above.
test(
  'a volume that is cut has the values of the whole, to the bit',
  async () => {
    const [whole, cut] = [
      await compared('wide'),
      await compared('wide', { layout: { cuts: [1, 2], planes: 3 } }),
    ];
    expect([cut.largest, cut.rms]).toEqual([whole.largest, whole.rms]);
  },
  10 * MINUTES,
);

test.each<[string, Options, RegExp]>([
  ['too little memory', { budget: 2 ** 16 }, /takes [\d.]+ MB/],
  ['a lost device', { spoil: 'lose' }, /graphics card stopped/],
  ['a coarser target', { coarser: true }, /coarser/],
])(
  '%s is a sentence',
  async (_, options, sentence) => {
    await expect(compared('everywhere', options)).rejects.toThrow(sentence);
  },
  2 * MINUTES,
);

test('nothing was complained about', () => {
  expect(browser.complaints).toEqual([]);
});
