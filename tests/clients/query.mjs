/**
 * Run one query or mutation with npm graphql-http's client, and print its result.
 *
 *   query.mjs URL TOKEN DOCUMENT [VARIABLES]
 *
 * Prints `next` with the result, then `complete`; or `failed` when the server refused the request.
 */
import { createClient } from 'graphql-http';

import { emit, emitError, onStop, readArguments } from './protocol.mjs';

const { url, headers, request } = readArguments();

const client = createClient({ url, headers, retryAttempts: 0 });
const cancel = client.subscribe(request, {
  next: (payload) => emit('next', { payload }),
  error: (cause) => {
    emitError(cause);
    process.exitCode = 1;
  },
  complete: () => emit('complete'),
});
onStop(cancel);
