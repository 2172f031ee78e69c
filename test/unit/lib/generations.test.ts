import { expect, it } from 'vitest'
import { Generations } from '../../../src/lib/generations.ts'

it('holds at most two generations, and forgets what nobody asked for since the last change', () => {
  const table = new Generations<number>(2)
  expect(table.isEmpty).toBe(true)
  for (const [i, key] of ['a', 'b', 'c'].entries()) table.set(key, i)
  // `c` began a generation: `a` is of the one before, and lives on as it is asked for.
  expect(table.get('a')).toBe(0)
  table.set('d', 3)
  expect([table.get('a'), table.get('b'), table.get('c'), table.get('d')]).toEqual([0, undefined, 2, 3])
})

it('a value that is set again takes no more room', () => {
  const table = new Generations<number>(2)
  table.set('a', 1)
  table.set('b', 1)
  table.set('b', 2)
  table.set('c', 1)
  expect([table.get('a'), table.get('b'), table.get('c')]).toEqual([1, 2, 1])
})
