/** What goes with a result into a paper, and into its file: `arssr/upsampling/words.py`. */

import type { Manifest } from '../engine/model';
import { SAME_STEP } from '../grid';
import { capital, general, spacingInWords } from '../words';
import type { Facts } from './plan';

const NOTICE = 'computed detail, research use, not for diagnosis';
const NOT_FOR =
  "Research use only. Detail finer than the scan's voxels is computed, not measured: not for " +
  "diagnosis, nor for any other decision about a person's care, and no proof that something " +
  'small is there or is not.';
const PAPER =
  'Wu Q, Li Y, Sun Y, Zhou Y, Wei H, Yu J, Zhang Y. An Arbitrary Scale Super-Resolution Approach ' +
  'for 3D MR Images via Implicit Neural Representation. IEEE Journal of Biomedical and Health ' +
  'Informatics 2023; 27(2): 1004–1015. doi:10.1109/JBHI.2022.3223106';
const WAYS = new Map([
  ['kspace', '3D or in-plane encoding (kspace)'],
  ['slice', '2D multi-slice (slice)'],
  ['spline', 'samples without averaging (spline)'],
]);

interface Described {
  spacing_mm: readonly number[];
  orientation: string;
}

interface Told {
  acquisition_ijk: readonly string[];
  noise: number | null;
}

/** What a file says of a result of these weights. */
export const remark = ({ arssr, name }: Manifest): string =>
  `${capital(NOTICE)} (ArSSR ${arssr}, ${name})`;

/**
 * `methods`, `cite` and `not_for` of a sidecar, from what else it says of a network's result; but
 * methods say nothing of how far it lies from the scan, which is not computed here.
 */
export function wordsOn(facts: Facts, { arssr, name, sha256 }: Manifest): Partial<Facts> {
  if (!facts.told) return {};
  const [input, output] = [facts.input, facts.output] as Described[];
  const cut = facts.cut_to_band as Described | undefined;
  const [before, after] = [(cut ?? input).spacing_mm, output.spacing_mm];
  const isSame = input.orientation === output.orientation;
  const scales = isSame ? scalesInWords(before, after) : '';
  const { ensemble = 1 } = facts.options as { ensemble?: number };
  const methods = [
    `Images with voxels of ${spacingInWords(before)} were super-resolved to voxels of ` +
      `${spacingInWords(after)}${scales} with ArSSR (version ${arssr}; an implementation of Wu et ` +
      `al., IEEE JBHI 2022, doi:10.1109/JBHI.2022.3223106) and its weights '${name}' (SHA-256 ` +
      `${sha256}).`,
    cut &&
      `The images were stored with zero-filled voxels of ${spacingInWords(input.spacing_mm)}; the ` +
        'zeros were removed before.',
    `The network was told that ${toldInWords(facts.told as Told, facts.noise as number | null)}.`,
    ensemble > 1 && `The results are means over ${ensemble} flips of the images.`,
    'Structure finer than the measured voxels is estimated, not measured.',
  ];
  const software =
    'The ArSSR developers. ArSSR: super-resolution of 3D MR images at any scale, version ' +
    `${arssr}.`;
  return { methods: methods.filter(Boolean).join(' '), cite: [PAPER, software], not_for: NOT_FOR };
}

/** How many times finer. */
function scalesInWords(before: readonly number[], after: readonly number[]): string {
  const finer = before
    .map((mm, axis) => ({ scale: mm / after[axis], axis: 'ijk'[axis] }))
    .filter(({ scale }) => scale > 1 + SAME_STEP)
    .map(({ scale, axis }) => `${general(scale, 3)} times finer along ${axis}`);
  return finer.length ? ` (${finer.join(', ')})` : '';
}

/** What a network was told of the acquisition and the noise. */
function toldInWords({ acquisition_ijk: names, noise }: Told, ofScan: number | null): string {
  const along = new Map<string, string[]>();
  names.forEach((name, axis) => {
    const way = WAYS.get(name) ?? name;
    along.set(way, [...(along.get(way) ?? []), 'ijk'[axis]]);
  });
  const ways = [...along].map(([way, axes]) => `${way} along ${axes.join(', ')}`).join(' and ');
  let level = noise === null ? 'unknown' : `${general(noise, 3)} (standard deviation)`;
  if (noise !== ofScan) {
    level +=
      `, as far as the images' own of ${general(ofScan!, 3)} exceeds that of its training images`;
  }
  return `the acquisition was ${ways}, and the noise level ${level}`;
}
