/** What is asked for, in a form, and what it would take. */

import type { Asked, Backend, Estimate, Facts, Scan, Target, Three } from './backend';
import { h } from './dom';
import { gridInWords, ON_PAGE, sentence } from './words';

const [FINEST_MM, THICKER] = [0.8, 1.4]; // as upsampling/target.py and grid.py have them
const PATIENCE = 300; // ms after the last key, before it is estimated

const TICKS = ['uncertainty', 'consistent', 'as_stored', 'labels', 'strict'] as const;

type Way = 'slices' | 'isotropic' | 'scale' | 'spacing' | 'like';

/** The form of one scan. After `refresh` it estimates by itself, and tells when that changes. */
export class TargetForm {
  readonly element = h('form', {
    className: 'target',
    onsubmit: (event: Event) => event.preventDefault(),
  });
  readonly takes = h('div', { className: 'takes', aria: { live: 'polite' } });
  estimate: Estimate | undefined;
  private readonly fields = new Map<string, HTMLInputElement | HTMLSelectElement>();
  private isTouched = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asks = 0;

  constructor(
    private readonly backend: Backend,
    private readonly scan: Scan,
    private readonly onChange: () => void,
  ) {
    this.element.append(
      h('h3', {}, 'Make it finer'),
      this.way('slices', 'Thick slices, as fine as their plane'),
      this.way('isotropic', 'Voxels as long as wide as high'),
      this.way('scale', this.text('scale', '2', 'Factor, or three'), ' times along each axis'),
      this.way(
        'spacing',
        'Voxels of ',
        this.text('spacing', '1', 'Spacing in mm, or three'),
        ' mm',
      ),
      this.way('like', 'The grid of ', this.others()),
      this.more(),
    );
    this.element.addEventListener('input', (event) => this.changed(event));
    this.choose(looksThick(scan.facts) ? 'slices' : 'scale');
  }

  get asked(): Asked {
    const asked: Asked = { target: this.target() };
    if (this.number('ensemble') !== 1) asked.ensemble = this.number('ensemble') as 4 | 8;
    for (const name of TICKS) {
      if ((this.fields.get(name) as HTMLInputElement | undefined)?.checked) asked[name] = true;
    }
    return asked;
  }

  /** The scans on whose grids it can be put. */
  offer(scans: readonly Scan[]): void {
    const select = this.fields.get('like') as HTMLSelectElement;
    const others = scans.filter(({ id, state }) => id !== this.scan.id && state === 'ready');
    select.closest('label')!.hidden = !others.length;
    if (others.map(({ id }) => id).join() === [...select.options].map((o) => o.value).join())
      return;
    const chosen = select.value;
    select.replaceChildren(...others.map(({ id, name }) => h('option', { value: id }, name)));
    if (others.some(({ id }) => id === chosen)) select.value = chosen;
    else if (this.chosen === 'like') {
      if (!others.length) this.choose('scale');
      this.refresh(); // the scan whose grid was asked for is gone
    }
  }

  refresh(): void {
    this.estimate = undefined;
    this.takes.replaceChildren(h('p', { className: 'soft' }, 'Looking at what it takes …'));
    this.onChange();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), PATIENCE);
  }

  private async ask(): Promise<void> {
    const number = ++this.asks;
    try {
      const estimate = await this.backend.estimate(this.scan.id, this.asked);
      if (number !== this.asks) return;
      this.estimate = estimate;
      this.takes.replaceChildren(...inWords(estimate));
    } catch (error) {
      if (number !== this.asks) return;
      if (!this.isTouched && this.chosen === 'slices') {
        this.choose('scale'); // its slices are not thick
        return this.ask();
      }
      const said = sentence((error as Error).message);
      this.takes.replaceChildren(h('p', { className: 'notice warning' }, said));
    }
    this.onChange();
  }

  private changed(event: Event): void {
    const field = event.target as HTMLInputElement;
    const way = field.closest<HTMLElement>('[data-way]')?.dataset.way;
    if (way && field.type !== 'radio') this.choose(way as Way);
    this.isTouched = true;
    this.refresh();
  }

  private get chosen(): Way {
    return this.element.querySelector<HTMLInputElement>('[name="way"]:checked')!.value as Way;
  }

  private choose(way: Way): void {
    this.element.querySelector<HTMLInputElement>(`[value="${way}"]`)!.checked = true;
  }

  private target(): Target {
    const way = this.chosen;
    if (way === 'slices') return {};
    if (way === 'isotropic') return { isotropic: true };
    const text = this.fields.get(way)!.value;
    if (way === 'like') return { like: text };
    const asked = numbers(text);
    // JSON has no NaN, and what it has instead asks for nothing at all.
    if (![asked].flat().every(Number.isFinite)) throw new Error(`${way} is one number or three`);
    return { [way]: asked };
  }

  private number(name: string): number {
    return Number(this.fields.get(name)!.value);
  }

  private way(way: Way, ...words: (string | HTMLElement)[]): HTMLLabelElement {
    const radio = h('input', { type: 'radio', name: 'way', value: way });
    return h('label', { data: { way } }, radio, h('span', {}, ...words));
  }

  private text(name: string, value: string, label: string): HTMLInputElement {
    const field = h('input', { value, size: 5, autocomplete: 'off', aria: { label } });
    this.fields.set(name, field);
    return field;
  }

  private others(): HTMLSelectElement {
    const select = h('select', { aria: { label: 'Another scan' } });
    this.fields.set('like', select);
    return select;
  }

  private more(): HTMLDetailsElement {
    const choices = [1, 4, 8].map((n) =>
      h('option', { value: String(n) }, n === 1 ? 'none' : `${n}`),
    );
    const ensemble = h('select', { id: 'ensemble' }, ...choices);
    this.fields.set('ensemble', ensemble);
    return h(
      'details',
      {},
      h('summary', {}, 'More'),
      h('label', {}, h('span', {}, 'Mean over flips: '), ensemble),
      ...(this.backend.gives.includes('uncertainty')
        ? [this.tick('uncertainty', 'Say how sure it is, voxel by voxel')]
        : []),
      this.tick('consistent', ON_PAGE.consistent),
      this.tick('as_stored', ON_PAGE['as-stored']),
      this.tick('labels', ON_PAGE.labels),
      this.tick('strict', 'Refuse where there would be warnings'),
    );
  }

  private tick(name: string, words: string): HTMLLabelElement {
    const box = h('input', { type: 'checkbox', name });
    this.fields.set(name, box);
    return h('label', {}, box, h('span', {}, words));
  }
}

/** Whether there are thick slices to refine; a guess to begin with, the estimate knows. */
function looksThick({
  spacing_mm = [1, 1, 1],
  super_resolved_from_mm = spacing_mm,
}: Facts): boolean {
  const finest = Math.max(FINEST_MM, Math.min(...(super_resolved_from_mm as Three)));
  return Math.max(...spacing_mm) > THICKER * finest;
}

/** One number, or three with spaces, × or semicolons between them. */
function numbers(text: string): number | Three {
  const found = text
    .trim()
    .split(/[\s×x;]+/)
    .map((each) => Number(each.replace(',', '.')));
  return found.length === 1 ? found[0] : (found as unknown as Three);
}

function inWords(estimate: Estimate): HTMLElement[] {
  const trained = estimate.trained_for && `Trained for ${estimate.trained_for}`;
  return [
    h('p', { className: 'size' }, gridInWords(estimate.output)),
    h('p', {}, estimate.in_words.join(' · ')),
    ...estimate.warnings.map((words) => h('p', { className: 'notice warning' }, sentence(words))),
    ...[...estimate.notes, trained]
      .filter(Boolean)
      .map((words) => h('p', { className: 'soft' }, sentence(words))),
  ];
}
