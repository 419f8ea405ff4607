/** What the samples of a scan are, as headers and names say it: `arssr/formats/kind.py`. */

import { general } from './words';

export interface Kind {
  what: 'intensities' | 'labels' | 'probabilities' | 'phase';
  /** What says so, if anything does. */
  because: string;
}

const INTENTS = new Map([
  [1002, 'label'],
  [1003, 'NeuroNames'],
]);
const ENDINGS: [string, Kind['what']][] = [
  ['dseg', 'labels'],
  ['mask', 'labels'],
  ['.seg', 'labels'],
  ['probseg', 'probabilities'],
];
const PHASE_SUFFIXES = ['phase', 'phase1', 'phase2', 'phasediff'];
const LOOKED_AT = 2 ** 22; // voxels
const ALIKE_IN_LABELS = 0.4;
const CIRCLES = [
  [-Math.PI, Math.PI],
  [0, 2 * Math.PI],
  [-4096, 4095],
];
const ALL_ROUND = 2e-3;

/** By the NIfTI intent, and by the name of a file. */
export function kindOf(name: string, intent: number): Kind {
  const meant = INTENTS.get(intent);
  if (meant) return { what: 'labels', because: `its NIfTI intent is ${intent}, ${meant}` };
  const stem = stemOf(name);
  const last = stem.toLowerCase().split('_').at(-1)!;
  for (const [ending, what] of ENDINGS) {
    if (last === ending || (ending[0] === '.' && last.endsWith(ending))) {
      return { what, because: `its name ends in ${ending}` };
    }
  }
  const parts = stem.split('_');
  const isBids = /^[A-Za-z0-9]+$/.test(parts.at(-1)!) && parts.slice(0, -1).every((p) => p.includes('-'));
  if (isBids && parts.slice(0, -1).includes('part-phase')) {
    return { what: 'phase', because: 'its name has part-phase' };
  }
  if (isBids && parts[0].startsWith('sub-') && PHASE_SUFFIXES.includes(last)) {
    return { what: 'phase', because: `its name ends in ${last}` };
  }
  return { what: 'intensities', because: '' };
}

/** Why a scan is not computed here, if it holds something else than intensities. */
export function whyNotHere({ what, because }: Kind): string | null {
  if (what === 'intensities') return null;
  if (what === 'phase') {
    return (
      `holds phase (${because}), and values that wrap around cannot be interpolated; give the ` +
      'magnitude image, or real and imaginary part'
    );
  }
  return `holds ${what}, not intensities (${because}); \`arssr view\` brings them to other grids`;
}

/** What intensities [k][j][i] look like, if not like any: a sentence, or none. */
export function unlikeIntensities(
  data: Float32Array,
  [i, j, k]: readonly [number, number, number],
): string[] {
  const planes = Math.max(2, Math.floor(LOOKED_AT / (i * j)));
  const middle = Math.max(0, Math.floor((k - planes) / 2));
  const part = data.subarray(middle * i * j, (middle + planes) * i * j);
  if (alike(part, i, j) > ALIKE_IN_LABELS) {
    return [
      'it looks like a label map, whole numbers that are mostly alike side by side, and was taken ' +
        'for intensities; if it is one, `arssr view` brings it to other grids',
    ];
  }
  let [lowest, highest] = [Infinity, -Infinity];
  for (const value of data) {
    if (value < lowest) lowest = value;
    if (value > highest) highest = value;
  }
  for (const [start, end] of CIRCLES) {
    const near = ALL_ROUND * (end - start);
    if (Math.abs(lowest - start) < near && Math.abs(highest - end) < near) {
      return [
        `its values go from ${general(lowest, 5)} to ${general(highest, 5)}, as phase does, and were ` +
          'taken for intensities; phase wraps around and cannot be interpolated',
      ];
    }
  }
  return [];
}

/** The share of neighbours in an object, within planes, that are equal; 0 where not all are whole. */
function alike(part: Float32Array, i: number, j: number): number {
  if (Math.min(i, j) < 2 || !part.every(Number.isInteger)) return 0;
  const lowest = part.reduce((least, value) => Math.min(least, value), Infinity);
  const shares = [
    { step: 1, last: (at: number) => at % i === i - 1 },
    { step: i, last: (at: number) => Math.floor(at / i) % j === j - 1 },
  ].map(({ step, last }) => {
    let [pairs, same] = [0, 0];
    for (let at = 0; at < part.length; at++) {
      if (last(at) || (part[at] === lowest && part[at + step] === lowest)) continue;
      pairs += 1;
      same += Number(part[at] === part[at + step]);
    }
    return pairs ? same / pairs : 0;
  });
  return Math.min(...shares);
}

/** A file's name without the suffix of an image. */
export const stemOf = (name: string): string => name.replace(/\.nii(\.gz)?$/i, '');
