/** How far a run is, and how long it will still take: `arssr/view/runs.py`. */

import type { Run } from '../page/backend';
import { secondsInWords } from '../words';

const TOO_EARLY = 0.05; // of a step: how long it takes is not known from less

export class Progress {
  private began = 0;
  private step = '';
  private stepBegan = 0;
  private share = 0;

  /** seconds: what it will take, where that was estimated. */
  constructor(private readonly seconds: number | null) {}

  begin(): void {
    this.began = performance.now();
  }

  hear(what: string, share: number): void {
    if (what !== this.step) [this.step, this.stepBegan] = [what, performance.now()];
    this.share = share;
  }

  describe(): Pick<Run, 'what' | 'share' | 'seconds_left' | 'left_in_words'> {
    const left = this.secondsLeft();
    return {
      what: this.step,
      share: Number(this.share.toFixed(4)),
      seconds_left: left === null ? null : Number(left.toFixed(1)),
      left_in_words: left === null ? '' : `about ${secondsInWords(left)} left`,
    };
  }

  /** By the estimate, and by the step under way; null where neither says anything (more). */
  private secondsLeft(): number | null {
    const now = performance.now();
    const left: number[] = [];
    if (this.seconds !== null) left.push(this.seconds - (now - this.began) / 1000);
    if (this.share > TOO_EARLY) {
      left.push((((now - this.stepBegan) / 1000) * (1 - this.share)) / this.share);
    }
    const most = Math.max(...left);
    return most > 0 ? most : null;
  }
}
