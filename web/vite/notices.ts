/** Completes the notices of the packages in a bundle: some are published without their licence. */

import { readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Plugin } from 'vite';

export const NOTICES = 'notices.txt'; // Vite writes it, with a heading for each package

/** Texts lie in `notices/`, under the names of packages with + for /. */
export function completeNotices(): Plugin {
  let folder = '';
  return {
    name: 'complete-notices',
    apply: 'build',
    configResolved({ root, build }) {
      folder = resolve(root, build.outDir);
    },
    writeBundle: {
      order: 'post',
      sequential: true,
      handler() {
        const path = resolve(folder, NOTICES);
        const parts = readFileSync(path, 'utf8').split(/^(?=## )/m);
        writeFileSync(path, parts.map(complete).join(''));
      },
    },
  };
}

function complete(part: string): string {
  const [, heading, name, body] = /^(## (\S+) .*)\n([^]*)$/.exec(part) ?? [];
  if (!heading || body.trim()) return part;
  const text = readFileSync(new URL(`../notices/${name.replace('/', '+')}.txt`, import.meta.url), 'utf8');
  return `${heading}\n\n${text}\n`;
}
