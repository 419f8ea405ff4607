/** The scans, by name, and how far each is. */

import type { Scan, State } from './backend';
import { button, h } from './dom';

const MARKS = { running: 'computing', waiting: 'waits', done: 'done' } as const;

export class Tabs {
  readonly element = h('nav', { aria: { label: 'Scans' } });
  private drawn = '';

  constructor(private readonly wishes: { select(scan: Scan): void; add(): void }) {}

  refresh({ scans, runs }: State, selected: string): void {
    const tabs = scans.map((scan) => {
      const states = runs.filter((run) => run.scan === scan.id).map((run) => run.state);
      const mark = (['running', 'waiting', 'done'] as const).find((each) => states.includes(each));
      return button(scan.name, () => this.wishes.select(scan), {
        className: 'tab',
        title: mark ? `${scan.name}: ${MARKS[mark]}` : scan.name,
        data: { scan: scan.id, mark: scan.state === 'failed' ? 'failed' : (mark ?? '') },
        aria: { current: String(scan.id === selected) },
      });
    });
    const said = tabs.map((tab) => tab.outerHTML).join('');
    if (said === this.drawn) return;
    this.drawn = said;
    const add = button('+', () => this.wishes.add(), {
      className: 'tab',
      title: 'Another scan: drop it anywhere (O)',
      aria: { label: 'Another scan' },
    });
    const focused = [...this.element.children].indexOf(document.activeElement!);
    this.element.replaceChildren(...tabs, ...(scans.length ? [add] : []));
    (this.element.children[focused] as HTMLElement | undefined)?.focus();
  }
}
