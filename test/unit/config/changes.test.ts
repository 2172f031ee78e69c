/** What the log says a reload has changed: names, and no value. */
import { expect, test } from 'vitest'
import { changedSettings } from '../../../src/config/changes.ts'
import { resolve } from '../../../src/config/resolve.ts'
import type { Settings } from '../../../src/config/schema.ts'

function settings(more: object): Settings {
  const pools = { main: { backends: [{ url: 'http://127.0.0.1:1' }] } }
  const resolved = resolve({ pools, routes: [{ name: 'main', pool: 'main' }], ...more }, '/')
  if ('issues' in resolved) throw new Error(JSON.stringify(resolved.issues))
  return resolved.settings
}
const hash = `sha256:${'a'.repeat(64)}`
const auth = { keys: [{ name: 'one', tenant: 'mobile', hash }] }

test('names what differs, one tenant or pool at a time, and shows no value', () => {
  const before = settings({ auth, tenants: { mobile: {}, web: {}, same: {} } })
  const after = settings({
    auth: { keys: [{ ...auth.keys[0], hash: `sha256:${'b'.repeat(64)}` }] },
    tenants: { mobile: { concurrency: 3 }, fresh: {}, same: {} },
    routes: [{ name: 'main', pool: 'main', timeout: '3s' }],
    admin: { tokens: [{ name: 't', hash, scopes: ['read'] }] },
  })
  expect(changedSettings(before, after).toSorted()).toEqual([
    'admin.tokens',
    'auth.keys',
    'routes',
    'tenants.fresh (new)',
    'tenants.mobile',
    'tenants.web (gone)',
  ])
  expect(changedSettings(before, before)).toEqual([])
  expect(changedSettings(settings({}), before)).toContain('auth.keys (new)')
})

test('tells fifty and counts the others', () => {
  const tenants = Object.fromEntries(Array.from({ length: 80 }, (_, i) => [`t${i}`, {}]))
  const changed = changedSettings(settings({ auth }), settings({ auth, tenants }))
  expect(changed).toHaveLength(51)
  expect(changed.at(-1)).toBe('and 30 more')
})
