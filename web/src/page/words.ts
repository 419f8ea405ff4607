/** What the page says, for people. */

import type { Estimate } from './backend';

/** What is said in lower case elsewhere; names of files stay as they are. */
export function sentence(words: string): string {
  const begun = words.replace(/^[a-z](?=[a-z]*[\s,])/, (letter) => letter.toUpperCase());
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
