/** What becomes of a run when the GPU fails, is missing or is too small, and when it is cancelled. */

import { readFileSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Content } from './backend';
import { Chromium } from './chromium';

const MINUTES = 60_000;
const SMALL: Content = contentOf('flips.nii.gz');
const [, SMALL_PLAIN] = contentOf('whole.nii');
const asked = { target: { shape: [7, 6, 5] } } as const;
// A page hears of a run five times a second, and one of a single member is over before that.
const lasting = { ...asked, ensemble: 8 } as const;

function contentOf(name: string): Content {
  return [name, [...readFileSync(new URL(`./golden/files/${name}`, import.meta.url))]];
}

let browser: Chromium;
let without: Chromium;

beforeAll(async () => {
  browser = await Chromium.open('test/backend.html', 'tools');
  without = await Chromium.open('test/backend.html', 'tools', false);
}, MINUTES);

afterAll(async () => {
  await browser?.close();
  await without?.close();
});

test('of several runs one is computed at a time, and others can be cancelled', async () => {
  const found = await browser.page.evaluate(
    async ([file, asked]) => {
      const { backend, sent, fileOf, ended, now } = window.tools;
      const scan = await sent(fileOf(file));
      const runs: { id: string }[] = [];
      for (let n = 0; n < 3; n++) runs.push(await backend.start(scan.id, asked));
      const states = now().runs.map(({ state }) => state);
      await backend.cancel(runs[1].id);
      const first = await ended(runs[0].id);
      const third = await ended(runs[2].id);
      const second = now().runs.find(({ id }) => id === runs[1].id)!;
      await backend.removeScan(scan.id);
      return { states, ended: [first, second, third].map(({ state }) => state), left: now() };
    },
    [SMALL, asked] as const,
  );
  expect(found.states).toEqual(['running', 'waiting', 'waiting']);
  expect(found.ended).toEqual(['done', 'cancelled', 'done']);
  expect(found.left.scans).toEqual([]);
  expect(found.left.runs).toEqual([]);
}, 2 * MINUTES);

test('a run that is cancelled ends at once, keeps nothing, and can be asked for again', async () => {
  const found = await browser.page.evaluate(
    async ([file, asked]) => {
      const { backend, sent, fileOf, ended, once, now } = window.tools;
      const scan = await sent(fileOf(file));
      const { id } = await backend.start(scan.id, asked, 100);
      const under = await once(() => now().runs.find((run) => run.id === id && run.what === 'computing'));
      const since = performance.now();
      await backend.cancel(id);
      const cancelled = await ended(id);
      const ms = performance.now() - since;
      const none = await backend.file(id, 'nifti').catch((error: Error) => error.message);
      const again = await ended((await backend.start(scan.id, asked)).id);
      await backend.removeScan(scan.id);
      return { under, cancelled, ms, none, again };
    },
    [SMALL, lasting] as const,
  );
  expect(found.under.left_in_words).toMatch(/^about .* left$/);
  expect(found.cancelled.state).toBe('cancelled');
  expect(found.cancelled.error).toBe('');
  expect(found.none).toBe('this result is not there yet');
  expect(found.again.state).toBe('done');
}, 2 * MINUTES);

test('a scan that is removed takes its runs with it, while they are computed', async () => {
  const left = await browser.page.evaluate(
    async ([file, asked]) => {
      const { backend, sent, fileOf, once, now } = window.tools;
      const scan = await sent(fileOf(file));
      await backend.start(scan.id, asked);
      await once(() => now().runs.find((run) => run.what === 'computing'));
      await backend.removeScan(scan.id);
      return now();
    },
    [SMALL, lasting] as const,
  );
  expect([left.scans, left.runs]).toEqual([[], []]);
}, MINUTES);

describe('a GPU that', () => {
  test('is lost is a sentence, and the next run gets another one', async () => {
    const found = await browser.page.evaluate(
      async ([file, asked]) => {
        const { tasks, fileOf } = window.tools;
        tasks.setUp('/test/golden/models/light');
        const { known } = await tasks.look('lost', fileOf(file));
        let device: GPUDevice | undefined;
        const original = GPUAdapter.prototype.requestDevice;
        GPUAdapter.prototype.requestDevice = async function (...values): Promise<GPUDevice> {
          return (device = await original.apply(this, values));
        };
        const make = (): Promise<string> =>
          tasks
            .makeResult(known, null, asked, (what) => {
              if (what === 'computing') device?.destroy();
              device = undefined;
            })
            .then(
              ({ file }) => `${file.size > 0}`,
              (error: Error) => error.message,
            );
        const said = [await make()];
        GPUAdapter.prototype.requestDevice = original;
        said.push(await make());
        return said;
      },
      [SMALL, asked] as const,
    );
    expect(found).toEqual([expect.stringMatching(/^the graphics card stopped/), 'true']);
  }, MINUTES);

  test('has too little memory is asked for less once, and then it is a sentence', async () => {
    const found = await browser.page.evaluate(
      async ([file, asked]) => {
        const { tasks, fileOf } = window.tools;
        const { known } = await tasks.look('small', fileOf(file));
        const original = GPUDevice.prototype.createBuffer;
        const fails = async (times: number): Promise<[string, number]> => {
          let count = 0;
          let told = new WeakSet<GPUDevice>();
          GPUDevice.prototype.createBuffer = function (descriptor): GPUBuffer {
            if (!told.has(this) && count < times && descriptor.usage & GPUBufferUsage.COPY_SRC) {
              told.add(this);
              count += 1;
              const error = new GPUOutOfMemoryError('no room');
              this.dispatchEvent(new GPUUncapturedErrorEvent('uncapturederror', { error }));
            }
            return original.call(this, descriptor);
          };
          const said = await tasks.makeResult(known, null, asked, () => undefined).then(
            ({ file }) => `${file.size > 0}`,
            (error: Error) => error.message,
          );
          GPUDevice.prototype.createBuffer = original;
          return [said, count];
        };
        return [await fails(1), await fails(9)];
      },
      [SMALL, asked] as const,
    );
    expect(found[0]).toEqual(['true', 1]);
    expect(found[1]).toEqual(['the graphics card has too little memory for this', 2]);
  }, 2 * MINUTES);

  test('is missing is a sentence; what needs none is made', async () => {
    const found = await without.page.evaluate(
      async ([file, asked]) => {
        const { backend, sent, fileOf, ended } = window.tools;
        const scan = await sent(fileOf(file));
        const said = await backend.estimate(scan.id, asked).catch((error: Error) => error.message);
        const failed = await ended((await backend.start(scan.id, asked)).id);
        const coarse = { target: { scale: 0.5 } };
        const estimate = await backend.estimate(scan.id, coarse);
        const done = await ended((await backend.start(scan.id, coarse)).id);
        return { said, failed, estimate, done };
      },
      [SMALL, asked] as const,
    );
    expect(found.said).toMatch(/WebGPU.*hardware acceleration/);
    expect(found.failed.state).toBe('failed');
    expect(found.failed.error).toBe(found.said);
    expect(found.estimate.in_words[0]).toMatch(/of memory$/);
    expect(found.done.state).toBe('done');
  }, MINUTES);
});

test.each([
  [{ target: { scale: 200 } }, /needs .* GB of memory and this browser tab may take .*coarser grid/],
  [{ target: { scale: 1e12 } }, /needs .* of memory/],
  [{ target: { scale: 0 } }, /a scale must be greater than 0/],
  [{ target: {} }, /1 mm along all axes already; name a target/],
  [{ target: { scale: 2, isotropic: true } }, /name one target alone, not scale and isotropic/],
  [{ target: { shape: [2, 3, 0] } }, /three whole numbers/],
  [{ target: { scale: 2 }, labels: true }, /`arssr view` does it/],
  [{ target: { scale: 2 }, uncertainty: true }, /how sure a result is.*`arssr view` does it/],
  [{ target: { scale: 2 }, consistent: true }, /`arssr view` does it/],
  [{ target: { scale: 2 }, acquisition: 'tomography' }, /unknown acquisition 'tomography'/],
  [{ target: { scale: 2 }, noise: -1 }, /noise must be at least 0/],
  [
    { target: { scale: 1.2 }, strict: true, noise: 1e6 },
    /a noise of 1e\+06 is far beyond what light was trained for/,
  ],
  [{ target: { scale: 2 }, ensemble: 3 }, /1, 4 or 8 members/],
  [{ target: { scale: 2 }, strict: true }, /voxels of 0.5 mm are outside what light was trained for/],
  [{ target: { like: 's99' } }, /there is no such scan/],
])('%o is refused before anything is computed', async (wrong, sentence) => {
  const said = await browser.page.evaluate(
    async ([file, wrong]) => {
      const { backend, sent, fileOf } = window.tools;
      const scan = await sent(fileOf(file));
      const said = await backend.estimate(scan.id, wrong as never).then(
        () => 'nothing',
        (error: Error) => error.message,
      );
      await backend.removeScan(scan.id);
      return said;
    },
    [SMALL, wrong] as const,
  );
  expect(said).toMatch(sentence);
});

test('a scan in which nothing varies is refused in a sentence', async () => {
  const content = [...SMALL_PLAIN];
  content.fill(0, 352);
  const said = await browser.page.evaluate(
    async ([content, asked]) => {
      const { backend, sent, fileOf } = window.tools;
      const scan = await sent(fileOf(['flat.nii', content]));
      return [scan.error, await backend.estimate(scan.id, asked).catch((error: Error) => error.message)];
    },
    [content, { target: { scale: 2 } }] as const,
  );
  expect(said).toEqual(['', 'flat.nii: constant, every voxel is 0']);
});

test('zeros behind a compressed file do no harm; several files in one are refused', async () => {
  const [plain, packed] = [Uint8Array.from(SMALL_PLAIN), gzipSync(Uint8Array.from(SMALL_PLAIN))];
  const padded = [...packed, ...new Uint8Array(512)];
  const two = [...gzipSync(plain.subarray(0, 700)), ...gzipSync(plain.subarray(700))];
  const said = await browser.page.evaluate(
    async (files) => {
      const { sent, fileOf } = window.tools;
      const scans: { error: string }[] = [];
      for (const each of files) scans.push(await sent(fileOf(['scan.nii.gz', each])));
      return scans.map(({ error }) => error);
    },
    [padded, two],
  );
  expect(said).toEqual(['', expect.stringMatching(/cut short or damaged/)]);
});

test('a grid that is oblique to the scan is refused in a sentence', async () => {
  const said = await browser.page.evaluate(
    async (files) => {
      const { backend, sent, fileOf } = window.tools;
      const [scan, other] = [await sent(fileOf(files[0])), await sent(fileOf(files[1]))];
      const target = { like: other.id };
      return backend.estimate(scan.id, { target }).catch((error: Error) => error.message);
    },
    [contentOf('whole.nii'), contentOf('oblique.nii')] as const,
  );
  expect(said).toMatch(/run across those of this one.*`arssr view` does/);
});

test('several files are refused as DICOM is, in the state of the scan', async () => {
  const scan = await browser.page.evaluate(async () => {
    const { sent } = window.tools;
    return sent(new File(['a'], 'IM1'), new File(['b'], 'IM2'));
  });
  expect(scan.state).toBe('failed');
  expect(scan.error).toMatch(/`arssr view` reads/);
});

test('the page complained about nothing but what was forced', () => {
  expect(browser.complaints.filter((each) => !/no room/.test(each))).toEqual([]);
});
