/** The value below which a share of sorted values lies, as `numpy.percentile` interpolates it. */
export function percentile(sorted: Float32Array, share: number): number {
  const at = share * (sorted.length - 1);
  const low = Math.min(Math.floor(at), sorted.length - 1);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}
