/** How far a run is, and how long it will still take. */

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

  /** By the step under way, which is nearly all; before by the estimate; null where none says it. */
  private secondsLeft(): number | null {
    const now = performance.now();
    const left =
      this.share > TOO_EARLY
        ? (((now - this.stepBegan) / 1000) * (1 - this.share)) / this.share
        : this.seconds !== null && this.seconds - (now - this.began) / 1000;
    return left !== false && left > 0 ? left : null;
  }
}
