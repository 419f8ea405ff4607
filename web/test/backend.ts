/** The browser's backend, as tests call it: files go in and out as addresses and plain values. */

import { browserBackend } from '../src/browser/backend';
import * as tasks from '../src/browser/tasks';
import type { Asked, Backend, Estimate, Facts, Run, Scan, State } from '../src/page/backend';

export interface Made {
  scan: Facts;
  estimate: Estimate;
  run: Run;
  /** The file, as it is saved. */
  result: number[];
  name: string;
  sidecar: Record<string, unknown>;
  /** A NIfTI file, and the scan itself as one. */
  cubic: number[];
  shown: number[];
}

const backend: Backend = browserBackend('/test/golden/models/light');
let state: State = { model: '', scans: [], runs: [] };
const hearing = new Set<() => void>();

backend.watch(
  (now) => {
    state = now;
    for (const each of hearing) each();
  },
  () => undefined,
);

/** Once something is so. */
function once<T>(found: () => T | undefined): Promise<T> {
  return new Promise((resolve) => {
    const check = (): void => {
      const value = found();
      if (value === undefined) return;
      hearing.delete(check);
      resolve(value);
    };
    hearing.add(check);
    check();
  });
}

const bytesOf = async (blob: Blob): Promise<number[]> => [...new Uint8Array(await blob.arrayBuffer())];

/** A file by its name and its bytes. */
export type Content = readonly [string, readonly number[]];

const fileOf = ([name, bytes]: Content): File => new File([Uint8Array.from(bytes)], name);

/** A scan, once it was looked at. */
async function sent(...files: File[]): Promise<Scan> {
  const before = new Set(state.scans.map(({ id }) => id));
  void backend.send(files);
  return once(() => {
    return state.scans.find(({ id, state }) => !before.has(id) && ['ready', 'failed'].includes(state));
  });
}

const ended = (id: string): Promise<Run> =>
  once(() => state.runs.find((run) => run.id === id && !['waiting', 'running'].includes(run.state)));

/** other: the scan whose grid is taken, if there is one. */
async function make(file: Content, asked: Asked, beside: Content | null): Promise<Made> {
  const scan = await sent(fileOf(file));
  if (scan.error) throw new Error(scan.error);
  const other = beside && (await sent(fileOf(beside)));
  const target = other ? { like: other.id } : asked.target;
  const estimate = await backend.estimate(scan.id, { ...asked, target });
  const { id } = await backend.start(scan.id, { ...asked, target }, estimate.seconds);
  const run = await ended(id);
  if (run.error) throw new Error(run.error);
  const { blob, name } = await backend.file(id, 'nifti');
  const sidecar = await backend.file(id, 'sidecar');
  const cubic = await backend.file(id, 'cubic');
  const shown = new Blob([await backend.image(scan.id)]);
  const made = {
    ...{ scan: scan.facts, estimate, run, name, result: await bytesOf(blob) },
    sidecar: JSON.parse(await sidecar.blob.text()) as Record<string, unknown>,
    ...{ cubic: await bytesOf(cubic.blob), shown: await bytesOf(shown) },
  };
  await backend.removeScan(scan.id);
  if (other) await backend.removeScan(other.id);
  return made;
}

const tools = { backend, tasks, fileOf, sent, ended, make, once, now: () => state };

declare global {
  interface Window {
    tools: typeof tools;
  }
}
window.tools = tools;
