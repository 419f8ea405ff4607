/** The page's own backend: from a NIfTI file to a NIfTI file, in workers of the tab. */

import { inOneLine, Refusal } from '../errors';
import { stemOf } from '../kind';
import { asFloat32 } from '../nifti/writing';
import type { Asked, Backend, Estimate, Facts, Kind, Run, Scan, State } from '../page/backend';
import type { Known, Like } from './known';
import { Progress } from './progress';
import { Remote } from './remote';
import type { Machine, Result } from './tasks';

const HEARD_EVERY_MS = 200;
const MODEL = 'light';
const DESCRIBES = /\.json$/i; // dcm2niix leaves one beside an image
const unread = (name: string): string =>
  `${name} is not read here; \`arssr view\` takes the thickness and the distance of slices from it`;
const ENDINGS: Partial<Record<Kind, string>> = {
  nifti: '.nii.gz',
  cubic: '_cubic.nii',
  sidecar: '.json',
};

interface ScanHere {
  shown: Scan;
  known: Known | null;
}

interface RunHere {
  shown: Run;
  progress: Progress;
  /** Whether the worker that computes was asked for it. */
  isSent: boolean;
  result: Result | null;
  cubic: Promise<Blob> | null;
}

/** models: where weights lie, relative to the page, without suffix. */
export function browserBackend(models = `models/${MODEL}`): Backend {
  return new BrowserBackend(new URL(models, document.baseURI).href);
}

class BrowserBackend implements Backend {
  readonly gives: readonly Kind[] = ['nifti', 'cubic', 'sidecar'];
  readonly reads = 'NIfTI. For DICOM and other formats there is arssr view.';
  readonly privacy = 'Nothing leaves this machine: your browser itself computes.';

  private readonly looking: Remote;
  private readonly computing: Remote;
  private readonly scans = new Map<string, ScanHere>();
  private readonly runs = new Map<string, RunHere>();
  private machine: Promise<Machine> | null = null;
  private hear: (state: State) => void = () => undefined;
  private heard = 0;
  private keys = 0;

  constructor(models: string) {
    this.looking = new Remote(models);
    this.computing = new Remote(models);
  }

  watch(hear: (state: State) => void): void {
    this.hear = hear;
    this.tell();
  }

  async send(files: readonly File[]): Promise<void> {
    const [file, ...others] = files.filter(({ name }) => !DESCRIBES.test(name));
    if (!file) throw new Refusal('there is no file');
    const id = `s${++this.keys}`;
    const empty = { error: '', series: null, facts: {} };
    const here: ScanHere = { shown: { id, name: file.name, state: 'reading', ...empty }, known: null };
    this.scans.set(id, here);
    this.tell();
    try {
      if (others.length) {
        throw new Refusal(
          `these are ${others.length + 1} files, as of a DICOM series, which \`arssr view\` reads; this ` +
            'page reads NIfTI, a file at a time',
        );
      }
      const { known, facts } = await this.looking.ask('look', [id, file]);
      here.known = known;
      const beside = files.filter((each) => each !== file).map(({ name }) => unread(name));
      this.become(here, 'ready', '', { ...facts, warnings: [...(facts.warnings ?? []), ...beside] });
      this.measured().catch(() => undefined); // the first estimate tells what is wrong
    } catch (error) {
      this.become(here, 'failed', inOneLine(error), {});
    }
  }

  async choose(): Promise<void> {
    throw new Refusal('this scan is a single image');
  }

  async image(scan: string): Promise<ArrayBuffer> {
    const { storage, grid, samples } = this.known(scan);
    return asFloat32(storage, grid, samples).arrayBuffer();
  }

  async estimate(scan: string, asked: Asked): Promise<Estimate> {
    const [known, like] = [this.known(scan), this.like(asked)];
    const machine = await this.measured().catch(inOneLine);
    return this.looking.ask('foresee', [known, like, asked, machine]);
  }

  async start(scan: string, asked: Asked, seconds?: number): Promise<Run> {
    const { name } = this.known(scan);
    const id = `r${++this.keys}`;
    const shown: Run = {
      ...{ id, scan, name: `${stemOf(name)}_SR`, state: 'waiting', asked, error: '', facts: {} },
    };
    const progress = new Progress(seconds ?? null);
    this.runs.set(id, { shown, progress, isSent: false, result: null, cubic: null });
    this.goOn();
    return this.described(this.runs.get(id)!);
  }

  async cancel(run: string): Promise<void> {
    const { shown, isSent } = this.run(run);
    const isRunning = shown.state === 'running';
    if (isRunning || shown.state === 'waiting') shown.state = 'cancelled';
    if (isRunning && isSent) this.computing.stop();
    this.tell();
  }

  async file(run: string, kind: Kind): Promise<{ blob: Blob; name: string }> {
    const here = this.run(run);
    const { result, shown } = here;
    const ending = ENDINGS[kind];
    if (!ending) throw new Refusal(`this page makes no ${kind}; \`arssr view\` does`);
    if (!result) throw new Refusal('this result is not there yet');
    return { blob: await this.made(here, result, kind), name: shown.name + ending };
  }

  async removeScan(scan: string): Promise<void> {
    if (!this.scans.has(scan)) throw new Refusal('there is no such scan');
    for (const { shown } of [...this.runs.values()]) {
      if (shown.scan === scan) await this.removeRun(shown.id);
    }
    this.scans.delete(scan);
    this.tell();
    for (const each of [this.looking, this.computing]) {
      each.ask('forget', [scan]).catch(() => undefined); // what was stopped holds nothing
    }
  }

  async removeRun(run: string): Promise<void> {
    await this.cancel(run);
    this.runs.delete(run);
    this.tell();
  }

  private made(here: RunHere, { file, facts, grid }: Result, kind: Kind): Promise<Blob> | Blob {
    if (kind === 'nifti') return file;
    if (kind === 'sidecar') {
      return new Blob([`${JSON.stringify(facts, null, 2)}\n`], { type: 'application/json' });
    }
    here.cubic ??= this.looking.ask('cubic', [this.known(here.shown.scan), grid]);
    here.cubic.catch(() => (here.cubic = null)); // may be tried again
    return here.cubic;
  }

  /** Computes what is next in the queue, if nothing is being computed. */
  private goOn(): void {
    const all = [...this.runs.values()];
    const next = all.find(({ shown }) => shown.state === 'waiting');
    if (next && !all.some(({ shown }) => shown.state === 'running')) void this.compute(next);
    this.tell();
  }

  private async compute(here: RunHere): Promise<void> {
    const { shown, progress } = here;
    shown.state = 'running';
    progress.begin();
    try {
      await this.measured().catch(() => undefined); // the run itself tells what is wrong
      if (this.isOver(shown)) return;
      here.isSent = true;
      const { scan, asked } = shown;
      const hear = (what: string, share: number): void => {
        progress.hear(what, share);
        if (performance.now() - this.heard > HEARD_EVERY_MS) this.tell();
      };
      const values = [this.known(scan), this.like(asked), asked] as const;
      here.result = await this.computing.ask('makeResult', [...values], hear);
      shown.facts = here.result.facts;
      const { speed } = here.result;
      if (speed) this.machine = this.measured().then((known) => ({ ...known, speed }));
      shown.state = 'done';
    } catch (error) {
      if (!this.isOver(shown)) [shown.state, shown.error] = ['failed', inOneLine(error)];
    } finally {
      this.goOn();
    }
  }

  /** Whether a run was cancelled meanwhile. */
  private readonly isOver = ({ state }: Run): boolean => state !== 'running';

  /** How fast the GPU is. Throws, in a sentence, where there is none; then it is tried again. */
  private measured(): Promise<Machine> {
    this.machine ??= this.computing.ask('measure', []).catch((error: unknown) => {
      this.machine = null;
      throw error;
    });
    return this.machine;
  }

  private known(scan: string): Known {
    const known = this.scans.get(scan)?.known;
    if (!known) throw new Refusal('there is no such scan');
    return known;
  }

  private like({ target }: Asked): Like | null {
    if (target.like === undefined) return null;
    const { name, grid, warnings } = this.known(target.like);
    return { name, grid, warnings };
  }

  private run(run: string): RunHere {
    const found = this.runs.get(run);
    if (!found) throw new Refusal('there is no such result');
    return found;
  }

  private become(here: ScanHere, state: Scan['state'], error: string, facts: Facts): void {
    Object.assign(here.shown, { state, error, facts });
    this.tell();
  }

  private described({ shown, progress }: RunHere): Run {
    return shown.state === 'running' ? { ...shown, ...progress.describe() } : { ...shown };
  }

  private tell(): void {
    this.heard = performance.now();
    this.hear({
      model: MODEL,
      scans: [...this.scans.values()].map(({ shown }) => ({ ...shown })),
      runs: [...this.runs.values()].map((each) => this.described(each)),
    });
  }
}
