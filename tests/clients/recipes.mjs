/**
 * Hold the same conversation with urql and with Apollo, each made by its recipe in docs/graphql.md.
 *
 *   recipes.mjs URL TOKEN DOCUMENT VARIABLES
 *
 * The document holds the operations Who, Pause and Watch. Each client asks Who, is refused by Pause,
 * and then watches. Prints `who`, `refused` and a `message` for each that arrives, with the `client`.
 */
import { parse, print } from 'graphql';

import { connectApollo } from './apollo.mjs';
import { emit, emitError, onStop, readArguments } from './protocol.mjs';
import { connectUrql } from './urql.mjs';

const { url, headers, request } = readArguments();
const where = { url, token: headers.authorization.replace('Bearer ', '') };
const document = parse(request.query);
const { watched, refused } = request.variables;

/** One operation of the document, alone: clients send what they are given. */
function operation(name) {
  const definitions = document.definitions.filter((each) => each.name.value === name);
  return parse(print({ kind: document.kind, definitions }));
}

async function converse(client, { query, mutate, watch }) {
  emit('who', { client, data: await query(operation('Who')) });
  emit('refused', { client, data: await mutate(operation('Pause'), { input: refused }) });
  return watch(operation('Watch'), watched, ({ data, error }) => {
    if (error) emitError(error);
    else emit('message', { client, data });
  });
}

const urql = connectUrql(where);
const apollo = connectApollo(where);
const stops = await Promise.all([
  converse('urql', {
    query: async (query) => (await urql.query(query, {}).toPromise()).data,
    mutate: async (mutation, variables) => (await urql.mutation(mutation, variables).toPromise()).data,
    watch: (query, variables, next) => urql.subscription(query, variables).subscribe(next).unsubscribe,
  }),
  converse('apollo', {
    query: async (query) => (await apollo.query({ query })).data,
    mutate: async (mutation, variables) => (await apollo.mutate({ mutation, variables })).data,
    watch: (query, variables, next) => {
      const options = { query, variables, fetchPolicy: 'no-cache' };
      const subscription = apollo.subscribe(options).subscribe(next);
      return () => subscription.unsubscribe();
    },
  }),
]);
onStop(() => {
  stops.forEach((stop) => stop());
  // The sockets close when nothing is watched; Apollo keeps timers for its cache.
  setTimeout(() => process.exit(), 100);
});
