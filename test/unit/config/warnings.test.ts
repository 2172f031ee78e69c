/** What a file can be run with and hardly anybody means. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { routesOf } from '../../../src/app/routes.ts'
import { formatProblem, parseSettings } from '../../../src/config/load.ts'
import type { Settings } from '../../../src/config/schema.ts'
import { createRouter } from '../../../src/data/route/routes.ts'

function parsed(routes: unknown, more: object = {}): { settings: Settings; warnings: readonly string[] } {
  const pools = { a: { backends: [{ url: 'http://h:1' }] }, b: { backends: [] } }
  const read = parseSettings(JSON.stringify({ pools, routes, ...more }), 'gate.yaml', {})
  if ('problems' in read) throw new Error(read.problems.map(formatProblem).join('\n'))
  return {
    settings: read.settings,
    warnings: read.warnings.map(({ path, message }) => `${path}: ${message}`),
  }
}

const warningsOf = (...routes: object[]) =>
  parsed([...routes.map((route, i) => ({ name: `r${i}`, pool: 'a', ...route })), { name: 'z', pool: 'b' }])
    .warnings

describe('a route that no call reaches', () => {
  it.each([
    [{}, { match: { path: '/v1/*' } }],
    [{ match: { path: '/v1/*' } }, { match: { path: '/v1/models/m:predict' } }],
    [{ match: { path: '/v1/*' } }, { match: { path: '/v1/*/x*', method: 'POST' } }],
    [{ match: { model: 'm*' } }, { match: { model: 'm-1', path: '/v1/*' } }],
    [{ match: { host: '*.example' } }, { match: { host: 'a.b.example' } }],
    [{ match: { headers: { 'x-a': '*' } } }, { match: { headers: { 'x-a': 'b', 'x-c': 'd' } } }],
    [{ match: { method: ['GET', 'POST'] } }, { match: { method: 'POST' } }],
    [{ protocol: 'tfserving' }, { protocol: 'tfserving', match: { model: 'm' } }],
  ])('%j takes all of %j', (wide, narrow) => {
    const all = warningsOf(wide, narrow)
    expect(all).toContain('routes[1]: no call gets here: route "r0" before it takes them all')
  })

  it.each([
    [{ match: { path: '/v1/*' } }, { match: { path: '/v1/' } }],
    [{ match: { path: '/v1/m' } }, { match: { path: '/v1/*' } }],
    [{ protocol: 'tfserving' }, {}],
    [{ protocol: 'opaque', match: { model: 'm' } }, { match: { model: 'm' } }],
    [{ match: { method: 'GET' } }, { match: { path: '/a' } }],
    [{ match: { headers: { 'x-a': 'b' } } }, { match: { headers: { 'x-c': 'd' } } }],
  ])('%j leaves something to %j', (first, second) => {
    expect(warningsOf(first, second).filter((text) => text.includes('r0'))).toEqual([])
  })

  it('is really never reached, whatever is called', () => {
    const pattern = fc.stringMatching(/^[ab*]{1,4}$/).filter((text) => !text.includes('**'))
    const some = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })
    const match = fc.record({
      path: some(pattern.map((text) => `/${text}`)),
      host: some(fc.constantFrom('a', 'b', '*.a', 'a:1')),
      method: some(fc.subarray(['GET', 'POST'], { minLength: 1 })),
      model: some(pattern),
    })
    const route = fc.record({ match, protocol: fc.constantFrom('auto', 'tfserving', 'oip', 'opaque') })
    const call = fc.record({
      method: fc.constantFrom('GET', 'POST'),
      host: fc.constantFrom('a', 'b', 'x.a', 'a:1'),
      path: fc.oneof(
        fc.stringMatching(/^\/[ab]{1,5}$/),
        fc.stringMatching(/^[ab]{1,4}$/).map((model) => `/v1/models/${model}:predict`),
        fc.stringMatching(/^[ab]{1,4}$/).map((model) => `/v2/models/${model}/infer`),
      ),
    })
    fc.assert(
      fc.property(
        fc.array(route, { minLength: 2, maxLength: 4 }),
        fc.array(call, { minLength: 30, maxLength: 30 }),
        (routes, calls) => {
          const named = routes.map((one, i) => ({ name: `r${i}`, pool: 'a', ...one }))
          const { settings, warnings } = parsed(named)
          const dead = new Set(warnings.flatMap((text) => /^routes\[(\d+)\]: no call/.exec(text)?.[1] ?? []))
          const router = createRouter(routesOf(settings))
          for (const one of calls) {
            const found = router({ ...one, headers: [] })?.route.name
            expect([...dead].map((i) => `r${i}`)).not.toContain(found)
          }
        },
      ),
    )
  })
})

it('a pool that no route leads to is told', () => {
  expect(parsed([{ name: 'r', pool: 'a' }]).warnings).toEqual(['pools.b: no route leads to this pool'])
})

it('a pattern that looks like a regular expression and may be meant as it stands is told', () => {
  expect(warningsOf({ match: { path: '/v1/.*', model: '^m', headers: { 'x-a': 'b$' } } })).toEqual([
    'routes[0].match.path: this reads as a regular expression, and is none',
    'routes[0].match.model: this reads as a regular expression, and is none',
    'routes[0].match.headers.x-a: this reads as a regular expression, and is none',
  ])
})

describe('a pattern that leaves out the word it begins with', () => {
  it('is told, whatever it is a pattern of', () => {
    const headers = { 'content-type': 'text/html*' }
    expect(warningsOf({ match: { path: '/v1/models/ranker*', model: 'ranker*', headers } })).toEqual([
      'routes[0].match.path: takes what begins with "/v1/models/ranker", and not "/v1/models/ranker" itself',
      'routes[0].match.model: takes what begins with "ranker", and not "ranker" itself',
      'routes[0].match.headers.content-type: takes what begins with "text/html", and not "text/html" itself',
    ])
  })

  it.each([
    [{ path: '/v1/*' }],
    [{ path: '/v1/models/ranker-*' }],
    [{ model: '*' }],
    [{ model: 'ranker*', path: '/v1/*:predict' }, { model: 'ranker' }],
    [{ path: '/v1/models/ranker*' }, { path: '/v1/*' }],
  ])('is not told of %j', (...matches: object[]) => {
    expect(warningsOf(...matches.map((match) => ({ match })))).toEqual([])
  })
})

describe('a port that something else of the file has', () => {
  const keda = (listen: string) => ({ scale: { emit: [{ type: 'keda', listen }] } })
  it.each([
    [{ admin: { listen: '127.0.0.1:8080' } }, ['admin.listen: server.listen has this port already']],
    [{ admin: { listen: '127.0.0.1:8081' } }, []],
    [{ server: { listen: '127.0.0.1:0' }, admin: { listen: '127.0.0.1:0' } }, []],
    [{ server: { listen: '10.0.0.1:9090' } }, []],
    [
      { pools: { a: keda('0.0.0.0:9090'), b: keda('0.0.0.0:9090') } },
      ['pools.a.scale.emit[0].listen: admin.listen has this port already'],
    ],
    [{ pools: { a: keda('127.0.0.1:6000'), b: keda('127.0.0.1:6000') } }, []],
  ])('%j', (more, wanted) => {
    const routes = [
      { name: 'a', pool: 'a', match: { path: '/a/*' } },
      { name: 'b', pool: 'b' },
    ]
    expect(parsed(routes, more).warnings).toEqual(wanted)
  })
})

describe('a backend that would be refused at each connect', () => {
  const told = (url: string, allowAddresses: readonly string[] = []) => {
    const pools = { a: { backends: [{ url }], allowAddresses } }
    return parsed([{ name: 'r' }], { pools }).warnings
  }

  it.each([
    ['http://169.254.169.254', 'a cloud metadata address'],
    ['http://169.254.1.2:80/m', 'a link-local address'],
    ['http://[fe80::1]:8501', 'a link-local address'],
    ['http://[::ffff:169.254.169.254]', 'a cloud metadata address'],
    ['http://127.0.0.1:8080', "one of the gateway's own listeners"],
    ['http://127.0.0.1:9090', "one of the gateway's own listeners"],
  ])('is told: %s', (url, what) => {
    expect(told(url)).toEqual([`pools.a.backends[0].url: no call is sent there: it is ${what}`])
  })

  it('is not told where the pool allows it, nor of what is called', () => {
    expect(told('http://169.254.169.254', ['169.254.0.0/16'])).toEqual([])
    expect(told('http://10.0.0.1:8501')).toEqual([])
    expect(told('http://metadata.internal')).toEqual([])
  })
})

describe('a route to TorchServe that keeps nothing', () => {
  const told = (route: object) =>
    warningsOf({ protocol: 'torchserve', ...route }).filter((text) => text.includes('nothing is kept'))

  it('is one that caches and has no word of vary', () => {
    expect(told({ cache: {} })).toEqual([
      'routes[0].cache: nothing is kept: TorchServe shows every header field to its models',
    ])
  })

  it.each([
    { cache: { vary: [] } },
    { cache: { vary: ['x-tenant'] } },
    { cache: { enabled: false } },
    {},
    { protocol: 'auto', cache: {} },
  ])('is none of %j', (route) => {
    expect(told(route)).toEqual([])
  })
})

describe('a model over plain http', () => {
  it.each([
    ['http://models.example/a.onnx', 1],
    ['http://127.0.0.1:8000/a.onnx', 0],
    ['http://[::1]/a.onnx', 0],
    ['https://models.example/a.onnx', 0],
    ['webhdfs://namenode/models/a', 0],
  ])('is warned of where it comes from another machine: %s', (source, count) => {
    const { warnings } = parsed([], { pools: {}, models: [{ name: 'm', source }] })
    expect(warnings.filter((each) => each.includes('plain http'))).toHaveLength(count)
  })
})

describe('credentials over plain http', () => {
  it.each([
    ['http://models.example', 1],
    ['http://10.0.0.4:8501', 1],
    ['https://models.example', 0],
    ['http://127.0.0.1:8501', 0],
    ['http://[::1]:8501', 0],
  ])('are warned of where they go to another machine: %s', (url, count) => {
    const pools = {
      a: { backends: [{ url }], credentials: { value: 'hunter2' } },
      b: { backends: [{ url }] },
    }
    const routes = [
      { name: 'a', pool: 'a', match: { model: 'a' } },
      { name: 'b', pool: 'b' },
    ]
    const { warnings } = parsed(routes, { pools })
    expect(warnings.filter((each) => each.includes('plain http'))).toHaveLength(count)
    expect(warnings.join()).not.toContain('hunter2')
  })
})

it('a limit of tokens is told where no call takes any', () => {
  const tenants = {
    a: { rate: { tokens: '60k/m' }, quota: { tokens: '1G/mo' } },
    b: { rate: { rows: '1/s' } },
  }
  const more = {
    tenants,
    auth: { keys: [{ name: 'k', hash: `sha256:${'0'.repeat(64)}`, tenant: 'a' }] },
    cache: {
      tiers: [
        { name: 'memory', type: 'memory' },
        { name: 'r', type: 'redis', url: 'redis://h:1' },
      ],
    },
  }
  const told = (protocol: string) =>
    parsed(
      [
        { name: 'r', pool: 'a', protocol },
        { name: 'z', pool: 'b', protocol: 'oip' },
      ],
      more,
    ).warnings.filter((warning) => warning.startsWith('tenants'))
  const nothing = 'limits nothing: no route has calls that take tokens'
  expect(told('tfserving')).toEqual([
    `tenants.a.rate.tokens: ${nothing}`,
    `tenants.a.quota.tokens: ${nothing}`,
  ])
  for (const protocol of ['openai', 'auto']) expect(told(protocol)).toEqual([])
})
