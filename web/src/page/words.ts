/** What the page says, for people. */

import type { Estimate } from './backend';

/** Options as the page has them, by their names on the command line. */
export const ON_PAGE = {
  consistent: 'Agree with what was measured',
  'as-stored': 'From what is stored, even where less was measured',
  labels: 'This is a segmentation',
} as const;

/** What is said in lower case elsewhere, and of the command line; names of files stay as they are. */
export function sentence(words: string): string {
  const here = words.replace(
    /(name )?--(consistent|as-stored|labels)\b/g,
    (_, name, option) => `${name ? 'tick ' : ''}“${ON_PAGE[option as keyof typeof ON_PAGE]}”`,
  );
  const begun = here.replace(/^[a-z](?=[a-z]*[\s,])/, (letter) => letter.toUpperCase());
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}

export function gridInWords({ shape, spacing_mm }: Estimate['output']): string {
  const spacing = spacing_mm.map((mm) => String(+mm.toPrecision(3))).join('×');
  return `${shape.join('×')} voxels of ${spacing} mm`;
}

/** A number for people: at most so many digits that count, with a true minus. */
export function inUnits(value: number | undefined, digits = 3): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  const rounded = Math.abs(value) >= 10 ** digits ? Math.round(value) : +value.toPrecision(digits);
  return String(rounded).replace('-', '−');
}
