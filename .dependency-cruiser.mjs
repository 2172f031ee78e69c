/**
 * Who may import whom. The three tables are the architecture; the rules below them are made from the
 * tables. To add a package to src, add one line to PACKAGES: one npm package lives in one file, so
 * that no other file depends on its types, its errors or its habits.
 */

// Each layer of src, and the layers it may import (always itself too).
const LAYERS = {
  lib: [],
  core: ['lib'],
  protocol: ['core', 'lib'],
  store: ['core', 'lib'],
  data: ['protocol', 'core', 'lib'],
  control: ['protocol', 'core', 'lib'],
  model: ['protocol', 'core', 'lib'],
  obs: ['protocol', 'core', 'lib'],
  'prediction-log': ['store', 'protocol', 'core', 'lib'],
  config: ['core', 'lib'],
  app: ['config', 'data', 'control', 'model', 'obs', 'prediction-log', 'store', 'protocol', 'core', 'lib'],
  testing: ['data', 'protocol', 'core', 'lib'],
  'load-test': ['data', 'protocol', 'core', 'lib'],
  // Runs in a browser: it imports types of core and nothing else.
  dashboard: ['core'],
  cli: ['app', 'config', 'data', 'control', 'model', 'obs', 'load-test', 'protocol', 'core', 'lib'],
}

// The rooms of src/data from the ground up: each may import those before it (and itself), none behind it. Every
// file of src/data is in one of them, but for the one that puts them together and that no room imports.
const DATA = [
  'measure', // what calls cost and how many there are, for the scaler and the metrics
  'calls', // the record of a call, and which of them are told
  'route', // which route, pool and dialect a request is for
  'auth', // who a caller is, and whether its tenant may make a call
  'cache', // entries, their freshness, and the tiers that keep them
  'key', // what a key is made of: the caller, the model's deployment, purge epochs
  'flight', // one load a key at a time, among callers, workers and gateways
  'balance', // which backend a call goes to, and how many it may have at once
  'http', // header fields, deadlines, bodies and statuses, and what they mean
  'backend', // connections to one backend, its admission queue, its answers
  'upstream', // a call to a pool: attempts, retries, hedges
  'mirror', // copies of calls for a second pool, and their answers compared
  'http-cache', // RFC 9111 for opaque routes
  'decision', // what a head and an answer decide: is the cache asked, may the answer be kept
  'generation', // answers that come as events, for all who ask for the same
  'rows', // a call as rows: which are looked up, and the proof that they may be
  'batch', // rows of several calls in one upstream request
  'exchange', // one request at a door and the text of its answer
  'hits', // answers given before a call is made of the request
  'serve', // the story of a call: look up, load, keep, answer
  'record', // what the prediction log gets of a call
  'warm', // calls that are kept to be asked again, and how they are asked
  'ingress', // the doors: where bytes become requests and answers become bytes
]
const ASSEMBLY = 'assemble[.]ts$'

// Each npm package of src, and the only places that may import it: a file, or whatever begins so.
const PACKAGES = {
  '@aws-sdk/client-s3': ['src/store/s3-store.ts'],
  '@grpc/grpc-js': ['src/control/scale/keda.ts'],
  '@grpc/proto-loader': ['src/control/scale/keda.ts'],
  '@huggingface/tokenizers': ['src/model/embedding/tokenizer.ts'],
  '@opentelemetry/api': ['src/obs/otlp.ts'],
  '@opentelemetry/exporter-trace-otlp-proto': ['src/obs/otlp.ts'],
  '@opentelemetry/resources': ['src/obs/otlp.ts'],
  '@opentelemetry/sdk-trace': ['src/obs/otlp.ts'],
  autocannon: ['src/load-test/autocannon-loop.ts'],
  commander: ['src/cli/'],
  ioredis: ['src/data/cache/tiers/redis-connection.ts'],
  jose: ['src/data/auth/jose.ts'],
  'lru-cache': ['src/data/hits/hot-cache.ts'],
  memjs: ['src/data/cache/tiers/memcached-connection.ts'],
  'onnxruntime-node': ['src/model/onnx.ts'],
  pino: ['src/obs/log.ts'],
  'prom-client': ['src/obs/exposition.ts'],
  protobufjs: ['src/prediction-log/proto.ts'],
  uplot: ['src/dashboard/plot.ts'],
  vitest: ['src/testing/'],
  undici: ['src/data/backend/undici-', 'src/store/http.ts'],
  yaml: ['src/config/yaml.ts', 'src/config/document.ts'],
  zod: ['src/config/', 'src/control/admin/validate.ts', 'src/cli/answers.ts'],
}

// The modules of Node that reach outside the process, and who in src may.
const OUTSIDE = {
  files: {
    modules: ['fs', 'fs/promises'],
    places: [
      'src/config/',
      'src/model/',
      'src/cli/',
      'src/app/',
      'src/prediction-log/',
      'src/load-test/replay.ts',
      'src/control/reload',
      'src/control/certificates/',
      'src/control/discovery/',
      'src/store/',
      'src/control/credentials/',
      'src/lib/regular-file.ts',
      'src/lib/optional-packages.ts',
    ],
  },
  processes: {
    modules: ['child_process', 'cluster'],
    places: ['src/cli/', 'src/app/', 'src/control/processes.ts'],
  },
  threads: { modules: ['worker_threads'], places: ['src/app/', 'src/model/', 'src/data/', 'src/load-test/'] },
  network: {
    modules: ['net', 'tls', 'http', 'https', 'http2', 'dgram', 'dns', 'dns/promises'],
    // The last six open nothing: they resolve or read addresses, filter a socket, name statuses, pass modules on, or
    // put TLS over connections that others have opened.
    places: [
      'src/data/',
      'src/control/',
      'src/model/',
      'src/cli/',
      'src/app/',
      'src/config/',
      'src/store/',
      'src/core/allowed-lookup.ts',
      'src/core/interim.ts',
      'src/core/addresses.ts',
      'src/core/problem.ts',
      'src/lib/http.ts',
      'src/lib/tls/',
    ],
    also: ['src/lib/http.ts'],
  },
}

const within = (places) =>
  places.map((place) => `^${place.replaceAll('.', '[.]')}${place.endsWith('.ts') ? '$' : ''}`)

const layerRules = Object.entries(LAYERS).map(([layer, below]) => ({
  name: `layer-${layer}`,
  comment: `src/${layer} may import ${[layer, ...below].map((name) => `src/${name}`).join(', ')} and nothing else of src`,
  severity: 'error',
  from: { path: `^src/${layer}/` },
  to: { path: '^src/', pathNot: `^src/(${[layer, ...below].join('|')})/` },
}))

const dataRules = [
  ...DATA.map((room, floor) => ({
    name: `data-${room}`,
    comment: `src/data/${room} may import of src/data only ${DATA.slice(0, floor + 1).join(', ')}`,
    severity: 'error',
    from: { path: `^src/data/${room}/` },
    to: { path: '^src/data/', pathNot: `^src/data/(${DATA.slice(0, floor + 1).join('|')})/` },
  })),
  {
    name: 'data-room',
    comment: 'every file of src/data is in a room of the table DATA, or puts them together',
    severity: 'error',
    from: {},
    to: { path: '^src/data/', pathNot: [`^src/data/(${DATA.join('|')})/`, `^src/data/${ASSEMBLY}`] },
  },
]

const packageRules = Object.entries(PACKAGES).map(([name, places]) => ({
  name: `package-${name}`,
  comment: `${name} is imported in one place only: ${places.join(', ')}`,
  severity: 'error',
  from: { path: '^src/', pathNot: within(places) },
  to: { path: [`node_modules/${name}/`, `node_modules/@types/${name}/`] },
}))

const outsideRules = Object.entries(OUTSIDE).map(([name, { modules, places, also = [] }]) => ({
  name: `outside-${name}`,
  comment: `${[...modules.map((module) => `node:${module}`), ...also].join(', ')} are for ${places.join(', ')}`,
  severity: 'error',
  from: { path: '^src/', pathNot: within(places) },
  to: { path: [...modules.flatMap((module) => [`^node:${module}$`, `^${module}$`]), ...within(also)] },
}))

const knownPackages = [...Object.keys(PACKAGES), 'node'].flatMap((name) => [
  `node_modules/${name}/`,
  `node_modules/@types/${name}/`,
])

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...layerRules,
    ...dataRules,
    ...packageRules,
    ...outsideRules,
    {
      name: 'package-not-in-table',
      comment: 'a new package of src gets a line in PACKAGES above, and a reason in docs/decisions',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: 'node_modules/', pathNot: knownPackages },
    },
    {
      name: 'http-by-name',
      comment: 'an import of node:http or node:https takes 50 ms of the start; src/lib/http.ts has them',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(node:)?https?$', dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-packages-at-the-bottom',
      comment: 'lib, core and protocol are plain TypeScript: no npm package at all',
      severity: 'error',
      from: { path: '^src/(lib|core|protocol)/' },
      to: { path: 'node_modules/', pathNot: 'node_modules/@types/node/' },
    },
    {
      name: 'src-is-alone',
      comment: 'src never imports tests, benches, interop or scripts',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|interop|scripts)/' },
    },
    {
      name: 'setup-needs-nothing',
      comment: 'the set-up runs before any package is installed',
      severity: 'error',
      from: { path: '^scripts/setup' },
      to: { path: ['^(src|test|bench|interop)/', 'node_modules/'] },
    },
    {
      name: 'nobody-imports-main',
      comment: 'main.ts runs the program when it is loaded; index.ts is for users of the package',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^src/(main|index)[.]ts$' },
    },
    {
      name: 'no-cycle',
      comment: 'a cycle means that two files are one, or that a third is missing',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'no-missing-file',
      comment: 'an import must resolve to a file or an installed package',
      severity: 'error',
      from: { path: '^(src|test|bench|interop|scripts)/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.mjs', '.js', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
}
