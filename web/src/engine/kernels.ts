/**
 * What the GPU computes, as WGSL.
 *
 * A map lies in a ring of planes: [slot][row][column][channel], four channels to a vector.
 */

import type { Kernel } from './gpu';

const TILE = 8; // rows and columns of the outputs of a workgroup
const QUADS = 8; // vectors of output channels of a workgroup; of input channels of a part
export const OF_CONVOLUTION = { tile: TILE, quads: QUADS } as const;

/** What becomes of the sums of a convolution; any of them together, as a number. */
export const END = {
  /** They are added to what the output holds, not to the bias. */
  onto: 1,
  relu: 2,
  gelu: 4,
  /** A map is added; of another that is added everywhere, the first channel to every channel. */
  added: [8, 32],
  everywhere: [16, 64],
} as const;

// Abramowitz and Stegun 7.1.26: |error| < 1.5e-7
const GELU = `
fn gelu(x: vec4f) -> vec4f {
  let z = abs(x) * 0.70710678118654752;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let tail = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741
    + t * (-1.453152027 + t * 1.061405429)))) * exp(-z * z);
  return 0.5 * x * (1.0 + sign(x) * (1.0 - tail));
}`;

const seq = (n: number): number[] => [...Array(n).keys()];

const products = (taps: number): string[] =>
  seq(taps).map(
    (tap) => `
          let m${tap} = shared_weights[(${tap}u * ${QUADS}u + q) * ${QUADS}u + thread.x];
          ${seq(TILE)
            .map((c) => `y${c} += m${tap} * x${c + tap};`)
            .join(' ')}`,
  );

const addition = (n: 0 | 1): string => `
  if ((p.end & ${END.added[n]}u) != 0u) {
    let from_map = place(i32(plane), row, column, p.added_ring${n}) * p.added_quads${n};
    if ((p.end & ${END.everywhere[n]}u) != 0u) {
      value += vec4f(added${n}[from_map].x);
    } else {
      value += added${n}[from_map + quad];
    }
  }`;

/**
 * A convolution of one map, register-tiled: a thread computes eight columns of a row, four channels
 * each. The weights of three taps (or one) and 32 × 32 channels go through workgroup memory at a
 * time: 12 KiB. One kernel for whatever becomes of the sums, as compiling takes seconds.
 */
function convolution(reach: 0 | 1): Kernel {
  const taps = 2 * reach + 1;
  const matrices = taps * QUADS * QUADS;
  const outs = seq(TILE);
  const code = `
struct Parameters {
  planes: i32, rows: i32, columns: i32, first_plane: u32, first_tile: u32,
  in_quads: u32, out_quads: u32, in_ring: i32, out_ring: i32,
  end: u32, added_ring0: i32, added_quads0: u32, added_ring1: i32, added_quads1: u32,
}
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> source: array<vec4f>;
@group(0) @binding(2) var<storage, read> weights: array<mat4x4f>;
@group(0) @binding(3) var<storage, read> bias: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> output: array<vec4f>;
@group(0) @binding(5) var<storage, read> added0: array<vec4f>;
@group(0) @binding(6) var<storage, read> added1: array<vec4f>;
var<workgroup> shared_weights: array<mat4x4f, ${matrices}>;
${GELU}
fn place(plane: i32, row: i32, column: i32, ring: i32) -> u32 {
  return u32(((plane % ring) * p.rows + row) * p.columns + column);
}
fn value_at(line: u32, column: i32, quad: u32) -> vec4f {
  if (column < 0 || column >= p.columns) { return vec4f(); }
  return source[(line + u32(column)) * p.in_quads + quad];
}
fn finish(sum: vec4f, plane: u32, row: i32, column: i32, quad: u32) {
  if (row >= p.rows || column >= p.columns || quad >= p.out_quads) { return; }
  let at = place(i32(plane), row, column, p.out_ring) * p.out_quads + quad;
  var value = sum;
  if ((p.end & ${END.onto}u) != 0u) { value += output[at]; } else { value += bias[quad]; }
  if ((p.end & ${END.relu}u) != 0u) { value = max(value, vec4f()); }
  if ((p.end & ${END.gelu}u) != 0u) { value = gelu(value); }
${addition(0)}${addition(1)}
  output[at] = value;
}
@compute @workgroup_size(${QUADS}, ${TILE})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_id) thread: vec3u,
  @builtin(local_invocation_index) index: u32,
) {
  let column = i32(group.x) * ${TILE};
  let row = i32((group.y + p.first_tile) * ${TILE}u + thread.y);
  let out_groups = (p.out_quads + ${QUADS - 1}u) / ${QUADS}u;
  let plane = p.first_plane + group.z / out_groups;
  let out_group = group.z % out_groups;
  let parts = (p.in_quads + ${QUADS - 1}u) / ${QUADS}u;
  ${outs.map((c) => `var y${c} = vec4f();`).join(' ')}
  var block = out_group * parts * ${taps * taps}u;
  for (var part = 0u; part < parts; part++) {
    let quads = min(p.in_quads - part * ${QUADS}u, ${QUADS}u);
    for (var dp = -${reach}; dp <= ${reach}; dp++) {
      for (var dr = -${reach}; dr <= ${reach}; dr++) {
        workgroupBarrier();
        for (var n = index; n < ${matrices}u; n += ${TILE * QUADS}u) {
          shared_weights[n] = weights[block * ${matrices}u + n];
        }
        workgroupBarrier();
        block++;
        let from_plane = i32(plane) + dp;
        let from_row = row + dr;
        let inside = from_plane >= 0 && from_plane < p.planes && from_row >= 0 && from_row < p.rows;
        let line = place(max(from_plane, 0), from_row, 0, p.in_ring);
        for (var q = 0u; q < select(0u, quads, inside); q++) {
          let input_quad = part * ${QUADS}u + q;
          ${seq(TILE + taps - 1)
            .map((c) => `let x${c} = value_at(line, column + ${c - reach}, input_quad);`)
            .join('\n          ')}
          ${products(taps).join('')}
        }
      }
    }
  }
  let quad = out_group * ${QUADS}u + thread.x;
  var sums = array(${outs.map((c) => `y${c}`).join(', ')});
  for (var c = 0; c < ${TILE}; c++) { finish(sums[c], plane, row, column + c, quad); }
}`;
  return { code, bindings: 'rrrwrr' };
}

/** Of 1×1×1 and of 3×3×3 voxels. */
export const CONVOLUTIONS = [convolution(0), convolution(1)] as const;

/** One axis of a volume [outer][n][inner] times a matrix with few entries a row, which lie together. */
export const ALONG_AXIS: Kernel = {
  bindings: 'rrrw',
  code: `
struct Parameters { n_in: u32, n_out: u32, inner: u32, entries: u32, total: u32, across: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read> first: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  let at = (group.y * p.across + group.x) * 64u + index;
  if (at >= p.total) { return; }
  let b = at % p.inner;
  let m = (at / p.inner) % p.n_out;
  let a = at / p.inner / p.n_out;
  let start = (a * p.n_in + first[m]) * p.inner + b;
  var sum = 0.0;
  for (var n = 0u; n < p.entries; n++) {
    sum += weights[m * p.entries + n] * source[start + n * p.inner];
  }
  output[at] = sum;
}`,
};

/** What enters the decoder's hidden layers: features read trilinearly, and the place, through GELU. */
export const ENTER: Kernel = {
  bindings: 'rrrrrw',
  code: `
struct Parameters {
  count: u32, start: u32, rows: u32, columns: u32, quads: u32, ring: u32,
  out_rows: u32, out_columns: u32, from_plane: u32, from_row: u32, from_column: u32,
  rows_at: u32, columns_at: u32,
}
struct Tap { first: u32, second: u32, share: f32, padding: f32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> features: array<vec4f>;
@group(0) @binding(2) var<storage, read> wanted: array<u32>;
@group(0) @binding(3) var<storage, read> taps: array<Tap>;
@group(0) @binding(4) var<storage, read> places: array<vec4f>;
@group(0) @binding(5) var<storage, read> gain: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> output: array<vec4f>;
${GELU}
@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let voxel = id.y;
  let quad = id.x;
  if (voxel >= p.count || quad >= p.quads) { return; }
  let at = wanted[p.start + voxel];
  let k = p.columns_at + p.from_column + at % p.out_columns;
  let j = p.rows_at + p.from_row + (at / p.out_columns) % p.out_rows;
  let i = p.from_plane + at / p.out_columns / p.out_rows;
  let a = taps[i];
  let b = taps[j];
  let c = taps[k];
  var near_far: array<vec4f, 2>;
  for (var n = 0u; n < 2u; n++) {
    let plane = (select(a.second, a.first, n == 0u) % p.ring) * p.rows;
    let near = (plane + b.first) * p.columns;
    let far = (plane + b.second) * p.columns;
    near_far[n] = mix(
      mix(features[(near + c.first) * p.quads + quad], features[(near + c.second) * p.quads + quad], c.share),
      mix(features[(far + c.first) * p.quads + quad], features[(far + c.second) * p.quads + quad], c.share),
      b.share);
  }
  let feature = mix(near_far[0], near_far[1], a.share);
  let place = places[i * p.quads + quad] + places[j * p.quads + quad] + places[k * p.quads + quad];
  output[voxel * p.quads + quad] = gelu(feature * gain[quad] + place);
}`,
};

/** The decoder's last layer, added to the interpolation. */
export const CORRECT: Kernel = {
  bindings: 'rrrw',
  code: `
struct Parameters { count: u32, start: u32, quads: u32 }
@group(0) @binding(0) var<uniform> p: Parameters;
@group(0) @binding(1) var<storage, read> hidden: array<vec4f>;
@group(0) @binding(2) var<storage, read> wanted: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<vec4f>;  // and the bias in one more
@group(0) @binding(4) var<storage, read_write> output: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= p.count) { return; }
  var sum = weights[p.quads].x;
  for (var quad = 0u; quad < p.quads; quad++) {
    sum += dot(hidden[id.x * p.quads + quad], weights[quad]);
  }
  output[wanted[p.start + id.x]] += sum;
}`,
};
