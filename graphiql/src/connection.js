/**
 * Who asks: the bearer token and the project, kept for as long as this browser tab lives.
 *
 * A token may arrive in the fragment of the address (`/graphql#token=…`), or the code of a one-time
 * link (`#code=…`), which buys a session cookie. A fragment never leaves the browser; it is taken
 * out of the address bar and the history at once.
 */
const KEY = 'tickwheel:connection';

/** Sign in by the code of a link, if there is one; return what went wrong, or nothing. */
export async function signInByLink(url) {
  const code = new URLSearchParams(location.hash.slice(1)).get('code');
  if (!code) return undefined;
  history.replaceState(null, '', location.pathname + location.search);
  saveConnection({ token: '', project: '' });
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code }),
    });
    return response.ok ? undefined : (await response.json()).errors[0].message;
  } catch (cause) {
    return `The server did not answer: ${cause.message}`;
  }
}

export function loadConnection() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.has('token')) {
    history.replaceState(null, '', location.pathname + location.search);
    saveConnection({ token: fragment.get('token'), project: fragment.get('project') ?? '' });
  }
  return { token: '', project: '', ...JSON.parse(sessionStorage.getItem(KEY) ?? '{}') };
}

export function saveConnection(connection) {
  sessionStorage.setItem(KEY, JSON.stringify(connection));
}
