import { expect, it } from 'vitest'
import type { HitSource } from '../../../../src/data/hits/memory-hit.ts'
import { type RequestHead, readHead } from '../../../../src/data/ingress/door/head.ts'
import { RepeatCache } from '../../../../src/data/ingress/door/repeat-cache.ts'

const SOURCE = {} as HitSource

const request = (body: string, id = 'a') =>
  Buffer.from(`POST /p HTTP/1.1\r\nHost: h\r\nX-Id: ${id}\r\nContent-Length: ${body.length}\r\n\r\n${body}`)

/** A head that has been answered under before. */
function known(bytes: Buffer): RequestHead {
  const head = readHead(bytes) as RequestHead
  head.notes.isRepeated = true
  return head
}

it('gives what was kept for the same bytes, and for no others', () => {
  const repeats = new RepeatCache()
  const bytes = request('{"a":1}')
  const head = known(bytes)
  expect(repeats.get(bytes)).toBeUndefined()
  repeats.keep(bytes, head, SOURCE)
  expect(repeats.get(Buffer.from(bytes))).toEqual({ head, prefix: '', source: SOURCE })
  for (let i = 0; i < bytes.length; i++) {
    const other = Buffer.from(bytes)
    other[i] = (other[i] as number) ^ 0x80
    expect(repeats.get(other)).toBeUndefined()
  }
  expect(repeats.get(bytes.subarray(0, -1))).toBeUndefined()
  expect(repeats.get(Buffer.concat([bytes, bytes]))).toBeUndefined()
})

it('keeps nothing under a head that came once, and nothing long', () => {
  const repeats = new RepeatCache()
  const first = request('{}', 'first')
  const head = readHead(first) as RequestHead
  repeats.keep(first, head, SOURCE)
  expect(repeats.get(first)).toBeUndefined()
  repeats.keep(first, head, SOURCE)
  expect(repeats.get(first)).toBeDefined()
  const long = request('x'.repeat(1024))
  repeats.keep(long, known(long), SOURCE)
  expect(repeats.get(long)).toBeUndefined()
})

it('keeps so many, and of those what is asked for', () => {
  const repeats = new RepeatCache()
  const hot = request('hot')
  repeats.keep(hot, known(hot), SOURCE)
  const head = known(request('00000'))
  for (let i = 0; i < 20_000; i++) {
    repeats.keep(request(`${i}`.padStart(5, '0')), head, SOURCE)
    if (i % 1000 === 0) expect(repeats.get(hot)).toBeDefined()
  }
  expect(repeats.get(request('00000'))).toBeUndefined()
  expect(repeats.get(request('19999'))).toBeDefined()
})
