/**
 * Keeps the files of the site, so that it works without a network: these, and nothing else.
 *
 * A version is whole or not there: each file must have the hash that it was built with. A new one
 * waits until no page of the old one is open, so that no page is ever made of both.
 */

/** Names, relative to the site, and hashes. */
declare const FILES: Record<string, string>;
/** Of all of them. */
declare const VERSION: string;

interface Lasting extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface Fetching extends Event {
  readonly request: Request;
  respondWith(answer: Promise<Response>): void;
}
const site = self as unknown as {
  registration: { scope: string };
  clients: { claim(): Promise<void> };
  addEventListener(type: 'install' | 'activate', hear: (event: Lasting) => void): void;
  addEventListener(type: 'fetch', hear: (event: Fetching) => void): void;
};

const { scope } = site.registration;
const OURS = `arssr ${scope} `; // other sites may have the same origin
const CACHE = OURS + VERSION;
const addresses = new Map(
  Object.entries(FILES).map(([name, hash]) => [new URL(name, scope).href, hash]),
);

site.addEventListener('install', (event) => event.waitUntil(keep()));
site.addEventListener('activate', (event) => event.waitUntil(begin()));
site.addEventListener('fetch', (event) => {
  const address = addressOf(event.request);
  if (event.request.method === 'GET' && addresses.has(address)) event.respondWith(give(address));
});

async function keep(): Promise<void> {
  const cache = await caches.open(CACHE);
  // past the browser's own cache: a server that is asked whether what is there has changed compares
  // whole seconds, and files of two versions may have the same
  const requests = [...addresses].map(([address, integrity]) => {
    return new Request(address, { integrity, cache: 'reload', credentials: 'omit' });
  });
  await cache.addAll(requests);
}

async function begin(): Promise<void> {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith(OURS) && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await site.clients.claim(); // the page that brought it may go offline, too
}

/** Without what stands behind ? and #; a page's own address is that of the folder. */
function addressOf({ url, mode }: Request): string {
  const { origin, pathname } = new URL(url);
  const address = origin + pathname;
  return mode === 'navigate' && address === new URL('index.html', scope).href ? scope : address;
}

async function give(address: string): Promise<Response> {
  const kept = await (await caches.open(CACHE)).match(address);
  return kept ?? fetch(address); // the browser may have thrown it away
}
