/** Below the picture: before and after, window, and what is at the crosshair. */

import { button, check, h, segments } from './dom';
import type { Layer } from './viewer/shader';
import { DIVERGING_CSS, RISING_CSS } from './viewer/shader';
import type { Viewer } from './viewer/viewer';
import { inUnits } from './words';

const NAMES = { scan: 'as scanned', result: 'ArSSR', cubic: 'cubic' } as const;

export class Bar {
  readonly element: HTMLElement;
  private readonly compare: HTMLElement;
  private readonly before: HTMLFieldSetElement;
  private readonly after: HTMLFieldSetElement;
  private readonly sure: HTMLElement;
  private readonly line = h('input', {
    type: 'range',
    min: '0',
    max: '1',
    step: 'any',
    id: 'line',
    aria: { label: 'Line between before and after' },
  });
  private readonly black = number('black');
  private readonly white = number('white');
  private readonly smooth = h('input', { type: 'checkbox', id: 'smooth' });
  private readonly reach = h('input', {
    type: 'range',
    min: '-7',
    max: '0',
    step: 'any',
    aria: { label: 'Scale of the difference' },
  });
  private readonly scale = h('output');
  /** Of the colours of a difference; it lies on the picture. */
  readonly legend: HTMLElement;
  /** Back from a zoom; on the picture, which would change its size under the mouse otherwise. */
  readonly fit: HTMLElement;
  private readonly place = h('output', { className: 'place' });

  /** `need` makes sure that there is cubic interpolation. */
  constructor(
    private readonly viewer: Viewer,
    private readonly need: () => Promise<boolean>,
  ) {
    this.before = segments(
      'Before',
      'left',
      [
        { value: 'scan', words: 'As scanned', hint: 'The voxels of the scan' },
        {
          value: 'cubic',
          words: 'Cubic',
          hint: 'Cubic interpolation on the grid of the result',
        },
      ],
      (value) => void this.choose('left', value as Layer),
    );
    this.after = segments(
      'After',
      'right',
      [
        { value: 'result', words: 'ArSSR', hint: 'The result' },
        { value: 'cubic', words: 'Cubic', hint: 'While C is held' },
        { value: 'difference', words: 'Difference', hint: 'The result less cubic (D)' },
        { value: 'uncertainty', words: 'How sure', hint: 'Half-width of an interval that has the truth with 90 % (U)' },
      ],
      (value) => void this.choose('right', value as Layer),
    );
    this.compare = h('div', { className: 'compare' }, this.before, this.line, this.after);
    this.sure = this.after.querySelector<HTMLElement>('label:has([value=uncertainty])')!;
    this.legend = h(
      'label',
      { className: 'legend', hidden: true },
      h('i'),
      this.scale,
      this.reach,
    );
    this.fit = button('', () => viewer.reset(), {
      id: 'fit',
      title: 'The whole picture again (0)',
    });
    this.element = h(
      'div',
      { className: 'bar' },
      this.compare,
      h(
        'div',
        { className: 'window' },
        h('label', {}, 'Black ', this.black),
        h('label', {}, 'White ', this.white),
        button('Auto', () => viewer.autoWindow(), {
          title: 'Black and white from the scan (W)',
        }),
      ),
      h('label', { className: 'tick', title: 'Between voxels (I)' }, this.smooth, ' smooth'),
      this.place,
    );
    this.listen();
  }

  /** What belongs to images that are not there is out of the way. */
  show(hasScan: boolean): void {
    this.element.hidden = !hasScan;
  }

  refresh(): void {
    const { view } = this.viewer;
    this.compare.hidden = !this.viewer.has('result');
    this.sure.hidden = !this.viewer.has('uncertainty');
    const isSure = view.right === 'uncertainty';
    this.legend.hidden = view.right !== 'difference' && !isSure;
    check(this.before, view.left);
    check(this.after, view.right);
    set(this.line, String(view.line));
    this.line.style.setProperty('--share', `${100 * view.line}%`);
    set(this.black, plain(view.window[0]));
    set(this.white, plain(view.window[1]));
    this.smooth.checked = view.smooth;
    const width = view.window[1] - view.window[0];
    const end = isSure ? view.widest : view.reach;
    set(this.reach, String(Math.log2(end / width)));
    const share = inUnits((100 * end) / width, 2);
    const ends = `${inUnits(end)} (${share} % of the window)`;
    this.scale.value = isSure ? `90 %: the truth within ±0 to ±${ends}` : `ArSSR − cubic: ±${ends}`;
    this.legend.style.setProperty('--colours', isSure ? RISING_CSS : DIVERGING_CSS);
    const zoom = this.viewer.magnified;
    this.fit.hidden = zoom === 1;
    this.fit.textContent = `${inUnits(zoom, 2)}× ↺`;
    if (this.viewer.has('scan')) this.place.value = this.said();
  }

  /** Choose what is seen on a side, once it is there. */
  async choose(side: 'left' | 'right', layer: Layer): Promise<void> {
    const wantsCubic = layer === 'cubic' || layer === 'difference';
    const isThere = layer !== 'uncertainty' || this.viewer.has(layer);
    if (isThere && (!wantsCubic || (await this.need()))) this.viewer.set({ [side]: layer });
    else this.refresh();
  }

  /** Millimetres, and what each image has there. */
  private said(): string {
    const where = this.viewer.mm
      .map((mm, axis) => `${['LR', 'PA', 'IS'][axis][Number(mm >= 0)]} ${Math.abs(mm).toFixed(1)}`)
      .join('  ');
    const values = (['scan', 'result', 'cubic'] as const)
      .filter((image) => this.viewer.has(image))
      .map((image) => `${NAMES[image]} ${inUnits(this.viewer.valueOf(image))}${this.plusMinus(image)}`);
    return [where + ' mm', ...values].join('  ·  ');
  }

  private plusMinus(image: string): string {
    if (image !== 'result' || !this.viewer.has('uncertainty')) return '';
    return ` ± ${inUnits(this.viewer.valueOf('uncertainty'))}`;
  }

  private listen(): void {
    const { viewer } = this;
    this.line.oninput = () => viewer.set({ line: Number(this.line.value) });
    this.smooth.onchange = () => viewer.set({ smooth: this.smooth.checked });
    this.reach.oninput = () => {
      const width = viewer.view.window[1] - viewer.view.window[0];
      const end = width * 2 ** Number(this.reach.value);
      viewer.set(viewer.view.right === 'uncertainty' ? { widest: end } : { reach: end });
    };
    const window = (): void => {
      const [black, white] = [this.black.valueAsNumber, this.white.valueAsNumber];
      if (white > black) viewer.set({ window: [black, white] });
      else this.refresh();
    };
    for (const field of [this.black, this.white]) {
      field.onchange = window;
      field.onblur = () => this.refresh(); // what is no number does not stay there
    }
  }
}

function number(name: string): HTMLInputElement {
  return h('input', { type: 'number', step: 'any', id: name });
}

const plain = (value: number): string => String(+value.toPrecision(4));

/** Whoever is typing there is left alone. */
function set(input: HTMLInputElement, value: string): void {
  if (document.activeElement !== input || input.type === 'range') input.value = value;
}
