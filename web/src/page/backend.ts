/**
 * What the page asks of whatever computes: Python behind `arssr view`, or the GPU of the browser.
 *
 * Both speak in the words of docs/view.md. What goes wrong is an `Error` whose message is a sentence
 * for the person at the page.
 */

export type Three = readonly [number, number, number];

/** What is asked for: nothing (thick slices alone), or one of these. */
export interface Target {
  scale?: number | Three;
  spacing?: number | Three;
  shape?: Three;
  isotropic?: true;
  /** The id of another scan, whose grid is taken. */
  like?: string;
}

/** Options are those of the command line; what is not given is as there. */
export interface Asked {
  target: Target;
  acquisition?: string | readonly [string, string, string];
  noise?: number | 'auto' | 'unknown';
  ensemble?: 1 | 4 | 8;
  consistent?: boolean;
  strict?: boolean;
  as_stored?: boolean;
  labels?: boolean;
  clamp?: boolean;
  uncertainty?: boolean;
  skip_air?: boolean;
}

export interface Facts {
  /** Sentences about the scan. */
  in_words?: string[];
  shape?: Three;
  spacing_mm?: Three;
  /** Such as RAS. */
  orientation?: string;
  range?: readonly [number, number];
  frames?: number;
  /** Of DICOM with several images: what there is to choose from. */
  images?: { series: string; in_words: string }[];
  warnings?: string[];
  [name: string]: unknown;
}

export interface Scan {
  id: string;
  name: string;
  state: 'arriving' | 'reading' | 'to choose' | 'ready' | 'failed';
  error: string;
  series: string | null;
  facts: Facts;
}

export interface Run {
  id: string;
  /** The id of its scan. */
  scan: string;
  /** What it is saved by, without suffix. */
  name: string;
  state: 'waiting' | 'running' | 'done' | 'failed' | 'cancelled';
  asked: Asked;
  error: string;
  /** What its sidecar says. */
  facts: { warnings?: string[]; notes?: string[]; [name: string]: unknown };
  /** While it is running: the step, the share of it that is done, and how long it will still take. */
  what?: string;
  share?: number;
  seconds_left?: number | null;
  left_in_words?: string;
}

export interface State {
  /** The name of the weights. */
  model: string;
  scans: Scan[];
  runs: Run[];
}

/** What a result would take. */
export interface Estimate {
  output: { shape: Three; spacing_mm: Three; [name: string]: unknown };
  memory_bytes?: { peak: number; [name: string]: unknown };
  disk_bytes?: number;
  seconds?: number;
  /** Memory, disk and time, in words. */
  in_words: string[];
  notes: string[];
  warnings: string[];
  /** What the weights were trained for, in words. */
  trained_for: string;
  [name: string]: unknown;
}

/**
 * What there is to take home. `cubic` is cubic interpolation on the grid of the result, and
 * `uncertainty` has the half-widths of its intervals, where they were asked for.
 */
export type Kind = 'nifti' | 'cubic' | 'uncertainty' | 'dicom' | 'report' | 'sidecar';

export interface Backend {
  /** Which of these it can give. */
  readonly gives: readonly Kind[];
  /** What it can be sent, in words, such as "NIfTI" (shown where a scan is dropped). */
  readonly reads: string;
  /** Where scans go, in a sentence that is always on the page, such as "Nothing leaves this machine." */
  readonly privacy: string;
  /** `hear` hears all scans and runs at once and whenever they change, until `end`. */
  watch(hear: (state: State) => void, fail: (sentence: string) => void): void;
  /** One scan: a file, or all files of a DICOM folder. */
  send(files: readonly File[]): Promise<void>;
  choose(scan: string, series: string): Promise<void>;
  /** The scan: NIfTI, float32, not compressed. */
  image(scan: string): Promise<ArrayBuffer>;
  estimate(scan: string, asked: Asked): Promise<Estimate>;
  /** Computed when its turn comes; seconds: of the estimate. */
  start(scan: string, asked: Asked, seconds?: number): Promise<Run>;
  cancel(run: string): Promise<void>;
  /** A file of a result, and the name to save it by. */
  file(run: string, kind: Kind): Promise<{ blob: Blob; name: string }>;
  removeScan(scan: string): Promise<void>;
  removeRun(run: string): Promise<void>;
}
