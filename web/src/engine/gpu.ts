/** A GPU that is given work in short submissions: a system resets one that is silent too long. */

import { Refusal } from '../errors';

const WORD = 4;
const SLOT = 256; // bytes between the parameters of two dispatches
const SLOTS = 256;
const MOST_PARAMETERS = 16;
const TARGET_MS = 50; // what a submission should take; operating systems reset a GPU after 2 s
const FIRST_WORK = 5e6; // multiplications of the first submission, before anything is known
const MOST_GROWTH = 2;
const SMALL = 0.25; // a submission of less than this share of the work tells nothing of the speed

const INSTEAD =
  ', with which pages compute on a graphics card: use a current Chrome, Edge, Safari or Firefox ' +
  'with hardware acceleration switched on, or `arssr view`, which needs neither';

/** Another word for what a user can do nothing about: the GPU went away or has too little memory. */
export class GpuError extends Refusal {}

/** There is too little memory on the GPU: less at a time may fit. */
export class GpuMemoryError extends GpuError {}

export interface Kernel {
  /** WGSL; two kernels of the same code are one. */
  code: string;
  /** The storage bindings after the parameters, in order: r for those that are only read. */
  bindings: string;
}

export interface Dispatch {
  kernel: Kernel;
  /** Whole numbers, as the kernel's `Parameters` has them. */
  parameters: number[];
  buffers: GPUBuffer[];
  groups: [number, number, number];
  /** Multiplications, roughly. */
  work: number;
}

interface Built {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

export class Gpu {
  /** Multiplications that a submission may hold. */
  work = FIRST_WORK;
  /** The longest submission so far, and how many there were. */
  longestMs = 0;
  submissions = 0;
  /** Multiplications so far. */
  done = 0;
  /** Is told of every submission that ended. */
  heard: () => void = () => undefined;

  private readonly built = new Map<string, Built>();
  private readonly parameters: GPUBuffer;
  private readonly slots = new Int32Array((SLOT / WORD) * SLOTS);
  private readonly owned = new Set<GPUBuffer>();
  private waiting: Dispatch[] = [];
  private pending = 0; // multiplications in `waiting`
  private failure: GpuError | undefined;

  constructor(readonly device: GPUDevice) {
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    this.parameters = device.createBuffer({ size: SLOT * SLOTS, usage });
    void device.lost.then(({ message }) => {
      this.failure ??= new GpuError(`the graphics card stopped (${message || 'no reason given'})`);
    });
    device.addEventListener('uncapturederror', ({ error }) => {
      this.failure ??=
        error instanceof GPUOutOfMemoryError
          ? new GpuMemoryError('the graphics card has too little memory for this')
          : new GpuError(error.message);
    });
  }

  /** The browser's GPU, with the largest buffers that it allows. Throws where there is none. */
  static async open(): Promise<Gpu> {
    if (!navigator.gpu) throw new GpuError(`this browser has no WebGPU${INSTEAD}`);
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) {
      throw new GpuError(`this browser finds no graphics card that it can use (WebGPU)${INSTEAD}`);
    }
    const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
    const requiredLimits = { maxBufferSize, maxStorageBufferBindingSize };
    return new Gpu(await adapter.requestDevice({ requiredLimits }));
  }

  /** Gives the GPU back, and all buffers with it. */
  close(): void {
    this.device.destroy();
  }

  /** Whether nothing has gone wrong so far: then it can go on computing. */
  get isSound(): boolean {
    return !this.failure;
  }

  /** Bytes of the largest buffer that a kernel can be given. */
  get largest(): number {
    const { maxStorageBufferBindingSize, maxBufferSize } = this.device.limits;
    return Math.min(maxStorageBufferBindingSize, maxBufferSize);
  }

  buffer(bytes: number, usage: number): GPUBuffer {
    const size = Math.max(16, Math.ceil(bytes / 16) * 16);
    const made = this.device.createBuffer({ size, usage });
    this.owned.add(made);
    return made;
  }

  /** A buffer that kernels read and write; with what is in it, if given. */
  storage(of: number | Float32Array | Uint32Array): GPUBuffer {
    const { STORAGE, COPY_DST, COPY_SRC } = GPUBufferUsage;
    const bytes = typeof of === 'number' ? of : of.byteLength;
    if (bytes > this.largest) {
      throw new GpuError(`a buffer of ${bytes} bytes is beyond what this graphics card takes`);
    }
    const made = this.buffer(bytes, STORAGE | COPY_DST | COPY_SRC);
    if (typeof of !== 'number') this.device.queue.writeBuffer(made, 0, of as GPUAllowSharedBufferSource);
    return made;
  }

  release(...buffers: GPUBuffer[]): void {
    for (const each of buffers) {
      each.destroy();
      this.owned.delete(each);
    }
  }

  /** Frees all buffers, and forgets what was asked for and not yet submitted. */
  clear(): void {
    [this.waiting, this.pending] = [[], 0];
    this.release(...this.owned);
  }

  async write(buffer: GPUBuffer, data: Float32Array | Uint32Array, offset = 0): Promise<void> {
    await this.flush(); // what was asked for before still reads what is there now
    this.device.queue.writeBuffer(buffer, offset, data as GPUAllowSharedBufferSource);
  }

  async run(dispatch: Dispatch): Promise<void> {
    await this.build(dispatch.kernel);
    const full = this.waiting.length === SLOTS || this.pending + dispatch.work > this.work;
    if (full) await this.flush();
    this.waiting.push(dispatch);
    this.pending += dispatch.work;
  }

  /** Submits what was asked for, and waits for it. */
  async flush(): Promise<void> {
    if (this.failure) throw this.failure;
    if (!this.waiting.length) return;
    const { waiting, pending } = this;
    [this.waiting, this.pending] = [[], 0];
    const encoder = this.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (const [slot, { kernel, parameters, buffers, groups }] of waiting.entries()) {
      const { pipeline, layout } = this.built.get(kernel.code)!;
      this.slots.set(parameters, (slot * SLOT) / WORD);
      const size = MOST_PARAMETERS * WORD;
      const resources: GPUBindingResource[] = [
        { buffer: this.parameters, size },
        ...buffers.map((buffer) => ({ buffer })),
      ];
      const entries = resources.map((resource, binding) => ({ binding, resource }));
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, this.device.createBindGroup({ layout, entries }), [slot * SLOT]);
      pass.dispatchWorkgroups(...groups);
    }
    pass.end();
    const used = (waiting.length * SLOT) / WORD;
    this.device.queue.writeBuffer(this.parameters, 0, this.slots, 0, used);
    const since = performance.now();
    this.device.queue.submit([encoder.finish()]);
    await this.settled(this.device.queue.onSubmittedWorkDone());
    this.learn(pending, performance.now() - since);
  }

  /** The first numbers of a buffer. */
  async read(buffer: GPUBuffer, count: number): Promise<Float32Array> {
    await this.flush();
    const { MAP_READ, COPY_DST } = GPUBufferUsage;
    const staging = this.buffer(count * WORD, MAP_READ | COPY_DST);
    const encoder = this.device.createCommandEncoder();
    encoder.copyBufferToBuffer(buffer, 0, staging, 0, count * WORD);
    this.device.queue.submit([encoder.finish()]);
    await this.settled(staging.mapAsync(GPUMapMode.READ));
    const data = new Float32Array(staging.getMappedRange(0, count * WORD).slice(0));
    this.release(staging);
    return data;
  }

  private async settled(work: Promise<undefined>): Promise<void> {
    try {
      await Promise.race([work, this.device.lost]);
    } catch (error) {
      throw this.failure ?? error;
    }
    await Promise.resolve(); // what is told of a lost device comes first
    if (this.failure) throw this.failure;
  }

  private learn(work: number, ms: number): void {
    this.submissions += 1;
    this.done += work;
    this.longestMs = Math.max(this.longestMs, ms);
    this.heard();
    if (work < SMALL * this.work) return;
    const fits = (work / Math.max(ms, 0.1)) * TARGET_MS;
    this.work = Math.min(Math.max(fits, this.work / MOST_GROWTH), this.work * MOST_GROWTH);
  }

  /** Compiles a kernel when it is first asked for. */
  private async build({ code, bindings }: Kernel): Promise<void> {
    if (this.built.has(code)) return;
    const { device } = this;
    const visibility = GPUShaderStage.COMPUTE;
    const layout = device.createBindGroupLayout({
      entries: [
        { binding: 0, visibility, buffer: { type: 'uniform', hasDynamicOffset: true } },
        ...[...bindings].map((letter, number) => {
          const type: GPUBufferBindingType = letter === 'r' ? 'read-only-storage' : 'storage';
          return { binding: number + 1, visibility, buffer: { type } };
        }),
      ],
    });
    const pipeline = await device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module: device.createShaderModule({ code }) },
    });
    this.built.set(code, { pipeline, layout });
  }
}
