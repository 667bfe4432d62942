/**
 * The page: a bar for the credentials above GraphiQL itself.
 *
 * A new connection starts GraphiQL anew, so that no answer of the former one stays on the screen;
 * the tabs survive, because GraphiQL keeps them in the browser's storage.
 */
import { useEffect, useMemo, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import 'graphiql/style.css';

import { loadConnection, saveConnection, signInByLink } from './connection.js';
import { examples } from './examples.js';
import './explorer.css';
import { createFetcher } from './fetcher.js';

// Relative to the page, so that a proxy may serve all of it below a prefix.
const ENDPOINT = new URL('graphql', document.baseURI).href;

function Explorer({ problem }) {
  const [connection, setConnection] = useState(loadConnection);
  const { fetcher, dispose } = useMemo(() => createFetcher({ url: ENDPOINT, ...connection }), [connection]);
  useEffect(() => dispose, [dispose]);

  const connect = (chosen) => {
    saveConnection(chosen);
    setConnection(chosen);
  };
  return (
    <>
      <ConnectionBar connection={connection} onConnect={connect} problem={problem} />
      <GraphiQL
        key={JSON.stringify(connection)}
        defaultEditorToolsVisibility="variables"
        defaultQuery=""
        defaultTabs={examples}
        fetcher={fetcher}
        shouldPersistHeaders={false}
      >
        <GraphiQL.Logo>{' '}</GraphiQL.Logo>
      </GraphiQL>
    </>
  );
}

function ConnectionBar({ connection, onConnect, problem }) {
  const submit = (event) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    onConnect({ token: fields.get('token').trim(), project: fields.get('project').trim() });
  };
  return (
    <form className="connection" onSubmit={submit}>
      <strong>Tickwheel</strong>
      <label>
        Token
        <input
          autoComplete="off"
          defaultValue={connection.token}
          name="token"
          placeholder="tw_… (not needed after a sign-in link)"
          spellCheck={false}
          type="password"
        />
      </label>
      <label>
        Project
        <input autoComplete="off" defaultValue={connection.project} name="project" placeholder="the token's own" />
      </label>
      <button type="submit">Connect</button>
      {problem && <span role="alert">{problem}</span>}
    </form>
  );
}

const problem = await signInByLink(new URL('login', document.baseURI).href);
createRoot(document.getElementById('explorer')).render(<Explorer problem={problem} />);
