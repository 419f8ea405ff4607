/** Has Python write the weights and its answers, unless KEEP_GOLDEN says to keep what is there. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export default function setup(): void {
  if (process.env['KEEP_GOLDEN']) return;
  const python = process.env['ARSSR_PYTHON'] ?? 'python3';
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const models = ['light', 'rdn', 'rescnn', 'srresnet'];
  const asked = [...models, '--to', 'web/test/golden/models', '--golden', 'web/test/golden'];
  execFileSync(python, ['tools/export_web.py', ...asked], { cwd: root, stdio: 'inherit' });
  const files = ['tools/web_files.py', 'web/test/golden/files'];
  execFileSync(python, files, { cwd: root, stdio: 'inherit' });
}
