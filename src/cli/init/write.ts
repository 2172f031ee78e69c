/** Writes the YAML of `infergate init`: a pool for each kind of server that was found, its routes, and why each line is there. */
import type { DetectedDialect, FoundServer } from './detect.ts'

interface Pool {
  readonly name: string
  readonly dialects: readonly DetectedDialect[]
  readonly models: readonly string[]
  readonly backends: readonly WrittenBackend[]
}

/** A server, by one or both of its addresses. */
interface WrittenBackend {
  readonly url?: string
  readonly grpc?: string
  readonly comment: string
}

/** Beyond these a route for each model is no longer something to read. */
const MAX_MODEL_ROUTES = 50

/** A whole file; without servers one to begin with. */
export function writeSettings(servers: readonly FoundServer[]): string {
  const pools = servers.length === 0 ? [EXAMPLE] : poolsOf(servers)
  return `${[HEAD, CACHE, 'pools:', ...pools.flatMap(poolLines), '', ROUTES, ...routesOf(pools)].join('\n')}\n`
}

const HEAD = `# Written by infergate init. What is not said here has a default: infergate check FILE prints them all.
# The file is read again when it changes; a change with a mistake in it is refused.

server:
  listen: 0.0.0.0:8080 # callers come here, with the paths that they have now

admin:
  listen: 127.0.0.1:9090 # metrics and admin API: only this machine, until there are tokens
`

const CACHE = `cache:
  tiers:
    - name: memory # the detail of a hit in the field Cache-Status
      type: memory
      maxBytes: 256MiB # of this process; what was not used for longest makes room
    # Answers that outlast a restart, and that several gateways share:
    # - name: redis
    #   type: redis
    #   url: redis://127.0.0.1:6379
`

const ROUTES = `routes: # the first that matches a call takes it`

const EXAMPLE: Pool = {
  name: 'ranker',
  dialects: [],
  models: [],
  backends: [{ url: 'http://127.0.0.1:8501', comment: 'put your model server here' }],
}

/** Servers that have the same models stand in for each other, over whichever transport; OpenAI's API is another matter. */
function poolsOf(servers: readonly FoundServer[]): readonly Pool[] {
  const groups = new Map<string, FoundServer[]>()
  for (const [i, server] of servers.entries()) {
    const isKnown = server.models.length > 0
    const alike = JSON.stringify(isKnown ? [server.dialects.includes('openai'), server.models.toSorted()] : i)
    groups.set(alike, [...(groups.get(alike) ?? []), server])
  }
  const taken = new Set<string>()
  return [...groups.values()].map((group) => {
    const [{ models }] = group as [FoundServer]
    const dialects = [...new Set(group.flatMap((server) => server.dialects))]
    return { name: freeName(nameFor(models), taken), dialects, models, backends: backendsOf(group) }
  })
}

function nameFor([model = 'server', ...others]: readonly string[]): string {
  const name = model
    .replace(/[^A-Za-z0-9_.-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 48)
  return `${name || 'server'}${others.length > 0 ? '-and-others' : ''}`
}

function freeName(wanted: string, taken: Set<string>): string {
  let name = wanted
  for (let i = 2; taken.has(name); i++) name = `${wanted}-${i}`
  taken.add(name)
  return name
}

/** The two addresses of one host are those of one server, where it has no more of either. */
function backendsOf(servers: readonly FoundServer[]): readonly WrittenBackend[] {
  const of = (host: string, isGrpc: boolean) =>
    servers.filter((server) => server.isGrpc === isGrpc && new URL(server.url).hostname === host)
  return servers.flatMap((server): WrittenBackend[] => {
    const host = new URL(server.url).hostname
    const [urls, grpcs] = [of(host, false), of(host, true)]
    const comment = commentOf(server)
    if (urls.length !== 1 || grpcs.length !== 1)
      return [server.isGrpc ? { grpc: server.url, comment } : { url: server.url, comment }]
    return server.isGrpc ? [] : [{ url: server.url, grpc: (grpcs[0] as FoundServer).url, comment }]
  })
}

function poolLines({ name, backends }: Pool): string[] {
  const several = backends.length > 1 ? ' # they have the same: a call goes to the less busy of two' : ''
  return [`  ${scalar(name)}:`, `    backends:${several}`, ...backends.flatMap(backendLines)]
}

function backendLines({ url, grpc, comment }: WrittenBackend): string[] {
  const members = [...(url ? [['url', url]] : []), ...(grpc ? [['grpc', grpc]] : [])]
  return members.map(([member, address], i) =>
    i === 0
      ? `      - ${member}: ${JSON.stringify(address)} # ${comment}`
      : `        ${member}: ${JSON.stringify(address)} # the same server over gRPC`,
  )
}

function commentOf({ dialects, models, isGrpc, trouble }: FoundServer): string {
  if (trouble !== undefined) return `did not answer: ${oneLine(trouble)}`
  const transport = isGrpc ? ' over gRPC' : ''
  if (dialects.length === 0)
    return `answers${transport}, in no dialect that is known here: its calls pass through`
  const [first = '', ...others] = models
  const more = others.length > 0 ? ` and ${others.length} more` : ''
  const listed = first === '' ? 'lists no models' : `has ${oneLine(first)}${more}`
  return `speaks ${dialects.map((dialect) => NAMES[dialect]).join(', ')}${transport}, ${listed}`
}

const NAMES: Readonly<Record<DetectedDialect, string>> = {
  openai: "OpenAI's API",
  oip: 'Open Inference (V2)',
  torchserve: "TorchServe's API",
  tfserving: "TensorFlow Serving's (V1)",
}

function routesOf(pools: readonly Pool[]): string[] {
  const [known, unknown] = [pools.filter(isTold), pools.filter((pool) => !isTold(pool))]
  // A route without a match takes every call, so there is one, and it is the last.
  const last = pools.length === 1 ? pools[0] : unknown.shift()
  const taken = new Set<string>()
  const route = (pool: Pool, match?: WrittenMatch) => routeLines(pool, freeName(pool.name, taken), match)
  return [
    ...known
      .filter((pool) => pool !== last)
      .flatMap((pool) =>
        pool.models.flatMap((model) => (isPattern(model) ? [leftOut(model)] : route(pool, { model }))),
      ),
    ...unknown
      .filter((pool) => pool !== last)
      .flatMap((pool) => route(pool, { host: `${pool.name}.example.com` })),
    ...(last ? route(last) : []),
  ]
}

const isTold = ({ models }: Pool): boolean => models.length <= MAX_MODEL_ROUTES && !models.every(isPattern)

/** `match.model` would take every name that fits it. */
const isPattern = (model: string): boolean => model.includes('*')

const leftOut = (model: string): string =>
  `  # no route for the model ${oneLine(JSON.stringify(model))}: in a match * stands for any text`

type WrittenMatch = { readonly model: string } | { readonly host: string }

function routeLines({ name: pool, dialects }: Pool, name: string, match?: WrittenMatch): string[] {
  const [dialect] = dialects
  const protocol = dialects.length === 1 && dialect ? dialect : 'auto'
  return [
    `  - name: ${scalar(name)}`,
    ...matchLines(match),
    `    pool: ${scalar(pool)}`,
    `    protocol: ${protocol} # ${protocol === 'auto' ? 'by the path of each call' : NAMES[protocol]}`,
    ...(protocol === 'openai' ? OPENAI : protocol === 'torchserve' ? TORCHSERVE : PREDICTIONS),
  ]
}

function matchLines(match: WrittenMatch | undefined): string[] {
  if (!match) return ['    # no match: every call that no route above has taken']
  if ('model' in match)
    return [
      '    match:',
      `      model: ${JSON.stringify(match.model)} # in the path or the body, as the dialect has it`,
    ]
  return [
    '    match:',
    `      host: ${match.host} # its models give no routes: say here which calls are for it`,
  ]
}

const PREDICTIONS = [
  '    cache: # without this block nothing is kept; predictions are, everything else passes through',
  '      ttl: 24h # a model that is deployed anew ends its answers at once, however long this is',
  '      rows: auto # rows of a batch one by one, once the model has proved that it may be split',
]
const OPENAI = [
  '    timeout: 5m # generations take long',
  '    cache: # embeddings and ranks are kept, generations where the caller asks for the same again (temperature: 0)',
  '      ttl: 24h',
  '      rows: auto # texts of a list one by one, once the model has proved that it may be split',
  "      # scope: shared # callers with different credentials may have each other's answers",
]
const TORCHSERVE = [
  '    # TorchServe shows every header field to its models, so nothing can be kept before you say which of them yours read:',
  '    # cache:',
  '    #   ttl: 24h',
  '    #   vary: [] # no handler reads a field',
]

/** Fit for a comment: what a server says may have line ends. */
const oneLine = (text: string): string => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, 200)

/** A name as YAML reads it back: a string, and no number, truth value or null. */
const scalar = (name: string): string =>
  /^[A-Za-z][\w.-]*$/.test(name) && !YAML_WORDS.test(name) ? name : JSON.stringify(name)

/** Those of YAML 1.1 as well, which other tools still read. */
const YAML_WORDS = /^(?:true|false|yes|no|on|off|y|n|null)$/i
