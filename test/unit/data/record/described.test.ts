import { expect, it } from 'vitest'
import { described } from '../../../../src/data/record/described.ts'
import type { Matched, Route } from '../../../../src/data/route/routes.ts'
import { opaque } from '../../../../src/protocol/opaque.ts'
import { bytes, callOf, replyOf } from '../../../../src/testing/protocol-call.ts'

const route: Route = {
  name: 'r',
  match: {},
  protocols: [opaque],
  pool: 'p',
  timeout: 1000,
  pure: true,
  cache: undefined,
}
const matched: Matched = { route, protocol: opaque, target: { verb: 'predict', prediction: true } }

function loggedQuery(query: string): string {
  const call = callOf(bytes('{}'), { query })
  const answer = { reply: replyOf('{}'), outcome: { kind: 'bypass', reason: 'test' } } as const
  return described(call, matched, answer, 0).query
}

it.each([
  ['?api_key=abc', '?api_key=***'],
  ['?x=1&access_token=abc&y=2', '?x=1&access_token=***&y=2'],
  ['?X-Amz-Signature=abc', '?X-Amz-Signature=***'],
  ['?token=a=b', '?token=***'],
  ['?token=a;b', '?token=***'],
  ['?a=1;token=abc', '?a=1;token=***'],
  ['?api%5Fkey=abc', '?api%5Fkey=***'],
  ['?%74oken=abc', '?%74oken=***'],
  ['?%FFkey=abc', '?%FFkey=***'],
  ['?x.api_key=abc', '?x.api_key=***'],
  ['?access+token=abc', '?access+token=***'],
  ['?token[]=abc', '?token[]=***'],
  ['?pwd=a&passwd=b&bearer=c', '?pwd=***&passwd=***&bearer=***'],
])('blanks what a parameter named like a secret has: %s', (query, wanted) => {
  expect(loggedQuery(query)).toBe(wanted)
})

it.each(['', '?', '?x', '?x=1&&y=2', '?token', '?keys=1', '?monkey_=1', '?author=me'])(
  'leaves the rest as it is: %s',
  (query) => {
    expect(loggedQuery(query)).toBe(query)
  },
)
