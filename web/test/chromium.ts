/** A page of the tests in Chromium, with WebGPU in software. */

import { chromium, type Browser, type Page } from 'playwright-core';
import { createServer, type ViteDevServer } from 'vite';

const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const IN_SOFTWARE = [
  '--enable-unsafe-webgpu',
  '--use-webgpu-adapter=swiftshader',
  '--enable-features=Vulkan',
];
const QUIET = [
  '--no-sandbox',
  '--disable-quic',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export class Chromium {
  /** What the page complained about. */
  readonly complaints: string[] = [];
  /** Addresses that were asked for. */
  readonly asked: string[] = [];

  private constructor(
    readonly page: Page,
    private readonly server: ViteDevServer,
    private readonly browser: Browser,
  ) {}

  /** hasGpu: false as in a browser without WebGPU. ready: what the page has once it is there. */
  static async open(path: string, ready: string, hasGpu = true): Promise<Chromium> {
    const server = await createServer({
      server: { port: 0, host: '127.0.0.1', hmr: false, watch: null },
      logLevel: 'error',
    });
    await server.listen();
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [...QUIET, ...(hasGpu ? IN_SOFTWARE : [])],
      ignoreDefaultArgs: hasGpu ? ['--disable-gpu'] : [],
    });
    const page = await browser.newPage();
    const opened = new Chromium(page, server, browser);
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) opened.complaints.push(message.text());
    });
    page.on('pageerror', (error) => opened.complaints.push(String(error)));
    page.context().on('request', (request) => opened.asked.push(request.url()));
    await page.goto(`${server.resolvedUrls!.local[0]}${path}`);
    await page.waitForFunction((name) => name in window, ready);
    return opened;
  }

  async close(): Promise<void> {
    await this.browser.close();
    await this.server.close();
  }
}
