/**
 * How the explorer reaches the API: queries and mutations by HTTP POST, subscriptions by one
 * WebSocket that speaks graphql-transport-ws, both at the same address with the same credentials.
 *
 * Promises: a subscription whose document declares `$after` resumes from the last cursor it saw
 * after a lost connection, so nothing is missed and nothing repeats. Knows nothing of the page:
 * the tests run this file, as built, in Node against a real server.
 */
import { createClient } from 'graphql-ws';

const FORBIDDEN = 4403;
const RECONNECT_ATTEMPTS = 10;

/**
 * @param {{url: string, token?: string, project?: string}} connection
 * @returns {{fetcher: Function, dispose: () => void}} `fetcher` is what GraphiQL asks for.
 */
export function createFetcher({ url, token, project }) {
  const authorization = token ? `Bearer ${token}` : undefined;
  let hasConnected = false;
  const client = createClient({
    url: url.replace(/^http/, 'ws'),
    connectionParams: definedOnly({ authorization, project }),
    keepAlive: 10_000,
    retryAttempts: RECONNECT_ATTEMPTS,
    retryWait: (attempt) => wait(Math.min(250 * 2 ** attempt, 10_000)),
    // A server that has answered may be restarting; one that never has is not waited for, and a
    // refused or expired token stays refused.
    shouldRetry: ({ code }) => hasConnected && code !== FORBIDDEN,
    on: { connected: () => (hasConnected = true) },
  });
  const credentials = definedOnly({ authorization, 'x-tickwheel-project': project });
  return {
    fetcher: (request, { documentAST, headers } = {}) => {
      const operation = operationOf(request, documentAST);
      return operation?.operation === 'subscription'
        ? stream(client, request, operation)
        : post(url, request, { ...credentials, ...headers });
    },
    dispose: () => client.dispose(),
  };
}

async function post(url, request, headers) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json;q=0.9',
      'content-type': 'application/json',
      ...headers,
    },
    body: JSON.stringify(request),
  });
  const text = await response.text();
  try {
    return JSON.parse(text);
  } catch {
    return { errors: [{ message: text || `HTTP ${response.status} ${response.statusText}` }] };
  }
}

/** An Observable, because GraphiQL can stop one while it waits; an async generator it cannot. */
function stream(client, request, operation) {
  const payload = { ...request };
  const resumes = operation.variableDefinitions?.some(({ variable }) => variable.name.value === 'after');
  const rememberCursor = (result) => {
    const cursor = Object.values(result.data ?? {})[0]?.cursor;
    // The client sends this same object again when it reconnects.
    if (cursor) payload.variables = { ...payload.variables, after: cursor };
  };
  return {
    subscribe: ({ next, error, complete }) => {
      const unsubscribe = client.subscribe(payload, {
        next: (result) => {
          if (resumes) rememberCursor(result);
          next(result);
        },
        error: (cause) => error(readable(cause)),
        complete,
      });
      return { unsubscribe };
    },
  };
}

function operationOf({ operationName }, documentAST) {
  const operations = documentAST?.definitions.filter(({ kind }) => kind === 'OperationDefinition') ?? [];
  return operations.find(({ name }) => name?.value === operationName) ?? operations[0];
}

/** What went wrong in words: GraphQL errors as they are, a closed socket by its code and reason. */
function readable(cause) {
  if (Array.isArray(cause)) return cause;
  if (cause instanceof Error) return cause;
  if ('code' in cause) return new Error(`The connection was closed: ${cause.code} ${cause.reason}`.trim());
  return new Error('The connection could not be opened.');
}

const wait = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

function definedOnly(entries) {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value));
}
