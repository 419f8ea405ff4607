/** Weights as `tools/export_web.py` writes them. */

import type { Look } from '../domain';
import { Refusal } from '../errors';
import { sha256 } from '../identity';
import type { Card } from '../limits';

export interface LayerWords {
  conv: string;
  relu: boolean;
}

/** What an encoder is made of: the words of `arssr/networks/parts.py`. */
export type PartWords =
  | { part: 'layers'; layers: LayerWords[]; shortcut: boolean }
  | { part: 'dense'; layers: LayerWords[] }
  | { part: 'chain'; parts: PartWords[] }
  | { part: 'residual'; branch: PartWords; width: number }
  | { part: 'fusion'; parts: PartWords[]; conv: string };

export interface Manifest {
  /** The version of the package that wrote it. */
  arssr: string;
  name: string;
  sha256: string;
  config: { encoder: string; feature_dim: number; decoder_depth: number; acquisitions: string[] };
  /** Noise that the network may be told at most, normalised; null where nobody knows. */
  most_noise: number | null;
  /** Normalised intensities that the network sees. */
  seen: [number, number];
  encoder: PartWords;
  /** Names of the decoder's hidden layers, in order. */
  hidden: string[];
  tensors: Record<string, { shape: number[]; offset: number }>;
  card: Card;
  /** Of each image that was trained on: SHA-256 of its file, and of its samples. */
  trained_on: [string | null, string | null][];
  /** The least and the greatest of how those images look; null where that is not known. */
  looks: [Look, Look] | null;
  /** SHA-256 of the file of values, which must be the one that belongs to this manifest. */
  values_sha256: string;
}

const NOISE_UNIT = 0.05; // the noise level at which its channel reads 1 (networks/model.py)
export const UNKNOWN = 'unknown';

/** What a scan is said to be: per axis i, j, k an acquisition; noise in normalised intensity. */
export interface Told {
  acquisition: readonly string[];
  noise: number | null;
}

export class Model {
  private readonly values: Float32Array;

  constructor(
    readonly manifest: Manifest,
    halfs: Uint16Array,
  ) {
    this.values = Float32Array.from(halfs, fromHalf);
  }

  /** The weights at `ADDRESS.json` and `ADDRESS.bin`. Throws where they are not whole. */
  static async load(address: string): Promise<Model> {
    const [words, values] = await Promise.all([fetch(`${address}.json`), fetch(`${address}.bin`)]);
    if (!words.ok || !values.ok) throw new Refusal(`the weights at ${address} cannot be read`);
    const manifest = (await words.json()) as Manifest;
    const bytes = await values.arrayBuffer();
    const digest = await sha256(bytes);
    if (digest && digest !== manifest.values_sha256) {
      throw new Refusal('the weights are not whole, or of another version; load the page again');
    }
    return new Model(manifest, new Uint16Array(bytes));
  }

  get width(): number {
    return this.manifest.config.feature_dim;
  }

  shape(name: string): number[] {
    return this.manifest.tensors[name].shape;
  }

  /** A parameter, float32, last index fastest. */
  tensor(name: string): Float32Array {
    const { shape, offset } = this.manifest.tensors[name];
    return this.values.subarray(offset, offset + shape.reduce((a, b) => a * b, 1));
  }

  /** The constant channels that the encoder reads beside the image (`condition_vector`). */
  condition({ acquisition, noise }: Told): Float32Array {
    const known = this.manifest.config.acquisitions;
    for (const name of acquisition) {
      if (name !== UNKNOWN && !known.includes(name)) {
        throw new Refusal(`these weights can be told ${known.join(', ')} and unknown, not '${name}'`);
      }
    }
    const told = acquisition.flatMap((name) => known.map((each) => Number(name === each)));
    return Float32Array.from([...told, ...(noise === null ? [0, 0] : [noise / NOISE_UNIT, 1])]);
  }

  /** What the condition multiplies features by, and what it adds to them. */
  modulation(condition: Float32Array): { gain: Float32Array; shift: Float32Array } {
    const weight = this.tensor('modulation.weight');
    const made = this.tensor('modulation.bias').map((bias, row) =>
      condition.reduce((sum, c, n) => sum + c * weight[row * condition.length + n], bias),
    );
    const gain = made.slice(0, this.width).map((value) => 1 + value);
    return { gain, shift: made.slice(this.width) };
  }
}

function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
