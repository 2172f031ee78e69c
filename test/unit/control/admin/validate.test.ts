/** The readers of the admin API's bodies: what passes, and what a fault says. */
import { describe, expect, test } from 'vitest'
import type * as z from 'zod'
import { Problem } from '../../../../src/control/admin/problem.ts'
import {
  durationMs,
  list,
  number,
  object,
  oneOf,
  readAll,
  record,
  text,
  unknownName,
  yes,
} from '../../../../src/control/admin/validate.ts'

function faultsOf(schema: z.ZodType, value: unknown): readonly string[] {
  try {
    readAll(schema, value)
    return []
  } catch (error) {
    if (error instanceof Problem && error.status === 400) return error.extras.errors ?? []
    throw error
  }
}

const word = text({ max: 4, pattern: /^[a-z]+$/, what: 'must be a word' })
const nested = object({
  name: word,
  inner: object({ items: list(number({ min: 1, max: 9, integer: true }), 3) }).exactOptional(),
  mode: oneOf('on', 'off').exactOptional(),
  labels: record(word, { max: 2, nameLength: 3 }).exactOptional(),
  all: yes.exactOptional(),
})

test('a value that fits comes through as it is', () => {
  const value = { name: 'abc', inner: { items: [1, 9] }, mode: 'off', labels: { a: 'b' }, all: true }
  expect(readAll(nested, value)).toEqual(value)
  expect(readAll(nested, { name: 'abc' })).toEqual({ name: 'abc' })
})

describe('a fault', () => {
  test.each<[unknown, string[]]>([
    [undefined, ['the body must be a JSON object']],
    [null, ['the body must be a JSON object']],
    [[], ['the body must be a JSON object']],
    [{}, ['name is missing']],
    [{ name: 7 }, ['name must be a string']],
    [{ name: null }, ['name must be a string']],
    [{ name: 'abcde' }, ['name must have at most 4 characters']],
    [{ name: 'A' }, ['name must be a word']],
    [{ name: 'a', inner: {} }, ['inner.items is missing']],
    [{ name: 'a', inner: { items: 1 } }, ['inner.items must be a list']],
    [{ name: 'a', inner: { items: [1, 1, 1, 1] } }, ['inner.items must have at most 3 items']],
    [{ name: 'a', inner: { items: [1, 0.5] } }, ['inner.items[1] must be an integer from 1 to 9']],
    [{ name: 'a', mode: 'of' }, ['mode must be "on" or "off"']],
    [{ name: 'a', labels: { a: 'b', c: 'd', e: 'f' } }, ['labels must have at most 2 members']],
    [{ name: 'a', labels: { long: 'b' } }, ['labels must have names of at most 3 characters']],
    [{ name: 'a', all: false }, ['all must be true']],
    [{ name: 'a', moed: 'on' }, ['moed is not known; did you mean "mode"?']],
    [{ name: 'a', constructor: 1 }, ['constructor is not known; known are name, inner, mode, labels, all']],
  ])('in %j says %j', (value, faults) => {
    expect(faultsOf(nested, value)).toEqual(faults)
  })

  test('never hides another one', () => {
    expect(faultsOf(nested, { inner: { items: [0, 'x'] }, mode: 1, nmae: 'a' })).toHaveLength(5)
  })

  test('is told once where two rules are broken, with its place, and of a flood the first ones', () => {
    expect(faultsOf(nested, { name: 'ABCDE', inner: { items: [0.5], itmes: 1 } })).toEqual([
      'inner.itmes is not known; did you mean "items"?',
      'name must have at most 4 characters',
      'inner.items[0] must be an integer from 1 to 9',
    ])
    const many = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`x${i}`, 1]))
    expect(faultsOf(nested, many)).toHaveLength(64)
  })

  test('of a prototype is one of an unknown member', () => {
    expect(faultsOf(nested, JSON.parse('{"name":"a","__proto__":{}}'))).toEqual([
      '__proto__ is not known; known are name, inner, mode, labels, all',
    ])
    const labels = JSON.parse('{"__proto__":"b","a":"b"}')
    expect(readAll(nested, { name: 'a', labels })).toEqual({ name: 'a', labels: { a: 'b' } })
  })
})

test.each([
  ['30s', 30_000],
  ['500ms', 500],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['250', 250],
  ['0', 0],
  ['-1s', undefined],
  ['1.5s', undefined],
  ['s', undefined],
  ['', undefined],
  ['1d', undefined],
])('the duration %j is %j ms', (given, wanted) => {
  expect(durationMs(given)).toBe(wanted)
})

test('a name is suggested when it is near, and not when it is far', () => {
  const known = ['generation', 'drain', 'weight']
  expect(unknownName('Generaton', known)).toMatch('did you mean "generation"')
  expect(unknownName('zone', known)).toMatch('known are generation, drain, weight')
  expect(unknownName('x'.repeat(100_000), known)).toMatch('known are')
})
