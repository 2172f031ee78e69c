/** The YAML of `infergate init`, of servers as they were found. */
import { expect, it } from 'vitest'
import type { FoundServer } from '../../../../src/cli/init/detect.ts'
import { writeSettings } from '../../../../src/cli/init/write.ts'
import { parseSettings } from '../../../../src/config/load.ts'

const server = (url: string, more: Partial<FoundServer> = {}): FoundServer => ({
  url,
  isGrpc: false,
  dialects: ['oip'],
  models: [],
  ...more,
})

/** Of the YAML, without its comments. */
function settingsOf(servers: readonly FoundServer[]) {
  const loaded = parseSettings(writeSettings(servers), 'infergate.yaml')
  if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
  expect(loaded.warnings).toEqual([])
  const { pools, routes } = loaded.settings
  return {
    pools: Object.fromEntries(
      Object.entries(pools).map(([name, { backends }]) => [
        name,
        backends.map(({ url, grpc }) => (grpc ? [url, grpc] : url)),
      ]),
    ),
    routes: routes.map(({ name, match, pool, protocol, cache }) => [
      name,
      match,
      pool,
      protocol,
      cache.enabled,
    ]),
  }
}

it('has one to begin with where nothing is named', () => {
  expect(settingsOf([])).toEqual({
    pools: { ranker: ['http://127.0.0.1:8501'] },
    routes: [['ranker', {}, 'ranker', 'auto', true]],
  })
})

it('has one pool of servers with the same models, and takes every call where there is no other', () => {
  const models = ['digits', 'faces']
  expect(
    settingsOf([
      server('http://a:8000', { models }),
      server('http://b:8000', { models: ['faces', 'digits'] }),
    ]),
  ).toEqual({
    pools: { 'digits-and-others': ['http://a:8000', 'http://b:8000'] },
    routes: [['digits-and-others', {}, 'digits-and-others', 'oip', true]],
  })
})

it('has a route a model where there are several pools, and the rest goes to whoever lists none', () => {
  const found = settingsOf([
    server('http://a:8000', { models: ['digits', 'faces'] }),
    server('http://b:8501', { dialects: ['tfserving'] }),
    server('http://c:8501', { dialects: ['tfserving', 'oip'] }),
    server('http://d:8000', { dialects: ['openai'], models: ['org/embed:1'] }),
    server('http://e:8085', { dialects: [], trouble: 'connect ECONNREFUSED\n# x' }),
  ])
  expect(found.pools).toEqual({
    'digits-and-others': ['http://a:8000'],
    server: ['http://b:8501'],
    'server-2': ['http://c:8501'],
    'org-embed-1': ['http://d:8000'],
    'server-3': ['http://e:8085'],
  })
  expect(found.routes).toEqual([
    ['digits-and-others', { model: 'digits' }, 'digits-and-others', 'oip', true],
    ['digits-and-others-2', { model: 'faces' }, 'digits-and-others', 'oip', true],
    ['org-embed-1', { model: 'org/embed:1' }, 'org-embed-1', 'openai', true],
    ['server-2', { host: 'server-2.example.com' }, 'server-2', 'auto', true],
    ['server-3', { host: 'server-3.example.com' }, 'server-3', 'auto', true],
    ['server', {}, 'server', 'tfserving', true],
  ])
})

it('writes names that YAML would read as something else as the strings that they are', () => {
  const names = ['123', '1e5', 'true', 'null', 'yes', 'Off', '0x1f', '2026-11-30', 'plain-1.5']
  const found = settingsOf(names.map((name, i) => server(`http://s${i}:8000`, { models: [name] })))
  expect(Object.keys(found.pools).toSorted()).toEqual(names.toSorted())
  expect(found.routes).toEqual(names.map((name) => [name, { model: name }, name, 'oip', true]))
})

it('has no route for a model whose name would be a pattern, and says so', () => {
  const servers = [
    server('http://a:8000', { models: ['llama*', 'digits'] }),
    server('http://b:8000', { models: ['*'] }),
  ]
  expect(settingsOf(servers).routes.map(([, match]) => match)).toEqual([{ model: 'digits' }, {}])
  expect(writeSettings(servers)).toContain('# no route for the model "llama*"')
})

it('has nothing in a comment that a terminal or a reader would obey', () => {
  const models = ['a\u202Eb\u2028c\u200Bd\u009b']
  expect(writeSettings([server('http://a:8000', { models })])).toContain('has a b c d \n')
})

it('takes the two addresses of one host for one server', () => {
  const models = ['digits']
  const found = settingsOf([
    server('http://triton:8000', { models }),
    server('http://triton:8001', { models, isGrpc: true }),
    server('http://other:8001', { models, isGrpc: true }),
  ])
  expect(found.pools['digits']).toEqual([
    ['http://triton:8000', 'http://triton:8001'],
    [undefined, 'http://other:8001'],
  ])
})

it('keeps nothing of TorchServe before somebody says what its handlers read', () => {
  const text = writeSettings([server('http://a:8085', { dialects: ['torchserve'] })])
  expect(text).toContain('    #   vary: []')
  expect(settingsOf([server('http://a:8085', { dialects: ['torchserve'] })]).routes[0]?.at(-1)).toBe(false)
})
