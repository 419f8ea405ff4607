/** Numbers rounded as NumPy rounds them: halves to the even one. */

export function rint(value: number): number {
  const low = Math.floor(value);
  if (value - low !== 0.5) return Math.round(value);
  return low % 2 === 0 ? low : low + 1;
}

/** `numpy.round`. */
export function rounded(value: number, decimals: number): number {
  const power = 10 ** decimals;
  return Math.abs(value) < 2 ** 52 / power ? rint(value * power) / power : value;
}
