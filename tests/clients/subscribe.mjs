/**
 * Subscribe with npm graphql-ws, and print what arrives.
 *
 *   subscribe.mjs URL TOKEN DOCUMENT [VARIABLES] [--resume]
 *
 * Prints `connected` and `closed` for each connection, `next` for each result, and at the end
 * `complete`, `error` (GraphQL errors) or `failed` (the connection was refused).
 *
 * graphql-ws sends the payload again after a reconnect, as it was. With --resume its variable
 * `after` follows the last cursor received, so the stream goes on where it was cut.
 */
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

import { emit, emitError, onStop, readArguments } from './protocol.mjs';

const { url, headers, request, options } = readArguments({ resume: { type: 'boolean' } });

const client = createClient({
  url,
  webSocketImpl: WebSocket,
  connectionParams: headers,
  retryAttempts: 50,
  retryWait: () => new Promise((resume) => setTimeout(resume, 100)),
  shouldRetry: (cause) => cause.code !== 4403,
  on: {
    connected: () => emit('connected'),
    closed: ({ code, reason }) => emit('closed', { code, reason }),
  },
});

const unsubscribe = client.subscribe(request, {
  next: (payload) => {
    const cursor = Object.values(payload.data ?? {})[0]?.cursor;
    if (options.resume && cursor) request.variables.after = cursor;
    emit('next', { payload });
  },
  error: (cause) => {
    emitError(cause);
    process.exitCode = 1;
  },
  complete: () => emit('complete'),
});
onStop(unsubscribe);
