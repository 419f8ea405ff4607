/** Files that are damaged, or no scans: the sentences of Python. */

import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Refusal } from '../src/errors';
import { samplesSha256 } from '../src/identity';
import { whyNotHere } from '../src/kind';
import { readScan } from '../src/nifti/reading';

const folder = new URL('./golden/files/', import.meta.url);
const read = (name: string): Buffer => readFileSync(new URL(name, folder));
const fileOf = (name: string, content: Uint8Array = read(name)): File => {
  return new File([Uint8Array.from(content)], name);
};

interface Told {
  name: string;
  error?: string;
  warnings?: string[];
  kind?: string;
}

// what this page says of its own, and what browsers say in words of theirs
const OWN: Record<string, RegExp> = {
  'frames.nii': /this is a 4D image \(9×8×1×7\); this page takes one 3D image/,
  'short.nii.gz': /cannot be read|cut short or damaged/,
  'damaged.nii.gz': /cannot be read|the file is damaged/,
};

const broken = JSON.parse(read('broken.json').toString()) as Told[];

test.each(broken)('$name', async ({ name, error, warnings, kind }) => {
  if (error === undefined) {
    const scan = await readScan(fileOf(name));
    expect(scan.warnings).toEqual(warnings);
    expect(scan.kind.what).toBe(kind);
    expect(whyNotHere(scan.kind) === null).toBe(kind === 'intensities');
    return;
  }
  const said = await readScan(fileOf(name)).catch((problem: unknown) => problem);
  expect(said).toBeInstanceOf(Refusal);
  const { message } = said as Refusal;
  // the reason in brackets is that of a library
  const kept = /cannot be read|cut short/.test(error) ? error.replace(/ \((?!there|its).*/, '') : error;
  if (name in OWN) expect(message).toMatch(OWN[name]);
  else if (name === 'early.nii') expect(message).toContain('inside the header (vox_offset)');
  else expect(message.slice(0, kept.length)).toBe(kept);
});

test.each([
  ['a DICOM file by its name', 'IM0001.dcm', 'x', /DICOM wants `arssr view`/],
  ['a DICOM file by its content', 'IM0001', `${'\0'.repeat(128)}DICM`, /DICOM wants `arssr view`/],
  ['an archive', 'study.zip', 'PK', /DICOM wants `arssr view`/],
  ['another format', 'T1.mgz', 'x', /`arssr view` reads the rest/],
  ['a file of no known name', 'T1.txt', 'x', /must end in \.nii or \.nii\.gz/],
])('%s is refused in a sentence', async (_, name, content, sentence) => {
  await expect(readScan(new File([content], name))).rejects.toThrow(sentence);
});

test('whatever is written over a header, it is read or refused in a sentence', async () => {
  const content = read('whole.nii');
  let seed = 7;
  const random = (n: number): number => {
    seed = (seed * 48271) % 2147483647;
    return seed % n;
  };
  for (let turn = 0; turn < 400; turn++) {
    const changed = Uint8Array.from(content);
    for (let n = 0; n <= random(4); n++) changed[random(352)] = random(256);
    const said = await readScan(fileOf('changed.nii', changed)).catch((problem: unknown) => problem);
    if (said instanceof Error) expect(said).toBeInstanceOf(Refusal);
  }
});

test.each(JSON.parse(read('cases.json').toString()) as { file: string; samples: string }[])(
  'the samples of $file are known again',
  async ({ file, samples }) => {
    const scan = await readScan(fileOf(file));
    expect(await samplesSha256(scan.samples, scan.grid.shape)).toBe(samples);
  },
);

test('every type of samples is read', async () => {
  const halves = readdirSync(folder).filter((name) => /^half-[\w-]+\.nii(\.gz)?$/.test(name));
  expect(halves.length).toBe(8);
  for (const name of halves) {
    const { samples, grid } = await readScan(fileOf(name));
    expect(grid.shape).toEqual([9, 8, 7]);
    expect(samples.reduce((a, b) => Math.max(a, b))).toBeGreaterThan(50);
  }
});
