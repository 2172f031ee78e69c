/**
 * K1: what a key covers besides the body. Two calls have the same key exactly where all that may change the answer,
 * or who may have it, is the same; ids are in no key, and a digest has 256 bits.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Call, RawPairs } from '../../src/core/call.ts'
import { silentLog } from '../../src/core/log.ts'
import { Deployments } from '../../src/data/key/deployment.ts'
import { Epochs } from '../../src/data/key/epochs.ts'
import { createKeyer } from '../../src/data/key/keyer.ts'
import { principalOf } from '../../src/data/key/meaning.ts'
import { encodingOf, rawPrefix } from '../../src/data/key/raw.ts'
import type { Matched, Route } from '../../src/data/route/routes.ts'
import { opaque } from '../../src/protocol/opaque.ts'
import { tfserving } from '../../src/protocol/tfserving/tfserving.ts'
import { FakeClock } from '../support/fake-clock.ts'
import { CACHE } from '../support/pipeline.ts'

/** Near each other, and full of what separates fields. */
const word = fc.constantFrom('', 'a', 'b', 'ab', '1:a', 'a1:b', ':', '0:', '2:ab', 'a\u0000', ',', 'é')

const asked = fc.record({
  route: word,
  pool: word,
  vary: fc.subarray(['x-a', 'x-b']),
  scope: fc.constantFrom('caller' as const, 'shared' as const),
  tags: fc.subarray(['t', 'u']),
  verb: fc.constantFrom('predict', 'classify'),
  isOpaque: fc.boolean(),
  model: fc.option(word, { nil: undefined }),
  version: fc.option(word, { nil: undefined }),
  method: fc.constantFrom('POST', 'QUERY', 'GET'),
  query: word,
  path: word,
  type: fc.constantFrom(
    undefined,
    '',
    'application/json',
    'Application/JSON; charset="UTF-8"',
    'application/json; charset=latin1',
    'text/plain',
  ),
  fields: fc.array(
    fc.tuple(
      fc.constantFrom(
        'x-a',
        'X-A',
        'x-b',
        'x-other',
        'authorization',
        'cookie',
        'x-request-id',
        'traceparent',
      ),
      word,
    ),
    { maxLength: 3 },
  ),
})
type Asked = typeof asked extends fc.Arbitrary<infer T> ? T : never

/** Two calls that differ in at most two things. */
const pair = fc
  .tuple(
    asked,
    asked,
    fc.subarray(
      [
        'route',
        'pool',
        'vary',
        'scope',
        'tags',
        'verb',
        'isOpaque',
        'model',
        'version',
        'method',
        'query',
        'path',
        'type',
        'fields',
      ] as const,
      { maxLength: 2 },
    ),
  )
  .map(
    ([one, other, names]) =>
      [one, { ...one, ...Object.fromEntries(names.map((name) => [name, other[name]])) }] as const,
  )

function callOf(one: Asked, id: string): [Call, Matched] {
  const headers: RawPairs = [
    ...(one.type === undefined ? [] : ['Content-Type', one.type]),
    ...one.fields.flat(),
  ]
  const target = {
    verb: one.verb,
    prediction: !one.isOpaque,
    ...(one.model === undefined ? {} : { model: one.model }),
    ...(one.version === undefined ? {} : { version: one.version }),
  }
  const cache = { ...CACHE, vary: one.vary, scope: one.scope, tags: one.tags }
  const protocol = one.isOpaque ? opaque : tfserving
  const route: Route = {
    name: one.route,
    match: {},
    protocols: [protocol],
    pool: one.pool,
    timeout: 1,
    pure: true,
    cache,
  }
  const call: Call = {
    ...{ id, method: one.method, path: one.path, query: one.query, headers, host: 'h', peer: id },
    ...{ principal: principalOf(headers), target, body: new Uint8Array(0), deadline: 0 },
    signal: new AbortController().signal,
  }
  return [call, { route, protocol, target }]
}

/** All that may matter, in words of the test's own. */
function covered(one: Asked): unknown {
  const values = (name: string) =>
    one.fields.filter(([field]) => field.toLowerCase() === name).map(([, value]) => value)
  const credentials = one.fields.filter(([field]) => field === 'authorization' || field === 'cookie')
  return [
    ...[one.route, one.pool, one.isOpaque, one.verb, one.model, one.version ?? '', one.query, one.tags],
    one.method === 'QUERY' && !one.isOpaque ? 'POST' : one.method,
    one.model === undefined ? one.path : '',
    typeOf(one),
    one.vary.map((name) => [name, values(name)]),
    one.scope === 'shared' ? 'all' : credentials,
  ]
}

/** As it is sent, none apart from an empty one; but JSON in whatever spelling, to a dialect that reads JSON. */
function typeOf({ type, isOpaque }: Asked): string | undefined {
  const isJson = type === 'application/json' || type === 'Application/JSON; charset="UTF-8"'
  return isJson && !isOpaque ? 'JSON' : type
}

describe('K1, I3: the key of a call', () => {
  const parts = { shared: undefined, clock: new FakeClock(), log: silentLog, changed: () => {} }
  const { clock } = parts
  const keyer = createKeyer({ epochs: new Epochs(parts), deployments: new Deployments(parts), clock })
  const keyOf = async (one: Asked, id: string) => (await keyer.seed(...callOf(one, id))).digest

  it('is the same exactly where route, model, caller and all else that counts are', async () => {
    let equal = 0
    await fc.assert(
      fc.asyncProperty(pair, async ([one, other]) => {
        const [a, b] = [await keyOf(one, '1'), await keyOf(other, '2')]
        expect(Buffer.from(a, 'latin1').length).toBe(32)
        const wanted = JSON.stringify(covered(one)) === JSON.stringify(covered(other))
        if (wanted) equal++
        expect(a === b).toBe(wanted)
      }),
      { numRuns: 1500 },
    )
    expect(equal).toBeGreaterThan(100)
  })

  it('is never left to the body by a head that says more: equal digests of heads have equal keys', async () => {
    let equal = 0
    await fc.assert(
      fc.asyncProperty(pair, async ([one, other]) => {
        // Told by the body, and by the route that an answer was found for.
        const { model, version, tags } = one
        const like = { ...other, model, version, tags }
        const heads = [one, like].map((asked) => {
          const [call, matched] = callOf(asked, 'head')
          return rawPrefix(keyer.head(call, { ...matched, candidates: [matched] }), encodingOf(call))
        })
        const [a, b] = [await keyOf(one, '1'), await keyOf(like, '2')]
        if (heads[0] !== heads[1]) return
        equal++
        expect(a).toBe(b)
      }),
      { numRuns: 1500 },
    )
    expect(equal).toBeGreaterThan(100)
  })
})
