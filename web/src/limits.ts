/** What weights were trained for, and what is asked of them: `arssr/weights/limits.py`. */

import type { Look } from './domain';
import { cellIn, spacingOf, stepsIn, type Grid } from './grid';
import { general, spacingInWords } from './words';

type Range = readonly [number, number];

/** What a card says of the weights, as far as it is exported. */
export interface Card {
  name?: string;
  licence?: string;
  valid?: {
    scale?: Range;
    scale_of_one_thick_axis?: Range;
    spacing_mm?: Range;
    slice_gap?: Range;
  };
}

const TOLERANCE = 0.01;
const [ROUGHER, MORE_ALIKE] = [2, 1.5];
const NOISIER = 2;

/**
 * One sentence for each way in which reading `source` on `target` leaves the card's range.
 *
 * stored: the grid of the file, where `source` has the larger voxels that were measured.
 */
export function outsideValidRange(card: Card, source: Grid, target: Grid, stored: Grid): string[] {
  const { valid = {}, name = 'the model' } = card;
  const scale = cellIn(target, source).map((cell) => 1 / cell);
  const cells = cellIn(target, stored);
  const refined = [0, 1, 2].filter((axis) => cells[axis] < 1 / (1 + TOLERANCE));
  const alone = valid.scale_of_one_thick_axis;
  const limits = refined.length === 1 ? alone : valid.scale;
  const scales = refined
    .filter((axis) => outside(scale[axis], limits))
    .map((axis) => {
      const unless =
        refined.length === 1 || !alone || outside(scale[axis], alone)
          ? ''
          : ` (${rangeInWords(alone)} where no other axis is refined)`;
      return (
        `a scale of ${general(scale[axis], 3)} along ${'ijk'[axis]} is outside what ${name} was ` +
        `trained for, ${rangeInWords(limits!)}${unless}`
      );
    });
  const steps = stepsIn(target, stored);
  const sizes = spacingOf(target).filter((_, axis) => steps[axis] < 1 - TOLERANCE);
  const spacings = different(sizes)
    .filter((mm) => outside(mm, valid.spacing_mm))
    .map((mm) => {
      const known = rangeInWords(valid.spacing_mm!);
      return `voxels of ${general(mm, 3)} mm are outside what ${name} was trained for, ${known} mm`;
    });
  return [...scales, ...spacings];
}

/** A sentence where a target is coarser than the source along some of its axes. */
export function coarserAxes(source: Grid, target: Grid): string | null {
  const cell = cellIn(target, source);
  const coarser = [0, 1, 2].filter((axis) => cell[axis] > 1 + TOLERANCE);
  if (!coarser.length) return null;
  const before = spacingOf(source);
  const after = before.map((mm, axis) => mm * cell[axis]);
  const sizes = coarser.map((axis) => {
    return `${general(before[axis], 3)} mm become ${general(after[axis], 3)} mm`;
  });
  const axes = coarser.map((axis) => 'ijk'[axis]).join(', ');
  const kept = spacingInWords(before.map((mm, axis) => Math.min(mm, after[axis])));
  return (
    `coarser than the scan along ${axes} (${[...new Set(sizes)].join(', ')}); ` +
    `a spacing of ${kept} keeps the detail along ${coarser.length > 1 ? 'them' : 'it'}`
  );
}

/** A sentence where fewer than 0.2 % of the voxels set the range of intensities that is seen. */
export const rangeSetByFew = (card: Card): string =>
  `fewer than 0.2 % of the voxels set the range of intensities that ${card.name ?? 'the model'} ` +
  'sees; little of it is left for the others';

/**
 * A sentence where a noise that somebody names is more than a network may be told.
 *
 * noise, most: normalised; unit: of that, in units of the scan.
 */
export function tooNoisy(
  { name = 'the model' }: Card,
  most: number | null,
  noise: number,
  unit: number,
): string | null {
  if (most === null || noise <= most) return null;
  const [named, trained, told] = [noise, most / NOISIER, most].map((each) => general(each * unit, 3));
  return (
    `a noise of ${named} is far beyond what ${name} was trained for, up to ${trained}; it is told ` +
    told
  );
}

/** Sentences where an image looks like none that weights have seen. */
export function unlikeTraining(
  { name = 'the model' }: Card,
  seen: readonly [Look, Look] | null,
  look: Look | null,
): string[] {
  if (!seen || !look) return [];
  const [least, greatest] = seen;
  const said: string[] = [];
  if (look.roughness < least.roughness / ROUGHER) {
    said.push(
      `neighbouring voxels differ far less than in any image that ${name} was trained on, as in ` +
        'label maps, drawings, stacks of one picture and images that were smoothed',
    );
  }
  if (look.roughness > greatest.roughness * ROUGHER) {
    said.push(
      `neighbouring voxels differ far more than in any image that ${name} was trained on, as where ` +
        'there is little but noise',
    );
  }
  if (look.peak > greatest.peak * MORE_ALIKE) {
    said.push(
      `far more of the object has nearly one brightness than in any image that ${name} was trained ` +
        'on, as in CT and label maps',
    );
  }
  return said.map((each) => `${each}; what it makes of them is a guess`);
}

/** That a scan is among the images that weights have seen. */
export const taught = ({ name }: Card): string =>
  `${name ?? 'the model'} was trained on this scan: how well it does here says nothing about others`;

/** What weights were trained for, as far as the card says: `card_page.valid_in_words`. */
export function validInWords({ valid }: Card): string {
  if (!valid) return '';
  const scales = [
    valid.scale && `${rangeInWords(valid.scale)} per axis`,
    valid.scale_of_one_thick_axis &&
      `${rangeInWords(valid.scale_of_one_thick_axis)} along one thick axis`,
  ].filter(Boolean);
  const most = valid.slice_gap?.[1];
  return [
    ...(scales.length ? [`scale ${scales.join(', ')}`] : []),
    ...(valid.spacing_mm ? [`towards voxels of ${rangeInWords(valid.spacing_mm)} mm`] : []),
    most ? `slices up to ${(100 * most).toFixed(0)}% of their distance apart` : 'slices without gaps',
  ].join('; ');
}

/** Sizes without those that are as good as another. */
function different(sizes: number[]): number[] {
  const kept: number[] = [];
  for (const size of [...sizes].sort((a, b) => a - b)) {
    if (!kept.length || size > kept.at(-1)! * (1 + TOLERANCE)) kept.push(size);
  }
  return kept;
}

const outside = (value: number, limits: Range | undefined): boolean =>
  !!limits && !(value >= limits[0] * (1 - TOLERANCE) && value <= limits[1] * (1 + TOLERANCE));

const rangeInWords = (limits: Range): string => limits.map((each) => general(each)).join(' to ');
