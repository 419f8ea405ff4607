/** A scan from a NIfTI file, block by block: float32 samples in the order of the file. */

import { Damage, inOneLine, Refusal } from '../errors';
import { voxelsOf, type Grid } from '../grid';
import { kindOf, type Kind } from '../kind';
import { fits } from '../room';
import { bytesInWords } from '../words';
import { HEADER_BYTES, read, type Header, type Storage } from './header';
import { implausible } from './place';
import { samplesIn, swapped } from './types';

/** A 3D image of intensities, as its file has it. */
export interface Scan {
  name: string;
  grid: Grid;
  storage: Storage;
  kind: Kind;
  warnings: string[];
  /** [k][j][i], in the units of the image. */
  samples: Float32Array<ArrayBuffer>;
}

const BLOCK = 2 ** 22; // bytes, a whole number of samples of any type
const TRAILER = 2 ** 20; // to read behind the last sample: the check sum of what is packed
// How browsers say that something, such as zeros, stands behind the end of what is packed.
const PADDING = /after (the )?end|extra bytes/i;
const OTHERS = /\.(mgz|mgh|nrrd|nhdr|mha|mhd|zraw|nii\.zst|hdr|img)$/i;
const DICOM =
  'DICOM wants `arssr view`, which runs on your own machine: ' +
  "pip install 'arssr[view]', then `arssr view FOLDER`";

/** Throws, in a sentence that names the file, for what is no finite real 3D image with a place. */
export async function readScan(file: File): Promise<Scan> {
  const { name } = file;
  if (await isDicom(file)) throw new Refusal(`${name}: ${DICOM}`);
  if (OTHERS.test(name)) {
    throw new Refusal(`${name}: this page reads NIfTI (.nii, .nii.gz); \`arssr view\` reads the rest`);
  }
  if (!/\.nii(\.gz)?$/i.test(name)) {
    throw new Refusal(`${name}: the name of an image must end in .nii or .nii.gz`);
  }
  const bytes = new Bytes(file, /\.gz$/i.test(name));
  try {
    const header = await headerOf(bytes, name);
    const samples = await samplesOf(bytes, header, name);
    const { grid, storage, intent, warnings } = header;
    const left = await behind(bytes, name);
    const plane = grid.shape[0] * grid.shape[1] * storage.type.bytes;
    const many = `at least ${bytesInWords(left)} lie behind the samples that the header tells of`;
    return {
      ...{ name, grid, storage, samples, kind: kindOf(name, intent) },
      warnings: [
        ...warnings,
        ...implausible(grid),
        ...(left >= plane ? [`${many}; its size or type may be wrong`] : []),
      ],
    };
  } finally {
    bytes.close();
  }
}

/** Whether a file is DICOM or an archive of it, whatever it is called. */
export async function isDicom(file: File): Promise<boolean> {
  if (/\.(zip|dcm|ima)$/i.test(file.name)) return true;
  const mark = await file.slice(128, 132).text();
  return mark === 'DICM';
}

async function headerOf(bytes: Bytes, name: string): Promise<Header> {
  try {
    return read(await bytes.upTo(HEADER_BYTES));
  } catch (error) {
    if (error instanceof Refusal) throw new Refusal(`${name}: ${error.message}`);
    const reason = error instanceof Damage ? error.message : inOneLine(error);
    throw new Refusal(`${name}: cannot be read as a NIfTI image (${reason})`);
  }
}

async function samplesOf(
  bytes: Bytes,
  { grid, storage, offset, littleEndian }: Header,
  name: string,
): Promise<Float32Array<ArrayBuffer>> {
  const count = voxelsOf(grid);
  const { type, slope, inter } = storage;
  if (!fits(count)) {
    throw new Refusal(`${name}: its samples take ${bytesInWords(4 * count)} and do not fit in memory`);
  }
  const samples = new Float32Array(count);
  const asIs = slope === 1 && inter === 0;
  const block = new Uint8Array(BLOCK);
  try {
    await bytes.skip(offset);
    for (let done = 0; done < count; ) {
      const many = Math.min(BLOCK / type.bytes, count - done);
      const part = block.subarray(0, many * type.bytes);
      await bytes.fill(part);
      if (!littleEndian) swapped(part, type.bytes);
      const stored = samplesIn(block.buffer, type, many);
      for (let n = 0; n < many; n++) {
        const value = Number(stored[n]);
        samples[done + n] = asIs ? value : value * slope + inter;
      }
      done += many;
    }
  } catch (error) {
    const size = bytesInWords(4 * count);
    throw new Refusal(
      `${name}: the ${size} of samples cannot be read: the file is cut short or damaged, or they ` +
        `do not fit in memory (${inOneLine(error)})`,
    );
  }
  if (!samples.every(Number.isFinite)) {
    throw new Refusal(
      `${name}: there are NaN or infinite values; replace them first, for example with ` +
        'numpy.nan_to_num',
    );
  }
  return samples;
}

/** How many bytes follow, as far as they are read: what is packed must end with its check sum. */
async function behind(bytes: Bytes, name: string): Promise<number> {
  try {
    return (await bytes.upTo(TRAILER)).length;
  } catch (error) {
    if (PADDING.test(inOneLine(error))) return 0;
    throw new Refusal(`${name}: the file is damaged behind its samples (${inOneLine(error)})`);
  }
}

/** The content of a file, unpacked on the way, and never more of it than is asked for. */
class Bytes {
  private readonly reader: ReadableStreamDefaultReader<Uint8Array>;
  private held: Uint8Array = new Uint8Array(0); // read, not yet taken
  private taken = 0;

  constructor(file: File, packed: boolean) {
    const stream = file.stream() as ReadableStream<Uint8Array<ArrayBuffer>>;
    this.reader = (packed ? stream.pipeThrough(new DecompressionStream('gzip')) : stream).getReader();
  }

  /** So many of the next bytes, or as many as there are; they stay to be taken. */
  async upTo(count: number): Promise<Uint8Array> {
    while (this.held.length < count) {
      const { done, value } = await this.reader.read();
      if (done) break;
      const joined = new Uint8Array(this.held.length + value.length);
      joined.set(this.held);
      joined.set(value, this.held.length);
      this.held = joined;
    }
    return this.held.subarray(0, count);
  }

  /** Takes the next bytes; throws where there are not so many. */
  async fill(part: Uint8Array): Promise<void> {
    for (let done = 0; done < part.length; ) {
      const some = await this.some();
      const now = some.subarray(0, part.length - done);
      part.set(now, done);
      this.held = some.subarray(now.length);
      this.taken += now.length;
      done += now.length;
    }
  }

  /** Passes over all before this place. */
  async skip(place: number): Promise<void> {
    while (this.taken < place) {
      const some = await this.some();
      const count = Math.min(some.length, place - this.taken);
      this.held = some.subarray(count);
      this.taken += count;
    }
  }

  close(): void {
    this.reader.cancel().catch(() => undefined);
  }

  private async some(): Promise<Uint8Array> {
    if (this.held.length) return this.held;
    const { done, value } = await this.reader.read();
    if (done) throw new Refusal('it ends too early');
    return value;
  }
}
