/** K5: a purge and the keys of calls spell the names of epochs alike. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { namesOfCall, namesOfPurge } from '../../src/data/key/epoch-names.ts'

// Few names, with the characters that names are put together with: what is asked for and what is purged often meet.
const name = fc.constantFrom('a', 'b', 'a/1', 'a:b', '/', '1')
const optional = fc.option(name, { nil: undefined })
const call = fc.record({ route: name, model: optional, version: optional, tags: fc.uniqueArray(name) })
const version = fc.record({ model: name, version: name })
const scope = fc.oneof(
  fc.record({ model: name }),
  version,
  fc.record({ route: name }),
  fc.record({ tags: fc.array(name, { minLength: 1 }) }),
)

type Scope = { model?: string; version?: string; route?: string; tags?: readonly string[] }

it('a purge reaches each call that fits any member of it', () => {
  fc.assert(
    fc.property(call, scope, (one, purge: Scope) => {
      const isOfVersion =
        one.version === purge.version || one.version === undefined || purge.version === undefined
      const isFit =
        (purge.model !== undefined && one.model === purge.model && isOfVersion) ||
        one.route === purge.route ||
        (purge.tags ?? []).some((tag) => (one.tags as readonly string[]).includes(tag))
      const covered = new Set(namesOfCall(one))
      const isReached = namesOfPurge(purge).some((replaced) => covered.has(replaced))
      if (isFit) expect(isReached).toBe(true)
    }),
    { numRuns: 2000 },
  )
})
