/** How a result was made, as the sidecars of Python say it: `arssr/jobs/provenance.py`. */

import type { Model } from '../engine/model';
import { described } from '../grid';
import { general } from '../words';
import type { Known } from './known';
import type { Facts, Plan } from './plan';

// Of `agreement`, which Python computes (arssr/upsampling/agreement.py).
const NOT_COMPARED =
  'not computed: this page does not compare results with scans, `arssr view` does';
const NO_NETWORK = 'not computed: no network had a part in it';

/** options: what was asked for beyond the defaults. */
export function madeOf(
  scan: Known,
  { lattice, correction }: Plan,
  { manifest }: Model,
  options: Record<string, unknown>,
  skipAir: boolean,
): Facts {
  return {
    created: new Date().toISOString().replace(/\.\d+Z$/, '+00:00'),
    versions: { arssr: manifest.arssr, browser: navigator.userAgent },
    options,
    input: { file: scan.name, sha256: scan.sha256, ...described(scan.grid), slices: null },
    output: described(lattice.grid),
    model: {
      name: manifest.name,
      sha256: manifest.sha256,
      licence: manifest.card.licence ?? 'not stated',
      config: manifest.config,
    },
    device: 'webgpu',
    precision: 'float32',
    agreement: { in_words: correction ? NOT_COMPARED : NO_NETWORK },
    ...(correction && ofField(correction, skipAir)),
  };
}

function ofField(
  { noise, told, prepared }: NonNullable<Plan['correction']>,
  skipAir: boolean,
): Partial<Facts> {
  const { active, normalisation } = prepared;
  const inUnits = (level: number | null): number | null =>
    level === null ? null : Number(general(level * normalisation.range, 6));
  const air = 1 - active.reduce((a, b) => a + b, 0) / active.length;
  return {
    noise: inUnits(noise),
    told: { acquisition_ijk: told.acquisition, noise: inUnits(told.noise) },
    air_skipped: skipAir ? Number(air.toFixed(4)) : 0,
  };
}
