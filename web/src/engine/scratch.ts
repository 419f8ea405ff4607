/** Buffers by name, which are used again. */

import type { Gpu } from './gpu';

export class Scratch {
  private readonly known = new Map<string, GPUBuffer>();

  constructor(private readonly gpu: Gpu) {}

  /** A buffer of at least so many bytes, the same one for a name while it is large enough. */
  async room(name: string, bytes: number): Promise<GPUBuffer> {
    const known = this.known.get(name);
    if (known && known.size >= bytes) return known;
    if (known) {
      await this.gpu.flush(); // what was asked for before still needs it
      this.gpu.release(known);
    }
    const made = this.gpu.storage(bytes);
    this.known.set(name, made);
    return made;
  }

  async filled(name: string, data: Float32Array | Uint32Array): Promise<GPUBuffer> {
    const buffer = await this.room(name, data.byteLength);
    await this.gpu.write(buffer, data);
    return buffer;
  }
}
