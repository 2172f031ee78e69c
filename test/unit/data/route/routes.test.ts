/** A name is compared by what it says: no spelling of a path slips past a rule, or comes under one that is not for it. */
import { expect, it } from 'vitest'
import { createRouter, type Route } from '../../../../src/data/route/routes.ts'
import { oip } from '../../../../src/protocol/oip/oip.ts'
import { opaque } from '../../../../src/protocol/opaque.ts'
import { tfserving } from '../../../../src/protocol/tfserving/tfserving.ts'
import { CACHE } from '../../../support/door.ts'

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
