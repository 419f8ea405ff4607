/** Where a result shall lie: `arssr/upsampling/target.py`, where each constant is explained. */

import { applied } from './affine';
import { Refusal } from './errors';
import {
  corners,
  indexMap,
  isotropic,
  SAME_STEP,
  scaled,
  spacingOf,
  thickAxes,
  withShape,
  withSpacing,
  type Grid,
} from './grid';
import type { Target } from './page/backend';
import { general, spacingInWords } from './words';

const FINEST_MM = 0.8;
const MOST_TIMES = 6;
const ISOTROPIC = 1.05;
const NEAR_HALF = 0.499;

export interface Chosen {
  grid: Grid;
  /** Why, where nobody said. */
  because: string;
}

const NAMES = ['scale', 'spacing', 'shape', 'isotropic', 'like'] as const;

/** What was asked for; throws for several. */
function given(target: Target): (typeof NAMES)[number] | null {
  const names = NAMES.filter((name) => target[name] !== undefined);
  if (names.length > 1) throw new Refusal(`name one target alone, not ${names.join(' and ')}`);
  return names[0] ?? null;
}

/** What was named of a target, without what was not. */
export function inOrder(target: Target): Partial<Target> {
  const name = given(target);
  return name === null ? {} : { [name]: target[name] };
}

/**
 * The grid that a scan on `source` is brought to.
 *
 * like: that of the other scan, where one is named. measured: the grid whose voxels were measured;
 * only an open target asks for it, and null says that it was not looked for.
 */
export function choose(
  target: Target,
  source: Grid,
  like: Grid | null,
  measured: Grid | null,
): Chosen {
  switch (given(target)) {
    case 'isotropic':
      return { grid: isotropic(source), because: '' };
    case 'scale':
      return { grid: scaled(source, target.scale!), because: '' };
    case 'spacing':
      return { grid: withSpacing(source, target.spacing!), because: '' };
    case 'shape':
      return { grid: withShape(source, target.shape!), because: '' };
    case 'like':
      if (!like) throw new Refusal('the scan whose grid shall be taken is not there any more');
      requireOverlap(source, like);
      return { grid: like, because: '' };
    case null: {
      const known = measured ?? source;
      const grid = withSpacing(source, finerSlices(source, known));
      const before = spacingOf(source);
      const finest = Math.min(...spacingOf(known)) * (1 + SAME_STEP);
      const coarse = spacingOf(grid).some((mm, axis) => {
        return mm < before[axis] * (1 - SAME_STEP) && mm > finest;
      });
      const plane = measured ? 'was measured in the plane' : 'the plane';
      const why = coarse ? 'as fine as shipped weights were trained for' : `as fine as ${plane}`;
      return { grid, because: `${change(source, grid)}, ${why}` };
    }
  }
}

/** The spacing with slices as fine as anything that was measured, as far as weights were taught. */
function finerSlices(source: Grid, measured: Grid): number[] {
  const mm = spacingOf(source);
  const finest = Math.min(...spacingOf(measured));
  const floor = Math.max(finest, FINEST_MM);
  const thick = thickAxes(source, floor);
  if (thick.length) {
    return mm.map((each, axis) => (thick.includes(axis) ? Math.max(floor, each / MOST_TIMES) : each));
  }
  const least = Math.min(...mm);
  let what: string;
  if (Math.max(...mm) <= least * ISOTROPIC) {
    what = `${general(mm.reduce((a, b) => a + b, 0) / 3, 3)} mm along all axes already`;
  } else {
    let than = finest > least ? `what was measured (${general(finest, 4)} mm)` : 'the others';
    if (thickAxes(source, finest).length) {
      than = `shipped weights were trained for (${general(floor)} mm)`;
    }
    what = `voxels of ${spacingInWords(mm)}, along no axis clearly thicker than ${than}`;
  }
  throw new Refusal(`${what}; name a target, such as a factor of 2`);
}

/** What an open target came to. */
function change(source: Grid, grid: Grid): string {
  const after = spacingOf(grid);
  const changed = spacingOf(source)
    .map((before, axis) => ({ before, now: after[axis], name: 'ijk'[axis] }))
    .filter(({ before, now }) => now < before * (1 - SAME_STEP))
    .map(({ before, now, name }) => {
      return `${spacingInWords([before])} along ${name} become ${spacingInWords([now])}`;
    });
  return `no target was named: slices of ${changed.join(' and ')}`;
}

/** Refuses a grid that lies beside the source: nothing but air would come of it. */
function requireOverlap(source: Grid, grid: Grid): void {
  const map = indexMap(grid, source);
  const index = corners([2, 2, 2]).map((corner) =>
    applied(map, corner.map((end, axis) => (end ? grid.shape[axis] - 1 + NEAR_HALF : -NEAR_HALF))),
  );
  const beside = source.shape.some((n, axis) => {
    const along = index.map((at) => at[axis]);
    return Math.max(...along) <= -0.5 || Math.min(...along) >= n - 0.5;
  });
  if (beside) throw new Refusal("the reference image lies outside the scan's field of view");
}
