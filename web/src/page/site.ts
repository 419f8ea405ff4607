/** The page as a static site: the browser computes. */

import { browserBackend } from '../browser/backend';
import { open } from './main';

void open(() => Promise.resolve(browserBackend()));

// Not where `arssr view` answers: it would give this page in the place of that one. Without a service
// worker, also where a browser has or allows none, the page needs the network whenever it is opened.
if (import.meta.env.PROD && location.hostname !== '127.0.0.1') {
  void navigator.serviceWorker?.register('service_worker.js').catch(() => undefined);
}
