import { expect, it } from 'vitest'
import { lastOf } from '../../../src/lib/memo.ts'

it('computes once for the same arguments in a row, and again for others', () => {
  const seen: unknown[][] = []
  const join = lastOf((a: string, b: number) => {
    seen.push([a, b])
    return `${a}${b}`
  })
  expect([join('a', 1), join('a', 1), join('b', 1), join('b', 2), join('a', 1)]).toEqual([
    'a1',
    'a1',
    'b1',
    'b2',
    'a1',
  ])
  expect(seen).toEqual([
    ['a', 1],
    ['b', 1],
    ['b', 2],
    ['a', 1],
  ])
})

it('undefined is an argument like any other, and a result too', () => {
  let calls = 0
  const count = lastOf((argument: unknown) => {
    calls++
    return argument
  })
  expect([count(undefined), count(undefined), calls]).toEqual([undefined, undefined, 1])
})

it('does not remember what threw, and keeps what it had', () => {
  let calls = 0
  const half = lastOf((n: number) => {
    calls++
    if (n % 2 === 1) throw new RangeError('odd')
    return n / 2
  })
  expect(half(4)).toBe(2)
  expect(() => half(3)).toThrow('odd')
  expect(() => half(3)).toThrow('odd')
  expect([half(4), calls]).toEqual([2, 3])
})
