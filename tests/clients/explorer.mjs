/**
 * Run one operation with the fetcher of our GraphiQL page, exactly as it ships.
 *
 *   explorer.mjs URL TOKEN DOCUMENT [VARIABLES] --fetcher FILE [--project KEY]
 *
 * Prints what GraphiQL would be handed: `next` for each result, then `complete` or `failed`.
 */
import { pathToFileURL } from 'node:url';
import { parse } from 'graphql';

import { emit, emitError, onStop, readArguments } from './protocol.mjs';

const { url, headers, request, options } = readArguments({ fetcher: { type: 'string' }, project: { type: 'string' } });
const { createFetcher } = await import(pathToFileURL(options.fetcher));

const token = headers.authorization?.replace('Bearer ', '');
const { fetcher, dispose } = createFetcher({ url, token, project: options.project });
const answer = fetcher(request, { documentAST: parse(request.query) });

if ('subscribe' in answer) {
  const { unsubscribe } = answer.subscribe({
    next: (payload) => emit('next', { payload }),
    error: emitError,
    complete: () => emit('complete'),
  });
  onStop(() => {
    unsubscribe();
    dispose();
  });
} else {
  emit('next', { payload: await answer });
  emit('complete');
}
