/** The page. */

import type { Backend } from './backend';

export async function open(begin: () => Promise<Backend>): Promise<void> {
  const backend = await begin();
  document.body.append(backend.privacy);
}
