/** Ids of calls: a caller's is taken where it is sound, and no two of ours are equal. */
import { expect, it } from 'vitest'
import { callersRequestId, RequestIds, soundRequestId } from '../../../src/core/request-id.ts'

it.each([
  ['a UUID', '3f2b8c1e-9a4d-4c77-b1aa-0242ac120002', true],
  ['128 characters', 'x'.repeat(128), true],
  ['what ids are put together with', 'a.b_c~d:e+f/g=h@i-j', true],
  ['129 characters', 'x'.repeat(129), false],
  ['nothing', '', false],
  ['a space', 'a b', false],
  ['a quotation mark', 'a"b', false],
  ['the end of a line', 'a\n', false],
  ['a letter beyond ASCII', 'é', false],
  ['an escape', 'a\u001b[31m', false],
])('takes an id with %s or not', (_, id, isSound) => {
  expect(soundRequestId(id)).toBe(isSound ? id : '')
})

it('reads the first field of the name, in any case', () => {
  expect(callersRequestId(['X-Request-ID', 'a', 'x-request-id', 'b'])).toBe('a')
  expect(callersRequestId(['x-request-ids', 'a'])).toBe('')
})

it('makes ids that are sound and differ, within a thread and between threads', () => {
  const threads = [new RequestIds(), new RequestIds()]
  const made = threads.flatMap((ids) => Array.from({ length: 5000 }, () => ids.next()))
  expect(new Set(made).size).toBe(made.length)
  expect(made.every((id) => soundRequestId(id) === id)).toBe(true)
})
