/** Heads of HTTP/2 that are known again: no call gets another's volatile fields, and nothing unsound passes as known. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { type Http2Head, readHead } from '../../../../src/data/ingress/h2/head.ts'
import { KnownHeads } from '../../../../src/data/ingress/h2/known-heads.ts'

const head = (...fields: string[]) => [
  ...[':method', 'POST', ':scheme', 'http', ':authority', 'h', ':path', '/a'],
  ...fields,
]
/** As a call that was decided leaves it. */
function decide({ notes }: Http2Head): void {
  notes.decision = {} as NonNullable<typeof notes.decision>
}

it.each(['b\r\nx-c: d', 'b\0', 'é\u0001'])('a volatile value that is none is malformed: %j', (value) => {
  const known = new KnownHeads(new Set())
  decide(known.find(head('traceparent', 'a')) as Http2Head)
  expect(known.find(head('traceparent', value))).toEqual({ malformed: 'traceparent' })
  expect(known.find(head('traceparent', 'b'))).not.toHaveProperty('malformed')
})

it('a value that looks like further fields is not taken for them', () => {
  const known = new KnownHeads(new Set())
  known.find(head('x-a', 'b', 'x-b', 'c'))
  expect(known.find(head('x-a', 'b\nx-b\nc'))).toEqual({ malformed: 'x-a' })
})

it('a call keeps its own volatile fields when its head is forgotten while its body arrives', () => {
  const known = new KnownHeads(new Set())
  decide(known.find(head('grpc-timeout', '1S')) as Http2Head)
  const raw = head('grpc-timeout', '2S')
  const found = known.find(raw) as Http2Head
  for (let i = 0; i < 2000; i++) known.find(head('x-a', String(i)))
  const own = known.forCall(raw, found)
  expect(own.headers).toContain('2S')
  expect(own.notes.timeout).toBe(2000)
})

const name = fc.constantFrom('grpc-timeout', 'traceparent', 'x-a', 'authorization')
const value = fc.constantFrom('1S', '2S', 'a', 'b', '', 'a\nb', 'a\0', 'x\ntraceparent\n')
const call = fc.record({
  fields: fc.array(fc.tuple(name, value), { maxLength: 3 }),
  isDecided: fc.boolean(),
  /** So many calls come before its body is there. */
  later: fc.nat(3),
})

it('whatever came before, the head of a call is its own', () => {
  fc.assert(
    fc.property(fc.array(call, { maxLength: 30 }), fc.boolean(), (calls, isUsed) => {
      const known = new KnownHeads(new Set(isUsed ? ['traceparent'] : []))
      const waiting: { at: number; raw: string[]; found: Http2Head }[] = []
      const arrive = (now: number) => {
        for (const { at, raw, found } of waiting) {
          if (at !== now) continue
          const own = known.forCall(raw, found)
          const { headers } = readHead(raw) as Http2Head
          expect(own.headers).toEqual(headers)
          if (own.notes.headers) expect(own.notes.headers).toEqual(headers)
        }
      }
      for (const [i, { fields, isDecided, later }] of calls.entries()) {
        const raw = head(...fields.flat())
        const fresh = readHead(raw)
        const found = known.find(raw)
        if ('malformed' in fresh) expect(found).toEqual(fresh)
        else {
          expect(found).not.toHaveProperty('malformed')
          waiting.push({ at: i + later, raw, found: found as Http2Head })
          if (isDecided) decide(found as Http2Head)
        }
        arrive(i)
      }
    }),
  )
})
