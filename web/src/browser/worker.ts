/** A worker of the page: does the tasks that it is sent, one after the other. */

import { inOneLine } from '../errors';
import { forget } from './plan';
import { cubic, foresee, look, makeResult, measure, setUp } from './tasks';
import type { Answer, Call } from './remote';

const known = { look, measure, foresee, makeResult, cubic, forget };
export type Tasks = typeof known;

const page = self as unknown as { postMessage(answer: Answer): void };

self.addEventListener('message', ({ data }: MessageEvent<Call>) => {
  const { models, task, values, reports } = data;
  setUp(models);
  const report = (what: string, share: number): void => page.postMessage({ what, share });
  const work = known[task] as (...values: unknown[]) => unknown;
  Promise.resolve()
    .then(() => work(...values, ...(reports ? [report] : [])))
    .then(
      (value) => page.postMessage({ value }),
      (error: unknown) => page.postMessage({ error: inOneLine(error) }),
    );
});
