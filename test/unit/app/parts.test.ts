/** Loading parts of one's own: what a module has to be, and what a YAML may then name. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, describe, expect, it } from 'vitest'
import { loadParts, protocolsOf } from '../../../src/app/parts.ts'
import { parseSettings } from '../../../src/config/load.ts'
import { presentable } from '../../../src/config/present.ts'
import { opaque } from '../../../src/protocol/opaque.ts'

const folder = mkdtempSync(join(tmpdir(), 'infergate-parts-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let modules = 0
function moduleOf(source: string): string {
  const path = join(folder, `parts-${++modules}.mjs`)
  writeFileSync(path, source)
  return path
}

describe('a module of parts', () => {
  it('is loaded from a path or a URL, with the names that it has', async () => {
    const path = moduleOf(
      "export default { policies: { 'x-first': () => {} }, tiers: { 'x-a': () => {}, 'x-b': () => {} } }",
    )
    for (const module of [path, pathToFileURL(path), pathToFileURL(path).href]) {
      const { names, url } = await loadParts(module)
      expect(names).toEqual({
        protocols: [],
        policies: ['x-first'],
        tiers: ['x-a', 'x-b'],
        sources: [],
        emitters: [],
      })
      expect(url).toBe(pathToFileURL(path).href)
    }
  })

  it.each([
    ['export const tiers = {}', /default export is no object/],
    ['export default { tier: {} }', /"tier" is no kind of part: there are protocols, tiers/],
    ['export default { tiers: { redis: () => {} } }', /"redis" has to begin with x-/],
    ["export default { tiers: { 'x-a': {} } }", /x-a has to be a function/],
    ["export default { protocols: { 'x-a': () => {} } }", /x-a has to be a Protocol/],
    ["throw new Error('at once')", /do not load: Error: at once/],
  ])('%s is refused with the reason', async (source, reason) => {
    await expect(loadParts(moduleOf(source))).rejects.toThrow(reason)
  })

  it('that is not there is refused', async () => {
    await expect(loadParts(join(folder, 'nowhere.mjs'))).rejects.toThrow(/do not load.*nowhere\.mjs/)
  })
})

describe('a YAML', () => {
  const own = {
    protocols: ['x-mine'],
    tiers: ['x-file'],
    policies: ['x-first'],
    sources: ['x-list'],
    emitters: ['x-bell'],
  } as const
  const yaml = `
cache: { tiers: [{ name: memory, type: memory }, { name: disk, type: x-file, readTimeout: 5ms, options: { path: a.db, password: hidden } }] }
pools:
  main:
    balance: { policy: x-first }
    discovery: [{ type: x-list, options: { hosts: [a, b] } }]
    scale: { emit: [{ type: x-bell }] }
routes: [{ protocol: x-mine, pool: main }]`

  it('may name the parts that there are', () => {
    const loaded = parseSettings(yaml, 'own.yaml', {}, own)
    if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
    const { cache, pools, routes } = loaded.settings
    expect(cache.tiers[1]).toMatchObject({ type: 'x-file', readTimeout: 5, options: { path: 'a.db' } })
    expect(pools['main']).toMatchObject({
      balance: { policy: 'x-first' },
      discovery: [{ type: 'x-list', options: { hosts: ['a', 'b'] } }],
      scale: { emit: [{ type: 'x-bell', options: {} }] },
    })
    expect(routes[0]?.protocol).toBe('x-mine')
  })

  it('shows none of their options', () => {
    const loaded = parseSettings(yaml, 'own.yaml', {}, own)
    if ('problems' in loaded) throw new Error(JSON.stringify(loaded.problems))
    const shown = JSON.stringify(presentable(loaded.settings, own))
    expect(shown).not.toContain('hidden')
    expect(shown).toContain('"readTimeout":"5ms"')
  })

  it('may name no others, and is told where they come from', () => {
    const loaded = parseSettings(yaml, 'own.yaml', {})
    const problems = 'problems' in loaded ? loaded.problems : []
    expect(problems.map(({ path }) => path)).toEqual([
      'cache.tiers[1].type',
      'pools.main.balance.policy',
      'pools.main.discovery[0].type',
      'pools.main.scale.emit[0].type',
      'routes[0].protocol',
    ])
    for (const { fix } of problems) expect(fix).toMatch(/--parts/)
  })
})

it('a dialect of one’s own stands behind the built-in ones and before what passes everything', () => {
  const mine = { ...opaque, name: 'x-mine' }
  const own = { protocols: { 'x-mine': mine } }
  expect(protocolsOf('auto', own).map(({ name }) => name)).toEqual([
    'tfserving',
    'oip',
    'openai',
    'torchserve',
    'x-mine',
    'opaque',
  ])
  expect(protocolsOf('x-mine', own)).toEqual([mine])
  expect(() => protocolsOf('x-other', own)).toThrow('there is no part x-other')
})
