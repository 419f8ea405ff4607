/** Numbers as a person reads them, in the words of Python: `grid.py`, `files.py`, `needs.py`. */

const TIE = /^50*$/;

/** Python's `f"{value:.{digits}g}"`: so many digits, no zeros behind. */
export function general(value: number, digits = 6): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const [exact, power] = value.toExponential(60).split('e');
  const unsigned = exact.replace('-', '').replace('.', '');
  let kept = BigInt(unsigned.slice(0, digits));
  const rest = unsigned.slice(digits);
  // halves go to the even digit, as Python has it
  if (TIE.test(rest) ? kept % 2n === 1n : rest[0] >= '5') kept += 1n;
  let [figures, exponent] = [String(kept), Number(power)];
  if (figures.length > digits) [figures, exponent] = [figures.slice(0, digits), exponent + 1];
  const sign = value < 0 ? '-' : '';
  const trimmed = (text: string): string => (text.includes('.') ? text.replace(/\.?0+$/, '') : text);
  if (exponent < -4 || exponent >= digits) {
    const size = String(Math.abs(exponent)).padStart(2, '0');
    const mantissa = trimmed(`${figures[0]}.${figures.slice(1)}`).replace(/\.$/, '');
    return `${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return `${sign}${trimmed(`0.${'0'.repeat(-exponent - 1)}${figures}`)}`;
  const whole = figures.slice(0, exponent + 1);
  const fraction = figures.slice(exponent + 1);
  return `${sign}${fraction ? trimmed(`${whole}.${fraction}`) : whole}`;
}

export const shapeInWords = (shape: Iterable<number>): string => [...shape].join('×');

/** Lengths of voxels. */
export function spacingInWords(mm: readonly number[]): string {
  return `${mm.map((each) => general(Number(each.toFixed(5)), 4)).join('×')} mm`;
}

export function bytesInWords(count: number): string {
  for (const unit of ['B', 'KB', 'MB', 'GB']) {
    if (Number(general(count, 3)) < 1000) return `${general(count, 3)} ${unit}`;
    count /= 1000;
  }
  return `${general(count, 4)} TB`;
}

/** A time, to two digits or to the second. */
export function secondsInWords(seconds: number): string {
  if (seconds < 9.95) return `${general(seconds, 2)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const parts = (count: number, large: string, small: string, size: number): string => {
    const rest = count % size;
    return `${Math.floor(count / size)} ${large}${rest ? ` ${rest} ${small}` : ''}`;
  };
  if (whole < 3600) return parts(whole, 'min', 's', 60);
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return parts(minutes, 'h', 'min', 60);
  return parts(Math.round(seconds / 3600), 'd', 'h', 24);
}

/** A share. */
export function inPercent(share: number): string {
  const percent = 100 * share;
  if (percent < 0.01) return 'less than 0.01 %';
  return `${percent >= 10 ? percent.toFixed(0) : general(percent, 2)} %`;
}

export const capital = (of: string): string => of.charAt(0).toUpperCase() + of.slice(1);

/** What is said in lower case elsewhere, as a sentence of a page. */
export const sentence = (fragment: string): string => `${capital(fragment)}.`;
