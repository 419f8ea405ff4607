/** Images in the memory of the graphics card: float16, in units of black to white of the scan. */

import type { Picture } from './picture';

/** What is said where the graphics were reset. */
export const LOST =
  'The graphics of this computer were reset; open the page anew to see the picture.';

/** A texture at a unit. Raises an error where the card cannot hold it. */
export function upload(
  gl: WebGL2RenderingContext,
  unit: number,
  { data, shape }: Picture,
  [black, white]: readonly [number, number],
): WebGLTexture {
  if (gl.isContextLost()) throw new Error(LOST);
  const [ni, nj, nk] = shape;
  if (Math.max(...shape) > (gl.getParameter(gl.MAX_3D_TEXTURE_SIZE) as number)) {
    throw new Error(`This computer's graphics cannot show an image of ${shape.join('×')} voxels.`);
  }
  while (gl.getError() !== gl.NO_ERROR); // what was before is not ours
  const texture = gl.createTexture();
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(gl.TEXTURE_3D, texture);
  for (const side of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) {
    gl.texParameteri(gl.TEXTURE_3D, side, gl.CLAMP_TO_EDGE);
  }
  gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
  gl.texParameteri(gl.TEXTURE_3D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
  gl.texStorage3D(gl.TEXTURE_3D, 1, gl.R16F, ni, nj, nk);
  if (gl.getError() !== gl.NO_ERROR) {
    gl.deleteTexture(texture);
    throw new Error('This image is more than the memory of the graphics of this computer holds.');
  }
  gl.pixelStorei(gl.UNPACK_ALIGNMENT, 4);
  const plane = new Float32Array(ni * nj);
  for (let k = 0; k < nk; k++) {
    const from = k * plane.length;
    for (let n = 0; n < plane.length; n++) plane[n] = (data[from + n] - black) / (white - black);
    gl.texSubImage3D(gl.TEXTURE_3D, 0, 0, 0, k, ni, nj, 1, gl.RED, gl.FLOAT, plane);
  }
  gl.activeTexture(gl.TEXTURE0);
  return texture;
}
