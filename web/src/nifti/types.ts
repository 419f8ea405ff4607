/** Types of samples, by their codes in NIfTI headers. */

export interface SampleType {
  code: number;
  /** As NumPy calls it. */
  name: keyof typeof ARRAYS;
  bytes: number;
  whole: boolean;
  /** The least and the greatest value, of whole numbers. */
  limits: readonly [number, number];
}

export type Samples =
  | Uint8Array<ArrayBuffer>
  | Int8Array<ArrayBuffer>
  | Int16Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint32Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Float64Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | BigUint64Array<ArrayBuffer>;

const ARRAYS = {
  uint8: Uint8Array,
  int16: Int16Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
  int8: Int8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
};

/** So many samples of a type, in this machine's order of bytes, from the beginning of a buffer. */
export const samplesIn = (buffer: ArrayBuffer, { name }: SampleType, count: number): Samples =>
  new ARRAYS[name](buffer, 0, count);

const ANY = [-Infinity, Infinity] as const;
const unsigned = (bits: number): readonly [number, number] => [0, 2 ** bits - 1];
const signed = (bits: number): readonly [number, number] => [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1];

// 64-bit types end between two doubles: the greatest double that does not go beyond
const LONG = [-(2 ** 63), 2 ** 63 - 1024] as const;
const UNSIGNED_LONG = [0, 2 ** 64 - 2048] as const;

const TYPES: SampleType[] = [
  { code: 2, name: 'uint8', bytes: 1, whole: true, limits: unsigned(8) },
  { code: 4, name: 'int16', bytes: 2, whole: true, limits: signed(16) },
  { code: 8, name: 'int32', bytes: 4, whole: true, limits: signed(32) },
  { code: 16, name: 'float32', bytes: 4, whole: false, limits: ANY },
  { code: 64, name: 'float64', bytes: 8, whole: false, limits: ANY },
  { code: 256, name: 'int8', bytes: 1, whole: true, limits: signed(8) },
  { code: 512, name: 'uint16', bytes: 2, whole: true, limits: unsigned(16) },
  { code: 768, name: 'uint32', bytes: 4, whole: true, limits: unsigned(32) },
  { code: 1024, name: 'int64', bytes: 8, whole: true, limits: LONG },
  { code: 1280, name: 'uint64', bytes: 8, whole: true, limits: UNSIGNED_LONG },
];
export const FLOAT32 = TYPES[3];

/** What is no intensity, and why. */
const REFUSED = new Map([
  [32, 'the samples are complex; give the magnitude image instead'],
  [1792, 'the samples are complex; give the magnitude image instead'],
  [2048, 'the samples are complex; give the magnitude image instead'],
  [128, 'the samples are colours (RGB), not intensities; give one channel'],
  [2304, 'the samples are colours (RGB), not intensities; give one channel'],
  [1536, 'the samples are of 128 bits, which browsers do not have; `arssr view` reads them'],
]);

/** The type of a code; a sentence where samples are no intensities; null where there is none. */
export function typeOf(code: number): SampleType | string | null {
  return TYPES.find((each) => each.code === code) ?? REFUSED.get(code) ?? null;
}

/** Turns the order of the bytes of each sample round, in place. */
export function swapped(bytes: Uint8Array, size: number): void {
  for (let start = 0; start < bytes.length; start += size) {
    bytes.subarray(start, start + size).reverse();
  }
}
