/** A worker, which is asked one thing at a time, and started anew after it was stopped. */

import { Refusal } from '../errors';
import type { Tasks } from './worker';

const STOPPED = 'this was stopped';

export interface Call {
  /** Where weights lie. */
  models: string;
  task: keyof Tasks;
  values: unknown[];
  /** Whether the task tells of its progress. */
  reports: boolean;
}

export type Answer = { value: unknown } | { error: string } | { what: string; share: number };

type Hear = (what: string, share: number) => void;
type Values<Task extends keyof Tasks> =
  Parameters<Tasks[Task]> extends [...infer Given, Hear] ? Given : Parameters<Tasks[Task]>;

export class Remote {
  private worker: Worker | null = null;
  private before: Promise<unknown> = Promise.resolve();
  private fail: ((error: Refusal) => void) | null = null;
  private stops = 0;

  /** models: where weights lie. */
  constructor(private readonly models: string) {}

  /** What a task gives, once all that was asked for before is done. Throws its sentence. */
  ask<Task extends keyof Tasks>(
    task: Task,
    values: Values<Task>,
    hear?: Hear,
  ): Promise<Awaited<ReturnType<Tasks[Task]>>> {
    const { stops } = this;
    const answer = this.before.then(() => {
      if (stops !== this.stops) throw new Refusal(STOPPED);
      return this.send({ models: this.models, task, values, reports: !!hear }, hear);
    });
    this.before = answer.catch(() => undefined);
    return answer as Promise<Awaited<ReturnType<Tasks[Task]>>>;
  }

  /** Ends what is being done, at once, and all that it holds; what waits for it is not begun. */
  stop(): void {
    this.stops += 1;
    this.end(STOPPED);
  }

  private end(sentence: string): void {
    this.worker?.terminate();
    this.worker = null;
    this.fail?.(new Refusal(sentence));
  }

  private send(call: Call, hear?: Hear): Promise<unknown> {
    const worker = (this.worker ??= this.begin());
    return new Promise((resolve, reject) => {
      this.fail = reject;
      worker.onmessage = ({ data }: MessageEvent<Answer>): void => {
        if ('what' in data) hear?.(data.what, data.share);
        else if ('error' in data) reject(new Refusal(data.error));
        else resolve(data.value);
      };
      worker.postMessage(call);
    }).finally(() => (this.fail = null));
  }

  private begin(): Worker {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
    worker.onerror = ({ message }): void => {
      this.end(`the part of this page that computes has ended (${message || 'no reason given'})`);
    };
    return worker;
  }
}
