/**
 * The static site: the page with its policy, weights, licences, and a service worker that keeps all
 * of it, so that it works without a network.
 */

import { createHash } from 'node:crypto';
import { appendFileSync, copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { build, type Plugin } from 'vite';
import { NOTICES } from './notices';

const MODEL = 'light';
const HERE = resolve(import.meta.dirname, '..');
const MODELS = process.env['ARSSR_MODELS'] ?? join(HERE, 'public/models');
const INDEX = 'index.html';

/**
 * As src/arssr/serving/guard.py has it, with two exceptions: a policy in the page cannot hold
 * `frame-ancestors` (docs/site.md tells hosts to send it), and the manifest has to be allowed.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' blob: data:",
  "connect-src 'self'",
  "worker-src 'self'",
  "manifest-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

export function staticSite(): Plugin {
  let folder = '';
  return {
    name: 'static-site',
    apply: 'build',
    configResolved(config) {
      folder = resolve(config.root, config.build.outDir);
    },
    transformIndexHtml: (html) => ({
      html: html.replace(/\s*<link rel="icon"[^>]*>/, ''),
      tags: [
        meta({ 'http-equiv': 'Content-Security-Policy', content: POLICY }),
        meta({ name: 'referrer', content: 'no-referrer' }),
        meta({ name: 'description', content: 'Super-resolution of MR scans in your browser: nothing leaves it.' }),
        { tag: 'link', attrs: { rel: 'icon', href: './icon.svg' }, injectTo: 'head' },
        { tag: 'link', attrs: { rel: 'manifest', href: './site.webmanifest' }, injectTo: 'head' },
      ],
    }),
    closeBundle: {
      order: 'post',
      sequential: true,
      async handler() {
        addFiles(folder);
        await addServiceWorker(folder);
      },
    },
  };
}

function meta(attrs: Record<string, string>) {
  return { tag: 'meta', attrs, injectTo: 'head-prepend' as const };
}

function addFiles(folder: string): void {
  cpSync(join(HERE, 'site'), folder, { recursive: true });
  copyFileSync(join(HERE, '../LICENSE'), join(folder, 'LICENSE.txt'));
  mkdirSync(join(folder, 'models'), { recursive: true });
  for (const name of [`${MODEL}.json`, `${MODEL}.bin`]) {
    const path = join(MODELS, name);
    if (!existsSync(path)) throw new Error(`there is no ${path}; python tools/export_web.py writes it`);
    copyFileSync(path, join(folder, 'models', name));
  }
  const { card } = JSON.parse(readFileSync(join(MODELS, `${MODEL}.json`), 'utf8')) as Manifest;
  const own = [
    '# ArSSR itself',
    'Copyright The ArSSR developers. Apache License 2.0: LICENSE.txt.',
    `The weights ${MODEL}: ${card.licence}. ${card.credit ?? ''}`,
  ];
  appendFileSync(join(folder, NOTICES), `\n${own.join('\n\n')}\n`);
}

interface Manifest {
  card: { licence: string; credit?: string };
}

/** It is built last, as it names all other files by their hashes. */
async function addServiceWorker(folder: string): Promise<void> {
  const files: Record<string, string> = {};
  for (const path of filesIn(folder)) {
    const name = relative(folder, path).replaceAll('\\', '/');
    // servers may redirect from index.html to the folder, and what was redirected opens no page
    files[name === INDEX ? './' : name] = integrity(readFileSync(path));
  }
  const version = createHash('sha256').update(JSON.stringify(files)).digest('hex').slice(0, 16);
  await build({
    configFile: false,
    root: HERE,
    publicDir: false,
    logLevel: 'warn',
    define: { FILES: JSON.stringify(files), VERSION: JSON.stringify(version) },
    build: {
      outDir: folder,
      emptyOutDir: false,
      target: 'es2023',
      modulePreload: false,
      rolldownOptions: {
        input: join(HERE, 'src/site/service_worker.ts'),
        output: { entryFileNames: 'service_worker.js', format: 'iife' },
      },
    },
  });
}

function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.map'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

function integrity(content: Buffer): string {
  return `sha256-${createHash('sha256').update(content).digest('base64')}`;
}
