/** Mouse, pen and fingers on the picture. */

import type { Three } from '../backend';
import type { Plane } from './planes';
import type { Viewer } from './viewer';

const NEAR = 14; // CSS pixels from the line between before and after
const WHEEL = 0.0015; // of a doubling and more, a pixel that the wheel turns

type Spot = { plane: Plane; shares: Three };
type Drag = (event: PointerEvent) => void;

export function listen(canvas: HTMLCanvasElement, viewer: Viewer): void {
  const fingers = new Map<number, PointerEvent>();
  let drag: Drag | undefined;

  canvas.addEventListener('pointerdown', (event) => {
    canvas.focus({ preventScroll: true });
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    drag = fingers.size === 2 ? pinch(viewer, canvas, fingers) : begin(viewer, canvas, event);
    drag?.(event);
  });
  canvas.addEventListener('pointermove', (event) => {
    if (!fingers.has(event.pointerId)) {
      canvas.classList.toggle('on-line', isOnLine(viewer, canvas, event));
      return;
    }
    fingers.set(event.pointerId, event);
    drag?.(event);
  });
  const end = (event: PointerEvent): void => {
    fingers.delete(event.pointerId);
    drag = undefined;
  };
  canvas.addEventListener('pointerup', end);
  canvas.addEventListener('pointercancel', end);
  canvas.addEventListener('contextmenu', (event) => event.preventDefault());
  canvas.addEventListener('dblclick', (event) => {
    const spot = spotAt(viewer, canvas, event);
    if (spot) viewer.set({ large: spot.plane });
  });
  canvas.addEventListener(
    'wheel',
    (event) => {
      event.preventDefault();
      const spot = spotAt(viewer, canvas, event);
      if (!spot) return;
      const turned = event.deltaY || event.deltaX; // with Shift, some systems turn it sideways
      if (event.shiftKey) viewer.step(spot.plane, -Math.sign(turned));
      else viewer.zoom(2 ** (-turned * WHEEL * (event.ctrlKey ? 5 : 1)), spot.shares);
    },
    { passive: false },
  );
}

/** What a drag that begins here will do. */
function begin(viewer: Viewer, canvas: HTMLCanvasElement, event: PointerEvent): Drag | undefined {
  const spot = spotAt(viewer, canvas, event);
  if (!spot) return undefined;
  if (event.button === 2) return windowing(viewer, event);
  if (event.button === 1 || event.shiftKey) return panning(viewer, canvas, spot);
  if (isOnLine(viewer, canvas, event)) {
    const { left, width } = tileOf(viewer, canvas, spot.plane);
    return ({ clientX }) =>
      viewer.set({ line: Math.min(1, Math.max(0, (clientX - left) / width)) });
  }
  return (moved) => {
    const now = spotAt(viewer, canvas, moved);
    if (now?.plane === spot.plane) viewer.place(now.shares);
  };
}

/** To the right: more contrast; up: darker. */
function windowing(viewer: Viewer, start: PointerEvent): Drag {
  const [black, white] = viewer.view.window;
  const width = white - black;
  return ({ clientX, clientY }) => {
    const wider = width * 2 ** ((start.clientX - clientX) / 200);
    const level = (black + white) / 2 + (width * (start.clientY - clientY)) / 400;
    viewer.set({ window: [level - wider / 2, level + wider / 2] });
  };
}

function panning(viewer: Viewer, canvas: HTMLCanvasElement, from: Spot): Drag {
  return (event) => {
    const to = spotAt(viewer, canvas, event);
    if (to?.plane === from.plane) viewer.pan(from.shares, to.shares);
  };
}

/** Two fingers: zoom and move. */
function pinch(
  viewer: Viewer,
  canvas: HTMLCanvasElement,
  fingers: ReadonlyMap<number, PointerEvent>,
): Drag | undefined {
  const middle = (): { clientX: number; clientY: number; apart: number } => {
    const [one, other] = [...fingers.values()];
    return {
      clientX: (one.clientX + other.clientX) / 2,
      clientY: (one.clientY + other.clientY) / 2,
      apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
    };
  };
  let before = middle();
  const from = spotAt(viewer, canvas, before);
  if (!from) return undefined;
  return () => {
    if (fingers.size < 2) return;
    const now = middle();
    viewer.zoom(now.apart / before.apart, from.shares);
    const to = spotAt(viewer, canvas, now);
    if (to?.plane === from.plane) viewer.pan(from.shares, to.shares);
    before = now;
  };
}

/** Which plane is there, and which place of it (as shares of the frame, beyond it too). */
function spotAt(
  viewer: Viewer,
  canvas: HTMLCanvasElement,
  { clientX, clientY }: { clientX: number; clientY: number },
): Spot | undefined {
  viewer.settle(); // places are those of what was drawn last
  const { left, top, width } = canvas.getBoundingClientRect();
  const ratio = canvas.width / width;
  const [x, y] = [(clientX - left) * ratio, (clientY - top) * ratio];
  const { planes } = viewer;
  const tile = planes.tileIndex(x, y);
  if (tile < 0) return undefined;
  const shares = planes.screenXY2TextureFrac(x, y, tile, false);
  const plane = planes.screenSlices[tile].axCorSag as Plane;
  return { plane, shares: [...shares] as unknown as Three };
}

function tileOf(
  viewer: Viewer,
  canvas: HTMLCanvasElement,
  plane: Plane,
): { left: number; width: number } {
  const { left, width } = canvas.getBoundingClientRect();
  const { box } = viewer.boxes.find((each) => each.plane === plane)!;
  return { left: left + box[0] * width, width: box[2] * width };
}

function isOnLine(viewer: Viewer, canvas: HTMLCanvasElement, event: PointerEvent): boolean {
  const spot = viewer.has('result') ? spotAt(viewer, canvas, event) : undefined;
  if (!spot) return false;
  const { left, width } = tileOf(viewer, canvas, spot.plane);
  return Math.abs(event.clientX - left - viewer.view.line * width) < NEAR;
}
