/** Python's answers, as `tools/export_web.py` writes them. */

import type { Look } from '../src/domain';
import type { Grid } from '../src/grid';
import type { AxisResolution } from '../src/resolution';

type Three = [number, number, number];

export interface GoldenCase {
  name: string;
  model: string;
  shape: Three;
  affine: number[][];
  scale: Three;
  skip_air: boolean;
  target_shape: Three;
  target_affine: number[][];
  told: string[];
  /** Of the scan, and what the network was told. */
  noise: number | null;
  told_noise: number | null;
  offset: number;
  range: number;
  air: number;
  look: Look | null;
}

export interface Golden {
  cases: GoldenCase[];
  ranges: { name: string; shape: Three; data: number[]; offset: number; range: number }[];
  spectra: GoldenScan[];
  /** What is said of images by how they look. */
  unlike: { look: Look; seen: [Look, Look]; said: string[] }[];
  noisy: { noise: number; unit: number; most: number; said: string | null }[];
  axes: { n: number; scale: number; positions: number[]; matrix: number[][] }[];
}

export interface GoldenScan extends Grid {
  name: string;
  shape: Three;
  axes: AxisResolution[];
  noise: number;
  look: Look | null;
  /** The grid that it is cut to, and the voxel in its middle. */
  band: Grid;
  middle: number;
  acquisition: { scale: Three; told: string[] }[];
}
