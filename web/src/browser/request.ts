/** What is asked for of a scan, checked: `arssr/upsampling/request.py` and `arssr/scan.py`. */

import { Refusal } from '../errors';
import { UNKNOWN } from '../engine/model';
import type { Asked, Target } from '../page/backend';
import { inOrder } from '../target';

const CLINICAL = new Map([
  ['2d', 'slice'],
  ['3d', 'kspace'],
]);
const IN_WORDS = new Map([
  ['slice', '2D (slice)'],
  ['kspace', '3D (kspace)'],
]);
const ELSEWHERE = new Map([
  ['uncertainty', 'how sure a result is'],
  ['consistent', 'making a result agree with its scan'],
  ['labels', 'bringing label maps to other grids'],
]);
const FLIPS = [[], [0, 1], [0, 2], [1, 2], [0], [1], [2], [0, 1, 2]];

export interface Request {
  target: Target;
  /** One name for all axes, or one for each. */
  acquisition: string | readonly string[];
  noise: number | 'auto' | 'unknown';
  /** The axes that each member of an ensemble flips. */
  flips: number[][];
  strict: boolean;
  asStored: boolean;
  clamp: boolean;
  skipAir: boolean;
}

/** Throws for what does not go together, and for what is not computed here. known: acquisitions. */
export function requestOf(asked: Asked, known: readonly string[]): Request {
  for (const [name, what] of ELSEWHERE) {
    if (asked[name as 'labels']) {
      throw new Refusal(`${what} is not computed by this page; \`arssr view\` does it`);
    }
  }
  const { noise = 'auto', ensemble = 1 } = asked;
  if (typeof noise === 'number' && !(noise >= 0 && Number.isFinite(noise))) {
    throw new Refusal(`noise must be at least 0 and finite, not ${noise}`);
  }
  if (![1, 4, 8].includes(ensemble)) {
    throw new Refusal(`an ensemble has 1, 4 or 8 members, not ${String(ensemble)}`);
  }
  return {
    target: asked.target,
    acquisition: acquisitionOf(asked.acquisition ?? 'auto', known),
    noise,
    flips: FLIPS.slice(0, ensemble),
    strict: asked.strict ?? false,
    asStored: asked.as_stored ?? false,
    clamp: asked.clamp ?? true,
    skipAir: asked.skip_air ?? true,
  };
}

/** What was asked for beyond the defaults, by the names of the sidecar. like: a scan's name. */
export function toldOf(request: Request, like: string | null): Record<string, unknown> {
  const { flips, skipAir, clamp, asStored } = request;
  const target = like === null ? inOrder(request.target) : { like };
  return {
    ...(Object.keys(target).length ? target : { target: 'auto' }),
    acquisition: request.acquisition,
    noise: request.noise,
    ...(flips.length > 1 && { ensemble: flips.length }),
    ...(!skipAir && { skip_air: false }),
    ...(!clamp && { clamp: false }),
    ...(asStored && { as_stored: true }),
  };
}

/** The names that the network knows, of what may be a clinician's. */
function acquisitionOf(
  given: string | readonly string[],
  known: readonly string[],
): string | readonly string[] {
  const names = (typeof given === 'string' ? [given] : given).map((name) => {
    return CLINICAL.get(name.toLowerCase()) ?? name;
  });
  if (names.length !== 1 && names.length !== 3) {
    throw new Refusal(`an acquisition is one name or three, not ${names.length}`);
  }
  for (const name of names) {
    if ([...known, UNKNOWN].includes(name) || (typeof given === 'string' && name === 'auto')) continue;
    const words = [...known, UNKNOWN].map((each) => IN_WORDS.get(each) ?? each);
    throw new Refusal(`unknown acquisition '${name}'; known are auto, ${words.join(', ')}`);
  }
  return typeof given === 'string' ? names[0] : names;
}
