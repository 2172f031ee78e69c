/** Numbers as the dashboard shows them. */
import { expect, it } from 'vitest'
import { age, bytes, count, duration, percent, plain, rate } from '../../../src/dashboard/format.ts'

it.each([
  [count(undefined), '–'],
  [count(0), '0'],
  [count(0.4236), '0.42'],
  [count(12.34), '12.3'],
  [count(9876), '9,876'],
  [count(12_345), '12.3k'],
  [count(4_200_000), '4.20M'],
  [rate(0), '0'],
  [rate(0.001), '<0.01'],
  [duration(undefined), '–'],
  [duration(0), '0 ms'],
  [duration(0.42), '0.42 ms'],
  [duration(4.24), '4.2 ms'],
  [duration(38.4), '38 ms'],
  [duration(1234), '1.23 s'],
  [duration(90_000), '1 min'],
  [age(-5), '0 s'],
  [age(7_200_000), '2 h'],
  [bytes(512), '512 B'],
  [bytes(13_002_342), '12.4 MiB'],
  [percent(undefined), '–'],
  [percent(0.9999), '99.9 %'],
  [percent(1), '100 %'],
  [plain({ a: 1 }), '{"a":1}'],
])('%s is %s', (shown, wanted) => {
  expect(shown).toBe(wanted)
})
