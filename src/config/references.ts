/**
 * Checks between fields: names that must differ, names that must exist, settings that exclude each other. It reads the
 * input before the schema does, so that one wrong field hides no other problem.
 */
import { isStoreUrl } from '../core/store-url.ts'
import { callerIssues } from './caller-checks.ts'
import { type Issue, suggest } from './messages.ts'
import { trafficIssues } from './traffic-checks.ts'
import { type Path, property } from './walk.ts'

/** Every problem between the parts of `input`. Never throws, whatever `input` is. */
export function crossCheck(input: unknown): Issue[] {
  return [
    ...samePort(input),
    ...modelsOverTls(input),
    ...tierOrder(input),
    ...modelNames(input),
    ...embeddingModels(input),
    ...routeNames(input),
    ...trafficIssues(input, poolNames(input)),
    ...fieldTwins(input),
    ...unlogged(input),
    ...tokenScopes(input),
    ...nameNodes(input),
    ...callerIssues(input),
    ...duplicates(input, ['cache', 'tiers'], 'tier'),
    ...duplicates(input, ['admin', 'tokens'], 'token'),
    ...duplicates(input, ['models'], 'model'),
    ...duplicates(input, ['routes'], 'route'),
  ]
}

const problem = (path: Path, message: string, fix?: string): Issue => ({
  path,
  message,
  at: 'value',
  ...(fix === undefined ? {} : { fix }),
})

/** The entries of the list at `path`, or nothing. */
function list(input: unknown, ...path: PropertyKey[]): readonly unknown[] {
  const found = path.reduce<unknown>(property, input)
  return Array.isArray(found) ? found : []
}

function poolNames(input: unknown): string[] {
  const pools = property(input, 'pools')
  const own = typeof pools === 'object' && pools !== null && !Array.isArray(pools) ? Object.keys(pools) : []
  const embedded = list(input, 'models').map((model) => property(model, 'name'))
  return [...own, ...embedded.filter((name): name is string => typeof name === 'string')]
}

/** Reports settings without any route or model. Only for an input without other problems, which may be the cause. */
export function nothingToServe(input: unknown): Issue[] {
  if (list(input, 'models').length > 0 || list(input, 'routes').length > 0) return []
  return [
    problem(
      [],
      'nothing to serve',
      'add an embedded model under models, or a pool under pools and a route to it',
    ),
  ]
}

/** `hdfs://` names a cluster and not where its web server is. */
function nameNodes(input: unknown): Issue[] {
  if (list(input, 'stores', 'hdfs', 'namenodes').length > 0) return []
  const fix = 'name them in stores.hdfs.namenodes, such as http://namenode:9870, or write webhdfs://'
  const unknown = (path: Path, url: unknown): Issue[] =>
    typeof url === 'string' && /^hdfs:/i.test(url)
      ? [problem(path, 'no NameNode is known for hdfs://', fix)]
      : []
  return [
    ...list(input, 'models').flatMap((model, i) =>
      unknown(['models', i, 'source'], property(model, 'source')),
    ),
    ...list(input, 'routes').flatMap((route, i) =>
      unknown(['routes', i, 'log', 'to'], property(property(route, 'log'), 'to')),
    ),
  ]
}

function samePort(input: unknown): Issue[] {
  const data = property(property(input, 'server'), 'listen')
  const admin = property(property(input, 'admin'), 'listen')
  const isSame = typeof admin === 'string' && admin === data && !admin.endsWith(':0')
  return isSame ? [problem(['admin', 'listen'], 'the same address as server.listen')] : []
}

/** The processes of embedded models register at the admin port, and have no certificates to do so over TLS. */
function modelsOverTls(input: unknown): Issue[] {
  const isSecure = property(property(input, 'admin'), 'tls') !== undefined
  if (!isSecure || list(input, 'models').length === 0) return []
  const fix = 'serve the models by "infergate model-server" and name it in a pool, or leave admin on loopback'
  return [problem(['admin', 'tls'], 'embedded models register at the admin port without TLS', fix)]
}

function tierOrder(input: unknown): Issue[] {
  return list(input, 'cache', 'tiers').flatMap((tier, i) => {
    if (i === 0 || property(tier, 'type') !== 'memory') return []
    const hasEarlier = list(input, 'cache', 'tiers')
      .slice(0, i)
      .some((earlier) => property(earlier, 'type') === 'memory')
    const message = hasEarlier ? 'there is only one memory tier' : 'the memory tier is the first'
    return [problem(['cache', 'tiers', i, 'type'], message)]
  })
}

function duplicates(input: unknown, path: readonly string[], what: string): Issue[] {
  const seen = new Set<unknown>()
  return list(input, ...path).flatMap((entry, i) => {
    const name = property(entry, 'name')
    if (name === undefined || !seen.has(name)) {
      seen.add(name)
      return []
    }
    return [problem([...path, i, 'name'], `another ${what} has this name`)]
  })
}

/** The tokenizer lies beside the model, and stores give one file a version. */
function embeddingModels(input: unknown): Issue[] {
  return list(input, 'models').flatMap((model, i) => {
    const isEmbedding = property(model, 'kind') === 'embedding'
    const source = property(model, 'source')
    if (!isEmbedding && property(model, 'embedding') !== undefined)
      return [problem(['models', i, 'embedding'], 'the model takes tensors', 'add kind: embedding')]
    if (!isEmbedding || typeof source !== 'string' || !isStoreUrl(source)) return []
    const fix = 'copy the folder to this machine and give its path'
    return [
      problem(['models', i, 'source'], 'an embedding model is read from a folder, with its tokenizer', fix),
    ]
  })
}

function modelNames(input: unknown): Issue[] {
  const pools = property(input, 'pools')
  return list(input, 'models').flatMap((model, i) => {
    const name = property(model, 'name')
    const isTaken = typeof name === 'string' && property(pools, name) !== undefined
    return isTaken
      ? [problem(['models', i, 'name'], 'a pool has this name; an embedded model is a pool of its own')]
      : []
  })
}

function routeNames(input: unknown): Issue[] {
  const routes = list(input, 'routes')
  const embedded = new Set(list(input, 'models').map((model) => property(model, 'name')))
  return routes.flatMap((route, i) => {
    const name = property(route, 'name')
    if (name !== undefined) {
      const isTaken = embedded.has(name)
      return isTaken
        ? [problem(['routes', i, 'name'], 'an embedded model has this name, and brings a route of it')]
        : []
    }
    return routes.length < 2
      ? []
      : [
          problem(
            ['routes', i, 'name'],
            'is required',
            'with several routes each has a name: it is part of every key',
          ),
        ]
  })
}

/** `X-A` beside `x-a`: one field, of which only the last condition would hold. */
function fieldTwins(input: unknown): Issue[] {
  return list(input, 'routes').flatMap((route, i) => {
    const names = Object.keys(Object(property(property(route, 'match'), 'headers')))
    const same = names.map((name) => name.toLowerCase())
    return names.flatMap((name, at) => {
      if (same.indexOf(name.toLowerCase()) === at) return []
      const path = ['routes', i, 'match', 'headers', name]
      return [{ ...problem(path, 'this field is named already, in other letters'), at: 'key' as const }]
    })
  })
}

/** An opaque route has no predictions. */
function unlogged(input: unknown): Issue[] {
  return list(input, 'routes').flatMap((route, i) =>
    property(route, 'log') !== undefined && property(route, 'protocol') === 'opaque'
      ? [
          problem(
            ['routes', i, 'log'],
            'an opaque route has no predictions',
            'name the protocol of the calls',
          ),
        ]
      : [],
  )
}

function tokenScopes(input: unknown): Issue[] {
  const known = poolNames(input)
  return list(input, 'admin', 'tokens').flatMap((token, i) =>
    list(token, 'scopes').flatMap((scope, j) => {
      const name = typeof scope === 'string' && scope.startsWith('register:') ? scope.slice(9) : undefined
      if (name === undefined || name === '*' || known.includes(name)) return []
      return [problem(['admin', 'tokens', i, 'scopes', j], 'there is no such pool', suggest(name, known).fix)]
    }),
  )
}
