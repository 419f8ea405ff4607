/** What is seen: a scan, and beside it a result, under one crosshair. */

import type { NVImage } from '@niivue/niivue';
import { mat4, vec3 } from 'gl-matrix';
import type { Three } from '../backend';
import { percentiles, sharesOf, windowOf, type Picture } from './picture';
import { NORMAL, PLANES, Planes, type Box, type Plane } from './planes';
import { LAYERS, UNITS, type Layer } from './shader';
import { upload } from './textures';

type Image = keyof typeof UNITS;
const IMAGES = Object.keys(UNITS) as Image[];

/** What a person has chosen to see. */
export interface View {
  /** Left and right of the line between before and after. */
  left: Layer;
  right: Layer;
  /** Where that line is, 0 to 1; at 1 all is left of it. */
  line: number;
  /** Black and white, in units of the scan. */
  window: readonly [number, number];
  /** Where colours of a difference, and those of half-widths, end, in units of the scan. */
  reach: number;
  widest: number;
  smooth: boolean;
  cross: boolean;
  /** The plane that is large. */
  large: Plane;
}

const GAP = 0.006; // between tiles, of the canvas
const LARGE = [0.55, 0.7] as const; // of the canvas, at least and at most
const MOST = 24; // times magnified
const REACH = 0.995; // share of the differences whose colours do not end

export class Viewer {
  readonly planes = new Planes();
  view: View = {
    left: 'scan',
    right: 'result',
    line: 1,
    window: [0, 1],
    reach: 1,
    widest: 1,
    smooth: false,
    cross: true,
    large: 0,
  };
  /** Hears of every change of what is seen. */
  onChange: () => void = () => {};
  private images: Partial<Record<Image, Picture>> = {};
  private textures: Partial<Record<Image, WebGLTexture>> = {};
  private range: readonly [number, number] = [0, 1]; // black and white of textures
  private counts: Three = [1, 1, 1]; // voxels of the frame along x, y and z
  private extent: Three = [1, 1, 1]; // and its size, in mm
  private isAsked = false;

  /** Raises an error where the browser has no WebGL 2. */
  async begin(canvas: HTMLCanvasElement): Promise<void> {
    if (!document.createElement('canvas').getContext('webgl2')) {
      throw new Error('This browser cannot draw the picture: it has no WebGL 2.');
    }
    await this.planes.attachToCanvas(canvas, false);
    this.planes.onTile = (left, width) => this.prepare(left, width);
    new ResizeObserver(() => this.lay()).observe(canvas);
  }

  has(image: Image): boolean {
    return image in this.images;
  }

  /** Nothing. */
  clear(): void {
    for (const image of IMAGES) this.drop(image);
    this.planes.unframe();
  }

  /** A scan alone. */
  async show(scan: Picture): Promise<void> {
    const frame = await this.planes.frameOf(scan);
    this.clear();
    const window = windowOf(scan);
    this.range = window;
    this.put('scan', scan);
    this.take(frame, scan);
    this.place([0.5, 0.5, 0.5]);
    const large = planeOf(scan);
    this.set({ window, large, line: 1, left: 'scan', right: 'result' });
    this.reset();
    this.lay();
  }

  /** A result beside the scan. */
  async compare(result: Picture): Promise<void> {
    const frame = await this.planes.frameOf(result);
    const at = this.mm;
    this.drop('cubic');
    this.drop('uncertainty');
    this.put('result', result);
    this.take(frame, result);
    const toShares = mat4.invert(mat4.create(), this.planes.toMm)!;
    this.place([...vec3.transformMat4(vec3.create(), at, toShares)] as unknown as Three);
    this.set({ left: 'scan', right: 'result', line: 0.5 });
    this.lay();
  }

  /** Cubic interpolation of the scan, on the grid of the result. */
  addCubic(cubic: Picture): void {
    this.put('cubic', cubic);
    const result = this.images.result!;
    const difference = (n: number): number => Math.abs(result.data[n] - cubic.data[n]);
    this.set({ reach: usualMost(result.data.length, difference) });
  }

  /** Half-widths of the intervals of the result, on its grid. */
  addHalfWidths(wide: Picture): void {
    this.put('uncertainty', wide);
    this.set({ widest: usualMost(wide.data.length, (n) => wide.data[n]) });
  }

  set(change: Partial<View>): void {
    const isLaid = change.large === undefined || change.large === this.view.large;
    Object.assign(this.view, change);
    if (isLaid) this.draw();
    else this.lay();
    this.onChange();
  }

  /** Black and white that leave out the rarest intensities. */
  autoWindow(): void {
    if (this.images.scan) this.set({ window: windowOf(this.images.scan) });
  }

  /** The crosshair, in RAS+ mm. */
  get mm(): Three {
    const at = vec3.transformMat4(vec3.create(), this.planes.at as vec3, this.planes.toMm);
    return [...at] as unknown as Three;
  }

  /** What an image has at the crosshair; undefined outside of it. */
  valueOf(image: Image): number | undefined {
    const picture = this.images[image];
    if (!picture) return undefined;
    const shares = vec3.transformMat4(vec3.create(), this.mm as vec3, sharesOf(picture));
    const [i, j, k] = [...shares].map((share, axis) => Math.floor(share * picture.shape[axis]));
    const [ni, nj, nk] = picture.shape;
    const isInside = i >= 0 && j >= 0 && k >= 0 && i < ni && j < nj && k < nk;
    return isInside ? picture.data[i + ni * (j + nj * k)] : undefined;
  }

  /** Put the crosshair at shares of the frame, onto the centre of a voxel. */
  place(shares: Three): void {
    const at = shares.map((share, axis) => {
      const count = this.counts[axis];
      return (Math.min(count - 1, Math.max(0, Math.floor(share * count))) + 0.5) / count;
    });
    this.planes.scene.crosshairPos = at as unknown as vec3;
    this.draw();
    this.onChange();
  }

  /** Go through the slices of a plane. */
  step(plane: Plane, by: number): void {
    const at = [...this.planes.at];
    at[NORMAL[plane]] += by / this.counts[NORMAL[plane]];
    this.place(at as unknown as Three);
  }

  /** Magnify about a place of the frame (its middle unless said), which stays where it is. */
  zoom(factor: number, about: Three = this.planes.at): void {
    const [x, y, z, before] = this.planes.scene.pan2Dxyzmm;
    const after = Math.min(MOST, Math.max(1, before * factor));
    if (after === 1) return this.reset();
    const mm = this.orthogonalMm(about);
    const pan = [x, y, z].map((each, axis) => each + mm[axis] * (before - after));
    this.planes.scene.pan2Dxyzmm = [...pan, after] as never;
    this.draw();
    this.onChange();
  }

  /** Move the picture, from one place of the frame to another. */
  pan(from: Three, to: Three): void {
    const [x, y, z, zoom] = this.planes.scene.pan2Dxyzmm;
    const [before, after] = [this.orthogonalMm(from), this.orthogonalMm(to)];
    const pan = [x, y, z].map((each, axis) => each + (after[axis] - before[axis]) * zoom);
    this.planes.scene.pan2Dxyzmm = [...pan, zoom] as never;
    this.draw();
  }

  reset(): void {
    this.planes.scene.pan2Dxyzmm = [0, 0, 0, 1] as never;
    this.draw();
    this.onChange();
  }

  get magnified(): number {
    return this.planes.scene.pan2Dxyzmm[3];
  }

  /** The tiles by their planes. */
  get boxes(): { plane: Plane; box: Box }[] {
    const { clientWidth: width, clientHeight: height } = this.planes.canvas!;
    const [first, ...others] = [this.view.large, ...PLANES.filter((p) => p !== this.view.large)];
    const isWide = width >= height;
    const [across, up] = [0, 1, 2]
      .filter((axis) => axis !== NORMAL[first])
      .map((axis) => this.extent[axis]);
    const fills = isWide ? (across / up) * (height / width) : (up / across) * (width / height);
    const large = Math.min(LARGE[1], Math.max(LARGE[0], fills));
    const [rest, half] = [1 - large - GAP, (1 - GAP) / 2];
    return [
      { plane: first, box: isWide ? [0, 0, large, 1] : [0, 0, 1, large] },
      ...others.map((plane, n): { plane: Plane; box: Box } => {
        const from = n * (half + GAP);
        return {
          plane,
          box: isWide ? [large + GAP, from, rest, half] : [from, large + GAP, half, rest],
        };
      }),
    ];
  }

  private lay(): void {
    if (!this.images.scan || !this.planes.canvas!.clientHeight) return;
    this.planes.lay(this.boxes);
    this.draw();
    this.onChange();
  }

  /** Draw now what was to be drawn with the next frame of the screen. */
  settle(): void {
    if (!this.isAsked) return;
    this.isAsked = false;
    this.planes.drawScene();
  }

  private draw(): void {
    if (!this.isAsked) requestAnimationFrame(() => this.settle());
    this.isAsked = true;
  }

  private put(image: Image, picture: Picture): void {
    this.drop(image);
    const [black, white] = this.range;
    const range = image === 'uncertainty' ? ([0, white - black] as const) : this.range;
    this.textures[image] = upload(this.planes.gl, UNITS[image], picture, range);
    this.images[image] = picture;
  }

  private drop(image: Image): void {
    this.planes.gl.deleteTexture(this.textures[image] ?? null);
    delete this.textures[image];
    delete this.images[image];
  }

  private take(frame: NVImage, { shape }: Picture): void {
    this.planes.take(frame);
    const along = this.planes.permutation.map((axis) => shape[Math.abs(axis) - 1]);
    this.counts = along as unknown as Three;
    this.extent = [...mat4.getScaling(vec3.create(), this.planes.toMm)] as unknown as Three;
  }

  /** Uniforms of the shader, before a tile is drawn. */
  private prepare(left: number, width: number): void {
    const { gl, customSliceShader, scene, toMm } = this.planes;
    if (!customSliceShader) return;
    customSliceShader.use(gl);
    const { uniforms } = customSliceShader;
    for (const image of IMAGES) {
      gl.uniform1i(uniforms[image], UNITS[image]);
      gl.activeTexture(gl.TEXTURE0 + UNITS[image]);
      gl.bindTexture(gl.TEXTURE_3D, this.textures[image] ?? this.textures.scan ?? null);
    }
    gl.activeTexture(gl.TEXTURE0);
    const { scan, result } = this.images;
    if (scan) gl.uniformMatrix4fv(uniforms.toScan, false, into(scan, toMm));
    if (result) gl.uniformMatrix4fv(uniforms.toResult, false, into(result, toMm));
    const [black, white] = this.range;
    const scaled = this.view.window.map((value) => (value - black) / (white - black));
    gl.uniform2fv(uniforms.window, scaled);
    const { right, reach, widest } = this.view;
    gl.uniform1f(uniforms.reach, (right === 'uncertainty' ? widest : reach) / (white - black));
    gl.uniform1i(uniforms.left, LAYERS.indexOf(this.view.left));
    gl.uniform1i(uniforms.right, LAYERS.indexOf(this.view.right));
    const { line } = this.view;
    gl.uniform1f(uniforms.line, line >= 1 ? 1e9 : line <= 0 ? -1e9 : left + line * width);
    const ratio = this.planes.uiData.dpr ?? 1;
    gl.uniform1f(uniforms.lineWidth, 0.75 * ratio);
    gl.uniform1i(uniforms.smoothed, Number(this.view.smooth));
    gl.uniform3fv(uniforms.cross, scene.crosshairPos);
    gl.uniform1f(uniforms.crossWidth, this.view.cross ? ratio : 0);
  }

  /** A place of the frame in the millimetres in which NiiVue pans. */
  private orthogonalMm(shares: Three): Three {
    const toMm = this.planes.volumes[0].frac2mmOrtho as mat4;
    return [...vec3.transformMat4(vec3.create(), shares as vec3, toMm)] as unknown as Three;
  }
}

/** What all but the rarest of some values are below; looked at are a few of them. */
function usualMost(count: number, value: (n: number) => number): number {
  const step = Math.max(1, Math.floor(count / 200_003));
  const some = Float32Array.from({ length: Math.floor(count / step) }, (_, n) => value(n * step));
  return percentiles(some, [REACH])[0] || 1;
}

/** From shares of the frame to shares of an image. */
function into(picture: Picture, toMm: mat4): mat4 {
  return mat4.multiply(mat4.create(), sharesOf(picture), toMm);
}

/** A plane in which slices are seen from the side; sagittal, where all voxels are about as long. */
function planeOf({ affine }: Picture): Plane {
  const sizes = [...mat4.getScaling(vec3.create(), affine)];
  const thick = sizes.indexOf(Math.max(...sizes));
  const column = [...affine].slice(4 * thick, 4 * thick + 3).map(Math.abs);
  const along = column.indexOf(Math.max(...column)); // of x, y and z
  return along === 0 ? 1 : 2;
}
