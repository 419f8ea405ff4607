/** Beside the picture: a scan in words, what is asked for, how far it is, what came of it. */

import type { Backend, Estimate, Kind, Run, Scan, State } from './backend';
import { button, h, key } from './dom';
import type { TargetForm } from './target';
import { gridInWords, sentence } from './words';

const SAVED: readonly { kind: Kind; words: string; hint: string }[] = [
  { kind: 'nifti', words: 'NIfTI', hint: 'Save the result, .nii.gz (S)' },
  { kind: 'uncertainty', words: '±', hint: 'Save how sure it is: half-widths, .nii.gz' },
  { kind: 'dicom', words: 'DICOM', hint: 'Save a derived series, .zip' },
  { kind: 'report', words: 'Report', hint: 'Save a page about it, .html' },
  { kind: 'sidecar', words: 'Facts', hint: 'Save how it was made, .json' },
];
const NO_DICOM = /\.(nii|nii\.gz|nii\.zst|mgh|mgz|nrrd|mha)$/i; // a series is derived from a series

/** What the panel wants done. */
export interface Wishes {
  run(): unknown;
  cancel(run: Run): unknown;
  compare(run: Run): unknown;
  save(run: Run, kind: Kind): unknown;
  removeRun(run: Run): unknown;
  removeScan(scan: Scan): unknown;
  choose(scan: Scan, series: string): unknown;
}

const WAITS = { arriving: 'It is being sent …', reading: 'It is being looked at …' };

export class Panel {
  readonly element = h('aside', { className: 'panel', aria: { label: 'Scan' } });
  private readonly about = h('section');
  private readonly results = h('section', { className: 'results' });
  private readonly form = h('section', { className: 'ask' });
  private readonly going = h('div', { className: 'going' });
  private readonly scroll = h('div', { className: 'scroll' });
  private readonly runs = button(
    'Run',
    () => this.wishes.run(),
    { className: 'run' },
    ' ',
    key('R'),
  );
  private drawn = ['', '', ''];

  constructor(
    private readonly backend: Backend,
    private readonly wishes: Wishes,
  ) {
    this.scroll.append(this.about, this.results, this.form);
    this.element.append(this.scroll, h('footer', {}, this.runs, this.going));
  }

  /** `shown`: the run that is compared with its scan. */
  refresh(state: State, scan: Scan | undefined, form: TargetForm | undefined, shown: string): void {
    this.element.hidden = !scan;
    if (!scan) return;
    const runs = state.runs.filter((run) => run.scan === scan.id);
    const isOpen = !runs.some((run) => run.state === 'done');
    this.section(0, this.about, [scan, isOpen], () => this.scanInWords(scan, isOpen));
    const ended = runs.filter((run) => run.state !== 'running' && run.state !== 'waiting');
    this.section(1, this.results, [ended, shown], () =>
      ended.map((run) => this.result(scan, run, shown)),
    );
    const parts = form ? [form.element, form.takes] : [];
    if (this.form.firstChild !== (parts[0] ?? null)) this.form.replaceChildren(...parts);
    const under = runs.find((run) => run.state === 'running' || run.state === 'waiting');
    this.runs.hidden = !form || Boolean(under);
    this.runs.disabled = !form?.estimate;
    this.progress(under);
  }

  private section(n: number, element: HTMLElement, of: unknown, make: () => HTMLElement[]): void {
    const now = JSON.stringify(of);
    if (now === this.drawn[n]) return;
    this.drawn[n] = now;
    element.replaceChildren(...make());
  }

  private scanInWords(scan: Scan, isOpen: boolean): HTMLElement[] {
    const { facts, state, error, name } = scan;
    const head = h(
      'header',
      {},
      h('h2', {}, name),
      button('×', () => this.wishes.removeScan(scan), {
        className: 'quiet',
        title: 'Remove this scan',
        aria: { label: `Remove ${name}` },
      }),
    );
    const parts: HTMLElement[] = [head];
    if (state === 'failed') parts.push(h('p', { className: 'notice warning' }, sentence(error)));
    if (state === 'arriving' || state === 'reading') {
      parts.push(h('p', { className: 'soft busy' }, WAITS[state]));
    }
    if (state === 'to choose') {
      const images = (facts.images ?? []).map((image) =>
        button(image.in_words, () => this.wishes.choose(scan, image.series)),
      );
      parts.push(h('p', {}, 'Which of its images?'), h('div', { className: 'choices' }, ...images));
    }
    const [first, ...others] = facts.in_words ?? [];
    if (first) {
      const list = h('ul', {}, ...others.map((words) => h('li', {}, words)));
      parts.push(h('details', { open: isOpen }, h('summary', {}, first), list));
    }
    const warnings = facts.warnings ?? [];
    return [
      ...parts,
      ...warnings.map((words) => h('p', { className: 'notice warning' }, sentence(words))),
    ];
  }

  private result(scan: Scan, run: Run, shown: string): HTMLElement {
    const isShown = run.id === shown;
    const remove = button('×', () => this.wishes.removeRun(run), {
      className: 'quiet',
      title: 'Forget this result',
      aria: { label: `Remove ${run.name}` },
    });
    if (run.state !== 'done') {
      const words =
        run.state === 'cancelled' ? 'Cancelled; nothing of it is kept.' : sentence(run.error);
      const className = run.state === 'failed' ? 'notice warning' : 'soft';
      return h(
        'article',
        {},
        h('header', {}, h('p', { className, role: 'status' }, words), remove),
      );
    }
    const gives = this.backend.gives.filter((kind) => {
      if (kind === 'dicom') return !NO_DICOM.test(scan.name);
      if (kind === 'report') return (scan.facts.frames ?? 1) === 1; // it shows one 3D image
      return kind !== 'uncertainty' || run.asked.uncertainty;
    });
    const saves = SAVED.filter(({ kind }) => gives.includes(kind)).map((each) =>
      button(`↓ ${each.words}`, () => this.wishes.save(run, each.kind), {
        title: each.hint,
        data: { save: each.kind },
      }),
    );
    const warnings = run.facts.warnings ?? [];
    const output = run.facts.output as Estimate['output'] | undefined;
    return h(
      'article',
      { className: isShown ? 'shown' : '' },
      h('header', {}, h('h3', {}, run.name), remove),
      output && h('p', { className: 'soft' }, gridInWords(output)),
      h('div', { className: 'saves', role: 'group', aria: { label: 'Save' } }, ...saves),
      !isShown && button('Compare', () => this.wishes.compare(run)),
      ...warnings.map((words) => h('p', { className: 'notice warning' }, sentence(words))),
    );
  }

  private progress(run: Run | undefined): void {
    this.going.hidden = !run;
    if (!run) return this.going.replaceChildren();
    if (this.going.dataset.run !== run.id || !this.going.firstChild) {
      this.going.dataset.run = run.id;
      const cancel = button('Cancel', () => this.wishes.cancel(run), {}, ' ', key('Esc'));
      const words = h('span', { role: 'status' });
      this.going.replaceChildren(
        words,
        h('progress', { max: 1, aria: { label: 'Progress' } }),
        cancel,
      );
    }
    const words = this.going.querySelector('span')!;
    const bar = this.going.querySelector('progress')!;
    bar.value = run.share ?? 0; // one without a value moves all the time
    const steps = [run.what || 'begins', run.left_in_words].filter(Boolean).join(' · ');
    const said = sentence(run.state === 'waiting' ? 'waits its turn …' : `${steps} …`);
    if (words.textContent !== said) words.textContent = said;
  }
}
