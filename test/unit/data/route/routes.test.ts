/** A name is compared by what it says: no spelling of a path slips past a rule, or comes under one that is not for it. */
import { describe, expect, it } from 'vitest'
import { Chunks } from '../../../../src/core/chunks.ts'
import { createRouter, isOpen, type OpenMatched, type Route } from '../../../../src/data/route/routes.ts'
import { settle, settleSteps } from '../../../../src/data/route/settle.ts'
import { runToEnd } from '../../../../src/lib/cooperative.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import { opaque } from '../../../../src/protocol/opaque.ts'
import { openai } from '../../../../src/protocol/openai/openai.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { CACHE } from '../../../support/door.ts'
import { slip } from '../../../support/slip.ts'

function routeTo(path: string, match: Route['match']) {
  const rest = { protocols: [tfserving, oip, opaque], pool: 'p', timeout: 1, pure: true, cache: CACHE }
  const router = createRouter([
    { name: 'ruled', match, ...rest },
    { name: 'other', match: {}, ...rest },
  ])
  const matched = router({ method: 'POST', host: 'h', path, headers: [] })
  return [matched?.route.name, matched?.target.model]
}

it.each([
  ['/v1/models/m-x:predict', 'm-x'],
  ['/v1/models/m%2Dx:predict', 'm-x'],
  ['/v1/models/%6d%2dx:predict', 'm-x'],
  ['/v1/mod%65ls/m-x:predic%74', 'm-x'],
  ['/v2/models/m%2Dx/infer', 'm-x'],
  ['/v2/models/m%2Dx/versions/1/inf%65r', 'm-x'],
  ['/v1/models/a%20b:predict', 'a b'],
  ['/v1/models/caf%c3%a9:predict', 'café'],
  ['/v2/models/a%3Ab/infer', 'a:b'],
])('%s is of the model %s', (path, model) => {
  expect(routeTo(path, { model })).toEqual(['ruled', model])
})

it.each([
  ['/v1/models/m-x:predict', '/v1/models/m-x*'],
  ['/v1/models/%6D-x:predict', '/v1/models/m-x*'],
  ['/%61dmin/x', '/admin/*'],
  ['/a%20b', '/a%20b'],
  ['/a%20b/c', '/a%20*'],
  ['/100%25', '/100%25'],
])('%s comes under the path %s', (path, rule) => {
  expect(routeTo(path, { path: rule })[0]).toBe('ruled')
})

// What separates is no part of a name, and what is part of one separates nothing.
it.each(['/v1/models/m%3Apredict', '/v1/models/m-x%3Apredict'])('%s is no prediction', (path) => {
  expect(routeTo(path, { model: 'm*' })).toEqual(['other', undefined])
})

describe('a dialect whose bodies name the model', () => {
  const to = (name: string, match: Route['match'], protocols = [slip]) => ({
    ...{ name, match, protocols, pool: 'p', timeout: 1, pure: true, cache: CACHE },
  })
  const routed = (routes: readonly Route[], path = '/slip') =>
    createRouter(routes)({ method: 'POST', host: 'h', path, headers: [] })
  const settled = (routes: readonly Route[], body: string) => {
    const open = routed(routes) as OpenMatched
    const bytes = Buffer.from(body)
    const at = settle(open, bytes)
    const pieces = [bytes.subarray(0, 3), bytes.subarray(3)]
    expect(runToEnd(settleSteps(open, new Chunks(pieces)))).toEqual(at)
    return at && [at.route.name, at.target.model, at.target.version]
  }
  const three = [to('a', { model: 'a*' }), to('b', { model: 'b*' }), to('rest', {})]

  it('has every route that its model may choose, up to the first that takes them all', () => {
    const open = routed([...three, to('never', {})])
    expect(open && isOpen(open) && open.candidates.map(({ route }) => route.name)).toEqual(['a', 'b', 'rest'])
    expect([open?.route.name, open?.target.model]).toEqual(['a', undefined])
  })

  it('is settled by the model, in the order of the routes', () => {
    expect(settled(three, 'model ant\n1\n')).toEqual(['a', 'ant', undefined])
    expect(settled(three, 'model bee@2\n1\n')).toEqual(['b', 'bee', '2'])
    expect(settled(three, 'model cat\n')).toEqual(['rest', 'cat', undefined])
    expect(settled(three, 'nothing')).toEqual(['rest', undefined, undefined])
    expect(settled(three.slice(0, 2), 'model cat\n')).toBeUndefined()
    expect(settled(three.slice(0, 2), 'nothing')).toBeUndefined()
  })

  it('is the same match for the model that the last call named', () => {
    const open = routed(three) as OpenMatched
    const named = (body: string) => settle(open, Buffer.from(body))
    const ant = named('model ant\n')
    expect(named('model ant\n2\n')).toBe(ant)
    expect(named('model ant@2\n')?.target).toMatchObject({ model: 'ant', version: '2' })
    expect(named('model ant\n')?.target.version).toBeUndefined()
  })

  it('stands beside routes of dialects that name it in the path, or not at all', () => {
    expect(settled([to('a', { model: 'a*' }), to('rest', {}, [opaque])], 'model cat\n')).toEqual([
      'rest',
      undefined,
      undefined,
    ])
    // What comes first and is settled needs no body.
    const first = routed([to('first', {}, [opaque]), ...three])
    expect([first?.route.name, first && isOpen(first)]).toEqual(['first', false])
    expect(isOpen(routed([...three, to('v1', {}, [tfserving])], '/v1/models/m:predict') as never)).toBe(false)
  })
})

describe('a target that gathers', () => {
  const rest = { pool: 'p', timeout: 1, pure: true, cache: CACHE }
  const router = createRouter([
    { name: 'a', match: { model: 'a' }, protocols: [openai], ...rest },
    { name: 'elsewhere', match: { path: '/v2/*' }, protocols: [openai], ...rest },
    { name: 'other', match: { model: 'b' }, protocols: [opaque], ...rest },
    { name: 'c', match: { model: 'c' }, protocols: [openai], ...rest },
    { name: 'rest', match: {}, protocols: [opaque], ...rest },
  ])
  const find = (path: string) => router({ method: 'GET', host: 'h', path, headers: [] })
  const names = (path: string) => find(path)?.gathered?.map(({ route }) => route.name)

  it('has all routes of its dialect that the call matches, whatever their model', () => {
    expect(find('/v1/models')?.route.name).toBe('a')
    expect(names('/v1/models')).toEqual(['a', 'c'])
    expect(names('/v1/models/x')).toEqual(['a', 'c'])
    expect(names('/v1/files')).toBeUndefined()
  })

  it('is left to a route that comes before and takes it', () => {
    const first = createRouter([
      { name: 'opaque', match: {}, protocols: [opaque], ...rest },
      { name: 'openai', match: {}, protocols: [openai], ...rest },
    ])
    const matched = first({ method: 'GET', host: 'h', path: '/v1/models', headers: [] })
    expect([matched?.route.name, matched?.gathered]).toEqual(['opaque', undefined])
  })
})
