/** What a scan is, in the words of `arssr/viewing/verdict.py` and `arssr/resolution.py`. */

import { spacingOf, worldAxes, type Grid } from './grid';
import { isZeroFilled, type AxisResolution } from './resolution';
import { capital, general, inPercent, spacingInWords } from './words';

const DIRECTIONS = ['left–right', 'back–front', 'foot–head']; // of RAS
const LEAST_SHARE = 1 / 256;

const measuredMm = ({ share }: AxisResolution, mm: number): number => mm / Math.max(share, LEAST_SHARE);

/** The verdict on an axis. */
export function inWords(axis: AxisResolution, mm: number): string {
  const { ending, low, high } = axis;
  const share = `${(100 * axis.share).toFixed(0)} % of the stored band`;
  const sure = `between ${(100 * low).toFixed(0)} and ${(100 * high).toFixed(0)} %`;
  const measured = `voxels of ${general(measuredMm(axis, mm), 3)} mm`;
  switch (ending) {
    case 'sharp': {
      const filled = isZeroFilled(axis) ? 'zero-filled' : 'perhaps zero-filled';
      return `${filled}: ${share} measured (${sure}), ${measured}`;
    }
    case 'slow':
      return (
        `fades slowly, as after smoothing or interpolation: ${share} (${sure}) has detail, as ` +
        measured
      );
    case 'noise':
      return `beyond ${share} there is more noise than detail`;
    case 'full':
      return `measured on its voxels of ${general(mm, 3)} mm`;
    case 'unknown':
      return 'too few samples inside the object to tell';
  }
}

/** The verdict on all axes by their names, as plain values. */
export function describe(grid: Grid, axes: readonly AxisResolution[]): Record<string, unknown> {
  const mm = spacingOf(grid);
  const to = (value: number, digits: number): number => Number(value.toFixed(digits));
  return Object.fromEntries(
    axes.map((axis, n) => [
      'ijk'[n],
      {
        in_words: inWords(axis, mm[n]),
        ends: axis.ending,
        share_of_stored_band: to(axis.share, 3),
        between: [to(axis.low, 3), to(axis.high, 3)],
        measured_mm: to(measuredMm(axis, mm[n]), 4),
        drop_db: to(axis.dropDb, 1),
        floor: Number(general(axis.floor, 4)),
      },
    ]),
  );
}

/** How finely a scan was measured along each axis, and how noisy it is. range: of its intensities. */
export function ofScan(
  grid: Grid,
  axes: readonly AxisResolution[],
  noise: number,
  range: number,
): string[] {
  const mm = spacingOf(grid);
  const world = worldAxes(grid.affine);
  const said = axes.map((axis, n) => {
    return `${capital(DIRECTIONS[world[n].axis])} (${'ijk'[n]}): ${inWords(axis, mm[n])}.`;
  });
  if (!noise) return [...said, 'Noise: none found.'];
  const deviation = `standard deviation ${general(noise, 3)}`;
  return [...said, `Noise: ${deviation}, ${inPercent(noise / range)} of the range (estimated).`];
}

/** That a scan was cut to what was measured; grid: that it was cut to. */
export function cutInWords(stored: Grid, axes: readonly AxisResolution[], grid: Grid): string {
  const mm = spacingOf(stored);
  const measured = axes
    .map((axis, n) => ({ axis, text: `${general(measuredMm(axis, mm[n]), 3)} mm along ${'ijk'[n]}` }))
    .filter(({ axis }) => isZeroFilled(axis))
    .map(({ text }) => text);
  return (
    `zero-filled, measured on about ${measured.join(', ')}: super-resolved from voxels of ` +
    `${spacingInWords(spacingOf(grid))}, which surely hold all of that (--as-stored, ` +
    'as_stored=True: from what is stored)'
  );
}
