/**
 * Two builds of one page: `vite build --mode view` for `arssr view` (Python computes; committed, so
 * that the wheel has it), and `--mode site` for a static site (the browser computes).
 */

import { defineConfig } from 'vitest/config';
import { completeNotices, NOTICES } from './vite/notices';
import { staticSite } from './vite/site';

const CODECS = /^numcodecs\/.*/; // of NiiVue's reader of Zarr, which no scan here needs: 1.4 MB

export default defineConfig(({ mode }) => ({
  base: './',
  publicDir: ['view', 'site'].includes(mode) ? false : 'public',
  plugins: [completeNotices(), mode === 'site' && staticSite()],
  worker: { format: 'es' as const },
  resolve: { alias: [{ find: CODECS, replacement: '/src/page/no_codec.ts' }] },
  build: {
    outDir: mode === 'view' ? '../src/arssr/serving/page' : 'dist',
    emptyOutDir: true,
    target: 'es2023',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1024,
    license: { fileName: NOTICES },
    rolldownOptions: {
      output: {
        codeSplitting: false,
        entryFileNames: 'page.js',
        assetFileNames: '[name][extname]',
      },
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/setup.ts',
    fileParallelism: false,
    testTimeout: 60_000,
  },
}));
