/** Errors whose message is a sentence for the person at the page: theirs to mend, or to know. */

export class Refusal extends Error {}

/** What a file says of itself cannot be true; a part of a sentence. */
export class Damage extends Error {}

/** What went wrong, on one line: a sentence of ours as it is, anything else after its type. */
export function inOneLine(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof Refusal) return error.message;
  return /allocation failed|array length|out of memory/i.test(error.message)
    ? 'this does not fit in the memory of this browser'
    : `${error.name}: ${error.message}`;
}
