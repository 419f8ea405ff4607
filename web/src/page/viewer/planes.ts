/** NiiVue, as it is used here: three linked planes that fill their tiles, drawn by our shader. */

import { Niivue, NVImage, SLICE_TYPE } from '@niivue/niivue';
import { mat4, vec3 } from 'gl-matrix';
import type { Three } from '../backend';
import type { Picture } from './picture';
import { SLICE } from './shader';

export type Plane = SLICE_TYPE.AXIAL | SLICE_TYPE.CORONAL | SLICE_TYPE.SAGITTAL;
export const PLANES: readonly Plane[] = [SLICE_TYPE.AXIAL, SLICE_TYPE.CORONAL, SLICE_TYPE.SAGITTAL];
/** The axis of RAS+ that each plane is normal to. */
export const NORMAL = [2, 1, 0] as const;
/** Left, top, width and height, as shares of the canvas. */
export type Box = readonly [number, number, number, number];

const MARGIN = 1.03;
const UINT8 = 2;

export class Planes extends Niivue {
  /** Hears of each tile before it is drawn: left edge and width in pixels. */
  onTile: (left: number, width: number) => void = () => {};
  private tiles: [number, number][] = [];

  constructor() {
    super({
      backColor: [0, 0, 0, 1],
      crosshairWidth: 0, // the shader draws it, in pixels
      dragAndDropEnabled: false,
      fontColor: [1, 200 / 255, 87 / 255, 1], // the reports' amber
      fontMinPx: 12,
      fontSizeScaling: 0.2,
      interactive: false, // gestures.ts
      isRadiologicalConvention: true,
      loadingText: '',
      logLevel: 'error',
      sagittalNoseLeft: true, // as the reports have it
      showAllOrientationMarkers: true,
    });
  }

  /** The field of view of an image, to be taken; what is drawn in it is the shader's business. */
  async frameOf({ shape, affine }: Picture): Promise<NVImage> {
    const halves = shape.map((n) => n / 2) as unknown as vec3; // voxels: two along each axis
    const placed = mat4.clone(affine);
    mat4.translate(placed, placed, [-0.5, -0.5, -0.5]);
    mat4.scale(placed, placed, halves);
    mat4.translate(placed, placed, [0.5, 0.5, 0.5]);
    const rows = [...mat4.transpose(mat4.create(), placed)];
    const sizes = [...mat4.getScaling(vec3.create(), placed)];
    const nifti = NVImage.createNiftiArray([2, 2, 2], sizes, rows, UINT8, new Uint8Array(8));
    const file = new File([nifti as Uint8Array<ArrayBuffer>], 'frame.nii');
    return NVImage.loadFromFile({ file, name: file.name });
  }

  take(frame: NVImage): void {
    this.unframe();
    this.addVolume(frame);
    if (!this.customSliceShader) this.setCustomSliceShader(SLICE);
  }

  unframe(): void {
    for (const frame of [...this.volumes]) this.removeVolume(frame);
  }

  /** From shares of the frame, in RAS order, to RAS+ mm. */
  get toMm(): mat4 {
    return this.volumes[0].frac2mm as mat4;
  }

  /** Which axis of the frame, i, j or k, lies along each axis of RAS+ (signed, from 1). */
  get permutation(): readonly number[] {
    return this.volumes[0].permRAS!;
  }

  /** Where the crosshair is, as shares of the frame. */
  get at(): Three {
    return [...this.scene.crosshairPos] as unknown as Three;
  }

  lay(boxes: readonly { plane: Plane; box: Box }[]): void {
    this.setCustomLayout(boxes.map(({ plane, box }) => ({ sliceType: plane, position: [...box] })));
  }

  /** Tiles are filled, so that what is zoomed is not cut off at the frame. */
  override calculateWidthHeight(
    plane: number,
    _scale: number[],
    width: number,
    height: number,
  ): [number, number] {
    this.tiles[plane] = [width, height];
    return [width, height];
  }

  override screenFieldOfViewExtendedVox(
    plane = 0,
  ): ReturnType<Niivue['screenFieldOfViewExtendedVox']> {
    const view = super.screenFieldOfViewExtendedVox(plane);
    const tile = this.tiles[plane];
    if (!tile) return view;
    const perPixel = MARGIN * Math.max(view.fovMM[0] / tile[0], view.fovMM[1] / tile[1]);
    for (const axis of [0, 1]) {
      const centre = (view.mnMM[axis] + view.mxMM[axis]) / 2;
      view.fovMM[axis] = perPixel * tile[axis];
      view.mnMM[axis] = centre - view.fovMM[axis] / 2;
      view.mxMM[axis] = centre + view.fovMM[axis] / 2;
    }
    return view;
  }

  override draw2DMain(box: number[], plane: SLICE_TYPE, mm?: number): void {
    this.onTile(box[0], box[2]);
    super.draw2DMain(box, plane, mm);
  }
}
