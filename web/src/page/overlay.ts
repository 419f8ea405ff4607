/** On the picture: which plane a tile is, and which image is on which side of the line. */

import { button, h } from './dom';
import type { Plane } from './viewer/planes';
import type { Layer } from './viewer/shader';
import type { Viewer } from './viewer/viewer';

const PLANES = ['Axial', 'Coronal', 'Sagittal'];
const LAYERS: Record<Layer, string> = {
  scan: 'as scanned',
  result: 'ArSSR',
  cubic: 'cubic',
  difference: 'ArSSR − cubic',
  uncertainty: 'how sure',
};

export class Overlay {
  readonly element = h('div', { className: 'overlay' });
  private readonly tiles = new Map<Plane, HTMLElement>();
  private readonly left = h('b', { className: 'left' });
  private readonly right = h('b', { className: 'right' });
  private readonly grip = h('i', { className: 'grip', ariaHidden: 'true' });
  private readonly onLarge: readonly HTMLElement[];

  /** `given` lie on the large plane. */
  constructor(
    private readonly viewer: Viewer,
    ...given: readonly HTMLElement[]
  ) {
    this.onLarge = [this.left, this.right, this.grip, ...given];
    for (const plane of [0, 1, 2] as const) {
      const act = (): void => viewer.set({ large: plane });
      const title = `Make it large (${plane + 1})`;
      const tile = h('div', { className: 'tile' }, button(PLANES[plane], act, { title }));
      this.tiles.set(plane, tile);
      this.element.append(tile);
    }
  }

  refresh(): void {
    const { viewer } = this;
    const { view } = viewer;
    this.element.hidden = !viewer.has('scan');
    if (this.element.hidden) return;
    for (const { plane, box } of viewer.boxes) {
      const tile = this.tiles.get(plane)!;
      const [left, top, width, height] = box.map((share) => `${100 * share}%`);
      Object.assign(tile.style, { left, top, width, height });
      tile.querySelector('button')!.disabled = plane === view.large;
      if (plane === view.large && this.grip.parentElement !== tile)
        tile.append(...this.onLarge);
    }
    const isComparing = viewer.has('result');
    this.left.hidden = !isComparing || view.line <= 0.08;
    this.right.hidden = !isComparing || view.line >= 0.92;
    this.grip.hidden = !isComparing || view.line <= 0 || view.line >= 1;
    this.grip.style.left = `${100 * view.line}%`;
    this.left.textContent = LAYERS[view.left];
    this.right.textContent = LAYERS[view.right];
  }
}
