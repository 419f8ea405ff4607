/** Files that the browser's backend saves, beside those of `arssr upsample`. */

import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { readHeader, type NIFTI1, type NIFTI2 } from 'nifti-reader-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Asked } from '../src/page/backend';
import type { Content, Made } from './backend';
import { Chromium } from './chromium';

const MINUTES = 60_000;
const CLOSE = 1e-3; // of the range
const SAME = 1e-5; // of places, in millimetres: headers of NIfTI-1 have single precision

interface Case {
  name: string;
  file: string;
  result: string;
  asked: Asked;
  look: Record<string, unknown>;
  made: Record<string, unknown>;
}

const read = (path: string): Buffer =>
  readFileSync(new URL(`./golden/files/${path}`, import.meta.url));
const cases = JSON.parse(read('cases.json').toString()) as Case[];
let browser: Chromium;

beforeAll(async () => {
  browser = await Chromium.open('test/backend.html', 'tools');
}, MINUTES);

afterAll(() => browser?.close());

/** Numbers that are nearly, and all else that is exactly the same. */
function expectAlike(found: unknown, python: unknown, where: string): void {
  if (typeof python === 'number' && typeof found === 'number') {
    expect(Math.abs(found - python), where).toBeLessThanOrEqual(3e-4 * Math.abs(python) + 1e-4);
  } else if (python && found && typeof python === 'object' && typeof found === 'object') {
    expect(Object.keys(found).sort(), where).toEqual(Object.keys(python).sort());
    for (const [key, value] of Object.entries(python)) {
      expectAlike((found as Record<string, unknown>)[key], value, `${where}.${key}`);
    }
  } else expect(found, where).toEqual(python);
}

interface Image {
  header: NIFTI1 | NIFTI2;
  bytes: Uint8Array;
  values: number[];
}

const READERS: Record<number, [number, keyof DataView]> = {
  2: [1, 'getUint8'],
  4: [2, 'getInt16'],
  8: [4, 'getInt32'],
  16: [4, 'getFloat32'],
  256: [1, 'getInt8'],
  512: [2, 'getUint16'],
  768: [4, 'getUint32'],
  1024: [8, 'getBigInt64'],
  1280: [8, 'getBigUint64'],
};

/** A file with its stored samples. */
function image(file: Uint8Array): Image {
  const content = file[0] === 0x1f ? new Uint8Array(gunzipSync(file)) : file;
  const bytes = content.slice();
  const header = readHeader(bytes.buffer);
  const [size, get] = READERS[header.datatypeCode];
  const view = new DataView(bytes.buffer);
  const count = header.dims.slice(1, 4).reduce((a, b) => a * b, 1);
  const values = Array.from({ length: count }, (_, n) => {
    const at = header.vox_offset + n * size;
    return Number((view[get] as (at: number, little: boolean) => number | bigint).call(view, at, true));
  });
  expect(bytes.length).toBe(header.vox_offset + count * size);
  return { header, bytes, values };
}

// sizes and places of NIfTI-1, where the last digits may differ; of NIfTI-2
const PLACES = { 348: [[76, 108], [256, 328]], 540: [[104, 168], [352, 496]] } as const;

function expectSameHeader(found: Image, python: Image): void {
  const size = new DataView(python.bytes.buffer).getInt32(0, true) as 348 | 540;
  const exact = (bytes: Uint8Array): number[] => {
    const rest = bytes.slice(0, size + 4);
    for (const [start, stop] of PLACES[size]) rest.fill(0, start, stop);
    return [...rest];
  };
  expect(exact(found.bytes)).toEqual(exact(python.bytes));
  const [width, get] = size === 348 ? ([4, 'getFloat32'] as const) : ([8, 'getFloat64'] as const);
  for (const [start, stop] of PLACES[size]) {
    for (let at = start; at < stop; at += width) {
      const [a, b] = [found, python].map(({ bytes }) => new DataView(bytes.buffer)[get](at, true));
      expect(Math.abs(a - b), `byte ${at}`).toBeLessThan(SAME);
    }
  }
}

// What the page does not compute: how far a result lies from its scan, which methods tell too.
const NOT_COMPARED =
  'not computed: this page does not compare results with scans, `arssr view` does';
const COMPARED = /Measured again as the images were, .*?, root mean square\. /;

const timed = { without: ['created', 'versions', 'seconds', 'device', 'scan', 'result'] };

describe.each(cases)('$name', ({ name, file, result, asked, look, made: python }) => {
  let made: Made;

  test(
    'is computed',
    async () => {
      const { like } = asked.target;
      const content = (name: string): Content => [name, [...read(name)]];
      made = await browser.page.evaluate(
        ([file, asked, beside]) => window.tools.make(file, asked, beside),
        [content(file), asked, like === undefined ? null : content(`${like}.nii`)] as const,
      );
      console.log(name, made.sidecar.seconds, 's, estimated', made.estimate.seconds);
      expect(made.name).toBe(`${name}_SR.nii.gz`);
    },
    3 * MINUTES,
  );

  test('the file is that of Python', () => {
    const [found, expected] = [image(Uint8Array.from(made.result)), image(read(result))];
    expectSameHeader(found, expected);
    const whole = expected.header.datatypeCode !== 16;
    const range = Math.max(...expected.values) - Math.min(...expected.values);
    const most = whole ? 1 : CLOSE * range;
    let largest = 0;
    expected.values.forEach((value, n) => {
      largest = Math.max(largest, Math.abs(found.values[n] - value));
    });
    console.log(name, 'differs by at most', whole ? largest : largest / range);
    expect(largest).toBeLessThanOrEqual(most);
  });

  test('the sidecar is that of Python', () => {
    const plain = (facts: Record<string, unknown>): Record<string, unknown> =>
      Object.fromEntries(Object.entries(facts).filter(([key]) => !timed.without.includes(key)));
    const { options, input, ...others } = plain(made.sidecar);
    const { options: askedOfPython, input: ofPython, ...expected } = plain(python);
    if (expected.told) {
      expected.agreement = { in_words: NOT_COMPARED };
      expected.methods = (expected.methods as string).replace(COMPARED, '');
    }
    expectAlike(others, expected, name);
    const named = options as Record<string, unknown>;
    expectAlike({ ...named, like: null }, { ...(askedOfPython as object), like: null }, name);
    expectAlike(input, ofPython, name);
  });

  test('what is told of the scan is what Python tells', () => {
    expectAlike(made.scan, look, name);
  });

  test('the estimate foretells the result', () => {
    const { output, warnings, notes } = made.estimate;
    expectAlike(output, python.output, name);
    expect(warnings).toEqual(python.warnings ?? []);
    expect(notes).toEqual(python.notes ?? []);
  });

  test('cubic interpolation lies where the result does, and the scan where it did', () => {
    const [cubic, found] = [made.cubic, made.result].map((bytes) => image(Uint8Array.from(bytes)));
    expect(cubic.header.datatypeCode).toBe(16);
    expect(cubic.header.dims).toEqual(found.header.dims);
    expect(cubic.header.affine).toEqual(found.header.affine);
    expect(image(Uint8Array.from(made.shown)).header.datatypeCode).toBe(16);
  });
});

test('nothing was complained about, and nothing else was asked for', () => {
  expect(browser.complaints).toEqual([]);
  const others = browser.asked.filter((address) => !/127\.0\.0\.1|^(data|blob):/.test(address));
  expect(others).toEqual([]);
});
