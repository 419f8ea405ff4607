/** A scan on fewer voxels of the same field of view: its k-space, cut (`KSpace.axis_matrix`). */

type Three = readonly [number, number, number];

/** A matrix (count, n), row after row: what `count` voxels measure of n. */
export function kspaceMatrix(n: number, count: number): Float64Array {
  const cutoff = count / 2;
  const made = new Float64Array(count * n);
  for (let f = 0; f <= Math.floor(cutoff + 1e-9); f++) {
    // the Nyquist line belongs half to each side
    const weight = ((f === 0 ? 1 : 2) / n) * (Math.abs(f - cutoff) < 1e-8 ? 0.5 : 1);
    for (let row = 0; row < count; row++) {
      const position = (row + 0.5) * (n / count) - 0.5;
      for (let sample = 0; sample < n; sample++) {
        made[row * n + sample] += weight * Math.cos((2 * Math.PI * f * (position - sample)) / n);
      }
    }
  }
  return made;
}

/** A matrix (count, n), applied along an axis of an image, last index fastest. */
export function alongAxis(
  data: Float32Array,
  shape: Three,
  axis: number,
  matrix: Float64Array,
): Float32Array {
  const n = shape[axis];
  const count = matrix.length / n;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = data.length / n / inner;
  const made = new Float32Array(outer * count * inner);
  const [first, end] = usedOf(matrix, n);
  const line = new Float64Array(inner);
  for (let a = 0; a < outer; a++) {
    for (let row = 0; row < count; row++) {
      line.fill(0);
      for (let sample = first[row]; sample < end[row]; sample++) {
        const weight = matrix[row * n + sample];
        const start = (a * n + sample) * inner;
        for (let b = 0; b < inner; b++) line[b] += weight * data[start + b];
      }
      if (inner === 1) made[a * count + row] = line[0];
      else made.set(line, (a * count + row) * inner);
    }
  }
  return made;
}

/** Where the entries of each row of a matrix begin and end that are not 0. */
function usedOf(matrix: Float64Array, n: number): [number[], number[]] {
  const [first, end]: [number[], number[]] = [[], []];
  for (let start = 0; start < matrix.length; start += n) {
    const row = matrix.subarray(start, start + n);
    first.push(Math.max(row.findIndex(Boolean), 0));
    end.push(row.findLastIndex(Boolean) + 1);
  }
  return [first, end];
}
