/**
 * One slice, by NiiVue's rules for shaders of slices: `texPos` is the place in the field of view,
 * and each uniform is declared on a line of its own.
 */

/** What is drawn on a side of the line between before and after. */
export const LAYERS = ['scan', 'result', 'cubic', 'difference', 'uncertainty'] as const;
export type Layer = (typeof LAYERS)[number];

/** Of texture units; NiiVue's own end at 10. */
export const UNITS = { scan: 11, result: 12, cubic: 13, uncertainty: 14 } as const;

// Differences from below zero to above in the colours of the reports (viewing/templates/viewer.js).
const DIVERGING = [
  [191, 230, 255],
  [47, 143, 221],
  [16, 18, 20],
  [232, 114, 42],
  [255, 226, 189],
];
// Half-widths from 0 on, as in the reports: inferno, of matplotlib.
const RISING = [
  [0, 0, 4],
  [66, 10, 104],
  [147, 38, 103],
  [221, 81, 58],
  [252, 165, 10],
  [252, 255, 164],
];
const css = (colours: number[][]): string =>
  colours.map((rgb) => `rgb(${rgb.join(' ')})`).join(', ');
export const [DIVERGING_CSS, RISING_CSS] = [css(DIVERGING), css(RISING)];
const vector = (rgb: number[]): string =>
  `vec3(${rgb.map((c) => (c / 255).toFixed(4)).join(', ')})`;

export const SLICE = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
uniform sampler3D scan;
uniform sampler3D result;
uniform sampler3D cubic;
uniform sampler3D uncertainty;
uniform mat4 toScan;
uniform mat4 toResult;
uniform vec2 window;
uniform float reach;
uniform int left;
uniform int right;
uniform float line;
uniform float lineWidth;
uniform bool smoothed;
uniform vec3 cross;
uniform float crossWidth;
in vec3 texPos;
out vec4 color;

const vec3 AMBER = ${vector([255, 200, 87])};
const vec3 DIVERGING[5] = vec3[5](${DIVERGING.map(vector).join(', ')});
const vec3 RISING[6] = vec3[6](${RISING.map(vector).join(', ')});

bool outside(vec3 place) {
  return any(lessThan(place, vec3(0.0))) || any(greaterThan(place, vec3(1.0)));
}

float read(sampler3D image, vec3 place) {
  if (smoothed) return texture(image, place).r;
  vec3 size = vec3(textureSize(image, 0));
  return texelFetch(image, ivec3(min(floor(place * size), size - 1.0)), 0).r;
}

vec3 grey(float value) {
  return vec3(clamp((value - window.x) / (window.y - window.x), 0.0, 1.0));
}

vec3 signedColour(float difference) {
  float place = clamp(2.0 + 2.0 * difference / reach, 0.0, 3.9999);
  int below = int(place);
  return mix(DIVERGING[below], DIVERGING[below + 1], fract(place));
}

vec3 risingColour(float halfWidth) {
  float place = clamp(5.0 * halfWidth / reach, 0.0, 4.9999);
  int below = int(place);
  return mix(RISING[below], RISING[below + 1], fract(place));
}

void main() {
  vec3 inScan = (toScan * vec4(texPos, 1.0)).xyz;
  vec3 inResult = (toResult * vec4(texPos, 1.0)).xyz;
  int layer = gl_FragCoord.x < line ? left : right;
  vec3 shown;
  if (outside(layer == 0 ? inScan : inResult)) shown = vec3(0.0);
  else if (layer == 0) shown = grey(read(scan, inScan));
  else if (layer == 1) shown = grey(read(result, inResult));
  else if (layer == 2) shown = grey(read(cubic, inResult));
  else if (layer == 3) shown = signedColour(read(result, inResult) - read(cubic, inResult));
  else shown = risingColour(read(uncertainty, inResult));

  vec3 away = abs(texPos - cross) / max(fwidth(texPos), vec3(1e-9));
  vec3 inPlane = step(vec3(1e-9), fwidth(texPos));
  vec3 near = inPlane * vec3(lessThan(away, vec3(0.5 * crossWidth)));
  float centre = length(inPlane * away);
  if (max(near.x, max(near.y, near.z)) > 0.0 && centre > 8.0 * crossWidth) {
    shown = mix(shown, AMBER, 0.75);
  }
  if (abs(gl_FragCoord.x - line) < lineWidth) shown = vec3(1.0);
  color = vec4(shown, 1.0);
}`;
