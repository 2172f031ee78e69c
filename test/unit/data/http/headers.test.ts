import { describe, expect, it } from 'vitest'
import { CHOOSING_FIELDS, CREDENTIAL_FIELDS, HOP_FIELDS } from '../../../../src/core/fields.ts'
import { endToEnd, forwardedReply, forwardedRequest } from '../../../../src/data/http/headers.ts'

const peer = { address: '10.1.2.3', scheme: 'http', trusted: false } as const

const names = (pairs: readonly string[]) =>
  pairs.filter((_, i) => i % 2 === 0).map((name) => name.toLowerCase())
const value = (pairs: readonly string[], name: string) => pairs[names(pairs).indexOf(name) * 2 + 1]

describe('request headers on their way to a backend', () => {
  it('loses the hop-by-hop fields and those that Connection names', () => {
    const sent = [
      'Connection',
      'close, X-Hop',
      'X-Hop',
      '1',
      'TE',
      'trailers',
      'Upgrade',
      'h2c',
      'HTTP2-Settings',
      'AAEAAEAA',
      'X-Kept',
      '2',
    ]
    expect(names(endToEnd(sent))).toEqual(['x-kept'])
  })

  it('loses them in every spelling that a server may take for them', () => {
    expect(names(endToEnd(['Transfer_Encoding', 'chunked', 'X-Kept', '1']))).toEqual(['x-kept'])
    const sent = forwardedRequest(['X_Forwarded_For', '6.6.6.6', 'Content_Length', '3'], 'h', peer)
    expect(names(sent).join()).not.toContain('_')
  })

  it('is the list as it came where there is nothing to lose', () => {
    const sent = ['Host', 'h', 'Content-Type', 'b']
    expect(endToEnd(sent)).toBe(sent)
  })

  it.each([...CREDENTIAL_FIELDS, ...CHOOSING_FIELDS, 'content-type', 'content-encoding', 'cache-control'])(
    'keeps %s even where Connection names it',
    (name) => {
      if (HOP_FIELDS.includes(name)) return
      expect(names(endToEnd(['Connection', `close, ${name}`, name, 'a']))).toEqual([name])
    },
  )

  it('keeps order, case and repeats of the rest', () => {
    const sent = ['X-B', '1', 'x-a', '2', 'X-B', '3']
    expect(forwardedRequest(sent, 'h', peer).slice(0, 6)).toEqual(sent)
  })

  it('replaces the forwarding fields of a stranger', () => {
    const out = forwardedRequest(
      ['X-Forwarded-For', '6.6.6.6', 'Forwarded', 'for=6.6.6.6'],
      'models.example',
      peer,
    )
    expect(value(out, 'x-forwarded-for')).toBe('10.1.2.3')
    expect(value(out, 'x-forwarded-host')).toBe('models.example')
    expect(names(out)).not.toContain('forwarded')
  })

  it('adds to those of a trusted proxy', () => {
    const sent = ['X-Forwarded-For', '6.6.6.6', 'X-Forwarded-Proto', 'https']
    const out = forwardedRequest(sent, 'h', { ...peer, trusted: true })
    expect(value(out, 'x-forwarded-for')).toBe('6.6.6.6, 10.1.2.3')
    expect(value(out, 'x-forwarded-proto')).toBe('https')
  })

  it('adds itself to Via', () => {
    expect(value(forwardedRequest(['Via', '1.1 edge'], 'h', peer), 'via')).toBe('1.1 edge, 1.1 infergate')
  })
})

describe('reply headers on their way to the client', () => {
  it('loses the hop-by-hop fields and keeps the rest', () => {
    const sent = [
      'Transfer-Encoding',
      'chunked',
      'Keep-Alive',
      'timeout=5',
      'Connection',
      'X-Hop',
      'X-Hop',
      '1',
      'ETag',
      '"a"',
    ]
    expect(forwardedReply(sent)).toEqual(['ETag', '"a"'])
  })
})
