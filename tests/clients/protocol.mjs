/**
 * How these scripts talk to the test that started them: one JSON object a line on standard output,
 * `{"type": …, …}`, each written at once. SIGTERM means: stop cleanly.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** The arguments every script takes: URL TOKEN [DOCUMENT [VARIABLES]]. An empty token is none. */
export function readArguments(options = {}) {
  const { positionals, values } = parseArgs({ allowPositionals: true, options });
  const [url, token, document, variables] = positionals;
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  return { url, headers, request: document && requestOf(document, variables), options: values };
}

/** A document is given as text, or as the name of a .graphql file. */
function requestOf(document, variables = '{}') {
  const query = document.endsWith('.graphql') ? readFileSync(document, 'utf8') : document;
  return { query, variables: JSON.parse(variables) };
}

export function emit(type, content = {}) {
  process.stdout.write(JSON.stringify({ type, ...content }) + '\n');
}

/** Report what a client threw: GraphQL errors as they are, anything else in its own words. */
export function emitError(cause) {
  if (Array.isArray(cause)) emit('error', { errors: cause });
  else emit('failed', { message: cause?.message || cause?.reason || String(cause), code: cause?.code });
}

export function onStop(stop) {
  process.once('SIGTERM', stop);
}
