/** What answers say of their version: told once, and again when it is another. */
import { expect, it } from 'vitest'
import type { Target } from '../../../../src/core/call.ts'
import { createVersionRules, type VersionStatement } from '../../../../src/data/key/statements.ts'

function rules() {
  const told: VersionStatement[] = []
  const { stated, mayGive } = createVersionRules({ mayKeep: () => true }, (statement) => told.push(statement))
  const matched = (pool: string, target: Partial<Target>) =>
    ({ route: { pool }, target: { verb: 'infer', prediction: true, ...target } }) as Parameters<
      typeof stated
    >[0]
  const state = (pool: string, target: Partial<Target>, generation: number, version: string) =>
    stated(matched(pool, target), { generation } as Parameters<typeof stated>[1], version)
  const give = (pool: string, target: Partial<Target>, version: string) =>
    mayGive(matched(pool, target), { version } as Parameters<typeof mayGive>[1])
  return { told, state, give }
}

it('is told when it is new, with what was said before', () => {
  const { told, state } = rules()
  for (const version of ['1', '1', '2', '2', '1']) state('main', { model: 'm' }, 7, version)
  const named = { pool: 'main', model: 'm', generation: 7 }
  expect(told).toEqual([
    { ...named, version: '1', before: undefined },
    { ...named, version: '2', before: '1' },
    { ...named, version: '1', before: '2' },
  ])
})

it('is known apart by pool, by model and by backend, whatever their names', () => {
  const { told, state, give } = rules()
  const names: [string, string][] = [
    ['a', 'b c'],
    ['a b', 'c'],
    ['a', 'b'],
    ['b', 'a'],
  ]
  for (let turn = 0; turn < 2; turn++) {
    for (const [pool, model] of names) {
      for (const generation of [1, 2]) state(pool, { model }, generation, '1')
      give(pool, { model }, '1')
    }
    state('a', {}, 1, '1')
  }
  expect(told).toHaveLength(3 * names.length + 1)
  expect(told.every(({ before }) => before === undefined)).toBe(true)
  expect(told.filter(({ generation }) => generation === 0)).toHaveLength(names.length)
})

it('says nothing of calls that name their version', () => {
  const { told, state } = rules()
  state('main', { model: 'm', version: '1' }, 7, '1')
  expect(told).toEqual([])
})

it('is forgotten, and told again, where callers name more models than are remembered', () => {
  const { told, state } = rules()
  const invented = (count: number) => {
    for (let i = 0; i < count; i++) state('main', { model: `invented ${i}` }, 7, '1')
  }
  state('main', { model: 'm' }, 7, '1')
  invented(4_095)
  state('main', { model: 'm' }, 7, '1')
  expect(told).toHaveLength(4_096)
  invented(4_096)
  state('main', { model: 'm' }, 7, '1')
  expect(told.at(-1)).toMatchObject({ model: 'm', before: undefined })
})
