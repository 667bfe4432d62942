/**
 * Who asks: the bearer token and the project, kept for as long as this browser tab lives.
 *
 * A token may arrive in the fragment of the address (`/graphql#token=…`). A fragment never leaves
 * the browser; it is taken out of the address bar and the history at once.
 */
const KEY = 'tickwheel:connection';

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
