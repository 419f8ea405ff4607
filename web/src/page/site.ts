/** The page as a static site: the browser computes. */

import { browserBackend } from '../browser/backend';
import { open } from './main';

void open(() => Promise.resolve(browserBackend()));

// Where there is none, or it is not allowed one, the page needs the network whenever it is opened.
if (import.meta.env.PROD) void navigator.serviceWorker?.register('service_worker.js').catch(() => undefined);
