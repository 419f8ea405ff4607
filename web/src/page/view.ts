/** The page of `arssr view`: Python computes. */

import { open } from './main';
import { pythonBackend } from './python';

void open(pythonBackend);
