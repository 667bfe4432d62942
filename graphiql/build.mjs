/**
 * Build the explorer into app/schema/graphiql: `npm ci && npm run build`.
 *
 * The result is committed, so that running Tickwheel needs no Node. Everything in static/ is named
 * by its content and may be cached for ever. built.json, beside this file, records what went in and
 * what came out, so that a test without Node sees when one was changed and the other was not.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { build } from 'esbuild';

const here = import.meta.dirname;
const output = join(here, '../app/schema/graphiql');
const assets = join(output, 'static');

await rm(output, { recursive: true, force: true });
await mkdir(assets, { recursive: true });

const fetcher = await bundle('src/fetcher.js');
const explorer = await bundle('src/explorer.jsx', [keepApart('./fetcher.js', fetcher['fetcher.js']), plainStyle()]);
const icon = await bundle('src/icon.svg');
await writePage({ ...fetcher, ...explorer, ...icon });
await writeFile(join(here, 'built.json'), JSON.stringify(await record(), null, 2) + '\n');

/** Bundle one entry; return its outputs by their names without the hash. */
async function bundle(entry, plugins = []) {
  const { metafile } = await build({
    absWorkingDir: here,
    alias: { 'react-style-singleton': './src/adopted-stylesheet.js' },
    assetNames: '[name]-[hash]',
    bundle: true,
    define: { 'process.env.NODE_ENV': '"production"' },
    entryNames: '[name]-[hash]',
    entryPoints: [entry],
    format: 'esm',
    jsx: 'automatic',
    legalComments: 'eof',
    loader: { '.graphql': 'text', '.svg': 'copy' },
    metafile: true,
    minify: true,
    outdir: assets,
    plugins,
    target: 'es2022',
  });
  const names = Object.keys(metafile.outputs).map((path) => basename(path));
  return Object.fromEntries(names.map((name) => [name.replace(/-[A-Z0-9]{8}(?=\.)/, ''), name]));
}

/** Load a module as a file of its own, so that a test can run exactly what ships. */
function keepApart(module, built) {
  return {
    name: 'keep-apart',
    setup: ({ onResolve }) =>
      onResolve({ filter: /./ }, ({ path }) => (path === module ? { path: `./${built}`, external: true } : null)),
  };
}

/**
 * GraphiQL's style sheet without its 340 kB of inlined fonts and images: the system's fonts
 * serve as well, and the content security policy can do without `data:`.
 */
function plainStyle() {
  const rules = [
    [/@font-face\s*\{[^}]*\}/g, ''],
    [/background-image:\s*url\("data:[^)]*\);?/g, ''],
    ['"Roboto", sans-serif', 'system-ui, sans-serif'],
    ['"Fira Code", monospace', 'ui-monospace, monospace'],
  ];
  return {
    name: 'plain-style',
    setup: ({ onLoad }) =>
      onLoad({ filter: /graphiql\/dist\/style\.css$/ }, async ({ path }) => {
        let contents = await readFile(path, 'utf8');
        for (const [found, replacement] of rules) {
          const changed = contents.replaceAll(found, replacement);
          if (changed === contents) throw new Error(`GraphiQL's style sheet has changed: no ${found}`);
          contents = changed;
        }
        if (contents.includes('data:')) throw new Error("GraphiQL's style sheet inlines something new");
        return { contents, loader: 'css' };
      }),
  };
}

async function writePage(names) {
  const template = await readFile(join(here, 'src/index.html'), 'utf8');
  const page = template.replace(/\{\{(.+?)\}\}/g, (_, name) => names[name]);
  await writeFile(join(output, 'index.html'), page);
}

/** The hash of every file that went in and came out. */
async function record() {
  return {
    from: await hashes(here, ['build.mjs', 'package.json', 'package-lock.json', 'examples', 'src']),
    into: await hashes(output, ['index.html', 'static']),
  };
}

async function hashes(root, names) {
  const paths = (await Promise.all(names.map((name) => filesBelow(root, name)))).flat().sort();
  const hash = async (path) => createHash('sha256').update(await readFile(join(root, path))).digest('hex');
  return Object.fromEntries(await Promise.all(paths.map(async (path) => [path, await hash(path)])));
}

async function filesBelow(root, name) {
  if (!(await stat(join(root, name))).isDirectory()) return [name];
  return (await readdir(join(root, name))).map((child) => `${name}/${child}`);
}
