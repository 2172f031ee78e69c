import { describe, expect, it } from 'vitest'
import { HpackDecoder } from '../../../../src/lib/http2/hpack-decoder.ts'
import { HpackTableEncoder } from '../../../../src/lib/http2/hpack-table-encoder.ts'

const FIELDS = [':method', 'POST', ':path', '/a.B/C', 'x-secret', 's', 'user-agent', 'u', 'te', 'trailers']
const encoder = () => new HpackTableEncoder(new Set([':path', 'user-agent', 'te']))
const decoder = (maxTableBytes = 4096) => new HpackDecoder({ maxTableBytes, maxListBytes: 65_536 })

describe('fields that repeat', () => {
  it('are an index the second time, and the block of a list is made once', () => {
    const [ours, theirs] = [encoder(), decoder()]
    const first = ours.encode(FIELDS)
    expect(theirs.decode(first).fields).toEqual(FIELDS)
    const second = ours.encode(FIELDS)
    expect(theirs.decode(second).fields).toEqual(FIELDS)
    // Four indexes, and the literal that is not kept: a mark, a name and a value.
    expect(second).toHaveLength(4 + 1 + 9 + 2)
    expect(ours.encode(FIELDS)).toBe(second)
  })

  it('are not kept where they may be secret', () => {
    const ours = encoder()
    for (let i = 0; i < 3; i++) expect(ours.encode(FIELDS).includes('x-secret')).toBe(true)
  })

  it('are written again when others have pushed them out', () => {
    const [ours, theirs] = [encoder(), decoder()]
    for (let i = 0; i < 300; i++) {
      const fields = [...FIELDS, ':path', `/${'p'.repeat(i)}`]
      expect(theirs.decode(ours.encode(fields)).fields).toEqual(fields)
      expect(theirs.decode(ours.encode(FIELDS)).fields).toEqual(FIELDS)
    }
  })

  it('are not kept where one of them fills the table', () => {
    const [ours, theirs] = [encoder(), decoder()]
    const fields = [':path', `/${'p'.repeat(5000)}`, ...FIELDS]
    ours.encode(FIELDS)
    const second = encoder()
    expect(theirs.decode(second.encode(fields)).fields).toEqual(fields)
    expect(theirs.decode(second.encode(fields)).fields).toEqual(fields)
  })
})

describe('a table whose size the peer sets', () => {
  it.each<[string, number[], number[]]>([
    ['to nothing', [0], [0x20]],
    ['to less', [100], [0x3f, 69]],
    ['to more, which is not used', [65_536], []],
    ['to nothing and back', [0, 4096], [0x20, 0x3f, 0xe1, 0x1f]],
    ['to what it was', [4096], []],
  ])('%s', (_, sizes, confirmation) => {
    const [ours, theirs] = [encoder(), decoder()]
    theirs.decode(ours.encode(FIELDS))
    for (const size of sizes) ours.resize(size)
    const block = ours.encode(FIELDS)
    expect([...block.subarray(0, confirmation.length)]).toEqual(confirmation)
    expect(theirs.decode(block).fields).toEqual(FIELDS)
    for (let i = 0; i < 3; i++) expect(theirs.decode(ours.encode(FIELDS)).fields).toEqual(FIELDS)
  })
})
