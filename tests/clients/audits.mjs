/**
 * Run the GraphQL-over-HTTP audits of npm graphql-http against a server.
 *
 *   audits.mjs URL TOKEN
 *
 * Prints an `audit` line for each (`id`, `name`, `status`: ok, notice, warn or error, `reason`,
 * and what the server answered when it failed), then `complete` with the number of each status.
 */
import { serverAudits } from 'graphql-http';

import { emit, readArguments } from './protocol.mjs';

const { url, headers } = readArguments();
const fetchFn = (address, init) => fetch(address, { ...init, headers: { ...headers, ...init?.headers } });

const counts = {};
for (const audit of serverAudits({ url, fetchFn })) {
  const { response, ...result } = await audit.fn();
  counts[result.status] = (counts[result.status] ?? 0) + 1;
  emit('audit', { ...result, answer: response && (await describe(response)) });
}
emit('complete', { counts });

async function describe(response) {
  const { status } = response;
  const contentType = response.headers.get('content-type');
  const body = response.bodyUsed ? null : (await response.text()).slice(0, 500);
  return { status, contentType, body };
}
