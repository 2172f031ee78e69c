import { expect, it } from 'vitest'
import { Heads } from '../../../../src/data/ingress/door/heads.ts'

const head = (id: string, rest = '') =>
  Buffer.from(`POST /p HTTP/1.1\r\nHost: h\r\nX-Id: ${id}\r\nContent-Length: 2\r\n\r\n${rest}`, 'latin1')

it('a head that was read before is the same one, whatever follows it', () => {
  const heads = new Heads(8192)
  const first = heads.read(head('a', '{}'))
  expect(first).toMatchObject({ method: 'POST', target: '/p', length: 2 })
  expect(heads.read(head('a'))).toBe(first)
  expect(heads.read(head('a', '{}POST'))).toBe(first)
  expect(heads.read(head('b'))).not.toBe(first)
})

it('one that is not plain, or not there to its end, is said to be so each time', () => {
  const heads = new Heads(8192)
  const folded = Buffer.from('POST / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n')
  for (let i = 0; i < 2; i++) {
    expect(heads.read(folded)).toBe('other')
    expect(heads.read(head('a').subarray(0, 30))).toBe('part')
  }
})

it('of a flood of different heads only some are kept', () => {
  const heads = new Heads(8192)
  const first = heads.read(head('first'))
  for (let i = 0; i < 500; i++) heads.read(head(`${i}`))
  expect(heads.read(head('first'))).toBe(first)
  for (let i = 0; i < 2000; i++) heads.read(head(`x${i}`))
  expect(heads.read(head('first'))).not.toBe(first)
})
