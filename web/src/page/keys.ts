/** The keyboard. */

import type { Bar } from './bar';
import type { Plane } from './viewer/planes';
import type { Viewer } from './viewer/viewer';

const FINE = 0.02; // of a tile, a step of the line
const CLOSER = 1.25;

/** What a key can ask of the page. */
export interface Asks {
  run(): unknown;
  cancel(): unknown;
  save(): unknown;
  next(): unknown;
  open(): unknown;
  help(): unknown;
}

export function listenToKeys(
  viewer: Viewer,
  bar: Bar,
  need: () => Promise<boolean>,
  asks: Asks,
): void {
  let release: (() => unknown) | undefined;

  function hold(act: () => void): void {
    if (release) return;
    const { left, right, line } = viewer.view;
    release = () => viewer.has('result') && viewer.set({ left, right, line });
    act();
  }

  const { view } = viewer;
  const step = (by: number) => (event: KeyboardEvent) =>
    viewer.step(view.large, by * (event.shiftKey ? 10 : 1));
  const slide = (by: number) => () => {
    const line = Math.min(1, Math.max(0, view.line + by));
    if (viewer.has('result')) viewer.set({ line });
  };
  const large = (plane: Plane) => () => viewer.set({ large: plane });
  const always: Record<string, (event: KeyboardEvent) => unknown> = {
    r: asks.run,
    Escape: asks.cancel,
    s: asks.save,
    n: asks.next,
    o: asks.open,
    '?': asks.help,
  };
  const onScan: typeof always = {
    ArrowUp: step(1),
    ArrowDown: step(-1),
    ArrowLeft: slide(-FINE),
    ArrowRight: slide(FINE),
    1: large(0),
    2: large(1),
    3: large(2),
    '+': () => viewer.zoom(CLOSER),
    '=': () => viewer.zoom(CLOSER),
    '-': () => viewer.zoom(1 / CLOSER),
    0: () => viewer.reset(),
    w: () => viewer.autoWindow(),
    i: () => viewer.set({ smooth: !view.smooth }),
    x: () => viewer.set({ cross: !view.cross }),
  };
  const onResult: typeof always = {
    ' ': () => hold(() => viewer.set({ line: 1 })),
    c: () => hold(() => (viewer.has('cubic') ? viewer.set({ right: 'cubic' }) : void need())),
    u: () => bar.choose('right', view.right === 'uncertainty' ? 'result' : 'uncertainty'),
    d: () => bar.choose('right', view.right === 'difference' ? 'result' : 'difference'),
  };

  addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]'))
      return;
    const focused = event.target as HTMLElement;
    const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    if (focused.matches('input:not([type=checkbox], [type=radio], [type=range]), select, textarea'))
      return;
    if (focused.matches('input[type=radio], input[type=range]') && name.startsWith('Arrow')) return;
    if (focused.matches('button, input, summary, a') && name === ' ') return;
    const act =
      always[name] ??
      (viewer.has('scan') ? onScan[name] : undefined) ??
      (viewer.has('result') ? onResult[name] : undefined);
    if (!act) return;
    event.preventDefault();
    if (!event.repeat || name.startsWith('Arrow') || '+-='.includes(name)) act(event);
  });
  const letGo = (): void => {
    release?.();
    release = undefined;
  };
  addEventListener('keyup', (event) => {
    if (event.key === ' ' || event.key.toLowerCase() === 'c') letGo();
  });
  addEventListener('blur', letGo);
}
