import { describe, expect, it } from 'vitest'
import { readReplyHead } from '../../../../src/data/backend/reply-head.ts'

const head = (n: number) => `HTTP/1.1 200 OK\r\nContent-Length: ${n}\r\nX-Case: heads\r\n`

describe('the head of an answer', () => {
  it('is read once for the same bytes, and its notes stay with it', () => {
    const first = readReplyHead(head(1))
    expect(first).toMatchObject({ status: 200, length: 1, keepAlive: true, chunked: false })
    first.notes.isPlain = true
    expect(readReplyHead(head(1))).toBe(first)
    expect(readReplyHead(head(2)).notes).toEqual({})
  })

  it('is forgotten when many others have come', () => {
    const first = readReplyHead(head(3))
    for (let n = 10; n < 1000; n++) readReplyHead(head(n))
    expect(readReplyHead(head(3))).not.toBe(first)
  })

  it('is read each time where it is long', () => {
    const long = `${head(4)}X-Long: ${'x'.repeat(2000)}\r\n`
    expect(readReplyHead(long)).not.toBe(readReplyHead(long))
  })

  it('that is broken is refused each time', () => {
    for (let time = 0; time < 2; time++)
      expect(() => readReplyHead('HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n')).toThrow(
        'Content-Length is broken',
      )
  })
})
