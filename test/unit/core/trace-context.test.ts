/** `traceparent`, read strictly: what is not sound begins a trace of its own. */
import { expect, it } from 'vitest'
import { parseTraceparent, saysSampled, traceparent } from '../../../src/core/trace-context.ts'
import { TraceIds } from '../../../src/core/trace-ids.ts'

const [TRACE, SPAN] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7']

it('reads what it writes', () => {
  expect(parseTraceparent(traceparent(TRACE, SPAN))).toEqual({
    traceId: TRACE,
    spanId: SPAN,
    isSampled: true,
  })
})

it.each([
  [`00-${TRACE}-${SPAN}-00`, false],
  [`00-${TRACE}-${SPAN}-03`, true],
  [`cc-${TRACE}-${SPAN}-01`, true],
  [`cc-${TRACE}-${SPAN}-01-what the future brings`, true],
])('takes %s', (text, isSampled) => {
  expect(parseTraceparent(text)).toEqual({ traceId: TRACE, spanId: SPAN, isSampled })
  expect(saysSampled(text)).toBe(isSampled)
})

it('tells of any flags the same by the text alone', () => {
  for (let flags = 0; flags < 256; flags++) {
    const text = `00-${TRACE}-${SPAN}-${flags.toString(16).padStart(2, '0')}`
    expect([flags, saysSampled(text)]).toEqual([flags, parseTraceparent(text)?.isSampled])
  }
})

it.each([
  undefined,
  '',
  `ff-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01-more`,
  `00-${TRACE}-${SPAN}-1`,
  `00-${TRACE}-${SPAN}`,
  `00-${TRACE.toUpperCase()}-${SPAN}-01`,
  `00-${'0'.repeat(32)}-${SPAN}-01`,
  `00-${TRACE}-${'0'.repeat(16)}-01`,
  ` 00-${TRACE}-${SPAN}-01`,
  `00-${TRACE}-${SPAN}-01, 00-${TRACE}-${SPAN}-01`,
])('takes nothing else: %s', (text) => {
  expect(parseTraceparent(text)).toBeUndefined()
  expect(text === undefined ? undefined : saysSampled(text)).toBeUndefined()
})

it('makes ids that differ', () => {
  const ids = new TraceIds()
  const made = Array.from({ length: 2000 }, (_, i) => (i % 2 ? ids.trace() : ids.span()))
  expect(new Set(made).size).toBe(made.length)
  expect(made.every((id, i) => id.length === (i % 2 ? 32 : 16) && /^[0-9a-f]+$/.test(id))).toBe(true)
})
