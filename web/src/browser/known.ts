/** What is kept of a scan while it is on the page; plain values, which workers are sent. */

import type { Grid } from '../grid';
import type { Storage } from '../nifti/header';
import type { AxisResolution } from '../resolution';

export interface Known {
  id: string;
  name: string;
  /** Of the file. */
  sha256: string | null;
  grid: Grid;
  storage: Storage;
  /** Sentences about the file. */
  warnings: string[];
  /** Along i, j and k. */
  resolution: AxisResolution[];
  /** The least and the greatest value. */
  range: readonly [number, number];
  /** Float32 [k][j][i], in units of the image. */
  samples: Blob;
}

/** A scan whose grid is taken. */
export type Like = Pick<Known, 'name' | 'grid' | 'warnings'>;

/** Samples of a scan. */
export async function samplesOf({ samples }: Known): Promise<Float32Array<ArrayBuffer>> {
  return new Float32Array(await samples.arrayBuffer());
}
